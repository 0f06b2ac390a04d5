//! A host that lets workers take turns: one host call each, in an order that the test chooses.

use crate::fake::{FakeHost, Worker, World};
use crate::host::{Call, Calls, Host, HostError, Level, Meter, MetricKind, Shared, SharedData, Side, Stream};
use reprise_core::time::{Millis, MonoMillis};
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Condvar, Mutex, MutexGuard};

/// What one choice of the clock lets pass: beyond a lease with its third.
const PASS: u64 = 450;

/// The order: at each host call who goes on; 0 = who has the turn, then the others, then the clock.
#[derive(Debug, Clone, Default)]
pub(super) struct Order {
    pub(super) choices: Vec<u8>,
    /// How often the clock may go on.
    pub(super) passes: u32,
    /// Which worker dies at which of its host calls.
    pub(super) dies: Option<(usize, u32)>,
}

/// What all workers share, and whose turn it is.
#[derive(Default)]
pub(super) struct Turns {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Default)]
struct Inner {
    data: BTreeMap<String, (Vec<u8>, u32)>,
    number: u32,
    now: u64,
    order: Order,
    picked: usize,
    turn: Option<usize>,
    there: Vec<usize>,
    /// Workers that have nothing to do until they are woken.
    asleep: Vec<usize>,
    /// Whether nobody is left who could wake anybody.
    is_over: bool,
    /// Queues: their names, their workers, what is in them; a queue's id is its place, from 1.
    queues: Vec<(String, usize, VecDeque<Vec<u8>>)>,
}

impl Inner {
    /// Finds a queue, or makes it where `id` says whose it is.
    fn queue(&mut self, name: &str, id: Option<usize>) -> Option<u32> {
        let mut at = self.queues.iter().position(|(each, ..)| each == name);
        if let (None, Some(id)) = (at, id) {
            self.queues.push((name.to_owned(), id, VecDeque::new()));
            at = Some(self.queues.len() - 1);
        }
        at.map(|at| u32::try_from(at + 1).unwrap())
    }

    fn wake(&mut self, queue: u32, message: &[u8]) {
        let (_, id, messages) = &mut self.queues[queue as usize - 1];
        messages.push_back(message.to_vec());
        let (woken, asleep) = self.asleep.iter().partition(|each| *each == id);
        self.asleep = asleep;
        let woken: Vec<usize> = woken;
        self.there.extend(woken);
    }

    fn is_called(&self, id: usize) -> bool {
        self.queues
            .iter()
            .any(|(_, of, messages)| *of == id && !messages.is_empty())
    }

    fn pick(&mut self) {
        let mut options: Vec<_> = self.there.iter().copied().filter(|id| self.turn == Some(*id)).collect();
        options.extend(self.there.iter().copied().filter(|id| self.turn != Some(*id)));
        while !options.is_empty() {
            let choice = usize::from(self.order.choices.get(self.picked).copied().unwrap_or_default());
            self.picked += 1;
            match options.get(choice % (options.len() + usize::from(self.order.passes > 0))) {
                Some(next) => {
                    self.turn = Some(*next);
                    return;
                }
                None => {
                    self.now += PASS;
                    self.order.passes -= 1;
                }
            }
        }
        self.turn = None;
    }
}

impl Turns {
    /// Begins with the data of `world` and `workers` workers.
    pub(super) fn new(world: &World, workers: usize, order: &Order) -> Arc<Self> {
        let inner = Inner {
            data: world.data.borrow().clone(),
            number: 1_000_000,
            now: world.now.get(),
            order: order.clone(),
            there: (0..workers).collect(),
            turn: Some(0),
            ..Inner::default()
        };
        Arc::new(Self {
            inner: Mutex::new(inner),
            changed: Condvar::new(),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap()
    }

    /// Shows the shared data.
    pub(super) fn data(&self) -> BTreeMap<String, (Vec<u8>, u32)> {
        self.lock().data.clone()
    }

    /// Shows the moment.
    pub(super) fn now(&self) -> u64 {
        self.lock().now
    }

    /// Waits until it is the turn of worker `id`.
    pub(super) fn wait(&self, id: usize) {
        let inner = self.lock();
        drop(self.changed.wait_while(inner, |inner| inner.turn != Some(id)).unwrap());
    }

    fn next(&self, id: usize) {
        self.lock().pick();
        self.changed.notify_all();
        self.wait(id);
    }

    /// Has worker `id` sleep until its queue has something for it; tells whether it has, or nobody is left to wake it.
    pub(super) fn sleep(&self, id: usize) -> bool {
        let mut inner = self.lock();
        if !inner.is_called(id) {
            inner.there.retain(|each| *each != id);
            inner.asleep.push(id);
            inner.pick();
            inner.is_over |= inner.there.is_empty();
            self.changed.notify_all();
            inner = self
                .changed
                .wait_while(inner, |inner| inner.turn != Some(id) && !inner.is_over)
                .unwrap();
        }
        inner.is_called(id)
    }

    /// Takes worker `id` out: it has done all that it had to, or died.
    pub(super) fn leave(&self, id: usize) {
        let mut inner = self.lock();
        inner.there.retain(|each| *each != id);
        inner.pick();
        inner.is_over |= inner.there.is_empty();
        drop(inner);
        self.changed.notify_all();
    }
}

/// One worker's side of it; all but the shared data is a host of its own.
pub(super) struct Turn {
    pub(super) id: usize,
    pub(super) turns: Arc<Turns>,
    pub(super) own: FakeHost,
    /// Host calls until the worker dies.
    lives: std::cell::Cell<Option<u32>>,
    /// Whether host calls wait for their turn.
    pub(super) takes_turns: std::cell::Cell<bool>,
}

/// What a worker that dies unwinds with.
pub(super) struct Death;

impl Turn {
    pub(super) fn new(id: usize, turns: &Arc<Turns>, document: &str) -> Self {
        let dies = turns.lock().order.dies.filter(|(who, _)| *who == id);
        Self {
            id,
            turns: Arc::clone(turns),
            own: Worker::start(&World::new(), document).host,
            lives: std::cell::Cell::new(dies.map(|(_, calls)| calls)),
            takes_turns: std::cell::Cell::default(),
        }
    }

    fn call(&self) -> MutexGuard<'_, Inner> {
        if self.takes_turns.get() {
            match self.lives.get() {
                Some(0) => std::panic::resume_unwind(Box::new(Death)),
                left => self.lives.set(left.map(|left| left - 1)),
            }
            self.turns.next(self.id);
        }
        self.turns.lock()
    }
}

impl SharedData for Turn {
    fn shared(&self, key: &str) -> Result<Shared, HostError> {
        let found = self.call().data.get(key).cloned();
        Ok(found.map_or_else(Shared::default, |(value, number)| Shared {
            value,
            number: Some(number),
        }))
    }

