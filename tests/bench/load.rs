//! The load generator: closed-loop and fixed-rate slices over one epoll loop that the upstream shares.
//!
//! One process on one core is both ends, so that Envoy, alone on the other core, is what is measured.

use crate::client::{Client, Outcome};
use crate::clock::{self, now_ns};
use crate::key::{KeyMaker, Keys};
use crate::message::{Method, Request};
use crate::schedule::Schedule;
use crate::upstream::Upstream;
use crate::worker::{CoreTime, Worker};
use rustix::buffer::spare_capacity;
use rustix::event::Timespec;
use rustix::event::epoll::{self, CreateFlags, EventData, EventFlags};
use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::time::Duration;

/// Connections to each listener.
const CLIENTS: usize = 32;

/// How long a request may take before the run is given up.
const PATIENCE: Duration = Duration::from_secs(10);

/// How long Envoy gets after the last response to finish its own work and sleep, so that its CPU time is booked.
const SETTLE: Duration = Duration::from_millis(1);

/// The same where batches are still to be sent: they are closed after 10 ms.
const SETTLE_PUBLISHING: Duration = Duration::from_millis(40);

/// Marks the event of an upstream connection; the rest is its index. Clients' events are their index alone.
const PEER: u64 = 1 << 32;

/// The event of the upstream's listener.
const LISTENER: u64 = 1 << 33;

/// What a slice sends, and where.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    /// Place of the listener among those connected to.
    pub(crate) listener: usize,
    /// What is asked.
    pub(crate) method: Method,
    /// Which keys its requests carry.
    pub(crate) keys: Keys,
    /// True if the filter answers from its store: the upstream may see none of the requests.
    pub(crate) is_stored: bool,
    /// True if Envoy has work left for a while after the last response: it belongs to the slice.
    pub(crate) publishes: bool,
}

/// When a closed-loop slice stops asking.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stop {
    /// After this time.
    After(Duration),
    /// After this many requests.
    Count(u64),
}

/// What a slice saw.
#[derive(Debug)]
pub(crate) struct Slice {
    /// Responses.
    pub(crate) requests: u64,
    /// From the first request to the last response.
    pub(crate) elapsed_ns: u64,
    /// What Envoy's worker thread had of its core.
    pub(crate) used: CoreTime,
    /// From when a request was due to its response; fixed-rate slices only.
    pub(crate) latencies_ns: Vec<u64>,
    /// Why the slice does not count.
    pub(crate) void: Option<String>,
}

/// The counts at a slice's begin.
struct Mark {
    start_ns: u64,
    used: CoreTime,
    served: u64,
}

/// Both ends of all connections.
pub(crate) struct Generator {
    epoll: OwnedFd,
    events: Vec<epoll::Event>,
    upstream: Upstream,
    worker: Option<Worker>,
    clients: Vec<Option<Client>>,
    keys: KeyMaker,
}

