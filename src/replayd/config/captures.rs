//! `[captures]`: how long captures are kept, and how they are listed if nobody says.

use crate::app::filter::CaptureFilter;
use crate::app::listing;
use crate::store::captures::{CaptureColumn, CaptureOrder};
use serde::Deserialize;
use std::ops::Range;
use std::time::Duration;
use toml::Spanned;

/// Longest time that captures are kept, in days.
const RETAIN_DAYS_MAX: u32 = 36_500;
/// Longest silence of a stream, in seconds.
const UNKNOWN_AFTER_S_MAX: u64 = 86_400;
/// One day.
const DAY: Duration = Duration::from_hours(24);

/// What is kept of captures.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturesConfig {
    /// How long a capture is kept.
    pub(crate) retain: Duration,
    /// Bytes of headers and bodies above which the oldest captures go.
    pub(crate) bytes_max: u64,
    /// How long a stream is silent until nobody waits for the ends of its exchanges.
    pub(crate) unknown_after: Duration,
    /// How captures are listed if nobody says.
    pub(crate) view: CapturesView,
}

/// How captures are listed if nobody says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct CapturesView {
    /// Which.
    pub(crate) filter: CaptureFilter,
    /// In which order.
    pub(crate) order: CaptureOrder,
    /// With which columns; none = all.
    pub(crate) columns: Vec<String>,
}

impl Default for CapturesConfig {
    fn default() -> Self {
        Self {
            retain: DAY * 30,
            bytes_max: 10 << 30,
            unknown_after: Duration::from_mins(5),
            view: CapturesView::default(),
        }
    }
}

impl Default for CapturesView {
    fn default() -> Self {
        let by = CaptureColumn::BeganAt;
        Self {
            filter: CaptureFilter::default(),
            order: CaptureOrder { by, descending: false },
            columns: Vec::new(),
        }
    }
}

/// `[captures]` as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawCaptures {
    pub(super) retain_days: Option<Spanned<i64>>,
    pub(super) bytes_max: Option<Spanned<i64>>,
    pub(super) unknown_after_s: Option<Spanned<i64>>,
    pub(super) view: Option<RawView>,
}

/// `[captures.view]` as written.
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
pub(super) struct RawView {
    filter: Option<Spanned<CaptureFilter>>,
    order_by: Option<Spanned<String>>,
    columns: Option<Spanned<RawColumns>>,
}

/// One text or a list of them.
#[derive(Deserialize)]
#[serde(untagged)]
enum RawColumns {
    Text(String),
    List(Vec<String>),
}

/// Tells a problem and where it is.
type Wrong<'a> = &'a mut dyn FnMut(String, Range<usize>);

impl RawView {
    /// Checks what is written; what has a problem stands at its default.
    pub(super) fn check(self, wrong: Wrong<'_>) -> CapturesView {
        let default = CapturesView::default();
        CapturesView {
            filter: meant(self.filter, filter, wrong).unwrap_or(default.filter),
            order: meant(self.order_by, |text| listing::order(&text), wrong).unwrap_or(default.order),
            columns: meant(self.columns, columns, wrong).unwrap_or(default.columns),
        }
    }
}

fn meant<Raw, Meant>(
    raw: Option<Spanned<Raw>>,
    mean: impl FnOnce(Raw) -> Result<Meant, String>,
    wrong: Wrong<'_>,
) -> Option<Meant> {
    let raw = raw?;
    let span = raw.span();
    mean(raw.into_inner()).map_err(|message| wrong(message, span)).ok()
}

fn filter(filter: CaptureFilter) -> Result<CaptureFilter, String> {
    match filter.query() {
        Ok(_) => Ok(filter),
        Err(problems) => {
            let told: Vec<_> = problems.iter().map(ToString::to_string).collect();
            Err(told.join("; "))
        }
    }
}

fn columns(raw: RawColumns) -> Result<Vec<String>, String> {
    match raw {
        RawColumns::Text(text) => listing::columns(&text),
        RawColumns::List(names) => listing::columns(&names.join(",")),
    }
}

/// Checks how long captures are kept.
pub(super) fn retain_days(days: i64) -> Result<Duration, String> {
    let allowed = u32::try_from(days)
        .ok()
        .filter(|days| (1..=RETAIN_DAYS_MAX).contains(days));
    allowed
        .map(|days| DAY * days)
        .ok_or_else(|| format!("{days} is not between 1 and {RETAIN_DAYS_MAX} days"))
}

/// Checks how many bytes are kept.
pub(super) fn bytes_max(bytes: i64) -> Result<u64, String> {
    let allowed = u64::try_from(bytes).ok().filter(|bytes| *bytes > 0);
    allowed.ok_or_else(|| format!("{bytes} is not a number of bytes above 0"))
}

/// Checks how long a stream may be silent.
pub(super) fn unknown_after_s(seconds: i64) -> Result<Duration, String> {
    let allowed = u64::try_from(seconds)
        .ok()
        .filter(|seconds| (1..=UNKNOWN_AFTER_S_MAX).contains(seconds));
    allowed
        .map(Duration::from_secs)
        .ok_or_else(|| format!("{seconds} is not between 1 and {UNKNOWN_AFTER_S_MAX} seconds"))
}
