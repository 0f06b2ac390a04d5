//! The tape: what is kept of one exchange while it runs.

use crate::asked::Piece;
use crate::host::{Host, Side};
use crate::scene::Scene;
use crate::vm::Vm;
use reprise_core::capture::ending::{self, Seen};
use reprise_core::capture::select::Ended;
use reprise_core::config::{Durability, Policy};
use reprise_core::detached;
use reprise_core::gate::Request;
use reprise_core::http::{Pairs, without};
use reprise_core::outcome::{Origin, origin};
use reprise_core::time::Millis;
use reprise_core::wire::{Capture, Half, State};
use std::rc::Rc;

/// One exchange that is captured, so far.
#[derive(Debug)]
pub struct Tape {
    policy: Rc<Policy>,
    request: Reel,
    response: Option<Reel>,
    status: Option<u16>,
    from_upstream: bool,
    course: Course,
    upgraded: bool,
    principal: String,
    boot_id: String,
    began_us: u64,
    /// The number of the capture of its request, if that was written ahead, and how much that had of it.
    begun: Option<(u64, Ahead)>,
    content_length: Option<u64>,
    counted: u64,
    /// Where it takes place, asked for while its own context was there; none if that is there at its end.
    scene: Option<Box<Scene>>,
}

/// How much of a request was written ahead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ahead {
    /// All of it.
    Whole,
    /// Its head, and the front of its body.
    Front,
    /// Its head.
    Head,
}

/// How a request goes, by its head.
#[derive(Debug)]
enum Course {
    /// It ends, and then its response comes.
    Plain,
    /// Both sides may stream at once.
    Streams,
    /// It asks for another protocol.
    Upgrade,
}

impl Course {
    fn read(map: &[u8]) -> Self {
        if Request::read(map).upgrades {
            Self::Upgrade
        } else if streams(map) {
            Self::Streams
        } else {
            Self::Plain
        }
    }
}

impl Tape {
    /// Begins with a request's head.
    #[must_use]
    pub fn new(policy: Rc<Policy>, map: Vec<u8>, principal: String, began_us: u64) -> Self {
        let course = Course::read(&map);
        Self {
            policy,
            request: Reel::new(without(&map, is_ours).unwrap_or(map)),
            response: None,
            status: None,
            from_upstream: false,
            course,
            upgraded: false,
            principal,
            boot_id: String::new(),
            began_us,
            begun: None,
            content_length: None,
            counted: 0,
            scene: None,
        }
    }

    /// Shows what the route asks for.
    #[must_use]
    pub const fn policy(&self) -> &Rc<Policy> {
        &self.policy
    }

    /// Takes note that the request has ended.
    pub const fn end_request(&mut self) {
        self.request.ended = true;
    }

    /// Asks the host now for what it will not know any more when the exchange ends: it runs detached.
    pub fn detach(&mut self, host: &impl Host) {
        self.scene = Some(Box::new(Scene::read(host)));
    }

    /// Takes out what the host was asked for before.
    pub fn take_scene(&mut self) -> Option<Scene> {
        self.scene.take().map(|scene| *scene)
    }

    /// Keeps a response's head.
    pub fn response_headers(&mut self, map: &[u8], ended: bool) {
        if let Some(scene) = &mut self.scene {
            scene.details = detached::details(map).to_vec();
        }
        for (name, value) in Pairs::new(map) {
            match name {
                b":status" => self.status = number(value),
                b"x-envoy-upstream-service-time" => self.from_upstream = true,
                b"content-length" => self.content_length = number(value),
                b"reprise-boot-id" => self.boot_id = String::from_utf8_lossy(value).into_owned(),
                _ => {}
            }
        }
        self.upgraded = self.upgrades() && matches!(self.status, Some(101 | 200..300));
        let mut reel = Reel::new(without(map, is_ours).unwrap_or_else(|| map.to_vec()));
        reel.ended = ended;
        self.response = Some(reel);
    }

    /// Asks the host who made the response where its headers do not say so and its last byte waits: a proxy may be told to
    /// leave its own headers out. Only within the callback of the response's head.
    pub fn prove(&mut self, host: &impl Host) {
        let waits = self.policy.capture.durability == Durability::WriteAheadResponse;
        if waits && !self.from_upstream && self.is_begun() {
            let details = host.property(&["response", "code_details"]).ok().flatten();
            self.from_upstream = details.is_some_and(|details| origin(&details) == Origin::Upstream);
        }
    }

    /// Tells whether a piece of a half's body is of use: what flows after an upgrade is not HTTP.
    #[must_use]
    pub const fn wants(&self, side: Side) -> bool {
        match side {
            Side::Request => !self.upgrades(),
            Side::Response => !self.upgraded && self.response.is_some(),
        }
    }

