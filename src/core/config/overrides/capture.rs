//! What the fields of capture make together: the document's, its rules' and a route's, one over the other.

use super::put;
use crate::config::error::{Place, Problems};
use crate::config::fields::{CaptureFields, OnlyFields, RedactFields, SampleFields};
use crate::config::table::Table;
use crate::config::{CapturePolicy, Durability, OnReplaydDown, Only, Redact, Sample};
use crate::time::Millis;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

/// Lays `over` over `place`, if it was given, by the field.
fn lay_table<T: Clone>(place: &mut Option<T>, over: Option<&T>, lay: impl FnOnce(&mut T, &T)) {
    match (place, over) {
        (Some(place), Some(over)) => lay(place, over),
        (place @ None, Some(over)) => *place = Some(over.clone()),
        (_, None) => {}
    }
}

/// Puts `over` in the place of what was written so far, if it is given.
fn lay_field<T: Clone>(place: &mut Option<T>, over: Option<&T>) {
    put(place, over.cloned().map(Some).as_ref());
}

impl CaptureFields {
    /// Lays what `over` says over what is written here, field by field.
    pub(in crate::config) fn lay(&mut self, over: &Self) {
        lay_field(&mut self.enabled, over.enabled.as_ref());
        lay_field(&mut self.methods, over.methods.as_ref());
        lay_field(&mut self.statuses, over.statuses.as_ref());
        lay_field(&mut self.exclude, over.exclude.as_ref());
        lay_table(&mut self.only, over.only.as_ref(), OnlyFields::lay);
        lay_table(&mut self.sample, over.sample.as_ref(), SampleFields::lay);
        lay_field(&mut self.durability, over.durability.as_ref());
        lay_field(&mut self.on_replayd_down, over.on_replayd_down.as_ref());
        lay_field(&mut self.body_bytes_max, over.body_bytes_max.as_ref());
        lay_field(&mut self.labels, over.labels.as_ref());
        lay_table(&mut self.redact, over.redact.as_ref(), RedactFields::lay);
    }

    /// Gives the policy that these fields and the defaults of the others make.
    pub(in crate::config) fn policy(&self) -> CapturePolicy {
        let (only, sample, redact) = (self.only(), self.sample(), self.redact());
        let durability = self.durability();
        let on_replayd_down = match (durability, self.on_replayd_down()) {
            // Nothing waits, so nothing can be refused.
            (Durability::Async, _) => OnReplaydDown::Open,
            (Durability::WriteAhead | Durability::WriteAheadResponse, None) => OnReplaydDown::Closed,
            (Durability::WriteAhead | Durability::WriteAheadResponse, Some(written)) => written,
        };
        CapturePolicy {
            enabled: self.enabled(),
            methods: self.methods(),
            statuses: self.statuses(),
            exclude: self.exclude(),
            only: Only {
                headers: only.headers(),
                content_types: only.content_types(),
                bytes_max: only.bytes_max(),
                latency_min: only.latency_min_ms().map(Millis),
            },
            sample: Sample {
                per_million: sample.rate(),
                by: sample.by(),
            },
            durability,
            on_replayd_down,
            // The table's bound is below 2^32.
            body_bytes_max: u32::try_from(self.body_bytes_max()).unwrap_or(u32::MAX),
            labels: self.labels(),
            redact: Redact {
                headers: redact.headers(),
                query: redact.query(),
                form: redact.form(),
                json: redact.json(),
                seal: redact.seal(),
            },
        }
    }

    /// Lists the fields that are written in both and differ, as in `sample.rate`.
    pub(in crate::config) fn differing(&self, other: &Self) -> Vec<String> {
        let mut names: Vec<String> = self
            .flat()
            .contradictions(&other.flat())
            .into_iter()
            .map(String::from)
            .collect();
        names.extend(differing_in("only", self.only.as_ref(), other.only.as_ref()));
        names.extend(differing_in("sample", self.sample.as_ref(), other.sample.as_ref()));
        names.extend(differing_in("redact", self.redact.as_ref(), other.redact.as_ref()));
        names
    }

    /// Leaves out the fields that have fields themselves.
    fn flat(&self) -> Self {
        Self {
            only: None,
            sample: None,
            redact: None,
            ..self.clone()
        }
    }

