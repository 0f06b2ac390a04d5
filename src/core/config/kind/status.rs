//! Statuses, and sets of them.

use super::whole::to_whole;
use super::{Kind, read_items};
use crate::config::error::{Place, Problems};
use crate::config::{ReleaseOn, StatusSet};
use alloc::format;
use core::ops::RangeInclusive;
use serde_json::Value;

/// Final statuses.
const FINAL: RangeInclusive<u16> = 200..=599;
/// Statuses that cannot carry a body.
const BODILESS: [u16; 3] = [204, 205, 304];
/// The item that stands for 503 with `Retry-After`.
const RETRY_AFTER: &str = "503+retry-after";

fn final_status(text: &str) -> Option<u16> {
    text.parse().ok().filter(|status| FINAL.contains(status))
}

/// Reads `201`, `"201"`, `"2xx"` or `"200-207"`.
fn range(value: &Value) -> Option<RangeInclusive<u16>> {
    if let Some(number) = value.as_number() {
        let status = u16::try_from(to_whole(number)?)
            .ok()
            .filter(|status| FINAL.contains(status))?;
        return Some(status..=status);
    }
    let text = value.as_str()?;
    if let Some(class) = text.strip_suffix("xx") {
        return Some(final_status(&format!("{class}00"))?..=final_status(&format!("{class}99"))?);
    }
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (final_status(from)?, final_status(to)?);
    (from <= to).then_some(from..=to)
}

fn read_range(value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<RangeInclusive<u16>> {
    let found = range(value);
    if found.is_none() {
        problems.refuse(
            place,
            value,
            format_args!("is not a status from 200 to 599, a class such as \"2xx\" or a range such as \"200-207\""),
        );
    }
    found
}

fn union(set: StatusSet, range: RangeInclusive<u16>) -> StatusSet {
    range.fold(set, StatusSet::with)
}

/// Writes a set as a list of codes, leaving out nothing.
#[cfg(feature = "schema")]
fn write_codes(set: StatusSet) -> alloc::vec::Vec<Value> {
    FINAL.filter(|status| set.has(*status)).map(Value::from).collect()
}

#[cfg(feature = "schema")]
fn item_schema() -> Value {
    let number = serde_json::json!({"type": "integer", "minimum": FINAL.start(), "maximum": FINAL.end()});
    let text = serde_json::json!({"type": "string", "pattern": "^[2-5]([0-9]{2}(-[2-5][0-9]{2})?|xx)$"});
    serde_json::json!({"anyOf": [number, text]})
}

/// `all`, or a list of statuses.
pub(in crate::config) struct Statuses {
    /// What an empty list would mean.
    empty: &'static str,
}

/// Allows `all`, or a list of statuses that is not empty.
pub(in crate::config) const fn statuses(empty: &'static str) -> Statuses {
    Statuses { empty }
}

impl Kind for Statuses {
    type Out = StatusSet;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<StatusSet> {
        if value.as_str() == Some("all") {
            return Some(StatusSet::ALL);
        }
        if !value.is_array() {
            problems.refuse(place, value, format_args!("is neither \"all\" nor a list of statuses"));
            return None;
        }
        let found = read_items(value, place, problems, read_range)?;
        if found.is_empty() {
            problems.add(place, format_args!("is an empty list, {}", self.empty));
            return None;
        }
        Some(found.into_iter().fold(StatusSet::NONE, union))
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"anyOf": [{"const": "all"}, {"type": "array", "minItems": 1, "items": item_schema()}]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &StatusSet) -> Option<Value> {
        Some(if *out == StatusSet::ALL {
            "all".into()
        } else {
            write_codes(*out).into()
        })
    }
}

/// A list of statuses, and `503+retry-after`.
pub(in crate::config) struct ReleaseStatuses;

impl Kind for ReleaseStatuses {
    type Out = ReleaseOn;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<ReleaseOn> {
        let mut retry_after_503 = false;
        let found = read_items(value, place, problems, |item, place, problems| {
            if item.as_str() == Some(RETRY_AFTER) {
                retry_after_503 = true;
                return Some(None);
            }
            read_range(item, place, problems).map(Some)
        })?;
        let statuses = found.into_iter().flatten().fold(StatusSet::NONE, union);
        Some(ReleaseOn {
            statuses,
            retry_after_503,
        })
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "array", "items": {"anyOf": [{"const": RETRY_AFTER}, item_schema()]}})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &ReleaseOn) -> Option<Value> {
        let mut items = write_codes(out.statuses);
        items.extend(out.retry_after_503.then(|| RETRY_AFTER.into()));
        Some(items.into())
    }
}

