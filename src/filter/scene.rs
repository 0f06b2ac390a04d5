//! What the host alone knows of an exchange, as its capture tells it.

use crate::host::Host;
use crate::tape::text;

/// Where an exchange takes place.
#[derive(Debug, Default)]
pub struct Scene {
    /// Its route.
    pub route: String,
    /// The cluster of its upstream.
    pub cluster: String,
    /// Its client's address.
    pub client: String,
    /// What its client speaks.
    pub protocol: String,
    /// Who made the response, in Envoy's words: told by the internal listener, of what runs detached alone.
    pub details: Vec<u8>,
}

impl Scene {
    /// Asks the host, in the exchange's own context: four calls, as one CEL expression for all of it takes longer than
    /// they do (measured).
    pub fn read(host: &impl Host) -> Self {
        let property = |path: &[&str]| text(&host.property(path).ok().flatten().unwrap_or_default());
        Self {
            route: property(&ROUTE),
            cluster: property(&["xds", "cluster_name"]),
            client: property(&["source", "address"]),
            protocol: property(&["request", "protocol"]),
            details: Vec::new(),
        }
    }
}

/// Where the host names the route.
pub const ROUTE: [&str; 2] = ["xds", "route_name"];
