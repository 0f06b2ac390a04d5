//! The rows: which filter, with which requests, against which other filter.

use crate::key::Keys;
use crate::load::Load;
use crate::message::Method;

/// Keys that the stores of the growth rows can hold: few enough to be filled through the filter within seconds.
pub(crate) const GROWTH_KEYS_MAX: u64 = 131_072;

/// A listener's filters. All else is the same on every listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Variant {
    /// The router alone.
    Plain,
    /// The router alone once more: what this shows against [`Self::Plain`] is the error of the method.
    Control,
    /// A proxy-wasm filter that does nothing.
    Noop,
    /// A Lua filter that reads one header.
    LuaHeader,
    /// Reprise with the smallest document.
    FirstSeen,
    /// Reprise with rules in the document and metadata on the route.
    FirstSeenFull,
    /// Reprise, whose first requests run detached.
    Detached,
    /// Reprise, all of whose keys were seen before.
    Answer,
    /// Reprise with a store that has nothing in it but what is being measured: about 1 %.
    StoreEmpty,
    /// The same, with a store that was filled to a half before.
    StoreHalf,
    /// The same, with a store that was filled until hardly any way was free.
    StoreFull,
    /// Reprise, where duplicates wait for the first.
    Wait,
    /// Envoy's own tap: a file for each exchange.
    Tap,
    /// Reprise that captures, without keys; nothing waits for replayd.
    CaptureAsync,
    /// Reprise that captures, without keys; every request waits until replayd has it on disk.
    CaptureWriteAhead,
}

impl Variant {
    /// Names the listener, the plugin and its VM.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Control => "control",
            Self::Noop => "noop",
            Self::LuaHeader => "lua_header",
            Self::FirstSeen => "first_seen",
            Self::FirstSeenFull => "first_seen_full",
            // Not as the internal listener: of two with one name Envoy takes the first, and says nothing.
            Self::Detached => "first_seen_detached",
            Self::Answer => "answer",
            Self::StoreEmpty => "store_empty",
            Self::StoreHalf => "store_half",
            Self::StoreFull => "store_full",
            Self::Wait => "wait",
            Self::Tap => "tap",
            Self::CaptureAsync => "capture_async",
            Self::CaptureWriteAhead => "capture_write_ahead",
        }
    }

    /// How many keys its store is filled with before the run.
    ///
    /// Keys fall into buckets at random: a quarter more than there are places leaves 1 % of them free.
    pub(crate) const fn fill_keys(self) -> u64 {
        match self {
            Self::StoreHalf => GROWTH_KEYS_MAX / 2,
            Self::StoreFull => GROWTH_KEYS_MAX / 4 * 5,
            _ => 0,
        }
    }

    /// True if keys go through it: it has to be shown that it acts on them.
    pub(crate) const fn keeps_keys(self) -> bool {
        use Variant::{Answer, Detached, FirstSeen, FirstSeenFull, StoreEmpty, StoreFull, StoreHalf};
        matches!(
            self,
            FirstSeen | FirstSeenFull | Detached | Answer | StoreEmpty | StoreHalf | StoreFull
        )
    }

    /// True if it speaks to replayd.
    pub(crate) const fn captures(self) -> bool {
        matches!(self, Self::CaptureAsync | Self::CaptureWriteAhead)
    }
}

/// One comparison.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Row {
    /// What the command line, the table and the JSON call it.
    pub(crate) name: &'static str,
    /// What is measured.
    pub(crate) own: Variant,
    /// What it is measured against, in the adjacent slice.
    pub(crate) base: Variant,
    /// What both are asked.
    pub(crate) method: Method,
    /// What is hoped for, in words; empty if nothing is. Shown, never enforced: a bench is not a test.
    pub(crate) target: &'static str,
}

/// Every comparison, in the order of the table.
pub(crate) const ROWS: [Row; 17] = [
    row("plain", Variant::Control, Variant::Plain, Method::Post, ""),
    row("noop", Variant::Noop, Variant::Plain, Method::Get, ""),
    row("untouched", Variant::FirstSeen, Variant::Plain, Method::Get, ""),
    row(
        "untouched",
        Variant::FirstSeen,
        Variant::Noop,
        Method::Get,
        "CPU ≤ 1.05",
    ),
    row("lua_header", Variant::LuaHeader, Variant::Plain, Method::Post, ""),
    row("noop_post", Variant::Noop, Variant::Plain, Method::Post, ""),
    row(
        "first_seen",
        Variant::FirstSeen,
        Variant::Plain,
        Method::Post,
        "CPU ≤ 1.45, throughput ≥ 0.68",
    ),
    row(
        "first_seen_full",
        Variant::FirstSeenFull,
        Variant::Plain,
        Method::Post,
        "CPU ≤ 1.50, throughput ≥ 0.68",
    ),
    row("detached", Variant::Detached, Variant::Plain, Method::Post, "CPU ≤ 1.9"),
    row(
        "answer",
        Variant::Answer,
        Variant::Plain,
        Method::Post,
        "CPU ≤ 0.75, throughput ≥ 1.35",
    ),
    row(
        "first_seen_64k",
        Variant::FirstSeen,
        Variant::Plain,
        Method::LargePost,
        "",
    ),
    row("answer_64k", Variant::Answer, Variant::Plain, Method::LargeAnswer, ""),
    row(
        "growth_half",
        Variant::StoreHalf,
        Variant::StoreEmpty,
        Method::Post,
        "CPU ≤ 1.05",
    ),
    row(
        "growth_full",
        Variant::StoreFull,
        Variant::StoreEmpty,
        Method::Post,
        "CPU ≤ 1.05",
    ),
    row("tap", Variant::Tap, Variant::Plain, Method::Post, ""),
    row(
        "capture_async",
        Variant::CaptureAsync,
        Variant::Plain,
        Method::Post,
        "CPU ≤ 1.40, nothing dropped",
    ),
    row(
        "capture_write_ahead",
        Variant::CaptureWriteAhead,
        Variant::Plain,
        Method::Post,
        "nothing dropped",
    ),
];

const fn row(name: &'static str, own: Variant, base: Variant, method: Method, target: &'static str) -> Row {
    Row {
        name,
        own,
        base,
        method,
        target,
    }
}

impl Row {
    /// What slices of this row send; `variants` are the listeners in their order.
    pub(crate) fn loads(&self, variants: &[Variant]) -> (Load, Load) {
        let of = |variant| Load {
            publishes: self.own.captures(),
            ..load(variant, self.method, variants)
        };
        (of(self.own), of(self.base))
    }

    /// True if both are compared at half of the row's own highest rate: what is captured has to be taken in as well.
    pub(crate) const fn is_at_half(&self) -> bool {
        self.own.captures()
    }

    /// Why this row cannot count, if one of its filters is among those that do not act.
    pub(crate) fn void(&self, mute: &[(Variant, String)]) -> Option<String> {
        let mut mine = mute
            .iter()
            .filter(|(variant, _)| [self.own, self.base].contains(variant));
        mine.next().map(|(_, void)| void.clone())
    }
}

/// What is sent to one variant. Its base gets fresh keys, which nobody there looks at.
pub(crate) fn load(variant: Variant, method: Method, variants: &[Variant]) -> Load {
    let is_stored = variant == Variant::Answer;
    let pool = if method == Method::LargeAnswer {
        Keys::LargePool
    } else {
        Keys::Pool
    };
    Load {
        listener: variants.iter().position(|other| *other == variant).unwrap_or(0),
        method,
        keys: if is_stored { pool } else { Keys::Fresh },
        is_stored,
        publishes: false,
    }
}