/// `original`, or the status that answers get.
pub(in crate::config) struct AnswerStatus;

impl Kind for AnswerStatus {
    type Out = Option<u16>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Option<u16>> {
        if value.as_str() == Some("original") {
            return Some(None);
        }
        let status = value
            .as_number()
            .and_then(to_whole)
            .and_then(|number| u16::try_from(number).ok());
        let status = status.filter(|status| FINAL.contains(status) && !BODILESS.contains(status));
        if status.is_none() {
            problems.refuse(
                place,
                value,
                format_args!("is neither \"original\" nor a status from 200 to 599 that may carry a body"),
            );
        }
        status.map(Some)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let status = serde_json::json!({"type": "integer", "minimum": FINAL.start(), "maximum": FINAL.end(),
            "not": {"enum": BODILESS}});
        serde_json::json!({"anyOf": [{"const": "original"}, status]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Option<u16>) -> Option<Value> {
        Some(out.map_or_else(|| "original".into(), Value::from))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    const STORED: Statuses = statuses("so that nothing would be stored");

    fn set(statuses: &[u16]) -> StatusSet {
        statuses.iter().copied().fold(StatusSet::NONE, StatusSet::with)
    }

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check<K: Kind<Out: core::fmt::Debug + PartialEq>>(kind: &K, value: Value, want: Option<K::Out>) {
        let mut problems = Problems::default();
        let read = kind.read(&value, &Place::Root, &mut problems);
        assert_eq!(
            problems.is_empty(),
            want.is_some(),
            "{:?}",
            problems.or(()).map_err(|errors| errors.to_string())
        );
        assert_eq!(read, want);
    }

    #[test]
    fn codes_classes_and_ranges_are_statuses() {
        check(&STORED, json!([201, "404", 500.0]), Some(set(&[201, 404, 500])));
        check(&STORED, json!(["200-203"]), Some(set(&[200, 201, 202, 203])));
        let fives = union(StatusSet::NONE, 500..=599);
        check(&STORED, json!(["5xx"]), Some(fives));
        check(&STORED, json!("all"), Some(StatusSet::ALL));
    }

    #[test]
    fn other_items_are_refused() {
        for item in [
            json!(199),
            json!(600),
            json!(200.5),
            json!("6xx"),
            json!("xx"),
            json!("207-200"),
            json!(null),
        ] {
            check(&STORED, json!([item]), None);
        }
        check(&STORED, json!([]), None);
        check(&STORED, json!("2xx"), None);
    }

    #[test]
    fn release_on_may_ask_for_retry_after() {
        let want = ReleaseOn {
            statuses: set(&[429]),
            retry_after_503: true,
        };
        check(&ReleaseStatuses, json!([429, "503+retry-after"]), Some(want));
        check(
            &ReleaseStatuses,
            json!([]),
            Some(ReleaseOn {
                statuses: StatusSet::NONE,
                retry_after_503: false,
            }),
        );
        check(&ReleaseStatuses, json!(["429+retry-after"]), None);
    }

    #[test]
    fn an_answers_status_can_carry_a_body() {
        check(&AnswerStatus, json!("original"), Some(None));
        check(&AnswerStatus, json!(409), Some(Some(409)));
        for status in [
            json!(204),
            json!(304),
            json!(100),
            json!(600),
            json!("409"),
            json!(null),
        ] {
            check(&AnswerStatus, status, None);
        }
    }
}
