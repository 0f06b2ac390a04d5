//! Presets: other defaults, for those who come from elsewhere. What a document writes beside one wins.

use super::fields::RouteFields;
use super::{Encoder, Fingerprint, InFlight, Methods, Mode, StatusSet};

/// Defaults by one name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Preset {
    /// Those of the middleware for Django. What becomes of an unknown outcome stays ours on purpose.
    Django,
}

impl Preset {
    /// Writes the preset's defaults where the document wrote nothing.
    pub(super) fn fill(self, fields: &mut RouteFields) {
        match self {
            Self::Django => django(fields),
        }
    }
}

fn django(fields: &mut RouteFields) {
    fields.mode.get_or_insert(Mode::Required);
    fields.methods.get_or_insert(Methods::Unsafe);
    fields.encoder.get_or_insert(Encoder::Django);
    // Another body is another key.
    fields.fingerprint.get_or_insert(Fingerprint::None);
    fields
        .store_on
        .get_or_insert_with(|| (200..=207).fold(StatusSet::NONE, StatusSet::with));
    fields.answer_status.get_or_insert(Some(409));
    fields.in_flight.get_or_insert(InFlight::Wait);
    fields.max_wait_ms.get_or_insert(100);
    fields.in_flight_status.get_or_insert(423);
}

#[cfg(test)]
mod tests {
    use crate::config::{Document, Encoder, Fingerprint, InFlight, Methods, Mode, OnUnknown, Policy};
    use crate::time::Millis;
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn document(idempotency: &Value, rules: &Value) -> Document {
        let value = json!({"version": 1, "idempotency": idempotency, "rules": rules});
        Document::from_value(&value).unwrap().unwrap()
    }

    fn policy(idempotency: &Value) -> Policy {
        document(idempotency, &json!([])).routes.defaults().clone()
    }

    #[test]
    fn the_preset_for_django_changes_what_the_middleware_has_otherwise() {
        let (ours, django) = (policy(&json!({})), policy(&json!({"preset": "django"})));
        assert!((200..=599).all(|status| django.store_on.has(status) == (200..=207).contains(&status)));
        let want = Policy {
            mode: Mode::Required,
            methods: Methods::Unsafe,
            encoder: Encoder::Django,
            fingerprint: Fingerprint::None,
            store_on: django.store_on,
            answer_status: Some(409),
            in_flight: InFlight::Wait,
            max_wait: Millis(100),
            in_flight_status: 423,
            ..ours
        };
        assert_eq!((django.on_unknown, &django), (OnUnknown::Hold, &want));
        assert_eq!(policy(&json!({"preset": null})), policy(&json!({})));
    }

    #[test]
    fn what_is_written_beside_a_preset_wins() {
        let beside = json!({"preset": "django", "mode": "off", "methods": ["POST"], "encoder": "standard",
            "fingerprint": "raw", "store_on": "all", "answer_status": "original", "in_flight": "conflict", "max_wait_ms": 10_000,
            "in_flight_status": 409});
        let want = Policy {
            mode: Mode::Off,
            methods: Methods::Listed(["POST".into()].into()),
            ..policy(&json!({}))
        };
        assert_eq!(policy(&beside), want);
    }

    #[test]
    fn rules_lie_over_a_preset_and_may_repeat_it() {
        let rules = json!([{"match": {"path": "/a"}, "idempotency": {"mode": "off", "answer_status": 409}},
            {"match": {"path": "/b"}, "idempotency": {"fingerprint": "raw"}}]);
        let document = document(&json!({"preset": "django"}), &rules);
        let of = |path: &[u8]| {
            document
                .routes
                .policy(document.routes.select(b"POST", b"h", path), None)
        };
        assert_eq!((of(b"/a").mode, of(b"/b").fingerprint), (Mode::Off, Fingerprint::Raw));
        assert_eq!((of(b"/b").mode, of(b"/b").encoder), (Mode::Required, Encoder::Django));
    }

    #[test]
    fn only_a_document_has_a_preset() {
        let rules = json!([{"idempotency": {"preset": "django"}}]);
        let errors = Document::from_value(&json!({"version": 1, "rules": rules})).unwrap_err();
        assert!(errors.0[0].problem.starts_with("is not known"), "{errors}");
        let errors = Document::from_value(&json!({"version": 1, "idempotency": {"preset": "rails"}})).unwrap_err();
        assert_eq!(errors.0[0].problem, "\"rails\" is not known; allowed: django");
    }
}