impl Generator {
    /// Starts the upstream; clients come with [`Self::connect`].
    pub(crate) fn new() -> io::Result<Self> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let upstream = Upstream::listen()?;
        epoll::add(&epoll, &upstream.listener, EventData::new_u64(LISTENER), EventFlags::IN)?;
        Ok(Self {
            epoll,
            events: Vec::with_capacity(256),
            upstream,
            worker: None,
            clients: Vec::new(),
            keys: KeyMaker::default(),
        })
    }

    /// The upstream's port.
    pub(crate) fn upstream_port(&self) -> io::Result<u16> {
        Ok(self.upstream.listener.local_addr()?.port())
    }

    /// Opens the connections to each of `ports`; a listener's place there is its number in [`Load`].
    pub(crate) fn connect(&mut self, ports: &[u16], worker: Worker) -> io::Result<()> {
        self.worker = Some(worker);
        for port in ports {
            for _ in 0..CLIENTS {
                let client = Client::connect(*port)?;
                let token = EventData::new_u64(self.clients.len() as u64);
                epoll::add(&self.epoll, &client.stream, token, EventFlags::IN)?;
                self.clients.push(Some(client));
            }
        }
        Ok(())
    }

    /// Keeps every connection of a listener busy until `stop`, then waits for the last responses.
    pub(crate) fn saturate(&mut self, load: Load, stop: Stop) -> io::Result<Slice> {
        let mut request = Request::new(load.method);
        let mut outcomes = Vec::with_capacity(CLIENTS);
        let mut tally = BTreeMap::new();
        let mark = self.mark()?;
        let (mut asked, mut open) = (0, 0_u64);
        let is_over = |asked| match stop {
            Stop::After(time) => mark.start_ns + clock::ns(time) <= now_ns(),
            Stop::Count(count) => count <= asked,
        };
        for index in clients_of(load.listener) {
            if !is_over(asked) && self.ask(index, &mut request, load.keys)? {
                (asked, open) = (asked + 1, open + 1);
            }
        }
        while 0 < open {
            self.turn(Some(PATIENCE), &mut outcomes)?;
            for (index, outcome) in outcomes.drain(..) {
                *tally.entry(outcome).or_insert(0) += 1;
                if is_over(asked) || !self.ask(index, &mut request, load.keys)? {
                    open -= 1;
                } else {
                    asked += 1;
                }
            }
        }
        self.slice(load, &mark, &tally, Vec::new())
    }

    /// Sends `rate_per_s` requests a second for `time`, on whichever connection is free; one that finds none free waits,
    /// and its latency counts from when it was due.
    pub(crate) fn pace(&mut self, load: Load, rate_per_s: u32, time: Duration) -> io::Result<Slice> {
        let mut request = Request::new(load.method);
        let mut outcomes = Vec::with_capacity(CLIENTS);
        let mut tally = BTreeMap::new();
        let mut idle: Vec<usize> = clients_of(load.listener).collect();
        let mut due_ns = vec![0; CLIENTS];
        let mut latencies_ns = Vec::new();
        let mut schedule = Schedule::new(rate_per_s, time);
        let mark = self.mark()?;
        while !schedule.is_done() || idle.len() < CLIENTS {
            schedule.advance(now_ns() - mark.start_ns);
            while let (Some(index), true) = (idle.last().copied(), schedule.is_waiting()) {
                idle.pop();
                due_ns[index % CLIENTS] = mark.start_ns + schedule.take();
                if !self.ask(index, &mut request, load.keys)? {
                    return Err(io::Error::other("Envoy closed a connection at a fixed rate"));
                }
            }
            self.turn(None, &mut outcomes)?;
            for (index, outcome) in outcomes.drain(..) {
                *tally.entry(outcome).or_insert(0) += 1;
                latencies_ns.push(now_ns() - due_ns[index % CLIENTS]);
                idle.push(index);
            }
            if schedule.end_ns() + clock::ns(PATIENCE) < now_ns() - mark.start_ns {
                return Err(no_answer());
            }
        }
        self.slice(load, &mark, &tally, latencies_ns)
    }

    /// Lets the pool begin with its first key again.
    pub(crate) fn rewind(&mut self, back: u64) {
        self.keys.rewind(back);
    }

    /// Serves the upstream for clients that are not this generator's, while `goes_on`, which is told how many were served.
    pub(crate) fn serve_while(&mut self, mut goes_on: impl FnMut(u64) -> io::Result<bool>) -> io::Result<()> {
        let mut outcomes = Vec::new();
        while goes_on(self.upstream.served)? {
            self.wait(Some(Duration::from_millis(5)))?;
            self.dispatch(&mut outcomes)?;
        }
        Ok(())
    }

    /// What Envoy's worker thread had of its core so far.
    pub(crate) fn worker_time(&self) -> io::Result<CoreTime> {
        self.worker
            .as_ref()
            .map_or_else(|| Err(io::Error::other("no worker is watched")), Worker::time)
    }

    /// Sends a request; false if that connection is gone.
    fn ask(&mut self, index: usize, request: &mut Request, keys: Keys) -> io::Result<bool> {
        let Some(client) = self.clients[index].as_mut() else {
            return Ok(false);
        };
        client.ask(request.with_key(self.keys.next(keys)))?;
        Ok(true)
    }

    /// Handles what is ready; with a `patience`, waits for it that long and no longer.
    fn turn(&mut self, patience: Option<Duration>, outcomes: &mut Vec<(usize, Outcome)>) -> io::Result<()> {
        self.wait(patience)?;
        if self.events.is_empty() && patience.is_some() {
            return Err(no_answer());
        }
        self.dispatch(outcomes)
    }

    fn wait(&mut self, patience: Option<Duration>) -> io::Result<()> {
        let timeout = Timespec::try_from(patience.unwrap_or_default()).map_err(io::Error::other)?;
        self.events.clear();
        epoll::wait(&self.epoll, spare_capacity(&mut self.events), Some(&timeout))?;
        Ok(())
    }

    fn dispatch(&mut self, outcomes: &mut Vec<(usize, Outcome)>) -> io::Result<()> {
        for at in 0..self.events.len() {
            let token = self.events[at].data.u64();
            let index = usize::try_from(token & (PEER - 1)).map_err(io::Error::other)?;
            if token == LISTENER {
                let (peer, stream) = self.upstream.accept()?;
                epoll::add(
                    &self.epoll,
                    stream,
                    EventData::new_u64(PEER | peer as u64),
                    EventFlags::IN,
                )?;
            } else if token & PEER != 0 {
                self.upstream.serve(index)?;
            } else {
                self.receive(index, outcomes)?;
            }
        }
        Ok(())
    }

    /// Dropping a closed client also takes it off the loop.
    fn receive(&mut self, index: usize, outcomes: &mut Vec<(usize, Outcome)>) -> io::Result<()> {
        let Some(client) = self.clients[index].as_mut() else {
            return Ok(());
        };
        if let Some(outcome) = client.outcome()? {
            outcomes.push((index, outcome));
            if outcome == Outcome::Closed {
                self.clients[index] = None;
            }
        }
        Ok(())
    }

    fn mark(&self) -> io::Result<Mark> {
        Ok(Mark {
            start_ns: now_ns(),
            used: self.worker_time()?,
            served: self.upstream.served,
        })
    }

    fn slice(
        &mut self,
        load: Load,
        mark: &Mark,
        tally: &BTreeMap<Outcome, u64>,
        latencies_ns: Vec<u64>,
    ) -> io::Result<Slice> {
        let elapsed_ns = now_ns() - mark.start_ns;
        let settle_ns = clock::ns(if load.publishes { SETTLE_PUBLISHING } else { SETTLE });
        let until_ns = now_ns() + settle_ns;
        while now_ns() < until_ns {
            self.wait(Some(Duration::from_nanos(until_ns - now_ns())))?;
            self.dispatch(&mut Vec::new())?;
        }
        let is_whole = self.clients[clients_of(load.listener)].iter().all(Option::is_some);
        let objection = objection(load, tally, self.upstream.served - mark.served);
        Ok(Slice {
            requests: tally.values().sum(),
            elapsed_ns,
            used: self.worker_time()?.since(mark.used),
            latencies_ns,
            void: objection.or_else(|| (!is_whole).then(|| "connections were closed earlier".to_owned())),
        })
    }
}

