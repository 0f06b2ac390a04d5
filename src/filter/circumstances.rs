//! What the host alone knows of an exchange: where it came from, and where it went.

use crate::host::{Host, HostError};
use crate::tape::text;
use reprise_core::http::Pairs;
use std::array;

/// Where an exchange came from, and where it went; empty = not known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Circumstances {
    /// The route's name.
    pub route: String,
    /// The upstream's cluster.
    pub cluster: String,
    /// The client's address.
    pub client: String,
    /// HTTP's version.
    pub protocol: String,
}

/// A way to ask for all of it at once; none where the host has no expressions.
///
/// Every call costs more than what it reads: one instead of four is 4 % of a request's CPU.
#[derive(Debug, Clone, Copy, Default)]
pub struct AtOnce(Option<u32>);

const PATHS: [[&str; 2]; 4] = [
    ["xds", "route_name"],
    ["xds", "cluster_name"],
    ["source", "address"],
    ["request", "protocol"],
];

impl AtOnce {
    /// Prepares the question; only within a root's callback, for its own exchanges.
    #[must_use]
    pub fn prepare(host: &impl Host) -> Self {
        Self(
            host.expression(&format!("[{}]", PATHS.map(|path| path.join(".")).join(",")))
                .ok(),
        )
    }

    /// Asks for all of it at once.
    ///
    /// # Errors
    /// [`HostError`] without expressions, and if only one of them is not known: an expression has a value, or none.
    fn ask(self, host: &impl Host) -> Result<[String; PATHS.len()], HostError> {
        const NONE: HostError = HostError {
            call: "expr_evaluate",
            status: 1,
        };
        let list = host.evaluate(self.0.ok_or(NONE)?)?;
        // A list comes as pairs without values.
        let mut values = Pairs::new(&list).map(|(value, _)| text(value));
        let read = array::from_fn(|_| values.next());
        match read {
            [Some(route), Some(cluster), Some(client), Some(protocol)] => Ok([route, cluster, client, protocol]),
            _ => Err(NONE),
        }
    }
}

impl Circumstances {
    /// Reads them.
    #[must_use]
    pub fn read(host: &impl Host, at_once: AtOnce) -> Self {
        let one_by_one = |path: [&str; 2]| text(&host.property(&path).ok().flatten().unwrap_or_default());
        let [route, cluster, client, protocol] = at_once.ask(host).unwrap_or_else(|_| PATHS.map(one_by_one));
        Self {
            route,
            cluster,
            client,
            protocol,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fake::{FakeHost, Worker, World};
    use crate::seam::SMALL;

    /// Makes a host that knows the first `known` of them, each as its own name.
    fn host(known: usize) -> FakeHost {
        let host = Worker::start(&World::new(), SMALL).host;
        for path in &PATHS[..known] {
            let value = path[1].as_bytes().to_vec();
            host.properties.borrow_mut().insert(path.join("."), value);
        }
        host.asked.set(0);
        host
    }

    #[track_caller]
    fn assert_read(host: &FakeHost, at_once: AtOnce, protocol: &str) {
        let expected = Circumstances {
            route: "route_name".into(),
            cluster: "cluster_name".into(),
            client: "address".into(),
            protocol: protocol.into(),
        };
        assert_eq!(Circumstances::read(host, at_once), expected);
    }

    #[test]
    fn all_of_it_takes_one_call() {
        let host = host(4);
        assert_read(&host, AtOnce::prepare(&host), "protocol");
        assert_eq!(host.asked.get(), 0, "no property for itself");
    }

    #[test]
    fn what_is_known_is_told_where_something_else_is_not() {
        let host = host(3);
        assert_read(&host, AtOnce::prepare(&host), "");
    }

    #[test]
    fn a_host_without_expressions_is_asked_one_by_one() {
        let host = host(4);
        assert_read(&host, AtOnce::default(), "protocol");
        assert_eq!(host.asked.get(), 4);
    }
}
