//! Claims in shared data: the bucket is read, the core decides, one compare-and-set writes.

use crate::host::{Host, HostError, Level, SharedData};
use crate::metrics::Count;
use crate::slots::TRIES_MAX;
use crate::vm::{Unwritten, Vm};
use reprise_core::claim::bucket::Bucket;
use reprise_core::claim::geometry::Name;
use reprise_core::claim::record::Record;
use reprise_core::claim::{Age, Arrival, Effect, End, Event, Fence, State, Way};
use reprise_core::config::{OnUnknown, Policy, StoreLimits};
use reprise_core::gate::Keyed;
use reprise_core::id::Tag;
use reprise_core::time::MonoMillis;

/// Where a claim stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The bucket.
    pub bucket: u32,
    /// The way.
    pub at: u8,
    /// The claim.
    pub fence: Fence,
}

/// When something is done, and within which bounds.
#[derive(Debug, Clone, Copy)]
pub struct Moment<'a> {
    /// The moment.
    pub now: MonoMillis,
    /// The bounds of the store.
    pub limits: &'a StoreLimits,
}

/// What a keyed request meets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Meeting {
    /// It is the first: it runs, as the owner of this place.
    Owner(Place),
    /// It is a duplicate of what stands there.
    Duplicate(Place, Effect),
    /// It would be the first, and did not ask to be.
    Absent,
    /// There is no place for it.
    Full,
}

/// The store did not do what was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreFailure;

impl From<HostError> for StoreFailure {
    fn from(_: HostError) -> Self {
        Self
    }
}

/// Reads a bucket and its number.
///
/// # Errors
/// [`StoreFailure`] if the host fails, or what stands there is no bucket.
pub fn bucket(host: &impl SharedData, name: &str) -> Result<(Bucket, u32), StoreFailure> {
    let shared = host.shared(name)?;
    let number = shared.number.ok_or(StoreFailure)?;
    Ok((Bucket::read(shared.value).map_err(|_corrupt| StoreFailure)?, number))
}

/// Claims the key of a request, or says what stands in its way.
///
/// Atomic: of several requests with one key, on any worker, one becomes the owner.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer; nothing is claimed then.
pub fn arrive(
    host: &impl Host,
    vm: &mut Vm,
    keyed: &Keyed,
    policy: &Policy,
    moment: &Moment<'_>,
) -> Result<Meeting, StoreFailure> {
    meet(host, vm, (keyed, policy), true, moment)
}

/// Says what stands in a request's way, without claiming its key.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer.
pub fn peek(
    host: &impl Host,
    vm: &mut Vm,
    keyed: &Keyed,
    policy: &Policy,
    moment: &Moment<'_>,
) -> Result<Meeting, StoreFailure> {
    meet(host, vm, (keyed, policy), false, moment)
}

fn meet(
    host: &impl Host,
    vm: &mut Vm,
    (keyed, policy): (&Keyed, &Policy),
    may_claim: bool,
    moment: &Moment<'_>,
) -> Result<Meeting, StoreFailure> {
    let Moment { now, limits } = *moment;
    let buckets = vm.store.as_ref().ok_or(StoreFailure)?.geometry.buckets;
    let n = keyed.tag.bucket(buckets);
    let mut names = Name::default();
    let Some(by) = vm.lease.fence(host, now, limits.lease)? else {
        return Ok(Meeting::Full);
    };
    let arrival = arrival(keyed, policy, by, now);
    for _ in 0..TRIES_MAX {
        let (mut bucket, number) = bucket(host, names.bucket(n))?;
        let Some((at, way, evicts)) = seat(vm, &bucket, &arrival, now, limits) else {
            return Ok(Meeting::Full);
        };
        let over = is_over(
            host,
            &way,
            &Place {
                bucket: n,
                at,
                fence: way.fence,
            },
            now,
        )?;
        let holder_lives = way.state == State::Running && vm.lease.lives(host, &way.fence, now)?;
        let (next, effect) = if evicts { Way::FREE } else { way }.step(Event::Arrive {
            arrival,
            holder_lives,
            over,
        });
        if effect == Effect::Forward && !may_claim {
            return Ok(Meeting::Absent);
        }
        if next != way {
            bucket.put(at, &next);
            if !host.replace_shared(names.bucket(n), bucket.bytes(), number)? {
                continue;
            }
        }
        return Ok(met(
            vm,
            Place {
                bucket: n,
                at,
                fence: next.fence,
            },
            effect,
            evicts,
            keyed.principal_row,
        ));
    }
    Err(StoreFailure)
}