    /// Writes every field, those of fields as well: what was not has its default.
    pub(in crate::config) fn filled_whole(&self) -> Self {
        Self {
            only: Some(self.only().filled()),
            sample: Some(self.sample().filled()),
            redact: Some(self.redact().filled()),
            ..self.filled()
        }
    }

    /// Checks what one object says of capture; `defaults` are the document's.
    pub(in crate::config) fn check(&self, defaults: &Self, place: &Place<'_>, problems: &mut Problems) {
        if self.enabled == Some(false) {
            let others = Self {
                enabled: None,
                ..self.clone()
            };
            // Repeating what counts anyway is no contradiction.
            for name in others.differing(&defaults.filled_whole()) {
                problems.add(
                    &place.field(&name),
                    format_args!("contradicts enabled: false beside it"),
                );
            }
        }
        self.check_closed(place, problems);
    }

    /// Checks that nothing is to be refused where nothing waits.
    pub(in crate::config) fn check_closed(&self, place: &Place<'_>, problems: &mut Problems) {
        if self.durability == Some(Durability::Async) && self.on_replayd_down == Some(Some(OnReplaydDown::Closed)) {
            problems.add(
                &place.field("on_replayd_down"),
                format_args!("closed contradicts durability: async beside it, where no request waits for its capture"),
            );
        }
    }
}

/// Lists the fields of the table `name` that are written in both and differ.
fn differing_in<T: Table>(name: &str, one: Option<&T>, other: Option<&T>) -> Vec<String> {
    let names = one.zip(other).map(|(one, other)| one.contradictions(other));
    let names = names.unwrap_or_default().into_iter();
    names.map(|field| format!("{name}.{field}")).collect()
}

impl OnlyFields {
    fn lay(&mut self, over: &Self) {
        lay_field(&mut self.headers, over.headers.as_ref());
        lay_field(&mut self.content_types, over.content_types.as_ref());
        lay_field(&mut self.bytes_max, over.bytes_max.as_ref());
        lay_field(&mut self.latency_min_ms, over.latency_min_ms.as_ref());
    }
}

impl SampleFields {
    fn lay(&mut self, over: &Self) {
        lay_field(&mut self.rate, over.rate.as_ref());
        lay_field(&mut self.by, over.by.as_ref());
    }
}

impl RedactFields {
    fn lay(&mut self, over: &Self) {
        lay_field(&mut self.headers, over.headers.as_ref());
        lay_field(&mut self.query, over.query.as_ref());
        lay_field(&mut self.form, over.form.as_ref());
        lay_field(&mut self.json, over.json.as_ref());
        lay_field(&mut self.seal, over.seal.as_ref());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Document, Exclude, Overrides, SampleBy, Selection, StatusSet};
    use alloc::string::ToString;
    use alloc::vec;
    use serde_json::{Value, json};
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn read(document: &Value) -> Result<Document, String> {
        let mut whole = json!({"version": 1});
        whole
            .as_object_mut()
            .unwrap()
            .extend(document.as_object().unwrap().clone());
        Document::from_value(&whole)
            .map(Option::unwrap)
            .map_err(|errors| errors.to_string())
    }

    /// What the document asks for at a POST to `path`.
    fn asked(document: &Value, path: &str, metadata: Option<&Value>) -> CapturePolicy {
        let routes = read(document).unwrap().routes;
        let overrides = metadata.map(|value| Overrides::read(&json!({"capture": value})).unwrap());
        let selection = routes.select(b"POST", b"a", path.as_bytes());
        routes.policy(selection, overrides.as_ref()).capture
    }

    #[track_caller]
    fn refused(document: &Value, want: &str) {
        assert_eq!(read(document).unwrap_err(), want);
    }

    #[test]
    fn nothing_is_captured_by_default() {
        assert_eq!(asked(&json!({}), "/", None), CapturePolicy::off());
        assert_eq!(
            read(&json!({})).unwrap().routes.defaults().capture,
            CapturePolicy::off()
        );
    }

