//! The first request: forwarded while it is hashed, its response copied while it flows, its claim completed at the end.

use crate::asked::{Asked, Piece};
use crate::claims::{self, Finish, Moment, Place};
use crate::duplicate::Duplicate;
use crate::host::Host;
use crate::metrics::Count;
use crate::vm::Vm;
use crate::waiters;
use reprise_core::answer;
use reprise_core::claim::record::{Kind, Record};
use reprise_core::claim::{Effect, End};
use reprise_core::config::{Execution, InFlight, Policy, StoreLimits};
use reprise_core::detached;
use reprise_core::fingerprint::BodyHash;
use reprise_core::gate::Keyed;
use reprise_core::http::Pairs;
use reprise_core::id::Secrets;
use reprise_core::outcome::{
    Ending, Origin, Outcome, Recorded, Response, Retain, judge, origin, retained, with_attempts, with_record,
};
use reprise_core::time::MonoMillis;
use std::rc::Rc;

/// An exchange that owns its key's claim.
#[derive(Debug)]
pub struct Owner {
    place: Place,
    keyed: Keyed,
    policy: Rc<Policy>,
    body: BodyHash,
    /// Bytes of the body that are still to come, by the request's own word.
    announced: Option<u64>,
    body_is_whole: bool,
    head_is_lost: bool,
    ending: Ending,
    event_stream: bool,
    retain: Option<Retain>,
    map: Vec<u8>,
    copy: Vec<u8>,
    counted: u64,
    /// Who sends it: of a detached call, what the host knows of a stream is told in headers.
    execution: Execution,
}

impl Owner {
    /// Begins with a claim that was just made.
    #[must_use]
    pub fn new(place: Place, asked: &Asked<'_>) -> Self {
        let announced = asked.request.content_length();
        Self {
            body: BodyHash::new(&asked.policy, &asked.request),
            ..Self::begin(place, (asked.keyed, Rc::clone(&asked.policy)), asked.ended, announced)
        }
    }

    fn begin(place: Place, (keyed, policy): (Keyed, Rc<Policy>), ended: bool, announced: Option<u64>) -> Self {
        Self {
            place,
            keyed,
            body: BodyHash::default(),
            policy,
            announced,
            body_is_whole: true,
            head_is_lost: false,
            ending: Ending {
                request_ended: ended,
                request_whole: announced == Some(0),
                response: None,
                response_ended: false,
            },
            event_stream: false,
            retain: None,
            map: Vec::new(),
            copy: Vec::new(),
            counted: 0,
            execution: Execution::Inline,
        }
    }

    /// Takes note that the request is sent in a call of the filter's own.
    pub const fn detach(&mut self) {
        self.execution = Execution::Detached;
    }

    /// Begins with the claim that a duplicate made which had waited: its request has ended.
    #[must_use]
    pub fn heir(vm: &mut Vm, duplicate: Duplicate, place: Place) -> Self {
        let (keyed, policy, body, body_is_whole) = duplicate.into_body(vm);
        let mut owner = Self {
            body,
            body_is_whole,
            ..Self::begin(place, (keyed, policy), true, Some(0))
        };
        owner.count(vm);
        owner
    }

    /// Hashes a piece of the request's body; none if it could not be read. A copy is kept as long as all that is held has
    /// at most `held_bytes_max` bytes.
    pub fn request_body(
        &mut self,
        vm: &mut Vm,
        bytes: Option<Vec<u8>>,
        Piece { len, ended }: Piece,
        held_bytes_max: u64,
    ) {
        if len > 0 {
            self.announced = self.announced.map(|rest| rest.saturating_sub(len as u64));
            self.ending.request_whole = self.announced == Some(0);
            let fits = !self.body.keeps_copy() || vm.held_bytes + len as u64 <= held_bytes_max;
            match (bytes.filter(|_| fits && self.body_is_whole), &vm.store) {
                (Some(piece), Some(store)) => self.body.push(piece, &store.secrets),
                // Without its fingerprint a record could answer another request: it must not answer at all.
                _ => {
                    self.body_is_whole = false;
                    self.body = BodyHash::default();
                }
            }
            self.count(vm);
        }
        if let (true, Some(store)) = (ended, &vm.store) {
            self.body.end(&store.secrets);
            self.count(vm);
        }
        self.ending.request_ended |= ended;
    }

    /// Reads what the response's head says.
    ///
    /// `head` is the map, none if it could not be read, and whether the response ends with it.
    #[inline(never)]
    pub fn response_headers(
        &mut self,
        host: &impl Host,
        vm: &mut Vm,
        limits: &StoreLimits,
        (map, ended): (Option<Vec<u8>>, bool),
    ) {
        let Some(map) = map else {
            self.head_is_lost = true;
            return;
        };
        let seen = Seen::read(&map, limits);
        if seen.attempts > 1 {
            vm.metrics.count(Count::RetriedAttempts);
        }
        let origin = if seen.has_service_time {
            Origin::Upstream
        } else {
            self.origin(host, &map)
        };
        self.event_stream = seen.event_stream && origin == Origin::Upstream;
        self.retain = seen.retain.filter(|_| origin == Origin::Upstream);
        self.ending.response = Some(Response {
            status: seen.status,
            origin,
            retry_after: seen.retry_after,
            effect_none: seen.effect_none,
            keepable: seen.keepable,
        });
        self.ending.response_ended = ended;
        self.map = map;
        self.count(vm);
    }

