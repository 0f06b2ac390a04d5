//! Raw → checked: reads a document, and checks what one field cannot know by itself.

use super::error::{Place, Problems};
use super::fields::{DocumentFields, KeyFields, LimitFields, ProblemFields, RouteFields, StoreFields};
use super::kind::Kind;
use super::overrides::check_fields;
use super::rate::{Rate, Retained};
use super::table::table;
use super::{
    CapturePolicy, ConfigError, ConfigErrors, Document, Policy, ProblemStyle, ReplaydPlace, Routes, StoreLimits,
};
use crate::time::Millis;
use alloc::format;
use alloc::vec;
use serde_json::Value;

impl Document {
    /// Reads the plugin configuration; none = an empty one, which only pins the shared data.
    ///
    /// Shape: JSON. No bytes, white space and `{}` are empty; whole numbers may be written as floats, since a protobuf
    /// `Struct` knows no others.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn read(bytes: &[u8]) -> Result<Option<Self>, ConfigErrors> {
        if bytes.trim_ascii().is_empty() {
            return Ok(None);
        }
        match serde_json::from_slice(bytes) {
            Ok(value) => Self::from_value(&value),
            Err(error) => {
                let problem = format!("is not JSON: {error}");
                Err(ConfigErrors(vec![ConfigError {
                    path: "document".into(),
                    problem,
                }]))
            }
        }
    }

    /// Reads a document that has been parsed already; none = `{}`.
    ///
    /// # Errors
    ///
    /// [`ConfigErrors`] with everything that is wrong.
    pub fn from_value(value: &Value) -> Result<Option<Self>, ConfigErrors> {
        if value.as_object().is_some_and(serde_json::Map::is_empty) {
            return Ok(None);
        }
        let mut problems = Problems::default();
        let fields = table::<DocumentFields>()
            .read(value, &Place::Root, &mut problems)
            .unwrap_or_default();
        if fields.version.is_none() && value.get("version").is_none() && value.is_object() {
            problems.add(
                &Place::Root.field("version"),
                format_args!("is missing; this format is version 1"),
            );
        }
        let document = Self::checked(&fields, &mut problems);
        problems.or(Some(document))
    }

    fn checked(fields: &DocumentFields, problems: &mut Problems) -> Self {
        let mut keys = fields.idempotency();
        if let Some(preset) = keys.1.preset() {
            preset.fill(&mut keys.0);
        }
        let place = Place::Root.field("idempotency");
        check_rate(fields, &keys, &place, problems);
        check_principal_share(&keys.1, &place, problems);
        check_fields(&keys.0, &RouteFields::default(), &place, problems);
        let capture = fields.capture();
        capture.check_closed(&Place::Root.field("capture"), problems);
        let unknown_retain = keys.1.unknown_retain_s().map(Millis::from_seconds);
        let mut routes = Routes::new(defaults(&keys), capture, unknown_retain);
        routes.add(&fields.rules(), &keys.0, &Place::Root.field("rules"), problems);
        routes.check_detached(&place, &Place::Root.field("rules"), problems);
        let (limits, replayd) = (fields.limits(), fields.replayd());
        Self {
            name: fields.name(),
            principal: fields.principal(),
            problem: style(&fields.problem()),
            store: store(&keys.1, &limits),
            routes,
            replayd: ReplaydPlace {
                cluster: replayd.cluster(),
                timeout: Millis(replayd.timeout_ms()),
            },
            capture_bytes_max: limits.capture_bytes_max(),
            hold_bytes_max: limits.hold_bytes_max(),
            boot_gate: fields.restore().boot_gate(),
        }
    }

    /// Tells how many new keys a second the store carries for ever, if all are retained as long as any may be.
    ///
    /// Above that fill new keys begin to meet full buckets.
    #[must_use]
    pub fn rate(&self) -> Rate {
        Rate::new(self.store.keys_max.into(), self.routes.longest_retained())
    }
}

