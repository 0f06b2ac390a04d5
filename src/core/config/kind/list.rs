//! Values that wrap others: `null` or a value, lists, and the list of rules.

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

/// A list of what the kind inside allows.
pub(in crate::config) struct List<K> {
    kind: K,
    items_max: usize,
}

/// Allows a list of at most `items_max` items.
pub(in crate::config) const fn list<K>(kind: K, items_max: usize) -> List<K> {
    List { kind, items_max }
}

impl<K: Kind> Kind for List<K> {
    type Out = Vec<K::Out>;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out> {
        let read = |item: &Value, place: &Place<'_>, problems: &mut Problems| self.kind.read(item, place, problems);
        let found = read_items(value, place, problems, read)?;
        let (len, most) = (found.len(), self.items_max);
        if len > most {
            problems.add(place, format_args!("there are {len} items; at most {most} are allowed"));
            return None;
        }
        Some(found)
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "array", "maxItems": self.items_max, "items": self.kind.schema()})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value> {
        out.iter().map(|item| self.kind.write(item)).collect()
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::kind::text;
    use alloc::string::{String, ToString};
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    #[track_caller]
    #[expect(clippy::needless_pass_by_value, reason = "a test reads better without the reference")]
    fn check(value: Value, want: Result<&[&str], &str>) {
        let mut problems = Problems::default();
        let read = list(text(3), 2).read(&value, &Place::Root.field("here"), &mut problems);
        let got = problems
            .or(read)
            .map(Option::unwrap)
            .map_err(|errors| errors.to_string());
        let want = want.map(|items| items.iter().map(ToString::to_string).collect::<Vec<String>>());
        assert_eq!(got, want.map_err(String::from));
    }

    #[test]
    fn a_list_keeps_its_order_up_to_its_bound() {
        check(json!([]), Ok(&[]));
        check(json!(["b", "a"]), Ok(&["b", "a"]));
        check(
            json!(["a", "b", "c"]),
            Err("here: there are 3 items; at most 2 are allowed"),
        );
        check(json!("a"), Err("here: \"a\" is not a list"));
    }

    #[test]
    fn a_wrong_item_has_its_place() {
        let want = "here[1]: \"long\" is not a text of 1 to 3 visible ASCII characters";
        check(json!(["a", "long"]), Err(want));
    }
}