    /// Asks who made a response that carries no proof of an upstream.
    fn origin(&self, host: &impl Host, map: &[u8]) -> Origin {
        if self.execution == Execution::Detached {
            return origin(detached::details(map));
        }
        let details = host.property(&["response", "code_details"]).ok().flatten();
        origin(&details.unwrap_or_default())
    }

    /// Tells whether the next `len` bytes of the response's body are to be copied.
    #[must_use]
    pub fn wants(&self, vm: &Vm, limits: &StoreLimits, len: usize) -> bool {
        let fits = self.copy.len() + len <= limits.response_bytes_max as usize
            && vm.held_bytes + len as u64 <= limits.buffered_bytes_max;
        fits && self.is_wanted()
    }

    /// Copies a piece of the response's body, as long as it can be kept; none if it is not wanted or could not be read.
    pub fn response_body(&mut self, vm: &mut Vm, bytes: Option<Vec<u8>>, Piece { len, ended }: Piece) {
        self.ending.response_ended |= ended;
        if len == 0 || !self.is_wanted() {
            return;
        }
        match bytes {
            Some(piece) if self.copy.is_empty() => self.copy = piece,
            Some(piece) => self.copy.extend_from_slice(&piece),
            None => self.keep_nothing(),
        }
        self.count(vm);
    }

    /// Takes note of trailers: they end the response, which is not kept without them.
    pub fn response_trailers(&mut self, vm: &mut Vm) {
        self.ending.response_ended = true;
        self.keep_nothing();
        self.count(vm);
    }

    fn keep_nothing(&mut self) {
        self.copy = Vec::new();
        if let Some(response) = &mut self.ending.response {
            response.keepable = false;
        }
    }

    /// Tells whether the response would be stored if it ended now.
    fn is_wanted(&self) -> bool {
        let ended = Ending {
            request_ended: true,
            response_ended: true,
            ..self.ending
        };
        judge(&ended, &self.policy) == Outcome::Store
    }

    /// Tells whether the claim can be completed: both halves have ended, or the response is a stream of events.
    #[must_use]
    pub const fn has_ended(&self) -> bool {
        self.ending.request_ended && (self.ending.response_ended || self.event_stream)
    }

    /// Completes the claim by what was seen.
    ///
    /// Again: is stale.
    #[inline(never)]
    pub fn complete(&mut self, host: &impl Host, vm: &mut Vm, limits: &StoreLimits) {
        // An event stream has no end worth waiting for.
        let response_ended = self.ending.response_ended || self.event_stream;
        let judged = match judge(
            &Ending {
                response_ended,
                ..self.ending
            },
            &self.policy,
        ) {
            Outcome::ReleaseIfOnlyAttempt => with_attempts(Outcome::ReleaseIfOnlyAttempt, self.attempts(host)),
            other => other,
        };
        let outcome = with_record(judged, self.recorded(vm, limits));
        let now = host.now();
        let expiry = now.plus(match outcome {
            Outcome::Store => retained(self.retain, &self.policy, limits.retain_max),
            _ => self.policy.unknown_retain,
        });
        let record = vm
            .store
            .as_ref()
            .and_then(|store| self.record(outcome, expiry, &store.secrets));
        let finish = match outcome {
            Outcome::Release | Outcome::ReleaseIfOnlyAttempt => Finish::Release,
            Outcome::Store => Finish::End(End::Done, expiry, record.as_deref()),
            Outcome::Tombstone => Finish::End(End::Tombstone, expiry, record.as_deref()),
            Outcome::Unknown => Finish::End(End::Unknown, expiry, record.as_deref()),
        };
        let written = claims::finish(host, vm, &self.place, &finish, &Moment { now, limits });
        let count = match (written, outcome) {
            (Ok(Effect::Keep), outcome) => ended(outcome),
            (Ok(_), _) => Count::EndStale,
            (Err(_), _) => {
                claims::doubt(vm, &self.place, expiry);
                Count::EndStoreError
            }
        };
        vm.metrics.count(count);
        self.wake(host, vm, matches!(finish, Finish::Release));
        self.give_back(vm);
    }

    /// Wakes who waits for this request's end: on its route duplicates may.
    fn wake(&self, host: &impl Host, vm: &mut Vm, is_released: bool) {
        if self.policy.in_flight == InFlight::Wait {
            waiters::wake(host, vm, &self.place, is_released);
        }
    }

