//! The row `wait_wake`: from the end of the first request to the answer of a duplicate that waited for it.

use crate::clock::{self, now_ns};
use crate::config::{self, Modules, Place};
use crate::envoy::{self, Envoy};
use crate::http::{self, Connection};
use crate::message::{self, MESSAGE_BYTES_MAX, PATH};
use crate::row::Variant;
use crate::stat::quantile;
use serde_json::{Value, json};
use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;
use std::time::Duration;

/// Pairs of connections: with two workers, some pairs are on one worker, some on both.
const PAIRS: usize = 16;

/// How often a duplicate waits.
const SAMPLES: usize = 480;

/// How long a request may take to get anywhere.
const PATIENCE: Duration = Duration::from_secs(10);

/// What one duplicate saw.
#[derive(Debug, Clone, Copy)]
struct Sample {
    /// From the upstream's response to the waiter's answer.
    since_upstream_ms: f64,
    /// From the first client's response to the waiter's answer; below 0 if the waiter had it first.
    since_first_ms: f64,
}

/// Measures on an Envoy of its own with two workers.
///
/// # Errors
///
/// If a duplicate runs, or gets anything but the first's response.
pub(crate) fn measure(program: &Path, modules: &Modules) -> io::Result<(String, Value)> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
    let upstream_port = listener.local_addr()?.port();
    let ports = envoy::free_ports(2)?;
    let place = Place {
        variant: Variant::Wait,
        port: ports[0],
    };
    let bootstrap = config::bootstrap(&[place], modules, upstream_port, ports[1])?;
    let _envoy = Envoy::start_with(program, 2, &bootstrap, ports[1])?;
    let arrived = serve(listener);
    let pair = || Ok((Connection::open(ports[0])?, Connection::open(ports[0])?));
    let mut pairs = (0..PAIRS).map(|_| pair()).collect::<io::Result<Vec<_>>>()?;
    let samples = (0..SAMPLES).map(|n| sample(n, &mut pairs[n % PAIRS], ports[1], &arrived));
    let samples = samples.collect::<io::Result<Vec<_>>>()?;
    Ok(told(&samples))
}

/// Reads requests on connections of its own threads; each whole one gives its connection, for the answer.
fn serve(listener: TcpListener) -> Receiver<TcpStream> {
    let (sender, arrived) = mpsc::channel();
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let sender = sender.clone();
            thread::spawn(move || requests(stream, &sender));
        }
    });
    arrived
}

/// Ends with the connection.
fn requests(mut stream: TcpStream, sender: &Sender<TcpStream>) -> io::Result<()> {
    let (mut bytes, mut filled) = (vec![0; MESSAGE_BYTES_MAX], 0);
    stream.set_nodelay(true)?;
    loop {
        match stream.read(&mut bytes[filled..])? {
            0 => return Ok(()),
            read => filled += read,
        }
        if message::whole_bytes(&bytes[..filled], None)?.is_some() {
            filled = 0;
            let _ = sender.send(stream.try_clone()?);
        }
    }
}

/// Lets a duplicate wait for the first, and takes the times.
fn sample(
    n: usize,
    (first, waiter): &mut (Connection, Connection),
    admin: u16,
    arrived: &Receiver<TcpStream>,
) -> io::Result<Sample> {
    let key = format!("wake-{n:06}");
    thread::scope(|scope| {
        let first = scope.spawn(|| ask(first, &key));
        let late = |error| io::Error::new(io::ErrorKind::TimedOut, format!("no request arrives: {error}"));
        let mut upstream = arrived.recv_timeout(PATIENCE).map_err(late)?;
        let waiter = scope.spawn(|| ask(waiter, &key));
        waits(admin)?;
        let answered_ns = now_ns();
        upstream.write_all(message::answer(b"POST"))?;
        let joined =
            |ended: thread::Result<io::Result<u64>>| ended.map_err(|_| io::Error::other("a client panicked"))?;
        let (first_ns, waiter_ns) = (joined(first.join())?, joined(waiter.join())?);
        if arrived.try_recv().is_ok() {
            return Err(io::Error::other("a duplicate ran"));
        }
        let ms = |since_ns: u64| (waiter_ns as f64 - since_ns as f64) / 1e6;
        Ok(Sample {
            since_upstream_ms: ms(answered_ns),
            since_first_ms: ms(first_ns),
        })
    })
}

/// Asks, and gives the moment of the response.
fn ask(connection: &mut Connection, key: &str) -> io::Result<u64> {
    let body = message::request_body();
    let (status, _) = connection.ask("POST", PATH, &[("idempotency-key", key)], &body)?;
    let at_ns = now_ns();
    match status {
        201 => Ok(at_ns),
        _ => Err(io::Error::other(format!("status {status}"))),
    }
}

/// Returns once Envoy has both requests.
fn waits(admin: u16) -> io::Result<()> {
    let name = format!("http.{}.downstream_rq_active", Variant::Wait.name());
    clock::eventually("the duplicate waits", PATIENCE, || {
        let said = http::admin(admin, &format!("/stats?filter={name}"))?;
        Ok(said.trim_end().ends_with(": 2").then_some(()))
    })
}

fn told(samples: &[Sample]) -> (String, Value) {
    let of = |value: fn(&Sample) -> f64| {
        let values: Vec<_> = samples.iter().map(value).collect();
        [0.5, 0.99].map(|share| quantile(&values, share).unwrap_or_default())
    };
    let (upstream, first) = (
        of(|sample| sample.since_upstream_ms),
        of(|sample| sample.since_first_ms),
    );
    let said = format!(
        "{:.2} ms (p99 {:.2}) from the upstream's response to the waiter's answer; {:.2} ms (p99 {:.2}) after the first client's",
        upstream[0], upstream[1], first[0], first[1]
    );
    let values = json!({
        "p50_ms": upstream[0], "p99_ms": upstream[1], "after_first_p50_ms": first[0], "after_first_p99_ms": first[1]
    });
    (said, values)
}
