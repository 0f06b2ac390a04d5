//! What a route's own metadata says, over rules and defaults.

mod capture;

use super::error::{Place, Problems};
use super::fields::{CaptureFields, MetadataFields, RouteFields};
use super::kind::Kind;
use super::read::status;
use super::table::{Table, table};
use super::{ConfigErrors, Fingerprint, Mode, Policy};
use crate::time::Millis;
use serde_json::Value;

/// What a route's metadata (`filter_metadata.reprise`) says, checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Overrides {
    keys: RouteFields,
    capture: CaptureFields,
}

impl Overrides {
    /// Reads a route's metadata.
    ///
    /// Shape: `{idempotency: {…}, capture: {…}}`: what a rule may say of both, each of it optional.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn read(value: &Value) -> Result<Self, ConfigErrors> {
        let mut problems = Problems::default();
        let fields = table::<MetadataFields>()
            .read(value, &Place::Root, &mut problems)
            .unwrap_or_default();
        let (keys, capture) = (fields.idempotency(), fields.capture());
        let (keys_place, capture_place) = (Place::Root.field("idempotency"), Place::Root.field("capture"));
        check_route(&keys, &RouteFields::default(), &keys_place, &mut problems);
        capture.check(&CaptureFields::default(), &capture_place, &mut problems);
        problems.or(Self { keys, capture })
    }

    /// Tells the mode that the metadata asks for, if it does.
    #[must_use]
    pub const fn mode(&self) -> Option<Mode> {
        self.keys.mode
    }

    /// Shows what the metadata say of keys.
    pub(super) const fn keys(&self) -> &RouteFields {
        &self.keys
    }

    /// Shows what the metadata say of capture.
    pub(super) const fn capture(&self) -> &CaptureFields {
        &self.capture
    }
}

/// Checks what a rule or a route's metadata say of keys against what counts beside it.
pub(super) fn check_route(fields: &RouteFields, defaults: &RouteFields, place: &Place<'_>, problems: &mut Problems) {
    check_off(fields, defaults, place, problems);
    check_fields(fields, defaults, place, problems);
}

/// Checks that fields of a body are named only where it is read as JSON.
pub(super) fn check_fields(fields: &RouteFields, defaults: &RouteFields, place: &Place<'_>, problems: &mut Problems) {
    let fingerprint = fields.fingerprint.unwrap_or_else(|| defaults.fingerprint());
    if !fields.fields().is_empty() && fingerprint != Fingerprint::Json {
        problems.add(
            &place.field("fields"),
            format_args!("contradicts the fingerprint, which is not json; write fingerprint: json beside it"),
        );
    }
}

/// Checks that nothing else is asked for where `mode` is off; repeating what counts anyway is no contradiction.
fn check_off(fields: &RouteFields, defaults: &RouteFields, place: &Place<'_>, problems: &mut Problems) {
    if fields.mode != Some(Mode::Off) {
        return;
    }
    let others = RouteFields {
        mode: None,
        ..fields.clone()
    };
    for name in others.contradictions(&defaults.filled()) {
        problems.add(&place.field(name), format_args!("contradicts mode: off beside it"));
    }
}

/// Puts `value` in the place of what counted so far, if it is given.
fn put<T: Clone>(place: &mut T, value: Option<&T>) {
    if let Some(value) = value {
        place.clone_from(value);
    }
}

