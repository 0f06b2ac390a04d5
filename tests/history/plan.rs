//! What the clients of one key are going to do, and what the upstream will do to them.

use super::random::Random;
use crate::harness::Request;
use crate::upstream::{Fault, Script, patterned};
use bytes::Bytes;
use std::fmt;
use std::net::SocketAddr;
use std::sync::LazyLock;

/// The header that names a try to the upstream.
pub(super) const TRY: &str = "x-try";
/// The header by which a response says whose try it answers.
pub(super) const ECHO: &str = "x-echo";
/// The header that sends a request to where connections are refused.
pub(super) const REFUSED: &str = "x-refused";
/// The header that takes the route with the short timeout.
pub(super) const HURRIED: &str = "x-hurried";
/// How long the upstream works where the route does not wait as long.
const TOO_LATE_MS: u64 = 400;

/// The longest body: it arrives at the filter in pieces.
const BODY_BYTES_MAX: usize = 150_000;
/// What bodies are cut from.
static PATTERN: LazyLock<Bytes> = LazyLock::new(|| patterned(BODY_BYTES_MAX));

/// Names one try of one key in one round.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) struct TryId {
    pub(super) round: u64,
    pub(super) key: u64,
    pub(super) n: usize,
}

impl fmt::Display for TryId {
    fn fmt(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "{}/{}/{}", self.round, self.key, self.n)
    }
}

impl TryId {
    /// Reads what [`Display`](fmt::Display) wrote.
    pub(super) fn read(text: &str) -> Option<Self> {
        let mut parts = text.split('/').map(str::parse::<u64>);
        let mut next = || parts.next()?.ok();
        let (round, key, n) = (next()?, next()?, next()?);
        let n = usize::try_from(n).ok()?;
        Some(Self { round, key, n })
    }
}

/// In what a try differs from its key's others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Variant {
    Same,
    OtherBody,
    OtherQuery,
}

/// What the client does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Manner {
    /// It sends everything and reads the response.
    Stays,
    /// It hangs up after half of the body.
    LeavesMidUpload,
    /// It hangs up after the body, having waited this long for a response.
    LeavesAfterUpload { ms: u64 },
}

/// What becomes of the try at the upstream, if it gets there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// It runs and is answered.
    Works { status: u16, ms: u64 },
    /// It is answered with 429.
    Busy,
    /// It is answered with 500, which says that nothing ran.
    NoEffect,
    /// The connection is refused.
    Refused,
    /// The connection is reset before the body is read.
    ResetUnread,
    /// It runs, and the connection is reset before the response.
    Reset,
    /// It runs, and the connection is reset in the response's body.
    DiesMidBody,
    /// It runs for longer than the route waits.
    TooLate,
}

impl Fate {
    /// Tells whether its response gives the key free.
    pub(super) const fn releases(self) -> bool {
        matches!(self, Self::Busy | Self::NoEffect | Self::Refused)
    }

    /// Tells whether Envoy answers in the upstream's place.
    pub(super) const fn is_local(self) -> bool {
        matches!(self, Self::Refused | Self::ResetUnread | Self::Reset | Self::TooLate)
    }

    /// Tells whether it leaves an outcome that nobody can know.
    pub(super) const fn is_unknown(self) -> bool {
        matches!(
            self,
            Self::ResetUnread | Self::Reset | Self::DiesMidBody | Self::TooLate
        )
    }
}

/// One request that a client is going to send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Try {
    pub(super) id: TryId,
    pub(super) variant: Variant,
    pub(super) manner: Manner,
    pub(super) fate: Fate,
    /// Length of the response's filler.
    pub(super) filler_bytes: usize,
}

impl Try {
    /// Gives status and body of the upstream's response.
    pub(super) fn reply(&self) -> (u16, Vec<u8>) {
        let status = match self.fate {
            Fate::Works { status, .. } => status,
            Fate::Busy => 429,
            Fate::NoEffect => 500,
            _ => 201,
        };
        let body = format!("{} {}", self.id, "-".repeat(self.filler_bytes));
        (status, body.into_bytes())
    }

    fn script(&self) -> Script {
        let (status, body) = self.reply();
        let mut headers = vec![
            (ECHO.to_owned(), self.id.to_string()),
            ("location".to_owned(), format!("/made/{}", self.id)),
        ];
        let (mut delay_ms, mut fault) = (None, None);
        match self.fate {
            Fate::Works { ms, .. } => delay_ms = (ms > 0).then_some(ms),
            Fate::NoEffect => headers.push(("reprise-effect".to_owned(), "none".to_owned())),
            Fate::ResetUnread => fault = Some(Fault::ResetUnread),
            Fate::Reset => fault = Some(Fault::Reset),
            Fate::DiesMidBody => fault = Some(Fault::ResetMidBody),
            Fate::TooLate => delay_ms = Some(TOO_LATE_MS),
            Fate::Busy | Fate::Refused => {}
        }
        let pieces = if fault == Some(Fault::ResetMidBody) { 2 } else { 0 };
        let (status, body) = (Some(status), String::from_utf8(body).ok());
        Script {
            status,
            headers,
            body,
            delay_ms,
            fault,
            pieces,
            ..Script::default()
        }
    }
}