    #[test]
    fn every_field_is_read() {
        let capture = json!({"enabled": true, "methods": ["POST", "GET"], "statuses": ["2xx"], "labels": ["pay"],
            "exclude": ["/health", {"route": "ops"}], "durability": "write_ahead_response", "on_replayd_down": "open",
            "only": {"headers": {"X-Tenant": "*"}, "content_types": ["Application/*"], "bytes_max": 9, "latency_min_ms": 7},
            "sample": {"rate": 0.25, "by": {"header": "X-Session"}}, "body_bytes_max": 0,
            "redact": {"headers": ["X-Pin"], "query": ["token"], "form": ["pin"], "json": ["/a/*"], "seal": ["header:X-Pin"]}});
        let want = CapturePolicy {
            enabled: true,
            methods: vec!["GET".into(), "POST".into()],
            statuses: (200..300).fold(StatusSet::NONE, StatusSet::with),
            exclude: vec![Exclude::Path("/health".into()), Exclude::Route("ops".into())],
            only: Only {
                headers: vec![("x-tenant".into(), "*".into())],
                content_types: vec!["application/*".into()],
                bytes_max: Some(9),
                latency_min: Some(Millis(7)),
            },
            sample: Sample {
                per_million: 250_000,
                by: Some(SampleBy::Header("x-session".into())),
            },
            durability: Durability::WriteAheadResponse,
            on_replayd_down: OnReplaydDown::Open,
            body_bytes_max: 0,
            labels: vec!["pay".into()],
            redact: Redact {
                headers: vec!["x-pin".into()],
                query: vec!["token".into()],
                form: vec!["pin".into()],
                json: vec!["/a/*".into()],
                seal: vec!["header:x-pin".into()],
            },
        };
        assert_eq!(asked(&json!({"capture": capture}), "/", None), want);
        // A rule and a route's metadata take the same fields.
        assert_eq!(asked(&json!({"rules": [{"capture": capture}]}), "/", None), want);
        assert_eq!(asked(&json!({}), "/", Some(&capture)), want);
    }

    #[test]
    fn metadata_go_over_rules_over_defaults_field_by_field() {
        let document = json!({
            "capture": {"enabled": true, "redact": {"json": ["/a"], "query": ["q"]}, "sample": {"rate": 0.5}},
            "rules": [
                {"match": {"path": "/v1/{*rest}"}, "capture": {"redact": {"json": ["/b"]}, "labels": ["v1"]}},
                {"match": {"path": "/v1/x"}, "capture": {"sample": {"by": "path"}}},
            ]
        });
        let policy = asked(
            &document,
            "/v1/x",
            Some(&json!({"redact": {"form": ["f"]}, "labels": []})),
        );
        let (json, query, form): (&[String], &[String], &[String]) =
            (&policy.redact.json, &policy.redact.query, &policy.redact.form);
        assert_eq!(
            (json, query, form),
            (&["/b".into()][..], &["q".into()][..], &["f".into()][..])
        );
        assert_eq!(
            (policy.sample.per_million, policy.sample.by),
            (500_000, Some(SampleBy::Path))
        );
        assert!(policy.enabled && policy.labels.is_empty());
    }

    #[test]
    fn what_waits_is_closed_unless_it_says_open() {
        let down = |capture: Value| asked(&json!({"capture": capture}), "/", None).on_replayd_down;
        assert_eq!(down(json!({})), OnReplaydDown::Open);
        assert_eq!(down(json!({"on_replayd_down": "closed"})), OnReplaydDown::Open);
        for durability in ["write_ahead", "write_ahead_response"] {
            assert_eq!(down(json!({"durability": durability})), OnReplaydDown::Closed);
            assert_eq!(
                down(json!({"durability": durability, "on_replayd_down": null})),
                OnReplaydDown::Closed
            );
            assert_eq!(
                down(json!({"durability": durability, "on_replayd_down": "open"})),
                OnReplaydDown::Open
            );
        }
        let document =
            json!({"capture": {"on_replayd_down": "open"}, "rules": [{"capture": {"durability": "write_ahead"}}]});
        assert_eq!(asked(&document, "/", None).on_replayd_down, OnReplaydDown::Open);
    }

    #[test]
    fn closed_beside_async_is_refused() {
        let wrong = json!({"durability": "async", "on_replayd_down": "closed"});
        let why =
            "on_replayd_down: closed contradicts durability: async beside it, where no request waits for its capture";
        refused(&json!({"capture": wrong}), &format!("capture.{why}"));
        refused(
            &json!({"rules": [{"capture": wrong}]}),
            &format!("rules[0].capture.{why}"),
        );
        let metadata = Overrides::read(&json!({"capture": wrong})).unwrap_err();
        assert_eq!(metadata.to_string(), format!("capture.{why}"));
    }

