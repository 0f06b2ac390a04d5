//! A request that is to run detached: held until its end, and handed to the root then.

use super::admission::refusal;
use super::{Exchange, Flow, Stage};
use crate::asked::Asked;
use crate::boots;
use crate::detached::Job;
use crate::duplicate::Duplicate;
use crate::host::{Host, Side};
use crate::queues;
use crate::reply::{Mend, respond, send};
use crate::vm::Vm;
use reprise_core::config::Policy;
use reprise_core::detached::{answer, request};
use reprise_core::gate::Request;
use reprise_core::problem::Problem;

/// A request as far as it came. Its body is in the host's buffer until its end.
#[derive(Debug)]
pub(super) struct Gathering {
    cluster: String,
    /// Its head, as it is sent.
    pairs: Vec<u8>,
    /// Bytes of its body, by its own word.
    announced: u64,
    buffered: usize,
    counted: u64,
    /// Whether it is a step of a replay.
    is_step: bool,
}

impl Gathering {
    /// Begins with a request whose key was just claimed; none if it runs inline.
    pub(super) fn begin(asked: &Asked<'_>) -> Option<Box<Self>> {
        Self::new(&asked.policy, &asked.request)
    }

    /// Begins with a duplicate that runs in the place of the first request: its request has ended, and is still held.
    #[cold]
    pub(super) fn of_heir(host: &impl Host, vm: &mut Vm, duplicate: &Duplicate) -> Option<Box<Self>> {
        let policy = duplicate.asks().1;
        policy.detached().ok()??;
        let map = host.headers(Side::Request).ok()?;
        let mut gathering = Self::new(policy, &Request::read(&map))?;
        gathering.is_step = duplicate.is_step();
        gathering.hold(vm, duplicate.read());
        Some(gathering)
    }

    #[cold]
    fn new(policy: &Policy, asked: &Request<'_>) -> Option<Box<Self>> {
        let cluster = policy.detached().ok()??;
        if asked.is_grpc() {
            return None;
        }
        Some(Box::new(Self {
            cluster: cluster.to_owned(),
            pairs: request(asked.pairs)?,
            announced: asked.content_length().unwrap_or(0),
            buffered: 0,
            counted: 0,
            is_step: asked.is_step,
        }))
    }

    /// Takes note that `len` bytes of the body are in the host's buffer.
    fn hold(&mut self, vm: &mut Vm, len: usize) {
        self.buffered = len;
        vm.hold(&mut self.counted, (len + self.pairs.len()) as u64);
    }

    /// Counts the bytes of the body that are in the host's buffer, and were read.
    pub(super) const fn len(&self) -> usize {
        self.buffered
    }

    /// Tells why the request is not held on, if it is not.
    fn problem(&self, vm: &Vm, (hold_max, held_max): (u64, u64)) -> Option<Problem> {
        if self.announced.max(self.buffered as u64) > hold_max {
            Some(Problem::BodyTooLarge { max: hold_max })
        } else if vm.held_bytes > held_max {
            Some(Problem::Crowded)
        } else {
            None
        }
    }
}

impl Exchange {
    /// Holds a request on until its end; `len` bytes of its body are in the host's buffer.
    #[cold]
    pub(super) fn gather(&mut self, host: &impl Host, vm: &mut Vm, len: usize, ended: bool) -> Flow {
        let (Some(gathering), Some(root)) = (&mut self.gathering, self.root.clone()) else {
            return Flow::Continue;
        };
        gathering.hold(vm, len);
        let bounds = (root.document.hold_bytes_max, root.document.store.buffered_bytes_max);
        if let Some(problem) = gathering.problem(vm, bounds) {
            vm.metrics.count(refusal(&problem));
            self.leave_out(host, vm);
            self.undo(host, vm);
            return self.refuse(host, &root, &problem);
        }
        if ended { self.detach(host, vm) } else { Flow::Pause }
    }

    /// Hands the request to the root, which sends it once this callback is over. The exchange steps aside then.
    #[cold]
    pub(super) fn detach(&mut self, host: &impl Host, vm: &mut Vm) -> Flow {
        let len = self.gathering.as_ref().map_or(0, |gathering| gathering.buffered);
        let Ok(body) = host.body(Side::Request, 0, len) else {
            self.run_inline(vm);
            return Flow::Continue;
        };
        if len > 0 {
            // The host's copy would be memory that nobody counts; if it stays, it goes with the exchange.
            let _stays = host.drain_request(len);
        }
        let stage = std::mem::replace(&mut self.stage, Stage::Detached);
        let (Stage::Owner(mut owner), Some(gathering), Some(root)) = (stage, self.gathering.take(), self.root.clone())
        else {
            return Flow::Pause;
        };
        owner.detach();
        let mut tape = self.tape.take();
        if let Some(tape) = &mut tape {
            tape.end_request();
            tape.detach(host);
        }
        let lease = root.document.store.lease;
        vm.detached.push(Job {
            context: self.id,
            root,
            owner,
            tape,
            upstream: boots::cluster(host),
            cluster: gathering.cluster,
            pairs: gathering.pairs,
            body,
            counted: gathering.counted,
            is_step: gathering.is_step,
            has_trailers: false,
        });
        queues::wake_self(host, vm, lease);
        Flow::Pause
    }

    /// Lets a request run inline that was held to run detached: nothing was sent yet.
    pub(super) fn run_inline(&mut self, vm: &mut Vm) {
        if let Some(mut gathering) = self.gathering.take() {
            vm.hold(&mut gathering.counted, 0);
        }
    }

    /// Gives its client the response that came of the detached request, in the exchange's own context.
    pub fn tell(&mut self, host: &impl Host, status: u16, (map, body): (&[u8], &[u8])) {
        let pairs = answer(map);
        send(host, (status, None), &pairs, body);
        self.stage = Stage::Replied(Mend::new(&pairs, body));
    }

    /// Tells its client why there is none.
    pub fn tell_problem(&mut self, host: &impl Host, problem: &Problem) {
        if let Some(root) = &self.root {
            self.stage = Stage::Replied(respond(host, root, problem, self.dialect));
        }
    }
}
