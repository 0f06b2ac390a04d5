//! Yes or no.

use super::Kind;
use crate::config::error::{Place, Problems};
use serde_json::Value;

/// `true` or `false`.
pub(in crate::config) struct Flag;

impl Kind for Flag {
    type Out = bool;

    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<bool> {
        if value.as_bool().is_none() {
            problems.refuse(place, value, format_args!("is neither true nor false"));
        }
        value.as_bool()
    }

    #[cfg(feature = "schema")]
    fn schema(&self) -> Value {
        serde_json::json!({"type": "boolean"})
    }

    #[cfg(feature = "schema")]
    fn write(&self, out: &bool) -> Option<Value> {
        Some((*out).into())
    }
}