    #[test]
    fn what_is_not_enabled_says_nothing_else() {
        let rule = |capture: Value| json!({"rules": [{"capture": capture}]});
        refused(
            &rule(json!({"enabled": false, "labels": ["x"], "sample": {"rate": 0.5}})),
            "rules[0].capture.labels: contradicts enabled: false beside it\n\
             rules[0].capture.sample.rate: contradicts enabled: false beside it",
        );
        assert!(
            read(&rule(
                json!({"enabled": false, "labels": [], "sample": {"rate": 1}, "redact": {"json": []}})
            ))
            .is_ok()
        );
        let metadata = Overrides::read(&json!({"capture": {"enabled": false, "methods": ["GET"]}})).unwrap_err();
        assert_eq!(
            metadata.to_string(),
            "capture.methods: contradicts enabled: false beside it"
        );
    }

    #[test]
    fn rules_with_one_match_and_two_values_are_refused() {
        let rules = |one: Value, two: Value| json!({"rules": [{"capture": one}, {"capture": two}]});
        refused(
            &rules(
                json!({"redact": {"json": ["/a"]}}),
                json!({"redact": {"json": ["/b"], "query": ["q"]}}),
            ),
            "rules[1].capture.redact.json: contradicts rules[0].capture.redact.json: both rules have the same match",
        );
        refused(
            &rules(json!({"enabled": true}), json!({"enabled": false})),
            "rules[1].capture.enabled: contradicts rules[0].capture.enabled: both rules have the same match",
        );
        assert!(
            read(&rules(
                json!({"redact": {"json": ["/a"]}}),
                json!({"redact": {"query": ["q"]}})
            ))
            .is_ok()
        );
    }

    #[test]
    fn what_a_document_captures_is_told() {
        let told = |document: Value| {
            let document = read(&document).unwrap();
            (document.captures(), document.captures_safe_methods())
        };
        assert_eq!(told(json!({})), (false, false));
        assert_eq!(told(json!({"capture": {"enabled": true}})), (true, false));
        assert_eq!(
            told(json!({"rules": [{"capture": {"enabled": true, "methods": ["GET"]}}]})),
            (true, true)
        );
        // One rule turns on what another names; metadata may do so as well.
        let two = json!({"rules": [{"match": {"path": "/a"}, "capture": {"methods": ["HEAD"]}}, {"capture": {"enabled": true}}]});
        assert_eq!(told(two), (true, true));
        assert_eq!(told(json!({"capture": {"methods": ["OPTIONS"]}})), (false, true));
    }

    #[test]
    fn every_wrong_field_is_named() {
        for (capture, want) in [
            (json!({"enabled": "yes"}), "enabled: \"yes\" is neither true nor false"),
            (
                json!({"methods": ["get"]}),
                "methods[0]: \"get\" is not a method in upper case",
            ),
            (
                json!({"statuses": []}),
                "statuses: is an empty list, so that nothing would be captured; enabled: false says that",
            ),
            (
                json!({"sample": {"rate": 1.5}}),
                "sample.rate: 1.5 is neither 0 nor a number between 0.000001 and 1",
            ),
            (
                json!({"body_bytes_max": 16_777_217}),
                "body_bytes_max: 16777217 is not between 0 and 16777216",
            ),
            (
                json!({"durability": "sync"}),
                "durability: \"sync\" is not known; allowed: async, write_ahead, write_ahead_response",
            ),
            (
                json!({"redact": {"cookies": []}}),
                "redact.cookies: is not known; allowed: headers, query, form, json, seal",
            ),
        ] {
            refused(&json!({"capture": capture}), &format!("capture.{want}"));
        }
    }

    #[test]
    fn a_selection_of_no_rule_has_the_documents_policy() {
        let document = read(&json!({"capture": {"enabled": true}})).unwrap();
        let policy = document.routes.policy(Selection::NONE, None);
        assert_eq!(policy.capture, document.routes.defaults().capture);
        assert!(policy.capture.enabled);
    }
}