    fn set_shared(&self, key: &str, value: &[u8]) -> Result<(), HostError> {
        let mut inner = self.call();
        inner.number += 1;
        let number = inner.number;
        inner.data.insert(key.to_owned(), (value.to_vec(), number));
        Ok(())
    }

    fn replace_shared(&self, key: &str, value: &[u8], number: u32) -> Result<bool, HostError> {
        let mut inner = self.call();
        if inner.data.get(key).is_some_and(|(_, is)| *is != number) {
            return Ok(false);
        }
        inner.number += 1;
        let number = inner.number;
        inner.data.insert(key.to_owned(), (value.to_vec(), number));
        Ok(true)
    }
}

impl Stream for Turn {
    fn headers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        self.own.headers(side)
    }

    fn header(&self, side: Side, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        self.own.header(side, name)
    }

    fn trailers(&self, side: Side) -> Result<Vec<u8>, HostError> {
        self.own.trailers(side)
    }

    fn remove_header(&self, side: Side, name: &[u8]) -> Result<(), HostError> {
        self.own.remove_header(side, name)
    }

    fn add_request_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.own.add_request_header(name, value)
    }

    fn add_response_header(&self, name: &str, value: &[u8]) -> Result<(), HostError> {
        self.own.add_response_header(name, value)
    }

    fn body(&self, side: Side, start: usize, len: usize) -> Result<Vec<u8>, HostError> {
        self.own.body(side, start, len)
    }

    fn drain_request(&self, len: usize) -> Result<(), HostError> {
        self.own.drain_request(len)
    }

    fn respond(&self, status: u16, grpc_status: Option<u8>, pairs: &[u8], body: &[u8]) -> Result<(), HostError> {
        self.own.respond(status, grpc_status, pairs, body)
    }

    fn property(&self, path: &[&str]) -> Result<Option<Vec<u8>>, HostError> {
        self.own.property(path)
    }

    fn resume(&self, side: Side) -> Result<(), HostError> {
        self.own.resume(side)
    }

    fn enter(&self, id: u32) -> Result<(), HostError> {
        self.own.enter(id)
    }
}

impl Calls for Turn {
    fn call(&self, call: &Call<'_>) -> Result<u32, HostError> {
        Calls::call(&self.own, call)
    }

    fn call_header(&self, name: &'static str) -> Result<Option<Vec<u8>>, HostError> {
        self.own.call_header(name)
    }

    fn call_body(&self, len: usize) -> Result<Vec<u8>, HostError> {
        self.own.call_body(len)
    }

    fn queue(&self, name: &str) -> Result<u32, HostError> {
        let mut inner = self.call();
        Ok(inner.queue(name, Some(self.id)).unwrap())
    }

    fn find_queue(&self, name: &str) -> Result<Option<u32>, HostError> {
        Ok(self.call().queue(name, None))
    }

    fn wake(&self, queue: u32, message: &[u8]) -> Result<(), HostError> {
        self.call().wake(queue, message);
        Ok(())
    }

    fn take(&self, queue: u32) -> Result<Option<Vec<u8>>, HostError> {
        Ok(self.call().queues[queue as usize - 1].2.pop_front())
    }
}

impl Meter for Turn {
    fn metric(&self, kind: MetricKind, name: &str) -> Result<u32, HostError> {
        self.own.metric(kind, name)
    }

    fn add(&self, metric: u32, count: u64) -> Result<(), HostError> {
        self.own.add(metric, count)
    }

    fn record(&self, metric: u32, value: u64) -> Result<(), HostError> {
        self.own.record(metric, value)
    }

    fn log(&self, level: Level, line: &str) {
        self.own.log(level, line);
    }
}

impl Host for Turn {
    fn now(&self) -> MonoMillis {
        MonoMillis(self.turns.now())
    }

    fn micros(&self) -> u64 {
        self.turns.now() * 1000
    }

    fn wall_seconds(&self) -> u64 {
        self.own.wall_seconds()
    }

    fn wall_millis(&self) -> u64 {
        self.own.wall_millis()
    }

    fn random(&self) -> Result<[u8; 64], HostError> {
        self.own.random()
    }

    fn tick_every(&self, period: Millis) -> Result<(), HostError> {
        self.own.tick_every(period)
    }
}
