//! The companion daemon and CLI of Reprise.
