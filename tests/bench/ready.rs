//! The row `ready`: from the start of Envoy to its first `/ready`, with the filter and without.

use crate::config::{self, Modules, Place};
use crate::envoy::{self, Envoy};
use crate::row::Variant;
use std::io;
use std::path::Path;

/// Starts with each of the two.
const STARTS: usize = 10;

/// Milliseconds from start to ready, one for each start.
#[derive(Debug)]
pub(crate) struct Ready {
    /// With one listener that has the filter.
    pub(crate) with_ms: Vec<f64>,
    /// With the same listener, plain.
    pub(crate) plain_ms: Vec<f64>,
}

/// Starts Envoy again and again, with the filter and without in turn. A wrapper's own time is not counted: what it
/// ended up running is started directly.
pub(crate) fn measure(program: &Path, modules: &Modules) -> io::Result<Ready> {
    let program = start(program, Variant::Plain, modules)?.program()?;
    let mut ready = Ready {
        with_ms: Vec::new(),
        plain_ms: Vec::new(),
    };
    for _ in 0..STARTS {
        ready.with_ms.push(ms(&start(&program, Variant::FirstSeen, modules)?));
        ready.plain_ms.push(ms(&start(&program, Variant::Plain, modules)?));
    }
    Ok(ready)
}

fn start(program: &Path, variant: Variant, modules: &Modules) -> io::Result<Envoy> {
    let ports = envoy::free_ports(3)?;
    let place = Place {
        variant,
        port: ports[0],
    };
    Envoy::start(
        program,
        &config::bootstrap(&[place], modules, ports[1], ports[2])?,
        ports[2],
    )
}

fn ms(envoy: &Envoy) -> f64 {
    envoy.ready_ns as f64 / 1e6
}