/// What the clients of one key do: wave after wave, all tries of a wave at once; then one asks how it ended.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) seed: u64,
    pub(super) round: u64,
    pub(super) key: u64,
    pub(super) area: &'static str,
    pub(super) body_bytes: usize,
    pub(super) waves: Vec<Vec<Try>>,
}

impl Plan {
    /// Draws the plan of a key. Two keys in a row have one name, and callers of their own.
    pub(super) fn draw(seed: u64, round: u64, key: u64, areas: &[&'static str]) -> Self {
        let mut random = Random::new(&[seed, round, key]);
        let area = areas[random.len(areas.len() as u64)];
        let small = 2 + random.len(1500);
        let body_bytes = random.weighed(&[(97, small), (3, BODY_BYTES_MAX)]);
        let mut plan = Self {
            seed,
            round,
            key,
            area,
            body_bytes,
            waves: Vec::new(),
        };
        let mut n = 0;
        for _ in 0..=random.below(2) {
            let count = 1 + random.len(3);
            let tries = (n..n + count).map(|n| draw_try(&mut random, plan.id(n)));
            plan.waves.push(tries.collect());
            n += count;
        }
        plan
    }

    /// Names one of its tries.
    pub(super) const fn id(&self, n: usize) -> TryId {
        TryId {
            round: self.round,
            key: self.key,
            n,
        }
    }

    /// Gives the try that asks how the key ended.
    pub(super) fn question(&self, n: usize) -> Try {
        Try {
            id: self.id(n),
            variant: Variant::Same,
            manner: Manner::Stays,
            fate: Fate::Works { status: 201, ms: 0 },
            filler_bytes: 10,
        }
    }

    /// Gives the key's name.
    pub(super) fn name(&self) -> String {
        format!("key-{}-{}", self.round, self.key / 2)
    }

    /// Gives who sends it.
    pub(super) fn caller(&self) -> String {
        format!("Bearer {}", if self.key.is_multiple_of(2) { "alice" } else { "bob" })
    }

    /// Gives the body of a try.
    pub(super) fn body(&self, variant: Variant) -> Vec<u8> {
        let mark = if variant == Variant::OtherBody { b'B' } else { b'A' };
        let mut body = PATTERN[..self.body_bytes].to_vec();
        body[0] = mark;
        body
    }

    /// Writes a try's request.
    pub(super) fn request(&self, to: SocketAddr, each: &Try) -> Request {
        let query = if each.variant == Variant::OtherQuery {
            "?other=1"
        } else {
            ""
        };
        let script = serde_json::to_string(&each.script()).expect("a script is JSON");
        let request = Request::new(to, "POST", &format!("/{}/made{query}", self.area))
            .key(&self.name())
            .header("authorization", self.caller())
            .header(TRY, each.id.to_string())
            .header("x-script", script)
            .body(self.body(each.variant));
        match each.fate {
            Fate::Refused => request.header(REFUSED, "1"),
            Fate::TooLate => request.header(HURRIED, "1"),
            _ => request,
        }
    }
}

fn draw_try(random: &mut Random, id: TryId) -> Try {
    let variants = [(86, Variant::Same), (9, Variant::OtherBody), (5, Variant::OtherQuery)];
    let manner = draw_manner(random);
    let fate = draw_fate(random);
    let small = random.len(300);
    Try {
        id,
        variant: random.weighed(&variants),
        manner,
        fate,
        filler_bytes: random.weighed(&[(95, small), (5, 12_000)]),
    }
}

fn draw_manner(random: &mut Random) -> Manner {
    let ms = random.below(20);
    let manners = [
        (94, Manner::Stays),
        (3, Manner::LeavesMidUpload),
        (3, Manner::LeavesAfterUpload { ms }),
    ];
    random.weighed(&manners)
}

fn draw_fate(random: &mut Random) -> Fate {
    let status = random.weighed(&[(80, 201), (10, 200), (5, 404), (5, 500)]);
    let slow = random.below(40);
    let ms = random.weighed(&[(70, 0), (30, slow)]);
    let fates = [
        (70, Fate::Works { status, ms }),
        (5, Fate::Busy),
        (5, Fate::NoEffect),
        (5, Fate::Refused),
        (4, Fate::ResetUnread),
        (5, Fate::Reset),
        (4, Fate::DiesMidBody),
        (2, Fate::TooLate),
    ];
    random.weighed(&fates)
}

#[cfg(test)]
mod tests {
    use super::{Plan, TryId};

    #[test]
    fn a_seed_gives_one_plan() {
        let draw = |seed| format!("{:?}", Plan::draw(seed, 1, 2, &["now"]).waves);
        assert_eq!(draw(3), draw(3));
        assert_ne!(draw(3), draw(4));
    }

    #[test]
    fn a_try_is_read_as_it_is_written() {
        let id = TryId {
            round: 3,
            key: 70,
            n: 2,
        };
        assert_eq!(TryId::read(&id.to_string()), Some(id));
        assert_eq!(TryId::read("3/70"), None);
    }
}
