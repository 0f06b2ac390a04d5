//! A host in memory: many workers over one world of shared data, and a clock that the test moves.

mod worker;

pub(crate) use self::worker::{Sent, Worker, map};

use crate::host::{Call, Calls, Host, HostError, Level, Meter, MetricKind, Shared, SharedData, Side, Stream};
use reprise_core::http::Pairs;
use reprise_core::time::{Millis, MonoMillis};
use std::cell::{Cell, RefCell};
use std::collections::{BTreeMap, VecDeque};
use std::rc::Rc;

/// What all workers of one process share.
#[derive(Default)]
pub(crate) struct World {
    pub(crate) now: Cell<u64>,
    /// How far the wall clock was set forward, or back, in milliseconds.
    pub(crate) wall_set: Cell<i64>,
    pub(crate) data: RefCell<BTreeMap<String, (Vec<u8>, u32)>>,
    pub(crate) is_down: Cell<bool>,
    /// Runs once before the next replacement: what another worker does in between.
    pub(crate) meanwhile: RefCell<Option<Box<dyn FnOnce()>>>,
    next: Cell<u32>,
    drawn: Cell<u64>,
    pub(crate) lines: RefCell<Vec<String>>,
    /// Metrics by name and value; a metric's id is its place, from 1.
    pub(crate) metrics: RefCell<Vec<(String, u64)>>,
    /// Queues by name; a queue's id is its place, from 1.
    pub(crate) queues: RefCell<Vec<(String, VecDeque<Vec<u8>>)>>,
}

impl World {
    pub(crate) fn new() -> Rc<Self> {
        let world = Self::default();
        world.now.set(1_000_000);
        Rc::new(world)
    }

    /// Shows a metric; 0 if nobody named it.
    pub(crate) fn metric(&self, name: &str) -> u64 {
        let metrics = self.metrics.borrow();
        metrics
            .iter()
            .find(|(each, _)| each == name)
            .map_or(0, |(_, value)| *value)
    }

    pub(crate) fn pass(&self, millis: u64) {
        self.now.set(self.now.get() + millis);
    }

    fn up(&self, call: &'static str) -> Result<(), HostError> {
        if self.is_down.get() {
            Err(HostError { call, status: 10 })
        } else {
            Ok(())
        }
    }
}

/// A reply that the filter made.
#[derive(Debug, Clone)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) grpc_status: Option<u8>,
    pub(crate) pairs: Vec<u8>,
    pub(crate) body: Vec<u8>,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        Pairs::new(&self.pairs)
            .first(name.as_bytes())
            .map(|value| String::from_utf8_lossy(value).into_owned())
    }

    pub(crate) fn kind(&self) -> String {
        let body: serde_json::Value = serde_json::from_slice(&self.body).unwrap_or_default();
        body["type"]
            .as_str()
            .unwrap_or_default()
            .trim_start_matches("urn:reprise:problem:")
            .to_owned()
    }
}

/// One worker's side of the world, with the one exchange whose callback runs.
#[derive(Clone)]
pub(crate) struct FakeHost {
    pub(crate) world: Rc<World>,
    pub(crate) request: RefCell<Vec<u8>>,
    pub(crate) response: RefCell<Vec<u8>>,
    pub(crate) buffer: RefCell<Vec<u8>>,
    pub(crate) replies: RefCell<Vec<Reply>>,
    pub(crate) properties: RefCell<BTreeMap<String, Vec<u8>>>,
    pub(crate) removed: RefCell<Vec<String>>,
    pub(crate) trailers: RefCell<Vec<u8>>,
    /// Calls that were made: path and body; a call's token is its place, from 1.
    pub(crate) calls: RefCell<Vec<(String, Vec<u8>)>>,
    /// Requests that were sent on: cluster and head. Their bodies are in `calls`.
    pub(crate) passed_on: RefCell<Vec<(String, Vec<u8>)>>,
    /// The headers of the call that is answered.
    pub(crate) call_headers: RefCell<Vec<u8>>,
    /// The status and body of the call that is answered.
    pub(crate) answer: RefCell<(u16, Vec<u8>)>,
    pub(crate) resumed: RefCell<Vec<(u32, Side)>>,
    pub(crate) entered: Cell<u32>,
    /// Whether no call can be made: there is no such cluster.
    pub(crate) refuses_calls: Cell<bool>,
}