const fn arrival(keyed: &Keyed, policy: &Policy, by: Fence, now: MonoMillis) -> Arrival {
    let [low, high, ..] = keyed.head;
    Arrival {
        tag: keyed.tag,
        by,
        principal_row: keyed.principal_row,
        head: u16::from_le_bytes([low, high]),
        on_unknown: policy.on_unknown,
        unknown_until: now.plus(policy.unknown_retain),
    }
}

/// Takes a name that is taken once, until `expiry`; tells whether nobody had it before.
///
/// Atomic: of several, on any worker, one has it.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer, or has no place; nobody has it then.
pub fn take_once(
    host: &impl Host,
    vm: &mut Vm,
    tag: &Tag,
    expiry: MonoMillis,
    moment: &Moment<'_>,
) -> Result<bool, StoreFailure> {
    let Moment { now, limits } = *moment;
    let n = tag.bucket(vm.store.as_ref().ok_or(StoreFailure)?.geometry.buckets);
    let mut names = Name::default();
    let by = vm.lease.fence(host, now, limits.lease)?.ok_or(StoreFailure)?;
    let arrival = Arrival {
        tag: *tag,
        by,
        principal_row: 0,
        head: 0,
        on_unknown: OnUnknown::Hold,
        unknown_until: expiry,
    };
    for _ in 0..TRIES_MAX {
        let (mut bucket, number) = bucket(host, names.bucket(n))?;
        let found = bucket.find(tag);
        if found.is_some_and(|(_, way)| way.age(now) != Age::Over) {
            return Ok(false);
        }
        let at = match found {
            Some((at, _)) => at,
            None => bucket.place(now, limits.on_full).ok_or(StoreFailure)?.at,
        };
        let arrive = Event::Arrive {
            arrival,
            holder_lives: false,
            over: true,
        };
        let end = End::Tombstone;
        let (taken, _) = Way::FREE.step(arrive).0.step(Event::Finish { by, end, expiry });
        bucket.put(at, &taken);
        if host.replace_shared(names.bucket(n), bucket.bytes(), number)? {
            return Ok(true);
        }
    }
    Err(StoreFailure)
}

/// Finds the way of the arrival's key, else a place for it within its caller's bounds.
fn seat(vm: &Vm, bucket: &Bucket, arrival: &Arrival, now: MonoMillis, limits: &StoreLimits) -> Option<(u8, Way, bool)> {
    if let Some((at, way)) = bucket.find(&arrival.tag) {
        return Some((at, way, false));
    }
    if limits
        .keys_per_principal_max
        .is_some_and(|max| max <= vm.fill.keys(arrival.principal_row))
    {
        return None;
    }
    let place = bucket.place(now, limits.on_full)?;
    Some((place.at, bucket.way(place.at), place.evicts))
}

/// Tells whether a way's time is over; within its last second the record knows.
fn is_over(host: &impl SharedData, way: &Way, place: &Place, now: MonoMillis) -> Result<bool, StoreFailure> {
    match (way.age(now), way.state) {
        (Age::Over, _) => Ok(true),
        (Age::Ending, State::Done | State::Tombstone) => {
            let bytes = host.shared(Name::default().record(place.bucket, place.at))?.value;
            let record = Record::read(&bytes).filter(|record| record.fence == place.fence);
            Ok(record.is_some_and(|record| record.expiry <= now))
        }
        (Age::Ending | Age::Fresh, _) => Ok(false),
    }
}

fn met(vm: &mut Vm, place: Place, effect: Effect, evicts: bool, row: u16) -> Meeting {
    if evicts {
        vm.metrics.count(Count::Evicted);
    }
    if effect != Effect::Forward {
        return Meeting::Duplicate(place, effect);
    }
    vm.metrics.count(Count::Miss);
    *vm.fill.added_keys.entry(row).or_default() += 1;
    Meeting::Owner(place)
}

