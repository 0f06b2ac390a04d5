//! What problems are told as.

use super::Kind;
use super::whole::to_whole;
use crate::config::error::{Place, Problems};
use crate::problem::SLUGS;
use alloc::string::String;
use alloc::vec::Vec;
use core::ops::RangeInclusive;
use serde_json::Value;

/// Statuses that a problem may have.
const ALLOWED: RangeInclusive<u16> = 400..=599;

/// Statuses by the last part of problems' types.
pub(in crate::config) struct ProblemStatuses;

fn status(value: &Value) -> Option<u16> {
    let status = u16::try_from(to_whole(value.as_number()?)?).ok()?;
    ALLOWED.contains(&status).then_some(status)
}

fn check(name: &str, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<u16> {
    if !SLUGS.contains(&name) {
        problems.add(place, format_args!("is not known; allowed: {}", SLUGS.join(", ")));
        return None;
    }
    let found = status(value);
    if found.is_none() {
        problems.refuse(place, value, format_args!("is not a status from 400 to 599"));
    }
    found
}

impl Kind for ProblemStatuses {
    type Out = Vec<(String, u16)>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        let Some(fields) = value.as_object() else {
            problems.refuse(place, value, format_args!("is not an object"));
            return None;
        };
        let read = fields.iter().filter_map(|(name, value)| {
            let found = check(name, value, &place.field(name), problems)?;
            Some((name.clone(), found))
        });
        let found: Vec<_> = read.collect();
        (found.len() == fields.len()).then_some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        let status = serde_json::json!({"type": "integer", "minimum": ALLOWED.start(), "maximum": ALLOWED.end()});
        let each = SLUGS.iter().map(|slug| (String::from(*slug), status.clone()));
        let properties: serde_json::Map<_, _> = each.collect();
        serde_json::json!({"type": "object", "additionalProperties": false, "properties": properties})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        let fields = out.iter().map(|(slug, status)| (slug.clone(), Value::from(*status)));
        Some(Value::Object(fields.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString as _;
    use alloc::vec;
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(value: &Value) -> Result<Vec<(String, u16)>, String> {
        let mut problems = Problems::default();
        let read = ProblemStatuses.read(value, &Place::Root.field("here"), &mut problems);
        let read = problems.or(read).map(Option::unwrap);
        read.map_err(|errors| errors.to_string())
    }

    #[test]
    fn statuses_are_read_by_the_last_part_of_the_type() {
        assert_eq!(
            read(&json!({"key-reused": 409, "capacity": 429.0})),
            Ok(vec![("capacity".into(), 429), ("key-reused".into(), 409)])
        );
    }

    #[test]
    fn what_is_no_problem_or_no_error_is_refused() {
        let text = read(&json!({"key-used": 409})).unwrap_err();
        assert!(
            text.starts_with("here.key-used: is not known; allowed: key-missing, "),
            "{text}"
        );
        assert_eq!(
            read(&json!({"capacity": 200})).unwrap_err(),
            "here.capacity: 200 is not a status from 400 to 599"
        );
        assert_eq!(read(&json!([])).unwrap_err(), "here: [] is not an object");
    }
}
