//! What a field may hold: how it is read, how it stands in the schema, how its default is written.
//!
//! Which fields there are is in the tables; kinds of one concept only (statuses, names, places) have files of their own.

mod choice;
mod encoder;
mod flag;
mod later;
mod list;
mod name;
mod problem;
mod rate;
mod secret;
mod select;
mod status;
mod text;
mod whole;

pub(super) use choice::choice;
pub(super) use encoder::EncoderKind;
pub(super) use flag::Flag;
pub(super) use later::later;
#[cfg(feature = "schema")]
pub(super) use later::schema as later_schema;
pub(super) use list::{list, nullable, rules};
pub(super) use name::{HeaderName, MethodNames, PrincipalSources, ProtectedMethods};
pub(super) use problem::ProblemStatuses;
pub(super) use rate::Rate;
pub(super) use secret::{Pointer, Seal, SecretField, SecretHeader};
pub(super) use select::{Excluded, HeaderValues, MediaRange, SampledBy};
pub(super) use status::{AnswerStatus, ReleaseStatuses, statuses};
pub(super) use text::{HostText, text, uri};
pub(super) use whole::{in_steps, whole};

use super::error::{Place, Problems};
use serde_json::Value;

/// What a field may hold.
pub(super) trait Kind {
    /// What reading gives.
    type Out;

    /// Reads `value`; none if it is wrong, with the problem noted at `place`.
    fn read(&self, value: &Value, place: &Place<'_>, problems: &mut Problems) -> Option<Self::Out>;

    /// Describes what is allowed, as JSON Schema.
    #[cfg(feature = "schema")]
    fn schema(&self) -> Value;

    /// Writes `out` as it would stand in a document; none where the schema shows no default.
    #[cfg(feature = "schema")]
    fn write(&self, out: &Self::Out) -> Option<Value>;
}

/// Reads a list item by item with `read`, noting every wrong item.
fn read_items<T>(
    value: &Value,
    place: &Place<'_>,
    problems: &mut Problems,
    mut read: impl FnMut(&Value, &Place<'_>, &mut Problems) -> Option<T>,
) -> Option<alloc::vec::Vec<T>> {
    let Some(items) = value.as_array() else {
        problems.refuse(place, value, format_args!("is not a list"));
        return None;
    };
    let found = items
        .iter()
        .enumerate()
        .filter_map(|(at, item)| read(item, &place.item(at), problems));
    let found: alloc::vec::Vec<T> = found.collect();
    (found.len() == items.len()).then_some(found)
}
