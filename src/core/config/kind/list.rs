//! Values that wrap others: `null` or a value, and the list of rules.

use super::{Kind, read_items};
use crate::config::error::{Place, Problems};
use crate::config::fields::RuleFields;
use crate::config::table::table;
use alloc::vec::Vec;
use serde_json::Value;

/// `null`, or what the kind inside allows.
pub(in crate::config) struct Nullable<K>(K);

/// Allows `null` besides what `kind` allows.
pub(in crate::config) const fn nullable<K>(kind: K) -> Nullable<K> {
    Nullable(kind)
}

impl<K: Kind> Kind for Nullable<K> {
    type Out = Option<K::Out>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        if value.is_null() {
            Some(None)
        } else {
            self.0.read(value, place, problems).map(Some)
        }
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"anyOf": [{"type": "null"}, self.0.schema()]})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        Some(out.as_ref().and_then(|out| self.0.write(out)).unwrap_or(Value::Null))
    }
}

/// Most rules that one document may have.
const RULES_MAX: usize = 4096;

/// The list of rules.
pub(in crate::config) struct Rules;

/// Allows a list of rules.
pub(in crate::config) const fn rules() -> Rules {
    Rules
}

impl Kind for Rules {
    type Out = Vec<RuleFields>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        let kind = table::<RuleFields>();
        let found = read_items(value, place, problems, |item, place, problems| {
            kind.read(item, place, problems)
        })?;
        if found.len() > RULES_MAX {
            problems.add(
                place,
                format_args!("there are {} rules; at most {RULES_MAX} are allowed", found.len()),
            );
            return None;
        }
        Some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "array", "maxItems": RULES_MAX, "items": table::<RuleFields>().schema()})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        out.is_empty().then(|| serde_json::json!([]))
    }
}
