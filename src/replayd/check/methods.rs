//! Methods that no standard knows: they are allowed, and most often misspelt.

use super::node::Node;
use super::report::Report;
use super::routes::metadata;
use super::scene::Scene;

/// Source: IANA, Hypertext Transfer Protocol (HTTP) Method Registry; and QUERY, which is to be added to it.
const KNOWN: [&str; 40] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PRI",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "TRACE",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// Warns of unknown methods in a document, or in what a route says.
pub(super) fn check(document: &Node<'_>, report: &mut Report) {
    for method in document.items("methods") {
        // What is wrong with it otherwise is an error.
        let unknown = method.value.as_str().filter(|name| !KNOWN.contains(name));
        if let Some(name) = unknown.filter(|name| !name.chars().any(|char| char.is_ascii_lowercase())) {
            let text =
                format!("{name} is no method that a standard knows; requests that say {name} are meant, and no others");
            report.warn(&method.place, text);
        }
    }
    for child in document.children() {
        check(&child, report);
    }
}

/// Does the same for the document of a scene and the metadata of its routes.
pub(super) fn check_scene(scene: &Scene<'_>, report: &mut Report) {
    let place = format!("{}.configuration.value", scene.plugin.place);
    let value = &scene.raw;
    check(&Node { value, place }, report);
    let routes = scene.virtual_hosts().into_iter().flat_map(|host| host.items("routes"));
    for metadata in routes.filter_map(|route| metadata(&route)) {
        check(&metadata, report);
    }
}

#[cfg(test)]
mod tests {
    use super::super::check;
    use super::super::testing::{document, host, warnings};
    use serde_json::json;

    #[test]
    fn a_misspelt_method_is_a_warning_wherever_it_stands() {
        let text = r#"{"version": 1, "idempotency": {"methods": ["POSTT", "PUT"]},
            "rules": [{"match": {"methods": ["PUST"]}, "capture": {"methods": ["PATCHH"]}}]}"#;
        let report = check(text, "a.json");
        let places: Vec<_> = report.warnings.iter().map(|found| found.place.as_str()).collect();
        let want = [
            "idempotency.methods[0]",
            "rules[0].capture.methods[0]",
            "rules[0].match.methods[0]",
        ];
        assert_eq!(places, want, "{report}");
        assert!(report.is_ok() && report.warnings[0].text.starts_with("POSTT is no method"));
    }

    #[test]
    fn methods_of_an_envoy_configuration_are_looked_at() {
        warnings(
            |envoy| document(envoy)["idempotency"]["methods"] = json!(["POSTT"]),
            "POSTT is no method",
        );
        warnings(
            |envoy| {
                let metadata = json!({"filter_metadata": {"reprise": {"idempotency": {"methods": ["PATHC"]}}}});
                host(envoy)["routes"][0]["metadata"] = metadata;
            },
            "PATHC is no method",
        );
    }

    #[test]
    fn methods_of_standards_are_no_warning() {
        let text = r#"{"version": 1, "idempotency": {"methods": ["MKCOL", "QUERY", "PATCH"]}}"#;
        assert!(check(text, "a.json").warnings.is_empty());
    }
}
