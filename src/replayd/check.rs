//! Checks a document of the filter, or a whole Envoy configuration around one, before Envoy sees it.
//!
//! The document is read by the same code as in the filter. Around it, each setting that Reprise depends on has a
//! function of its own in the files below; printing and exit codes are not here.

mod callers;
mod certificates;
mod detached;
mod dump;
mod headers;
mod manifest;
mod methods;
mod node;
mod order;
mod pin;
mod plugin;
mod report;
mod routes;
mod running;
mod scene;
mod second_keys;
mod settings;
#[cfg(test)]
mod testing;
mod timeouts;
mod waiting;

pub use report::{Finding, Report};
pub use running::{Protected, Running, check_running};

use node::Node;
use reprise_core::config::{Anonymous, ConfigErrors, Document, InFlight, Mode, Policy};
use reprise_core::id::PRINCIPAL_ROWS;
use scene::Scene;
use serde_json::Value;

/// What only an Envoy configuration, or a manifest that patches one, has.
const ENVOY_FIELDS: [&str; 5] = [
    "typed_config",
    "http_filters",
    "static_resources",
    "configPatches",
    "jsonPatches",
];

/// Checks `text`: a document of the filter in YAML or JSON, an Envoy configuration, or manifests that patch one.
///
/// `file_name` only stands in the report.
#[must_use]
pub fn check(text: &str, file_name: &str) -> Report {
    let mut report = Report::new(file_name);
    match serde_saphyr::from_multiple::<Value>(text) {
        Ok(documents)
            if documents
                .iter()
                .any(|document| node::has_any_field(document, &ENVOY_FIELDS)) =>
        {
            check_envoy(documents, &mut report);
        }
        Ok(documents) => check_plain(&documents, &mut report),
        Err(error) => report.error("document", format!("is neither YAML nor JSON: {error}")),
    }
    report
}

fn check_plain(documents: &[Value], report: &mut Report) {
    match documents {
        [document] => {
            tell_document("", Document::from_value(document), report);
            methods::check(&Node::root(document), report);
        }
        [] => tell_document("", Ok(None), report),
        _ => report.error(
            "document",
            format!("there are {} documents; one is expected", documents.len()),
        ),
    }
}

/// Reports what reading a document at `place` gave.
fn tell_document(place: &str, read: Result<Option<Document>, ConfigErrors>, report: &mut Report) {
    let here = if place.is_empty() { "document" } else { place };
    match read {
        Ok(Some(document)) => {
            let rate = document.rate();
            let text = format!("the store carries {} new keys a second: {rate}", rate.keys_per_s());
            report.note(here, text);
            tell_anonymous(here, &document, report);
            tell_rows(here, &document, report);
            warn_of_duplicates(here, &document, report);
        }
        Ok(None) => report.note(here, "is empty, which means: pin the shared data, protect nothing"),
        Err(errors) => report.document_errors(place, errors),
    }
}

/// Tells whether a key is required also of callers whom no source names.
fn shares(policy: &Policy) -> bool {
    policy.mode == Mode::Required && policy.anonymous == Anonymous::Share
}

/// Names the paths whose policy is one that `is_meant`.
fn paths(document: &Document, is_meant: impl Fn(&Policy) -> bool) -> Vec<String> {
    let rules = document.routes.rules().filter(|(_, policy)| is_meant(policy));
    let mut paths: Vec<String> = rules.map(|(path, _)| path.to_owned()).collect();
    if is_meant(document.routes.defaults()) {
        paths.push("all other paths".into());
    }
    paths.dedup();
    paths
}

/// Tells whose keys are not kept apart where keys are required.
fn tell_anonymous(here: &str, document: &Document, report: &mut Report) {
    let paths = paths(document, shares).join(", ");
    if !paths.is_empty() {
        let text =
            format!("callers whom no principal source names share one namespace where keys are required: {paths}");
        report.note(here, text);
    }
}

/// Tells that a bound on a caller's keys may be that of two.
fn tell_rows(here: &str, document: &Document, report: &mut Report) {
    if let Some(max) = document.store.keys_per_principal_max {
        let text = format!(
            "keys of callers are counted in {PRINCIPAL_ROWS} rows: two callers that share one share \
             keys_per_principal_max {max} as well"
        );
        report.note(here, text);
    }
}

/// Warns where a key does not keep a request from running twice.
fn warn_of_duplicates(here: &str, document: &Document, report: &mut Report) {
    let paths = paths(document, |policy| {
        policy.mode != Mode::Off && policy.in_flight == InFlight::Run
    })
    .join(", ");
    if !paths.is_empty() {
        let text =
            format!("in_flight: run lets a duplicate run beside the first request, with its effect twice: {paths}");
        report.warn(here, text);
    }
}

fn check_envoy(documents: Vec<Value>, report: &mut Report) {
    check_root(&manifest::assemble(documents), report);
}

fn check_root(root: &Value, report: &mut Report) {
    let root = Node::root(root);
    let scenes = scene::find(&root);
    if scenes.is_empty() {
        report.error("document", "no HTTP connection manager has a Reprise filter");
    }
    for scene in &scenes {
        check_scene(scene, report);
    }
}

