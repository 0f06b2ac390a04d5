//! A repeat: its body is swallowed and hashed, and at its end it gets what the first request left.

use crate::asked::{Asked, Piece};
use crate::claims::{self, Place, StoreFailure};
use crate::host::{Host, Side};
use crate::metrics::Count;
use crate::reply::{Mend, respond, send};
use crate::root::Root;
use crate::vm::{Parked, Vm};
use reprise_core::claim::geometry::Name;
use reprise_core::claim::record::{Kind, Record};
use reprise_core::claim::{Effect, State};
use reprise_core::config::{Document, OnUnknown, Policy};
use reprise_core::fingerprint::BodyHash;
use reprise_core::gate::{Keyed, Repeat, repeat};
use reprise_core::http::Pairs;
use reprise_core::problem::{Dialect, Problem};
use reprise_core::time::MonoMillis;
use std::cell::Cell;
use std::rc::Rc;

/// Bytes that the host may hold of a swallowed body before they are taken off its buffer.
const HELD_BYTES_MAX: usize = 64 * 1024;

/// A request whose key was claimed before.
#[derive(Debug)]
#[expect(
    clippy::struct_excessive_bools,
    reason = "each is one thing that is so of it, or not"
)]
pub struct Duplicate {
    place: Place,
    met: Effect,
    keyed: Keyed,
    policy: Rc<Policy>,
    dialect: Dialect,
    body: BodyHash,
    body_is_whole: bool,
    read: usize,
    counted: u64,
    /// Whether it waits while the first request runs, so that its body is kept as long as it may be.
    waits: bool,
    is_kept: bool,
    has_waited: bool,
    is_step: bool,
    is_timed: bool,
    heard: Rc<Cell<MonoMillis>>,
    answered: Rc<Cell<bool>>,
}

/// What a duplicate gets.
enum Verdict {
    Answer(Vec<u8>),
    Problem(Problem, Count),
}

impl Duplicate {
    /// Begins with what the request met at its head.
    #[must_use]
    pub fn new(place: Place, met: Effect, asked: &Asked<'_>, (now, is_timed): (MonoMillis, bool)) -> Self {
        let policy = Rc::clone(&asked.policy);
        Self {
            place,
            met,
            keyed: asked.keyed,
            dialect: asked.request.dialect(),
            body: BodyHash::new(&policy, &asked.request),
            policy,
            body_is_whole: true,
            read: 0,
            counted: 0,
            waits: repeat(met, &asked.policy, asked.request.is_step) == Repeat::Wait,
            is_kept: true,
            has_waited: false,
            is_step: asked.request.is_step,
            is_timed,
            heard: Rc::new(Cell::new(now)),
            answered: Rc::new(Cell::new(false)),
        }
    }

    /// Shows what the tick needs to answer in this duplicate's place.
    #[must_use]
    pub fn parked(&self, root: &Rc<Root>) -> Parked {
        Parked {
            heard: Rc::clone(&self.heard),
            answered: Rc::clone(&self.answered),
            root: Rc::clone(root),
            in_flight_status: self.policy.in_flight_status,
            dialect: self.dialect,
        }
    }

    /// Takes in a piece of the body; `len` bytes are in the host's buffer, of which some were read before.
    pub fn request_body(&mut self, host: &impl Host, vm: &mut Vm, Piece { len, ended }: Piece, document: &Document) {
        // Trailers show nothing of the body that came before them.
        let len = len.max(self.read);
        // The tick that looks at it is no finer than its own times.
        self.heard.set(vm.ticked.unwrap_or_default().max(self.heard.get()));
        if self.met != Effect::RefuseMismatch && self.read < len && self.body_is_whole {
            let fresh = len - self.read;
            let fits = !self.body.keeps_copy() || vm.held_bytes + fresh as u64 <= document.store.buffered_bytes_max;
            let piece = fits.then(|| host.body(Side::Request, self.read, fresh).ok()).flatten();
            match (piece, &vm.store) {
                (Some(piece), Some(store)) => self.body.push(piece, &store.secrets),
                _ => {
                    self.body_is_whole = false;
                    self.body = BodyHash::default();
                }
            }
        }
        if let (true, Some(store)) = (ended, &vm.store) {
            self.body.end(&store.secrets);
        }
        self.read = len;
        let held = self.body.held_bytes() as u64;
        let others = vm.held_bytes.saturating_sub(self.counted);
        self.is_kept &= self.waits
            && len as u64 <= document.hold_bytes_max
            && others + held + len as u64 <= document.store.buffered_bytes_max;
        let kept = if self.is_kept { len as u64 } else { 0 };
        self.count(vm, held + kept);
        if len >= HELD_BYTES_MAX && !self.is_kept && host.drain_request(len).is_ok() {
            self.read = 0;
        }
    }