    /// Keeps a piece of a body, within the bytes that the VM may hold; `bytes` are none if they could not be read.
    pub fn body(&mut self, vm: &mut Vm, side: Side, piece: Piece, (bytes, held_max): (Option<Vec<u8>>, u64)) {
        let kept_max = usize::try_from(self.policy.capture.body_bytes_max).unwrap_or(usize::MAX);
        let room = usize::try_from(held_max.saturating_sub(vm.held_bytes)).unwrap_or(usize::MAX);
        let Some(reel) = self.reel(side) else { return };
        reel.ended |= piece.ended;
        if piece.len == 0 {
            return;
        }
        reel.len = reel.len.saturating_add(piece.len as u64);
        match bytes {
            Some(bytes) if !reel.lost => reel.push(bytes, kept_max, room),
            // What comes behind a hole is no front.
            Some(_) | None => reel.lost = true,
        }
        self.count(vm);
    }

    /// Keeps a half's trailers, which end it.
    pub fn trailers(&mut self, vm: &mut Vm, host: &impl Host, side: Side) {
        let trailers = host.trailers(side).unwrap_or_default();
        if let Some(reel) = self.reel(side) {
            reel.ended = true;
            reel.trailers = without(&trailers, is_ours).unwrap_or(trailers);
        }
        self.count(vm);
    }

    const fn reel(&mut self, side: Side) -> Option<&mut Reel> {
        match side {
            Side::Request => Some(&mut self.request),
            Side::Response => self.response.as_mut(),
        }
    }

    /// Counts the bytes that the tape holds into the VM's sum.
    pub fn count(&mut self, vm: &mut Vm) {
        let held = self.request.held() + self.response.as_ref().map_or(0, Reel::held);
        vm.hold(&mut self.counted, held as u64);
    }

    /// Gives the bytes back.
    pub fn give_back(&mut self, vm: &mut Vm) {
        vm.hold(&mut self.counted, 0);
    }

    /// Sums up what selection asks at the end.
    #[must_use]
    pub fn ended(&self, now_us: u64) -> Ended {
        let response_len = self.response.as_ref().map_or(0, |reel| reel.len);
        Ended {
            status: self.status,
            bytes: self.request.len.saturating_add(response_len),
            latency: Millis(now_us.saturating_sub(self.began_us) / 1000),
        }
    }

    /// Makes a capture of the request alone, as far as it came.
    #[must_use]
    pub fn begun(&self) -> Capture {
        Capture {
            state: State::Begun.into(),
            request_id: self.request_id(),
            request: Some(self.request.half()),
            began_us: self.began_us,
            principal: self.principal.clone(),
            labels: self.policy.capture.labels.clone(),
            not_replayable: self.not_replayable(),
            ..Capture::default()
        }
    }

    /// Tells whether a request may wait for its response before it ends: it is written ahead by its head.
    #[must_use]
    pub const fn is_open_ended(&self) -> bool {
        matches!(self.course, Course::Streams | Course::Upgrade)
    }

    const fn upgrades(&self) -> bool {
        matches!(self.course, Course::Upgrade)
    }

    /// Takes note that the request was written ahead.
    pub const fn begin_ahead(&mut self, seq: u64) {
        let ahead = if self.request.ended && !self.request.is_cut() {
            Ahead::Whole
        } else if self.request.len == 0 {
            Ahead::Head
        } else {
            Ahead::Front
        };
        self.begun = Some((seq, ahead));
    }

    /// Tells how much of the request was written ahead, if it was.
    #[must_use]
    pub fn ahead(&self) -> Option<Ahead> {
        self.begun.map(|(_, ahead)| ahead)
    }

    /// Tells whether the request was written ahead: its end is told in any case.
    #[must_use]
    pub const fn is_begun(&self) -> bool {
        self.begun.is_some()
    }

    /// Counts the bytes of the request's body so far.
    #[must_use]
    pub const fn request_len(&self) -> u64 {
        self.request.len
    }

    /// Tells whether the exchange is over with what came of the response so far: the client has it all then.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        let has_all = |reel: &Reel| reel.ended || self.content_length.is_some_and(|len| len <= reel.len);
        self.request.ended && self.from_upstream && !self.upgraded && self.response.as_ref().is_some_and(has_all)
    }

    /// Judges how the exchange ended.
    #[must_use]
    pub fn state(&self, host: &impl Host) -> (State, &'static str) {
        let seen = Seen {
            request_ended: self.request.ended,
            response_ended: self.response.as_ref().is_some_and(|reel| reel.ended),
            from_upstream: self.from_upstream,
            upgraded: self.upgraded,
        };
        if !ending::needs_details(&seen) {
            return ending::state(&seen, b"");
        }
        match &self.scene {
            Some(scene) => ending::state(&seen, &scene.details),
            None => {
                let details = host.property(&["response", "code_details"]).ok().flatten();
                ending::state(&seen, &details.unwrap_or_default())
            }
        }
    }

    /// Makes a capture of it, without what the host alone knows.
    ///
    /// Of a request that was written ahead as a whole nothing is told again; of one that was not, all that came, so that
    /// what nobody may see can be found: [`leave_out`] takes off what was told before.
    #[must_use]
    pub fn into_capture(mut self, (state, reason): (State, &str), now_us: u64) -> Capture {
        if let (State::Completed, Some(response)) = (state, &mut self.response) {
            // A response that waits at its last byte has not ended for the host.
            response.ended |= !self.upgraded;
        }
        let exchange = self.begun.map_or(0, |(seq, _)| seq);
        let was_whole = self.ahead() == Some(Ahead::Whole);
        Capture {
            exchange,
            state: state.into(),
            reason: reason.to_owned(),
            request_id: self.request_id(),
            not_replayable: self.not_replayable(),
            request: (!was_whole).then(|| self.request.into_half()),
            response: self.response.map(Reel::into_half),
            began_us: self.began_us,
            ended_us: now_us,
            principal: self.principal,
            labels: self.policy.capture.labels.clone(),
            boot_id: self.boot_id,
            ..Capture::default()
        }
    }

    fn request_id(&self) -> String {
        text(
            Pairs::new(&self.request.pairs)
                .first(b"x-request-id")
                .unwrap_or_default(),
        )
    }

    fn not_replayable(&self) -> String {
        String::from(if self.upgrades() { "upgrade" } else { "" })
    }
}