fn check_scene(scene: &Scene<'_>, report: &mut Report) {
    scene.tell_document(report);
    plugin::check(scene, report);
    order::check(scene, report);
    callers::check(scene, report);
    certificates::check(scene, report);
    headers::check(scene, report);
    second_keys::check(scene, report);
    methods::check_scene(scene, report);
    settings::check(scene, report);
    timeouts::check(scene, report);
    waiting::check(scene, report);
    routes::check(scene, report);
    pin::check(scene, report);
    detached::check(scene, report);
}

#[cfg(test)]
mod tests {
    use super::*;
    use testing::{GATEWAY, ISTIO, reference};

    #[test]
    fn a_plain_document_is_checked() {
        let report = check("version: 1\nidempotency: {mode: off, lease_ms: 1}\n", "a.yaml");
        assert_eq!(
            report.to_string(),
            "a.yaml: error: idempotency.lease_ms: 1 is not between 300 and 600000\n\
             a.yaml: 1 error, 0 warnings, 0 notes\n"
        );
    }

    #[test]
    fn the_sustained_rate_is_told() {
        let report = check("{\"version\": 1}", "a.json");
        assert!(report.is_ok());
        assert_eq!(
            report.to_string(),
            "a.json: note: document: the store carries 116 new keys a second: 0.4 * keys_max 262144 / retain_s 900 = 116\n\
             a.json: 0 errors, 0 warnings, 1 note\n"
        );
    }

    #[test]
    fn anonymous_callers_are_told_of_where_keys_are_required() {
        let text = r#"{"version": 1, "rules": [{"match": {"path": "/pay"}, "idempotency": {"mode": "required"}}]}"#;
        let report = check(text, "a.json").to_string();
        assert!(
            report.contains("share one namespace where keys are required: /pay"),
            "{report}"
        );
    }

    #[test]
    fn callers_that_are_refused_share_nothing() {
        let text = r#"{"version": 1, "idempotency": {"mode": "required", "anonymous": "refuse"}}"#;
        let report = check(text, "a.json").to_string();
        assert!(!report.contains("share one namespace"), "{report}");
    }

    #[test]
    fn callers_that_may_share_a_bound_are_told_of() {
        let text = r#"{"version": 1, "idempotency": {"keys_per_principal_max": 7}}"#;
        let said = "counted in 4096 rows: two callers that share one share keys_per_principal_max 7";
        assert!(check(text, "a.json").to_string().contains(said));
        assert!(!check(r#"{"version": 1}"#, "a.json").to_string().contains("rows"));
    }

    #[test]
    fn a_route_whose_duplicates_run_is_warned_of() {
        let said = |idempotency: &str| {
            let text = format!(r#"{{"version": 1, "idempotency": {{{idempotency}}}}}"#);
            check(&text, "a.json").to_string()
        };
        let warning = "lets a duplicate run beside the first request, with its effect twice: all other paths";
        assert!(said(r#""in_flight": "run""#).contains(warning));
        assert!(!said(r#""in_flight": "conflict""#).contains("beside the first request"));
    }

    #[test]
    fn an_empty_document_pins() {
        assert!(check("{}", "a.yaml").to_string().contains("pin the shared data"));
        assert!(check("", "a.yaml").is_ok());
    }

    #[test]
    fn what_is_no_yaml_is_refused() {
        assert!(check("a: [", "a.yaml").to_string().contains("is neither YAML nor JSON"));
        assert!(
            check("version: 1\n---\nversion: 1\n", "a.yaml")
                .to_string()
                .contains("there are 2 documents")
        );
    }

    #[test]
    fn a_sound_envoy_configuration_has_no_errors_and_no_warnings() {
        let report = check(&reference().to_string(), "envoy.yaml");
        assert!(report.errors.is_empty() && report.warnings.is_empty(), "{report}");
        assert_eq!(report.notes.len(), 2, "{report}");
    }

    #[test]
    fn sound_manifests_have_no_errors_and_no_warnings() {
        for manifest in [ISTIO, GATEWAY] {
            let report = check(manifest, "manifest.yaml");
            assert!(
                report.errors.is_empty() && report.warnings.is_empty() && report.notes.len() == 1,
                "{report}"
            );
        }
    }

    #[test]
    fn envoy_without_reprise_is_an_error() {
        let text = "static_resources: {listeners: []}";
        assert!(
            check(text, "a.yaml")
                .to_string()
                .contains("no HTTP connection manager has a Reprise filter")
        );
    }

    #[test]
    fn a_documents_problems_are_told_with_their_place_in_envoys_configuration() {
        let mut envoy = reference();
        *testing::document(&mut envoy) = serde_json::json!({"version": 1, "idempotency": {"mode": "must"}});
        let report = check(&envoy.to_string(), "envoy.yaml");
        let place = &report.errors[0].place;
        assert!(
            place.ends_with(".http_filters[0].typed_config.config.configuration: idempotency.mode"),
            "{place}"
        );
    }
}