fn check_rate(fields: &DocumentFields, keys: &KeyFields, place: &Place<'_>, problems: &mut Problems) {
    let Some(expected) = keys.1.expect_keys_per_s() else {
        return;
    };
    let rules = fields.rules();
    let rules = rules.iter().map(|rule| rule.idempotency().retain_s).enumerate();
    let rate = Rate::new(keys.1.keys_max(), Retained::longest(keys.0.retain_s(), rules));
    if rate.is_below(expected) {
        problems.add(
            &place.field("expect_keys_per_s"),
            format_args!("{expected} is above what the store carries: {rate}"),
        );
    }
}

fn check_principal_share(store: &StoreFields, place: &Place<'_>, problems: &mut Problems) {
    let keys_max = store.keys_max();
    if let Some(share) = store.keys_per_principal_max().filter(|share| *share > keys_max) {
        problems.add(
            &place.field("keys_per_principal_max"),
            format_args!("{share} is above keys_max {keys_max}"),
        );
    }
}

/// What counts where neither a rule nor a route says otherwise.
fn defaults(keys: &KeyFields) -> Policy {
    let retain = Millis::from_seconds(keys.0.retain_s());
    let mut policy = keys.0.defaults();
    policy.header_syntax = keys.1.header_syntax();
    policy.unknown_retain = keys.1.unknown_retain_s().map_or(retain, Millis::from_seconds);
    policy
}

fn style(problem: &ProblemFields) -> ProblemStyle {
    ProblemStyle {
        base: problem.base(),
        docs_url: problem.docs_url(),
        statuses: problem.statuses(),
    }
}

fn store(store: &StoreFields, limits: &LimitFields) -> StoreLimits {
    StoreLimits {
        keys_max: narrow(store.keys_max()),
        keys_per_principal_max: store.keys_per_principal_max().map(narrow),
        on_full: store.on_full(),
        retain_max: Millis::from_seconds(store.retain_max_s()),
        lease: Millis(store.lease_ms()),
        response_bytes_max: narrow(store.response_bytes_max()),
        response_bytes_total_max: store.response_bytes_total_max(),
        buffered_bytes_max: limits.buffered_bytes_max(),
        waiters_max: narrow(limits.waiters_max()),
        waiters_per_key_max: narrow(limits.waiters_per_key_max()),
    }
}

/// Narrows a number whose bound in the table is below 2^32.
fn narrow(number: u64) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

impl RouteFields {
    /// Gives the policy that these fields and the defaults of the others make.
    pub(super) fn defaults(&self) -> Policy {
        let retain = Millis::from_seconds(self.retain_s());
        Policy {
            mode: self.mode(),
            methods: self.methods(),
            header: self.header(),
            header_aliases: self.header_aliases(),
            header_syntax: super::HeaderSyntax::Any,
            namespace: self.namespace(),
            scope: self.scope(),
            anonymous: self.anonymous(),
            encoder: self.encoder(),
            fingerprint: self.fingerprint(),
            fields: self.fields(),
            json_bytes_max: self.json_bytes_max(),
            in_flight: self.in_flight(),
            max_wait: Millis(self.max_wait_ms()),
            retain,
            unknown_retain: retain,
            store_on: self.store_on(),
            release_on: self.release_on(),
            on_unknown: self.on_unknown(),
            on_incomplete: self.on_incomplete(),
            answer_status: self.answer_status(),
            in_flight_status: status(self.in_flight_status()),
            execution: self.execution(),
            detached_cluster: self.detached_cluster(),
            capture: CapturePolicy::off(),
        }
    }
}