/// Takes off the end of a request what was written ahead.
pub(crate) fn leave_out(half: &mut Half, ahead: Ahead) {
    half.pairs = Vec::new();
    if ahead != Ahead::Head {
        take_body(half);
    }
}

/// Takes a body off; its length stays, and its hash if anybody knows it.
pub(crate) fn take_body(half: &mut Half) {
    if half.body_hash.is_empty() && half.body.len() as u64 == half.body_len {
        half.body_hash = blake3::hash(&half.body).as_bytes().to_vec();
    }
    half.body = Vec::new();
    half.truncated = true;
}

/// Tells whether both sides of an exchange may stream at once, by the request's media type: gRPC, but not gRPC-Web.
fn streams(map: &[u8]) -> bool {
    let media = Pairs::new(map).first(b"content-type").unwrap_or_default();
    let rest = media
        .split_at_checked(GRPC.len())
        .filter(|(front, _)| front.eq_ignore_ascii_case(GRPC));
    rest.is_some_and(|(_, rest)| matches!(rest.first(), None | Some(b'+' | b';' | b' ')))
}

const GRPC: &[u8] = b"application/grpc";

fn number<N: std::str::FromStr>(value: &[u8]) -> Option<N> {
    std::str::from_utf8(value).ok()?.trim().parse().ok()
}

/// Reads text that people see.
pub(crate) fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

/// Tells whether a header is for Reprise alone: nobody else gets to see it.
pub(crate) fn is_ours(name: &[u8]) -> bool {
    name.starts_with(b"reprise-") || name == reprise_core::signature::HEADER.as_bytes()
}

/// One half of an exchange, so far.
#[derive(Debug, Default)]
struct Reel {
    pairs: Vec<u8>,
    body: Vec<u8>,
    len: u64,
    /// Hashes all of the body once only its front is kept.
    hash: Option<Box<blake3::Hasher>>,
    trailers: Vec<u8>,
    ended: bool,
    /// Whether a piece could not be read.
    lost: bool,
}

impl Reel {
    fn new(pairs: Vec<u8>) -> Self {
        Self {
            pairs,
            ..Self::default()
        }
    }

    fn held(&self) -> usize {
        let hash = self.hash.as_ref().map_or(0, |_| size_of::<blake3::Hasher>());
        self.pairs.capacity() + self.body.capacity() + self.trailers.capacity() + hash
    }

    /// Keeps a piece if it fits, else its front, and the hash of all.
    fn push(&mut self, mut piece: Vec<u8>, kept_max: usize, room: usize) {
        if let Some(hash) = &mut self.hash {
            hash.update(&piece);
            return;
        }
        let fits = kept_max.saturating_sub(self.body.len()).min(room);
        if piece.len() > fits {
            let mut hash = Box::new(blake3::Hasher::new());
            hash.update(&self.body).update(&piece);
            self.hash = Some(hash);
            piece.truncate(fits);
        }
        if self.body.is_empty() {
            self.body = piece;
        } else {
            self.body.append(&mut piece);
        }
    }

    /// Tells whether not all that came was kept.
    const fn is_cut(&self) -> bool {
        self.len > self.body.len() as u64
    }

    /// Makes a half of what came so far.
    fn half(&self) -> Half {
        Half {
            pairs: self.pairs.clone(),
            body: self.body.clone(),
            body_len: self.len,
            body_hash: Vec::new(),
            truncated: !self.ended || self.is_cut(),
            redacted: String::new(),
            trailers: self.trailers.clone(),
            ended: self.ended,
        }
    }

    fn into_half(self) -> Half {
        let truncated = self.is_cut();
        let hash = self.hash.filter(|_| !self.lost);
        Half {
            truncated,
            pairs: self.pairs,
            body: self.body,
            body_len: self.len,
            body_hash: hash.map_or_else(Vec::new, |hash| hash.finalize().as_bytes().to_vec()),
            redacted: String::new(),
            trailers: self.trailers,
            ended: self.ended,
        }
    }
}
