//! One worker over the host in memory, and what a test has it do.

use super::{FakeHost, Reply, World};
use crate::http::{Exchange, Flow};
use crate::publisher;
use crate::queues;
use crate::root::{self, Root};
use crate::vm::Vm;
use prost::Message as _;
use reprise_core::http::write_pairs;
use reprise_core::time::Millis;
use reprise_core::wire::{Ack, BatchHead, Capture, Frames, Range};
use std::cell::{Cell, RefCell};
use std::rc::Rc;

/// One worker: its host, its VM, one plugin.
pub(crate) struct Worker {
    pub(crate) host: FakeHost,
    pub(crate) vm: Vm,
    pub(crate) root: Rc<Root>,
    next_id: u32,
}

impl Worker {
    /// Starts a worker of `world` with a small store, and `document` over it.
    pub(crate) fn start(world: &Rc<World>, document: &str) -> Self {
        let host = FakeHost {
            world: Rc::clone(world),
            request: RefCell::default(),
            response: RefCell::default(),
            buffer: RefCell::default(),
            replies: RefCell::default(),
            properties: RefCell::default(),
            removed: RefCell::default(),
            trailers: RefCell::default(),
            calls: RefCell::default(),
            answer: RefCell::default(),
            resumed: RefCell::default(),
            entered: Cell::default(),
            refuses_calls: Cell::default(),
        };
        let mut vm = Vm::default();
        let root = root::configure(&host, &mut vm, document.as_bytes()).unwrap().unwrap();
        Self {
            host,
            vm,
            root,
            next_id: 1,
        }
    }

    /// Sends a whole POST with `key`, and shows what became of it.
    pub(crate) fn post(&mut self, key: &str, body: &str) -> Sent {
        self.send(
            &[(":method", "POST"), (":path", "/pay"), ("idempotency-key", key)],
            body,
        )
    }

    /// Sends a whole request.
    pub(crate) fn send(&mut self, headers: &[(&str, &str)], body: &str) -> Sent {
        let mut exchange = self.begin(headers);
        match exchange.1 {
            Flow::Pause if !self.host.replies.borrow().is_empty() => {}
            _ => self.upload(&mut exchange.0, body, true),
        }
        match self.host.replies.borrow_mut().pop() {
            Some(reply) => Sent::Replied(reply),
            None => Sent::Forwarded(exchange.0),
        }
    }

    /// Sends a request's head.
    pub(crate) fn begin(&mut self, headers: &[(&str, &str)]) -> (Exchange, Flow) {
        self.begin_with(headers, false)
    }

    /// As [`Worker::begin`]; `ended` = the request has no body.
    pub(crate) fn begin_with(&mut self, headers: &[(&str, &str)], ended: bool) -> (Exchange, Flow) {
        self.next_id += 1;
        let mut exchange = Exchange::new(Some(Rc::clone(&self.root)), self.next_id);
        *self.host.request.borrow_mut() = map(&[headers, &[(":authority", "api.test"), (":scheme", "http")]].concat());
        self.host.replies.borrow_mut().clear();
        self.host.buffer.borrow_mut().clear();
        let flow = exchange.request_headers(&self.host, &mut self.vm, ended);
        (exchange, flow)
    }

    /// Sends a piece of a request's body.
    pub(crate) fn upload(&mut self, exchange: &mut Exchange, piece: &str, ended: bool) {
        self.host.buffer.borrow_mut().extend_from_slice(piece.as_bytes());
        let len = self.host.buffer.borrow().len();
        if exchange.request_body(&self.host, &mut self.vm, len, ended) == Flow::Continue {
            self.host.buffer.borrow_mut().clear();
        }
    }

    /// Answers a forwarded request from the upstream, whole.
    pub(crate) fn answer(&mut self, exchange: &mut Exchange, status: &str, body: &str) {
        self.answer_with(
            exchange,
            &[(":status", status), ("x-envoy-upstream-service-time", "1")],
            body,
        );
    }

    /// As [`Worker::answer`], with these headers.
    pub(crate) fn answer_with(&mut self, exchange: &mut Exchange, headers: &[(&str, &str)], body: &str) {
        *self.host.response.borrow_mut() = map(headers);
        self.respond_with(exchange, headers, body);
        exchange.log(&self.host, &mut self.vm);
    }

    /// As [`Worker::answer_with`], but the exchange goes on; tells whether its end passes.
    pub(crate) fn respond_with(&mut self, exchange: &mut Exchange, headers: &[(&str, &str)], body: &str) -> Flow {
        *self.host.response.borrow_mut() = map(headers);
        exchange.response_headers(&self.host, &mut self.vm, false);
        *self.host.buffer.borrow_mut() = body.as_bytes().to_vec();
        exchange.response_body(&self.host, &mut self.vm, body.len(), false);
        self.host.buffer.borrow_mut().clear();
        exchange.response_body(&self.host, &mut self.vm, 0, true)
    }

    /// Has replayd answer the call `token`; status 0 = the call fails.
    pub(crate) fn hear(&mut self, token: u32, status: u16, body: &[u8]) {
        *self.host.answer.borrow_mut() = (status, body.to_vec());
        publisher::answered(&self.host, &mut self.vm, token, (usize::from(status), body.len()), 1);
    }

    /// Shows the batch of the call `token`: its path, its head, its captures.
    pub(crate) fn sent(&self, token: u32) -> (String, BatchHead, Vec<Capture>) {
        let (path, body) = self.host.calls.borrow()[token as usize - 1].clone();
        let mut frames = Frames::new(&body);
        let head = frames.next_message().unwrap().unwrap();
        let captures = std::iter::from_fn(|| frames.next_message().unwrap()).collect();
        (path, head, captures)
    }

    /// Has replayd acknowledge all captures of the call `token`.
    pub(crate) fn acknowledge(&mut self, token: u32) {
        let captures = self.sent(token).2;
        let ranges = captures.iter().map(|capture| Range {
            first: capture.seq,
            last: capture.seq,
        });
        let ack = Ack {
            ranges: ranges.collect(),
            policy_tag: String::new(),
        };
        self.hear(token, 200, &ack.encode_to_vec());
    }

    /// Has the worker's root called for what is in its queue.
    pub(crate) fn wake(&mut self) {
        if let Some((_, queue)) = queues::open(&self.host, &mut self.vm, Millis(300)) {
            queues::woken(&self.host, &mut self.vm, queue, 1);
        }
    }

    /// Lets the clock go on by `millis` and the tick run.
    pub(crate) fn tick(&mut self, millis: u64) {
        self.host.world.pass(millis);
        self.root.clone().tick(&self.host, &mut self.vm, 1);
    }
}

/// What became of a request.
pub(crate) enum Sent {
    Forwarded(Exchange),
    Replied(Reply),
}

impl Sent {
    #[track_caller]
    pub(crate) fn forwarded(self) -> Exchange {
        match self {
            Self::Forwarded(exchange) => exchange,
            Self::Replied(reply) => panic!("replied {} {}", reply.status, reply.kind()),
        }
    }

    #[track_caller]
    pub(crate) fn replied(self) -> Reply {
        match self {
            Self::Forwarded(_) => panic!("forwarded"),
            Self::Replied(reply) => reply,
        }
    }
}

/// Serialises headers as the host does.
pub(crate) fn map(headers: &[(&str, &str)]) -> Vec<u8> {
    let mut out = Vec::new();
    write_pairs(
        headers.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes())),
        &mut out,
    );
    out
}