impl SharedData for FakeHost {
    fn shared(&self, key: &str) -> Result<Shared, HostError> {
        self.world.up("get_shared_data")?;
        Ok(match self.world.data.borrow().get(key) {
            Some((value, number)) => Shared {
                value: value.clone(),
                number: Some(*number),
            },
            None => Shared::default(),
        })
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), HostError> {
        self.world.up("set_shared_data")?;
        self.world.next.set(self.world.next.get() + 1);
        self.world
            .data
            .borrow_mut()
            .insert(key.to_owned(), (value.to_vec(), self.world.next.get()));
        Ok(())
    }

    fn replace_shared(&self, key: &str, value: &[u8], number: u32) -> Result<bool, HostError> {
        self.world.up("set_shared_data")?;
        let meanwhile = self.world.meanwhile.borrow_mut().take();
        if let Some(meanwhile) = meanwhile {
            meanwhile();
        }
        let is = self.world.data.borrow().get(key).map(|(_, number)| *number);
        if is.is_some_and(|is| is != number) {
            return Ok(false);
        }
        self.set_shared(key, value)?;
        Ok(true)
    }
}

impl Stream for FakeHost {
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        Ok(match side {
            Side::Request => self.request.borrow().clone(),
            Side::Response => self.response.borrow().clone(),
        })
    }

    fn header(&self, side: Side, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        Ok(Pairs::new(&self.headers(side)?)
            .first(name.as_bytes())
            .map(<[u8]>::to_vec))
    }

    fn trailers(&self, _side: Side) -> Result<Vec<u8>, HostError> {
        Ok(self.trailers.borrow().clone())
    }

    fn remove_header(&self, _side: Side, name: &[u8]) -> Result<(), HostError> {
        self.removed
            .borrow_mut()
            .push(String::from_utf8_lossy(name).into_owned());
        Ok(())
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.add_response_header(name, value)
    }

    fn add_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.removed
            .borrow_mut()
            .push(format!("{name} = {}", String::from_utf8_lossy(value)));
        Ok(())
    }

    fn body(&self, _side: Side, start: usize, len: usize) -> Result<Vec<u8>, HostError> {
        let missing = HostError {
            call: "get_buffer_bytes",
            status: 1,
        };
        self.buffer
            .borrow()
            .get(start..start + len)
            .map(<[u8]>::to_vec)
            .ok_or(missing)
    }

    fn drain_request(&self, len: usize) -> Result<(), HostError> {
        assert!(len > 0, "without a body there is no buffer, and the SDK ends the VM");
        assert_eq!(len, self.buffer.borrow().len(), "the host only drains its whole buffer");
        self.buffer.borrow_mut().clear();
        Ok(())
    }

    fn respond(&self, status: u16, grpc_status: Option<u8>, pairs: &[u8], body: &[u8]) -> Result<(), HostError> {
        self.replies.borrow_mut().push(Reply {
            status,
            grpc_status,
            pairs: pairs.to_vec(),
            body: body.to_vec(),
        });
        Ok(())
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.properties.borrow().get(&path.join(".")).cloned())
    }

    fn resume(&self, side: Side) -> Result<(), HostError> {
        self.resumed.borrow_mut().push((self.entered.get(), side));
        Ok(())
    }

    fn enter(&self, id: u32) -> Result<(), HostError> {
        self.entered.set(id);
        Ok(())
    }
}

impl Calls for FakeHost {
    fn call(&self, call: &Call<'_>) -> Result<u32, HostError> {
        self.world.up("http_call")?;
        if self.refuses_calls.get() {
            return Err(HostError {
                call: "http_call",
                status: 2,
            });
        }
        let mut calls = self.calls.borrow_mut();
        calls.push((call.path.to_owned(), call.body.to_vec()));
        Ok(u32::try_from(calls.len()).unwrap())
    }

