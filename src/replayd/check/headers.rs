//! Headers that clients must not send.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::PrincipalSource;

/// Checks what becomes of headers around the filter.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    own_headers(scene, report);
    trusted_headers(scene, report);
}

/// Lists what is done to headers before anything else sees them.
pub(super) fn early_mutations<'a>(scene: &Scene<'a>) -> Vec<Node<'a>> {
    let extensions = scene.manager.items("early_header_mutation_extensions");
    extensions
        .iter()
        .filter_map(Node::settings)
        .flat_map(|settings| settings.items("mutations"))
        .collect()
}

/// Tells whether a mutation removes every header that begins with `prefix`.
fn removes_prefix(mutation: &Node<'_>, prefix: &str) -> bool {
    let matcher = mutation.at(&["remove_on_match", "key_matcher"]);
    let removed = matcher.and_then(|matcher| matcher.text("prefix"));
    removed.is_some_and(|removed| prefix.starts_with(&removed.to_lowercase()))
}

fn own_headers(scene: &Scene<'_>, report: &mut Report) {
    if !early_mutations(scene)
        .iter()
        .any(|mutation| removes_prefix(mutation, "reprise-"))
    {
        let text = "early_header_mutation_extensions does not remove clients' headers that begin with reprise-";
        report.error(&scene.manager.place, text);
    }
}

/// Tells whether `header` is taken off all requests before Reprise sees them.
fn is_removed_early(scene: &Scene<'_>, header: &str) -> bool {
    let filters = scene
        .before
        .iter()
        .filter(|filter| filter.is_kind(&["http.header_mutation"]));
    let mutations = filters.filter_map(|filter| filter.settings()?.field("mutations"));
    let mutations = mutations.flat_map(|mutations| mutations.items("request_mutations"));
    let mut mutations = early_mutations(scene).into_iter().chain(mutations);
    mutations.any(|mutation| {
        let exact = mutation
            .at(&["remove_on_match", "key_matcher"])
            .and_then(|matcher| matcher.text("exact"));
        let names = [mutation.text("remove"), exact];
        names.iter().flatten().any(|name| name.eq_ignore_ascii_case(header)) || removes_prefix(&mutation, header)
    })
}

/// Tells whether `header` is taken off requests that Envoy takes for external.
fn is_internal_only(scene: &Scene<'_>, header: &str) -> bool {
    let routes = scene.manager.field("route_config");
    let names = routes.map(|routes| routes.items("internal_only_headers"));
    let mut names = names.into_iter().flatten();
    names.any(|name| {
        name.value
            .as_str()
            .is_some_and(|name| name.eq_ignore_ascii_case(header))
    })
}

fn trusted_headers(scene: &Scene<'_>, report: &mut Report) {
    let sources = scene.document().map(|document| document.principal.as_slice());
    for source in sources.unwrap_or_default() {
        if let PrincipalSource::Header(header) = source
            && !is_removed_early(scene, header)
        {
            trusted_header(scene, header, report);
        }
    }
}

fn trusted_header(scene: &Scene<'_>, header: &str, report: &mut Report) {
    if !is_internal_only(scene, header) {
        let text = format!(
            "the principal is read from {header}, which clients can set: remove it from external requests \
             (internal_only_headers or early_header_mutation_extensions)"
        );
        return report.error(&scene.manager.place, text);
    }
    // Seen on 1.40: without addresses to compare with, nobody is internal.
    if let Some(internal) = scene.manager.field("internal_address_config")
        && !scene.manager.is_true("use_remote_address")
    {
        let text = format!(
            "with use_remote_address not true, clients are internal if they write such an address into x-forwarded-for: \
             they would keep their own {header}, which names the principal; remove it by early_header_mutation_extensions"
        );
        report.error(&internal.place, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, filters, host, manager, sound};
    use serde_json::{Value, json};

    #[test]
    fn clients_cannot_speak_for_reprise() {
        let removal = "does not remove clients' headers that begin with reprise-";
        errors(
            |envoy| drop(manager(envoy)["early_header_mutation_extensions"].take()),
            removal,
        );
        let prefix = "/early_header_mutation_extensions/0/typed_config/mutations/0/remove_on_match/key_matcher/prefix";
        errors(
            |envoy| *manager(envoy).pointer_mut(prefix).unwrap() = json!("reprise-key"),
            removal,
        );
    }

    fn trust(envoy: &mut Value) {
        document(envoy)["principal"] = json!([{"header": "X-User"}]);
    }

    #[test]
    fn a_trusted_header_is_removed_from_outside() {
        errors(trust, "the principal is read from x-user, which clients can set");
        sound(|envoy| {
            trust(envoy);
            manager(envoy)["route_config"]["internal_only_headers"] = json!(["x-user"]);
        });
        sound(|envoy| {
            trust(envoy);
            let mutations = "/early_header_mutation_extensions/0/typed_config/mutations";
            let mutations = manager(envoy)
                .pointer_mut(mutations)
                .and_then(Value::as_array_mut)
                .unwrap();
            mutations.push(json!({"remove": "X-User"}));
        });
    }

    #[test]
    fn a_trusted_header_may_be_removed_with_others() {
        sound(|envoy| {
            document(envoy)["principal"] = json!([{"header": "x-trusted-user"}]);
            let mutations = "/early_header_mutation_extensions/0/typed_config/mutations";
            let mutations = manager(envoy)
                .pointer_mut(mutations)
                .and_then(Value::as_array_mut)
                .unwrap();
            mutations.push(json!({"remove_on_match": {"key_matcher": {"prefix": "x-trusted-"}}}));
        });
    }

    #[test]
    fn a_filter_before_reprise_may_remove_a_trusted_header() {
        let removing = json!({"name": "m", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [{"remove": "x-user"}]}}});
        sound(|envoy| {
            trust(envoy);
            filters(envoy).insert(0, removing.clone());
        });
        errors(
            |envoy| {
                trust(envoy);
                filters(envoy).insert(1, removing.clone());
            },
            "the principal is read from x-user",
        );
    }

    #[test]
    fn whoever_says_that_he_is_internal_names_himself() {
        let internal = |envoy: &mut Value| {
            trust(envoy);
            manager(envoy)["route_config"]["internal_only_headers"] = json!(["x-user"]);
            let ranges = json!([{"address_prefix": "10.0.0.0", "prefix_len": 8}]);
            manager(envoy)["internal_address_config"] = json!({"cidr_ranges": ranges});
        };
        errors(internal, "write such an address into x-forwarded-for");
        sound(|envoy| {
            internal(envoy);
            manager(envoy)["use_remote_address"] = json!(true);
        });
    }

    #[test]
    fn what_a_route_removes_is_removed_too_late() {
        errors(
            |envoy| {
                trust(envoy);
                host(envoy)["request_headers_to_remove"] = json!(["x-user"]);
            },
            "the principal is read from x-user",
        );
    }
}
