//! Hosts that a rule is about.

use alloc::borrow::ToOwned;
use alloc::string::String;

/// `*`, a host, or all names below one; with or without a port. Lower case.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct HostPattern {
    names: Names,
    /// None = any.
    port: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Names {
    Any,
    /// This name.
    One(String),
    /// What ends in this, which begins with a dot.
    Below(String),
}

impl HostPattern {
    /// Reads a pattern that is known to be well-formed.
    pub(super) fn new(pattern: &str) -> Self {
        if pattern == "*" {
            return Self {
                names: Names::Any,
                port: None,
            };
        }
        let lower = pattern.to_ascii_lowercase();
        let (name, port) = lower.split_at(port_start(lower.as_bytes()));
        let name = name.strip_suffix('.').unwrap_or(name);
        let below = name.strip_prefix('*').filter(|rest| rest.starts_with('.'));
        let names = below.map_or_else(|| Names::One(name.to_owned()), |rest| Names::Below(rest.to_owned()));
        Self {
            names,
            port: port.strip_prefix(':').map(ToOwned::to_owned),
        }
    }

    /// Tells whether `host`, as a client wrote it, is one of these.
    pub(super) fn has(&self, host: &[u8]) -> bool {
        if self.names == Names::Any {
            return true;
        }
        let (name, port) = host.split_at_checked(port_start(host)).unwrap_or((host, &[]));
        let port_fits = self
            .port
            .as_ref()
            .is_none_or(|wanted| port.strip_prefix(b":") == Some(wanted.as_bytes()));
        port_fits && self.names.has(name.strip_suffix(b".").unwrap_or(name))
    }
}

impl Names {
    fn has(&self, name: &[u8]) -> bool {
        match self {
            Self::Any => true,
            Self::One(wanted) => name.eq_ignore_ascii_case(wanted.as_bytes()),
            Self::Below(suffix) => {
                let start = name.len().checked_sub(suffix.len()).filter(|start| *start > 0);
                let tail = start.and_then(|start| name.get(start..));
                tail.is_some_and(|tail| tail.eq_ignore_ascii_case(suffix.as_bytes()))
            }
        }
    }
}

/// Finds where the port begins, with its colon; the end if there is none. An IPv6 address has its colons in brackets.
fn port_start(host: &[u8]) -> usize {
    let colon = host.iter().rposition(|byte| *byte == b':');
    let bracket = host.iter().rposition(|byte| *byte == b']');
    colon
        .filter(|colon| bracket.is_none_or(|bracket| bracket < *colon))
        .unwrap_or(host.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    fn check(pattern: &str, host: &str, want: bool) {
        assert_eq!(HostPattern::new(pattern).has(host.as_bytes()), want, "{pattern} {host}");
    }

    #[test]
    fn a_star_is_every_host() {
        check("*", "a.example.com:1", true);
        check("*", "", true);
    }

    #[test]
    fn a_name_is_that_name_in_any_case_on_any_port() {
        for host in [
            "api.example.com",
            "API.Example.com",
            "api.example.com:8443",
            "api.example.com.",
        ] {
            check("api.example.com", host, true);
        }
        for host in ["example.com", "xapi.example.com", "api.example.com.evil", ""] {
            check("api.example.com", host, false);
        }
    }

    #[test]
    fn a_port_is_kept_to() {
        check("api.example.com:8443", "api.example.com:8443", true);
        check("api.example.com:8443", "api.example.com", false);
        check("api.example.com:8443", "api.example.com:443", false);
    }

    #[test]
    fn a_wildcard_is_every_name_below() {
        check("*.example.com", "a.example.com", true);
        check("*.example.com", "a.b.EXAMPLE.com:80", true);
        check("*.example.com", "example.com", false);
        check("*.example.com", ".example.com", false);
        check("*.example.com", "aexample.com", false);
    }

    #[test]
    fn an_address_in_brackets_has_no_port_in_it() {
        check("[::1]", "[::1]:8080", true);
        check("[::1]:80", "[::1]:8080", false);
        check("[::1]", "[::1]", true);
    }
}