/// Why a slice does not count: an outcome that is not the expected status, or an upstream that saw too few or too many.
fn objection(load: Load, tally: &BTreeMap<Outcome, u64>, served: u64) -> Option<String> {
    let expected = Outcome::Status(load.method.status());
    if let Some((outcome, count)) = tally.iter().find(|(outcome, _)| **outcome != expected) {
        return Some(match outcome {
            Outcome::Status(status) => format!("status {status} x {count}"),
            Outcome::Closed => format!("connection closed x {count}"),
        });
    }
    let requests: u64 = if load.is_stored { 0 } else { tally.values().sum() };
    (served != requests).then(|| format!("the upstream saw {served} requests instead of {requests}"))
}

fn clients_of(listener: usize) -> Range<usize> {
    listener * CLIENTS..(listener + 1) * CLIENTS
}

fn no_answer() -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, format!("no response within {PATIENCE:?}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANSWER: Load = Load {
        listener: 0,
        method: Method::Post,
        keys: Keys::Pool,
        is_stored: true,
        publishes: false,
    };

    #[test]
    fn a_503_makes_a_slice_void() {
        let tally = BTreeMap::from([(Outcome::Status(201), 9), (Outcome::Status(503), 2)]);
        assert_eq!(objection(ANSWER, &tally, 0).unwrap(), "status 503 x 2");
    }

    #[test]
    fn an_answer_that_reached_the_upstream_makes_a_slice_void() {
        let tally = BTreeMap::from([(Outcome::Status(201), 9)]);
        assert_eq!(objection(ANSWER, &tally, 0), None);
        assert!(objection(ANSWER, &tally, 1).is_some());
    }
}