/// Narrows a status, which the table bounds.
pub(super) fn status(number: u64) -> u16 {
    u16::try_from(number).unwrap_or(409)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{InFlight, Mode, OnFull, PrincipalSource};
    use alloc::string::{String, ToString};
    use serde_json::json;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(value: &Value) -> Result<Option<Document>, String> {
        Document::read(value.to_string().as_bytes()).map_err(|errors| errors.to_string())
    }

    fn keys(idempotency: &Value) -> Result<Document, String> {
        read(&json!({"version": 1, "idempotency": idempotency})).map(Option::unwrap)
    }

    #[track_caller]
    fn refused(value: &Value, want: &str) {
        assert_eq!(read(value).unwrap_err(), want);
    }

    #[track_caller]
    fn keys_refused(idempotency: &Value, want: &str) {
        assert_eq!(keys(idempotency).unwrap_err(), want);
    }

    #[test]
    fn an_empty_document_only_pins() {
        for bytes in ["", " \n", "{}", " {} "] {
            assert_eq!(Document::read(bytes.as_bytes()), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn a_version_alone_gives_the_defaults() {
        let document = read(&json!({"version": 1})).unwrap().unwrap();
        assert_eq!(document.name, "reprise");
        assert_eq!(document.principal, [PrincipalSource::Authorization]);
        assert_eq!(
            (document.store.keys_max, document.store.lease),
            (262_144, Millis(15_000))
        );
        assert_eq!(
            (document.store.on_full, document.store.buffered_bytes_max),
            (OnFull::Refuse, 67_108_864)
        );
        let policy = document.routes.defaults();
        assert_eq!(
            (policy.mode, policy.retain, policy.in_flight_status),
            (Mode::Optional, Millis(900_000), 409)
        );
        assert!(policy.release_on.retry_after_503 && policy.release_on.statuses.has(429));
    }

    #[test]
    fn where_replayd_is_and_what_is_held_is_read() {
        let document = read(
            &json!({"version": 1, "replayd": {"cluster": "keeper", "timeout_ms": 50},
            "limits": {"capture_bytes_max": 65_536, "hold_bytes_max": 2048}, "restore": {"boot_gate": true}}),
        );
        let document = document.unwrap().unwrap();
        assert_eq!(
            (document.replayd.cluster.as_str(), document.replayd.timeout),
            ("keeper", Millis(50))
        );
        assert_eq!(
            (document.capture_bytes_max, document.hold_bytes_max, document.boot_gate),
            (65_536, 2048, true)
        );
        let defaults = read(&json!({"version": 1})).unwrap().unwrap();
        assert_eq!(
            (defaults.replayd.cluster.as_str(), defaults.replayd.timeout),
            ("replayd", Millis(500))
        );
        assert_eq!(
            (defaults.capture_bytes_max, defaults.hold_bytes_max, defaults.boot_gate),
            (16_777_216, 4_063_232, false)
        );
    }

    #[test]
    fn every_default_may_be_repeated() {
        let whole = include_str!("fixtures/default.json");
        let minimal = read(&json!({"version": 1})).unwrap();
        assert_eq!(Document::read(whole.as_bytes()).unwrap(), minimal);
    }

    #[test]
    fn all_problems_are_told_at_once() {
        let value = json!({"version": 2, "idempotency": {"lease_ms": 0, "leese_ms": 5, "mode": "must"}, "nam": "x"});
        let text = read(&value).unwrap_err();
        let lines: vec::Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 5, "{text}");
        assert!(
            lines.contains(&"idempotency.lease_ms: 0 is not between 300 and 600000"),
            "{text}"
        );
        assert!(lines.contains(&"version: 2 is not 1"), "{text}");
        assert!(
            lines[0].starts_with("nam: is not known; allowed: version, name, replayd, limits,"),
            "{text}"
        );
    }

    #[test]
    fn features_to_come_are_not_offered() {
        let want = "nam: is not known; allowed: version, name, replayd, limits, restore, problem, principal, idempotency, \
                    capture, rules";
        refused(&json!({"version": 1, "nam": "x"}), want);
        let text = keys(&json!({"leese_ms": 5})).unwrap_err();
        assert!(!text.contains("on_replayd_down"), "{text}");
        assert!(text.contains("retain_s") && text.contains("lease_ms"), "{text}");
    }

    #[test]
    fn a_version_is_needed() {
        refused(
            &json!({"name": "edge"}),
            "version: is missing; this format is version 1",
        );
    }

    #[test]
    fn what_is_no_object_is_refused() {
        refused(&json!([1]), "document: [1] is not an object");
        let errors = Document::read(b"{").unwrap_err();
        assert!(errors.to_string().starts_with("document: is not JSON: "), "{errors}");
    }

    #[test]
    fn features_to_come_are_refused() {
        let want = "hooks.enabled: false is not available yet, only true is accepted";
        refused(&json!({"version": 1, "hooks": {"enabled": false}}), want);
        let want = "idempotency.store: \"replayd\" is not available yet, only \"shared_data\" is accepted";
        keys_refused(&json!({"store": "replayd"}), want);
    }

    #[test]
    fn how_long_and_how_many_duplicates_wait_is_read() {
        let document = read(
            &json!({"version": 1, "idempotency": {"in_flight": "wait", "max_wait_ms": 200},
            "limits": {"waiters_max": 5, "waiters_per_key_max": 2}}),
        );
        let document = document.unwrap().unwrap();
        let policy = document.routes.defaults();
        assert_eq!((policy.in_flight, policy.max_wait), (InFlight::Wait, Millis(200)));
        assert_eq!((document.store.waiters_max, document.store.waiters_per_key_max), (5, 2));
        let defaults = read(&json!({"version": 1})).unwrap().unwrap();
        assert_eq!(defaults.routes.defaults().max_wait, Millis(10_000));
        assert_eq!(
            (defaults.store.waiters_max, defaults.store.waiters_per_key_max),
            (1000, 64)
        );
    }

    #[test]
    fn fields_of_a_body_are_named_where_it_is_read_as_json() {
        let policy = |value| keys(&value).map(|document| document.routes.defaults().clone());
        let read = policy(json!({"fingerprint": "json", "fields": ["/a"], "json_bytes_max": 2048})).unwrap();
        assert_eq!((read.fields, read.json_bytes_max), (vec!["/a".into()], 2048));
        let want =
            "idempotency.fields: contradicts the fingerprint, which is not json; write fingerprint: json beside it";
        assert_eq!(policy(json!({"fields": ["/a"]})).unwrap_err(), want);
        let rule = json!([{"idempotency": {"fields": ["/a"]}}]);
        refused(
            &json!({"version": 1, "rules": rule}),
            &alloc::format!("rules[0].{want}"),
        );
        assert!(read_with(&json!({"fingerprint": "json"}), &rule).is_ok());
    }

    fn read_with(idempotency: &Value, rules: &Value) -> Result<Option<Document>, String> {
        read(&json!({"version": 1, "idempotency": idempotency, "rules": rules}))
    }

    #[test]
    fn unknown_outcomes_live_as_long_as_records() {
        let retains = |value| keys(&value).map(|document| document.routes.defaults().unknown_retain);
        assert_eq!(retains(json!({"retain_s": 60})), Ok(Millis(60_000)));
        assert_eq!(
            retains(json!({"retain_s": 60, "unknown_retain_s": 5})),
            Ok(Millis(5_000))
        );
    }

    #[test]
    fn floats_of_a_struct_are_whole_numbers() {
        assert_eq!(
            keys(&json!({"keys_max": 64.0})).map(|document| document.store.keys_max),
            Ok(64)
        );
    }

    #[test]
    fn the_default_store_carries_116_new_keys_a_second() {
        let rate = read(&json!({"version": 1})).unwrap().unwrap().rate();
        assert_eq!(rate.keys_per_s(), 116);
        assert_eq!(rate.to_string(), "0.4 * keys_max 262144 / retain_s 900 = 116");
    }

    fn with_rule(expect_keys_per_s: u64, retain_s: u64) -> Value {
        json!({"version": 1, "idempotency": {"expect_keys_per_s": expect_keys_per_s},
            "rules": [{"idempotency": {"mode": "required"}}, {"match": {"path": "/a"}, "idempotency": {"retain_s": retain_s}}]})
    }

    #[test]
    fn a_rule_that_retains_longer_lowers_the_rate() {
        let want = "idempotency.expect_keys_per_s: 50 is above what the store carries: \
                    0.4 * keys_max 262144 / retain_s 86400 of rules[1] = 1";
        refused(&with_rule(50, 86_400), want);
        let document = read(&with_rule(1, 86_400)).unwrap().unwrap();
        assert_eq!(
            document.rate().to_string(),
            "0.4 * keys_max 262144 / retain_s 86400 of rules[1] = 1"
        );
    }

    #[test]
    fn a_rule_that_retains_no_longer_leaves_the_rate() {
        let document = read(&with_rule(116, 900)).unwrap().unwrap();
        assert_eq!(
            document.rate().to_string(),
            "0.4 * keys_max 262144 / retain_s 900 = 116"
        );
    }

    /// Case T85.
    #[test]
    fn a_rate_that_the_store_cannot_carry_is_refused() {
        assert!(keys(&json!({"expect_keys_per_s": 116})).is_ok());
        let want = "idempotency.expect_keys_per_s: 117 is above what the store carries: \
                    0.4 * keys_max 262144 / retain_s 900 = 116";
        keys_refused(&json!({"expect_keys_per_s": 117}), want);
    }

    /// Case T85.
    #[test]
    fn a_rate_is_compared_without_rounding() {
        assert!(keys(&json!({"keys_max": 32_000, "retain_s": 128, "expect_keys_per_s": 100})).is_ok());
        assert!(keys(&json!({"keys_max": 32_000, "retain_s": 129, "expect_keys_per_s": 100})).is_err());
    }

    #[test]
    fn a_principal_cannot_have_more_than_there_is() {
        let want = "idempotency.keys_per_principal_max: 65 is above keys_max 64";
        keys_refused(&json!({"keys_max": 64, "keys_per_principal_max": 65}), want);
    }

    #[cfg(not(target_arch = "wasm32"))]
    #[expect(clippy::arithmetic_side_effects, reason = "the numbers of the tests are small")]
    mod properties {
        use super::*;
        use proptest::prelude::*;

        pub(super) fn json_value() -> impl Strategy<Value = Value> {
            let name = prop_oneof![
                "[a-z_]{1,12}",
                Just("idempotency".into()),
                Just("rules".into()),
                Just("match".into()),
                Just("path".into()),
                Just("version".into()),
                Just("mode".into()),
                Just("store_on".into()),
                Just("capture".into()),
                Just("redact".into()),
                Just("sample".into()),
                Just("exclude".into()),
                Just("only".into()),
                Just("json".into()),
                Just("by".into())
            ];
            let leaf = prop_oneof![
                Just(Value::Null),
                any::<bool>().prop_map(Value::from),
                any::<i64>().prop_map(Value::from),
                any::<f64>().prop_map(Value::from),
                "[/{}*a-z0-9%.]{0,12}".prop_map(Value::from)
            ];
            leaf.prop_recursive(4, 48, 6, move |inner| {
                prop_oneof![
                    prop::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
                    prop::collection::btree_map(name.clone(), inner, 0..6)
                        .prop_map(|fields| Value::Object(fields.into_iter().collect()))
                ]
            })
        }

        proptest! {
            #[test]
            fn any_bytes_are_read_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
                let _ = Document::read(&bytes);
            }

            #[test]
            fn any_json_is_read_without_a_panic(value in json_value()) {
                let _ = Document::from_value(&value);
                let _ = crate::config::Overrides::read(&value);
            }

            #[test]
            fn a_rate_is_refused_above_the_figure_that_is_told(buckets in 1_u64..10_000, retain_s in 1_u64..604_800) {
                let store = json!({"keys_max": buckets * 32, "retain_s": retain_s});
                let most = keys(&store).unwrap().rate().keys_per_s();
                let with = |rate| keys(&json!({"keys_max": buckets * 32, "retain_s": retain_s, "expect_keys_per_s": rate}));
                prop_assert!(with(most + 1).is_err());
                prop_assert!(most == 0 || with(most).is_ok());
            }

            #[test]
            fn a_wrong_field_is_named(name in "[a-z]{3,9}x") {
                let text = keys(&json!({name.clone(): 1})).unwrap_err();
                let want = alloc::format!("idempotency.{name}: is not known");
                prop_assert!(text.starts_with(&want));
            }
        }
    }
}