    /// Gives the claim back: the request was not forwarded.
    ///
    /// Again: is stale.
    #[inline(never)]
    pub fn release(&mut self, host: &impl Host, vm: &mut Vm, limits: &StoreLimits) {
        let now = host.now();
        let count = match claims::finish(host, vm, &self.place, &Finish::Release, &Moment { now, limits }) {
            Ok(Effect::Keep) => Count::EndReleased,
            Ok(_) => Count::EndStale,
            Err(_) => {
                claims::doubt(vm, &self.place, now.plus(self.policy.unknown_retain));
                Count::EndStoreError
            }
        };
        vm.metrics.count(count);
        self.wake(host, vm, true);
        self.give_back(vm);
    }

    /// Says what could be recorded of this exchange.
    fn recorded(&self, vm: &Vm, limits: &StoreLimits) -> Recorded {
        let bytes = (self.copy.len() + self.map.len()) as u64;
        Recorded {
            fits: vm.fill.record_bytes().saturating_add(bytes) <= limits.response_bytes_total_max,
            body_is_whole: self.body_is_whole,
            head_is_known: !self.head_is_lost,
        }
    }

    /// Asks how often the request was sent. Before the router it was not sent at all, and nobody counts.
    fn attempts(&self, host: &impl Host) -> Option<u64> {
        if self.execution == Execution::Detached {
            return detached::attempts(&self.map);
        }
        let bytes = host.property(&["upstream", "request_attempt_count"]).ok()?;
        let Some(bytes) = bytes else {
            let nothing_sent = self
                .ending
                .response
                .is_none_or(|response| response.origin != Origin::Upstream);
            return nothing_sent.then_some(0);
        };
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Writes what the end leaves behind: an unknown outcome its digests, if they are known; a release nothing.
    fn record(&self, outcome: Outcome, expiry: MonoMillis, secrets: &Secrets) -> Option<Vec<u8>> {
        let (kind, pairs, body) = match outcome {
            Outcome::Store => (Kind::Response, answer::pairs(&self.map), &self.copy[..]),
            Outcome::Tombstone => (Kind::Tombstone, answer::tombstone_pairs(&self.map), &[][..]),
            Outcome::Unknown if self.ending.request_ended && self.body_is_whole => (Kind::Unknown, Vec::new(), &[][..]),
            Outcome::Unknown | Outcome::Release | Outcome::ReleaseIfOnlyAttempt => return None,
        };
        let record = Record {
            kind,
            status: self.ending.response.map_or(0, |response| response.status),
            fence: self.place.fence,
            tag: self.keyed.tag,
            head: self.keyed.head,
            body_digest: self.body.digest(secrets),
            expiry,
            pairs: &pairs,
            body,
        };
        Some(record.write())
    }

    /// Counts the bytes that this exchange holds into the VM's sum.
    fn count(&mut self, vm: &mut Vm) {
        let held = (self.body.held_bytes() + self.map.len() + self.copy.capacity()) as u64;
        vm.hold(&mut self.counted, held);
    }

    fn give_back(&mut self, vm: &mut Vm) {
        self.body = BodyHash::default();
        self.map = Vec::new();
        self.copy = Vec::new();
        self.count(vm);
    }
}

const fn ended(outcome: Outcome) -> Count {
    match outcome {
        Outcome::Store => Count::EndStored,
        Outcome::Tombstone => Count::EndTombstone,
        Outcome::Unknown => Count::EndUnknown,
        Outcome::Release | Outcome::ReleaseIfOnlyAttempt => Count::EndReleased,
    }
}

/// What a response's head says, in one walk.
#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "each is what one header says, yes or no")]
struct Seen {
    status: u16,
    attempts: u64,
    has_service_time: bool,
    retry_after: bool,
    effect_none: bool,
    event_stream: bool,
    keepable: bool,
    retain: Option<Retain>,
}

impl Seen {
    fn read(map: &[u8], limits: &StoreLimits) -> Self {
        let mut seen = Self {
            keepable: true,
            ..Self::default()
        };
        for (name, value) in Pairs::new(map) {
            match name {
                b":status" => seen.status = number(value).and_then(|status| u16::try_from(status).ok()).unwrap_or(0),
                b"x-envoy-upstream-service-time" => seen.has_service_time = true,
                b"x-envoy-attempt-count" => seen.attempts = number(value).unwrap_or(0),
                b"retry-after" => seen.retry_after = true,
                b"reprise-retain" => seen.retain = Retain::read(value),
                b"reprise-effect" => seen.effect_none |= value.trim_ascii().eq_ignore_ascii_case(b"none"),
                b"content-type" => seen.event_stream = is_event_stream(value),
                b"content-length" => {
                    seen.keepable &= number(value).is_some_and(|len| len <= u64::from(limits.response_bytes_max));
                }
                _ => {}
            }
        }
        seen.keepable &= !seen.event_stream && seen.retain != Some(Retain::NoStore);
        seen
    }
}

fn number(value: &[u8]) -> Option<u64> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

fn is_event_stream(value: &[u8]) -> bool {
    let media = value.split(|byte| *byte == b';').next().unwrap_or_default();
    media.trim_ascii().eq_ignore_ascii_case(b"text/event-stream")
}