    fn send(&self, cluster: &str, pairs: &[u8], body: &[u8]) -> Result<u32, HostError> {
        let path = String::from_utf8_lossy(Pairs::new(pairs).first(b":path").unwrap()).into_owned();
        let token = self.call(&Call {
            cluster,
            method: "",
            path: &path,
            header: ("", ""),
            body,
            timeout: Millis(0),
        })?;
        self.passed_on.borrow_mut().push((cluster.to_owned(), pairs.to_vec()));
        Ok(token)
    }

    fn call_headers(&self) -> Result<Vec<u8>, HostError> {
        Ok(self.call_headers.borrow().clone())
    }

    fn call_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        let answer = self.answer.borrow();
        Ok(Some(match name {
            ":status" => answer.0.to_string().into_bytes(),
            _ => b"tag".to_vec(),
        }))
    }

    fn call_body(&self, _len: usize) -> Result<Vec<u8>, HostError> {
        Ok(self.answer.borrow().1.clone())
    }

    fn queue(&self, name: &str) -> Result<u32, HostError> {
        let mut queues = self.world.queues.borrow_mut();
        let at = queues.iter().position(|(each, _)| each == name).unwrap_or_else(|| {
            queues.push((name.to_owned(), VecDeque::new()));
            queues.len() - 1
        });
        Ok(u32::try_from(at + 1).unwrap())
    }

    fn find_queue(&self, name: &str) -> Result<Option<u32>, HostError> {
        let at = self.world.queues.borrow().iter().position(|(each, _)| each == name);
        Ok(at.map(|at| u32::try_from(at + 1).unwrap()))
    }

    fn wake(&self, queue: u32, message: &[u8]) -> Result<(), HostError> {
        assert!(!message.is_empty(), "the host cannot tell an empty message from none");
        self.world.queues.borrow_mut()[queue as usize - 1]
            .1
            .push_back(message.to_vec());
        Ok(())
    }

    fn take(&self, queue: u32) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.world.queues.borrow_mut()[queue as usize - 1].1.pop_front())
    }
}

impl Meter for FakeHost {
    fn metric(&self, _kind: MetricKind, name: &str) -> Result<u32, HostError> {
        let mut metrics = self.world.metrics.borrow_mut();
        let at = metrics.iter().position(|(each, _)| each == name).unwrap_or_else(|| {
            metrics.push((name.to_owned(), 0));
            metrics.len() - 1
        });
        Ok(u32::try_from(at + 1).unwrap())
    }

    fn add(&self, metric: u32, count: u64) -> Result<(), HostError> {
        self.world.metrics.borrow_mut()[metric as usize - 1].1 += count;
        Ok(())
    }

    fn record(&self, metric: u32, value: u64) -> Result<(), HostError> {
        self.world.metrics.borrow_mut()[metric as usize - 1].1 = value;
        Ok(())
    }

    fn log(&self, _level: Level, line: &str) {
        self.world.lines.borrow_mut().push(line.to_owned());
    }
}

impl Host for FakeHost {
    fn now(&self) -> MonoMillis {
        MonoMillis(self.world.now.get())
    }

    fn micros(&self) -> u64 {
        self.world.now.get() * 1000
    }

    fn wall_seconds(&self) -> u64 {
        1_700_000_000_u64.saturating_add_signed(self.world.wall_set.get() / 1000)
    }

    fn wall_millis(&self) -> u64 {
        (1_700_000_000_000 + self.world.now.get()).saturating_add_signed(self.world.wall_set.get())
    }

    fn random(&self) -> Result<[u8; 64], HostError> {
        let drawn = self.world.drawn.get() + 1;
        self.world.drawn.set(drawn);
        let mut bytes = [0; 64];
        bytes[..8].copy_from_slice(&drawn.to_le_bytes());
        Ok(bytes)
    }

    fn tick_every(&self, _period: Millis) -> Result<(), HostError> {
        Ok(())
    }
}