    /// Counts the bytes in the host's buffer that were read.
    #[must_use]
    pub const fn read(&self) -> usize {
        self.read
    }

    /// Tells whether it waits while the first request runs.
    #[must_use]
    pub const fn waits(&self) -> bool {
        self.waits
    }

    /// Tells whether it waits now: nobody answered it in its place.
    #[must_use]
    pub fn may_wait(&self) -> bool {
        self.waits && !self.answered.get()
    }

    /// Tells whether it could run itself: its whole body is still there.
    #[must_use]
    pub const fn is_kept(&self) -> bool {
        self.is_kept && self.waits
    }

    /// Tells whether it is a step of a replay.
    #[must_use]
    pub const fn is_step(&self) -> bool {
        self.is_step
    }

    /// Shows what it asks for, and how its route wants that done.
    #[must_use]
    pub const fn asks(&self) -> (&Keyed, &Rc<Policy>) {
        (&self.keyed, &self.policy)
    }

    /// Takes note of what it found, at once or after it had waited.
    pub const fn found(&mut self, place: Place, met: Effect, has_waited: bool) {
        (self.place, self.met, self.has_waited) = (place, met, has_waited);
    }

    /// Tells the place of the record that its upstream is told of, if it decides itself.
    #[must_use]
    pub fn is_told(&self) -> Option<Place> {
        (repeat(self.met, &self.policy, self.is_step) == Repeat::Tell).then_some(self.place)
    }

    /// Gives up its body's fingerprint, and whether it is of the whole body.
    pub fn into_body(mut self, vm: &mut Vm) -> (Keyed, Rc<Policy>, BodyHash, bool) {
        self.give_back(vm);
        (self.keyed, self.policy, self.body, self.body_is_whole)
    }

    /// Counts the bytes that this duplicate holds into the VM's sum.
    fn count(&mut self, vm: &mut Vm, held: u64) {
        vm.held_bytes = vm.held_bytes.saturating_sub(self.counted).saturating_add(held);
        self.counted = held;
    }

    /// Gives back what it held.
    pub fn give_back(&mut self, vm: &mut Vm) {
        self.count(vm, 0);
    }

    /// Answers the duplicate: its request has ended, or nobody can wait for its end.
    pub fn settle(&self, host: &impl Host, vm: &mut Vm, root: &Root) -> Mend {
        if self.answered.get() {
            return Mend::Nothing;
        }
        let began = self.is_timed.then(|| host.micros());
        let mend = match self.verdict(host, vm) {
            Verdict::Answer(bytes) => self.answer(host, vm, root, &bytes),
            Verdict::Problem(problem, count) => {
                vm.metrics.count(count);
                respond(host, root, &problem, self.dialect)
            }
        };
        if let Some(began) = began {
            vm.metrics.added(host.micros().saturating_sub(began));
        }
        mend
    }

    fn answer(&self, host: &impl Host, vm: &mut Vm, root: &Root, bytes: &[u8]) -> Mend {
        let Some(record) = Record::read(bytes) else {
            vm.metrics.count(Count::StoreError);
            return respond(host, root, &Problem::StoreUnavailable, self.dialect);
        };
        vm.metrics
            .count(if self.has_waited { Count::Waited } else { Count::Answer });
        let status = self.policy.answer_status.unwrap_or(record.status);
        send(host, (status, None), record.pairs, record.body);
        Mend::of(&record)
    }