impl RouteFields {
    /// Lays what is written here over `policy`.
    pub(super) fn apply(&self, policy: &mut Policy) {
        put(&mut policy.mode, self.mode.as_ref());
        put(&mut policy.methods, self.methods.as_ref());
        put(&mut policy.header, self.header.as_ref());
        put(&mut policy.header_aliases, self.header_aliases.as_ref());
        put(&mut policy.namespace, self.namespace.as_ref());
        put(&mut policy.scope, self.scope.as_ref());
        put(&mut policy.anonymous, self.anonymous.as_ref());
        put(&mut policy.encoder, self.encoder.as_ref());
        put(&mut policy.fingerprint, self.fingerprint.as_ref());
        put(&mut policy.fields, self.fields.as_ref());
        put(&mut policy.json_bytes_max, self.json_bytes_max.as_ref());
        put(&mut policy.in_flight, self.in_flight.as_ref());
        put(&mut policy.max_wait, self.max_wait_ms.map(Millis).as_ref());
        put(&mut policy.retain, self.retain_s.map(Millis::from_seconds).as_ref());
        put(&mut policy.store_on, self.store_on.as_ref());
        put(&mut policy.release_on, self.release_on.as_ref());
        put(&mut policy.on_unknown, self.on_unknown.as_ref());
        put(&mut policy.on_incomplete, self.on_incomplete.as_ref());
        put(&mut policy.answer_status, self.answer_status.as_ref());
        put(&mut policy.in_flight_status, self.in_flight_status.map(status).as_ref());
        put(&mut policy.execution, self.execution.as_ref());
        put(&mut policy.detached_cluster, self.detached_cluster.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::{String, ToString};
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(idempotency: &Value) -> Result<Overrides, String> {
        Overrides::read(&json!({"idempotency": idempotency})).map_err(|errors| errors.to_string())
    }

    #[test]
    fn a_mode_is_read() {
        assert_eq!(read(&json!({"mode": "required"})).unwrap().mode(), Some(Mode::Required));
        assert_eq!(Overrides::read(&json!({})).unwrap().mode(), None);
    }

    #[test]
    fn fields_that_are_not_a_routes_are_refused() {
        let text = read(&json!({"keys_max": 64})).unwrap_err();
        assert!(
            text.starts_with("idempotency.keys_max: is not known; allowed: mode, methods, header,"),
            "{text}"
        );
        let text = Overrides::read(&json!({"name": "x"})).unwrap_err().to_string();
        assert_eq!(text, "name: is not known; allowed: idempotency, capture");
    }

    /// Case T12.
    #[test]
    fn off_with_another_field_is_refused() {
        let text = read(&json!({"mode": "off", "retain_s": 60})).unwrap_err();
        assert_eq!(text, "idempotency.retain_s: contradicts mode: off beside it");
    }

    /// Case T12.
    #[test]
    fn off_beside_a_repeated_default_is_accepted() {
        assert!(read(&json!({"mode": "off", "retain_s": 900, "methods": ["POST", "PATCH"]})).is_ok());
    }

    #[test]
    fn fields_are_named_where_bodies_are_read_as_json() {
        let text = read(&json!({"fields": ["/amount"]})).unwrap_err();
        let want =
            "idempotency.fields: contradicts the fingerprint, which is not json; write fingerprint: json beside it";
        assert_eq!(text, want);
        assert!(read(&json!({"fields": ["/amount"], "fingerprint": "json"})).is_ok());
        assert!(read(&json!({"fields": []})).is_ok());
        let text = read(&json!({"fields": ["amount"], "fingerprint": "json"})).unwrap_err();
        assert!(
            text.starts_with("idempotency.fields[0]: \"amount\" is not a JSON pointer"),
            "{text}"
        );
    }

    #[test]
    fn every_field_is_applied() {
        let all = json!({"mode": "required", "methods": "unsafe", "header": "x-key", "header_aliases": ["x-other"],
            "namespace": "shop", "scope": "endpoint", "anonymous": "refuse", "encoder": "django", "fingerprint": "json", "fields": ["/a"], "json_bytes_max": 2048, "in_flight": "wait",
            "max_wait_ms": 7, "retain_s": 5, "store_on": [207], "release_on": [], "on_unknown": "release", "on_incomplete": "unknown", "answer_status": 409, "in_flight_status": 423,
            "execution": "detached", "detached_cluster": "detached"});
        let before = RouteFields::default().defaults();
        let mut after = before.clone();
        read(&all).unwrap().keys().apply(&mut after);
        // What only the document says stays; everything else is another now.
        after.header_syntax = before.header_syntax;
        assert_eq!(
            after,
            Policy {
                retain: Millis(5000),
                unknown_retain: before.unknown_retain,
                ..read(&all).unwrap().keys().defaults()
            }
        );
        assert_ne!(after.in_flight_status, before.in_flight_status);
        assert_ne!((after.scope, after.namespace), (before.scope, before.namespace));
        assert_ne!(
            (after.execution, after.detached_cluster),
            (before.execution, before.detached_cluster)
        );
    }
}