/// Reads what stands at a key now, for a duplicate whose body has ended.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer.
pub fn look(host: &impl SharedData, vm: &Vm, keyed: &Keyed) -> Result<Option<(Place, Way)>, StoreFailure> {
    let n = keyed
        .tag
        .bucket(vm.store.as_ref().ok_or(StoreFailure)?.geometry.buckets);
    let (bucket, _) = bucket(host, Name::default().bucket(n))?;
    Ok(bucket.find(&keyed.tag).map(|(at, way)| {
        (
            Place {
                bucket: n,
                at,
                fence: way.fence,
            },
            way,
        )
    }))
}

/// How a claim ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Finish<'a> {
    /// Nothing ran.
    Release,
    /// It ends so, and leaves this record, if any.
    End(End, MonoMillis, Option<&'a [u8]>),
}

/// Ends a claim; one that is lost by now is left alone.
///
/// Atomic: the record is written first, under the claim's fence, and counts only once the bucket says so. It never
/// replaces the record of a claim that has the way since.
/// Again: is stale.
///
/// # Errors
/// [`StoreFailure`] if the store does not answer; the tick then makes the outcome unknown.
pub fn finish(
    host: &impl Host,
    vm: &mut Vm,
    place: &Place,
    finish: &Finish<'_>,
    moment: &Moment<'_>,
) -> Result<Effect, StoreFailure> {
    if !vm.lease.owns(host, &place.fence, moment.now, moment.limits.lease)? {
        return Ok(Effect::Stale);
    }
    let mut names = Name::default();
    let mut recorded = false;
    for _ in 0..TRIES_MAX {
        let record = finish.record().filter(|_| !recorded);
        // Before the bucket: whoever has the way after us writes its record later, and this number stands no more then.
        let stands = match record {
            Some(_) => host.shared(names.record(place.bucket, place.at))?.number,
            None => None,
        };
        let (mut bucket, number) = bucket(host, names.bucket(place.bucket))?;
        let (next, effect) = bucket.way(place.at).step(finish.event(place.fence));
        if effect != Effect::Keep {
            return Ok(effect);
        }
        if let Some(record) = record {
            let stands = stands.ok_or(StoreFailure)?;
            if !host.replace_shared(names.record(place.bucket, place.at), record, stands)? {
                continue;
            }
            vm.fill.added_bytes += record.len() as u64;
            recorded = true;
        }
        bucket.put(place.at, &next);
        if host.replace_shared(names.bucket(place.bucket), bucket.bytes(), number)? {
            return Ok(Effect::Keep);
        }
    }
    Err(StoreFailure)
}

impl Finish<'_> {
    /// What to write in the record's place; a release frees the bytes that an earlier key left there.
    const fn record(&self) -> Option<&[u8]> {
        match self {
            Self::Release => Some(b""),
            Self::End(_, _, record) => *record,
        }
    }

    const fn event(&self, by: Fence) -> Event {
        match self {
            Self::Release => Event::Release { by },
            Self::End(end, expiry, _) => Event::Finish {
                by,
                end: *end,
                expiry: *expiry,
            },
        }
    }
}

/// Notes an end that could not be written: its outcome is unknown, as soon as the store answers.
pub fn doubt(vm: &mut Vm, place: &Place, expiry: MonoMillis) {
    let Place { bucket, at, fence } = *place;
    vm.unwritten.push(Unwritten {
        bucket,
        at,
        fence,
        expiry,
    });
}

/// Writes the ends that could not be written before; what fails again stays.
pub fn write_doubts(host: &impl Host, vm: &mut Vm, limits: &StoreLimits) {
    let moment = Moment {
        now: host.now(),
        limits,
    };
    for each in std::mem::take(&mut vm.unwritten) {
        let place = Place {
            bucket: each.bucket,
            at: each.at,
            fence: each.fence,
        };
        if finish(host, vm, &place, &Finish::End(End::Unknown, each.expiry, None), &moment).is_err() {
            vm.unwritten.push(each);
        }
    }
    let waiting = vm.unwritten.len();
    if waiting > vm.unwritten_told {
        host.log(Level::Warn, &format!("reprise: {waiting} ends wait for the store"));
    }
    vm.unwritten_told = waiting;
}