    fn verdict(&self, host: &impl Host, vm: &Vm) -> Verdict {
        let met = match self.met {
            Effect::RefuseMismatch => return mismatch(),
            Effect::Answer => self.recorded(host, vm, &self.place),
            _ => Ok(None),
        };
        match met {
            Ok(Some(verdict)) => verdict,
            Ok(None) => self.look_again(host, vm).unwrap_or_else(|StoreFailure| unavailable()),
            Err(StoreFailure) => unavailable(),
        }
    }

    /// Looks what stands at the key by now: the first request may have ended while the body came.
    fn look_again(&self, host: &impl Host, vm: &Vm) -> Result<Verdict, StoreFailure> {
        let Some((place, way)) = claims::look(host, vm, &self.keyed)? else {
            return Ok(self.in_flight(0));
        };
        Ok(match way.state {
            State::Free => self.in_flight(0),
            State::Running => self.in_flight(u8::from(place.fence == self.place.fence)),
            // The next try runs.
            State::Unknown if self.policy.on_unknown == OnUnknown::Release => self.in_flight(0),
            State::Unknown => self.unknown(host, vm, &place)?,
            State::Done | State::Tombstone => self
                .recorded(host, vm, &place)?
                .unwrap_or_else(|| not_retained(None, None)),
        })
    }

    /// Reads the record of a place and compares; none if what is there is not of the place's claim.
    fn recorded(&self, host: &impl Host, vm: &Vm, place: &Place) -> Result<Option<Verdict>, StoreFailure> {
        let bytes = host.shared(Name::default().record(place.bucket, place.at))?.value;
        let Some(record) = Record::read(&bytes).filter(|record| record.fence == place.fence) else {
            return Ok(None);
        };
        if !self.is_same(&record, vm)? {
            return Ok(Some(mismatch()));
        }
        Ok(Some(match record.kind {
            Kind::Response => Verdict::Answer(bytes),
            Kind::Tombstone => not_retained(
                Some(record.status),
                Pairs::new(record.pairs).first(b"location").map(<[u8]>::to_vec),
            ),
            Kind::Unknown => unknown(),
        }))
    }

    /// Tells that the outcome is unknown, or that this is another request, where the record knows the first one's digests.
    ///
    /// A response that was recorded by a claim which was lost before its end is not given: it was refused.
    fn unknown(&self, host: &impl Host, vm: &Vm, place: &Place) -> Result<Verdict, StoreFailure> {
        Ok(match self.recorded(host, vm, place)? {
            Some(Verdict::Problem(Problem::KeyReused, count)) => Verdict::Problem(Problem::KeyReused, count),
            Some(_) | None => unknown(),
        })
    }

    /// Compares with the first request. Of a body that could not be read whole nobody can say.
    fn is_same(&self, record: &Record<'_>, vm: &Vm) -> Result<bool, StoreFailure> {
        let store = vm.store.as_ref().filter(|_| self.body_is_whole).ok_or(StoreFailure)?;
        Ok(record.tag == self.keyed.tag
            && record.head == self.keyed.head
            && record.body_digest == self.body.digest(&store.secrets))
    }

    fn in_flight(&self, retry_after_s: u8) -> Verdict {
        let status = self.policy.in_flight_status;
        Verdict::Problem(Problem::InFlight { status, retry_after_s }, Count::Conflict)
    }

    /// What a duplicate is told that cannot be held, or not any longer.
    #[must_use]
    pub fn in_flight_problem(&self, retry_after_s: u8) -> Problem {
        Problem::InFlight {
            status: self.policy.in_flight_status,
            retry_after_s,
        }
    }
}

const fn mismatch() -> Verdict {
    Verdict::Problem(Problem::KeyReused, Count::Mismatch)
}

const fn unknown() -> Verdict {
    Verdict::Problem(Problem::OutcomeUnknown, Count::Unknown)
}

const fn unavailable() -> Verdict {
    Verdict::Problem(Problem::StoreUnavailable, Count::StoreError)
}

const fn not_retained(original_status: Option<u16>, location: Option<Vec<u8>>) -> Verdict {
    Verdict::Problem(
        Problem::ResponseNotRetained {
            original_status,
            location,
        },
        Count::Tombstone,
    )
}
