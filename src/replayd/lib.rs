//! The companion daemon and CLI of Reprise.

pub mod check;
