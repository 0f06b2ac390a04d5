//! The order of HTTP filters.

use super::report::Report;
use super::scene::Scene;

/// Filters that say who the caller is, or whether it may go on.
const AUTHENTICATION: [&str; 6] = [
    "jwt_authn",
    "ext_authz",
    "basic_auth",
    "oauth2",
    "api_key_auth",
    "http.rbac",
];

/// Checks what stands before and after the filter.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    authentication(scene, report);
    compression(scene, report);
}

fn authentication(scene: &Scene<'_>, report: &mut Report) {
    for filter in scene.after.iter().filter(|filter| filter.is_kind(&AUTHENTICATION)) {
        let text = "stands after Reprise: a recorded answer would be given to callers that it has not let in";
        report.error(&filter.place, text);
    }
}

fn compression(scene: &Scene<'_>, report: &mut Report) {
    for filter in scene
        .after
        .iter()
        .filter(|filter| filter.is_kind(&["compressor"]) && !filter.is_kind(&["decompressor"]))
    {
        let text = "stands after Reprise: answers would be recorded compressed, for clients that may not accept that";
        report.error(&filter.place, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{errors, filters, sound};
    use serde_json::{Value, json};

    fn named(name: &str) -> Value {
        json!({"name": name, "typed_config": {"@type": format!("type.googleapis.com/{name}")}})
    }

    #[test]
    fn authentication_stands_before_reprise() {
        for name in ["envoy.filters.http.jwt_authn", "envoy.filters.http.ext_authz"] {
            sound(|envoy| filters(envoy).insert(0, named(name)));
            errors(|envoy| filters(envoy).insert(1, named(name)), "has not let in");
        }
    }

    #[test]
    fn a_compressor_stands_before_reprise() {
        sound(|envoy| filters(envoy).insert(0, named("envoy.filters.http.compressor")));
        errors(
            |envoy| filters(envoy).insert(1, named("envoy.filters.http.compressor")),
            "recorded compressed",
        );
        sound(|envoy| filters(envoy).insert(1, named("envoy.filters.http.decompressor")));
    }
}
