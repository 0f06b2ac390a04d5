//! Headers: those that clients must not send, and those that nobody else may add.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::{Overrides, PrincipalSource};

/// Checks what becomes of headers around the filter.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    own_headers(scene, report);
    trusted_headers(scene, report);
    added_keys(scene, report);
}

/// Lists what is done to headers before anything else sees them.
fn early_mutations<'a>(scene: &Scene<'a>) -> Vec<Node<'a>> {
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

/// Tells whether `header` is taken off requests that come from outside.
fn is_removed(scene: &Scene<'_>, header: &str) -> bool {
    let is_header = |name: Option<&str>| name.is_some_and(|name| name.eq_ignore_ascii_case(header));
    let removes = |mutation: &Node<'_>| {
        let exact = mutation
            .at(&["remove_on_match", "key_matcher"])
            .and_then(|matcher| matcher.text("exact"));
        is_header(mutation.text("remove")) || is_header(exact) || removes_prefix(mutation, header)
    };
    let internal = scene
        .manager
        .field("route_config")
        .map(|routes| routes.items("internal_only_headers"));
    early_mutations(scene).iter().any(removes)
        || internal
            .unwrap_or_default()
            .iter()
            .any(|name| is_header(name.value.as_str()))
}

fn trusted_headers(scene: &Scene<'_>, report: &mut Report) {
    for source in scene
        .document()
        .map(|document| document.principal.as_slice())
        .unwrap_or_default()
    {
        if let PrincipalSource::Header(header) = source
            && !is_removed(scene, header)
        {
            let text = format!(
                "the principal is read from {header}, which clients can set: remove it from external requests \
                 (internal_only_headers or early_header_mutation_extensions)"
            );
            report.error(&scene.manager.place, text);
        }
    }
}

/// Lists the headers that carry keys, by the document and its rules.
fn key_headers(scene: &Scene<'_>) -> Vec<String> {
    let Some(document) = scene.document() else {
        return Vec::new();
    };
    let mut headers: Vec<String> = document.routes.rules().map(|(_, policy)| policy.header).collect();
    headers.push(document.routes.defaults().header.clone());
    headers.extend(metadata_headers(scene, document));
    headers
}

fn metadata_headers(scene: &Scene<'_>, document: &reprise_core::config::Document) -> Vec<String> {
    let routes = scene.virtual_hosts().into_iter().flat_map(|host| host.items("routes"));
    let metadata = routes.filter_map(|route| Overrides::read(super::routes::metadata(&route)?.value).ok());
    metadata
        .map(|overrides| document.routes.policy(Default::default(), Some(&overrides)).header)
        .collect()
}

/// Lists every node that may add a request header, in the forms that Envoy has for it.
fn adders<'a>(scene: &Scene<'a>) -> Vec<Node<'a>> {
    let hosts = scene.virtual_hosts();
    let routes: Vec<Node<'a>> = hosts.iter().flat_map(|host| host.items("routes")).collect();
    let tables = scene
        .manager
        .field("route_config")
        .into_iter()
        .chain(hosts)
        .chain(routes);
    let added = tables.flat_map(|table| table.items("request_headers_to_add"));
    let filters = scene
        .before
        .iter()
        .chain(&scene.after)
        .filter(|filter| filter.is_kind(&["http.header_mutation"]));
    let mutations = filters.filter_map(|filter| filter.settings()?.field("mutations"));
    let appended = mutations.flat_map(|mutations| mutations.items("request_mutations"));
    added
        .chain(appended.filter_map(|mutation| mutation.field("append")))
        .collect()
}

fn added_keys(scene: &Scene<'_>, report: &mut Report) {
    let keys = key_headers(scene);
    for adder in adders(scene).iter().filter(|adder| appends(adder)) {
        let header = adder
            .field("header")
            .and_then(|header| header.text("key"))
            .unwrap_or_default();
        if keys.iter().any(|key| key.eq_ignore_ascii_case(header)) {
            let text = format!("adds another {header} to requests: the application would see two keys");
            report.error(&adder.place, text);
        }
    }
}

fn appends(adder: &Node<'_>) -> bool {
    let action = adder.text("append_action").unwrap_or("APPEND_IF_EXISTS_OR_ADD");
    action == "APPEND_IF_EXISTS_OR_ADD"
        && adder
            .field("append")
            .is_none_or(|append| append.value.as_bool() != Some(false))
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
    fn nobody_adds_a_second_key() {
        let add = json!([{"header": {"key": "Idempotency-Key", "value": "x"}}]);
        errors(
            |envoy| host(envoy)["request_headers_to_add"] = add.clone(),
            "adds another Idempotency-Key",
        );
        errors(
            |envoy| host(envoy)["routes"][0]["request_headers_to_add"] = add.clone(),
            "adds another Idempotency-Key",
        );
        errors(
            |envoy| manager(envoy)["route_config"]["request_headers_to_add"] = add.clone(),
            "adds another Idempotency-Key",
        );
    }

    #[test]
    fn a_header_mutation_does_not_add_a_second_key() {
        let mutation = json!({"name": "m", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [{"append": {"header": {"key": "idempotency-key", "value": "x"}}}]}}});
        errors(
            |envoy| filters(envoy).insert(0, mutation.clone()),
            "adds another idempotency-key",
        );
    }

    #[test]
    fn a_key_of_a_routes_metadata_counts_too() {
        errors(
            |envoy| {
                let metadata = json!({"filter_metadata": {"reprise": {"idempotency": {"header": "x-key"}}}});
                host(envoy)["routes"][0]["metadata"] = metadata;
                host(envoy)["request_headers_to_add"] = json!([{"header": {"key": "x-key", "value": "x"}}]);
            },
            "adds another x-key",
        );
    }

    #[test]
    fn another_header_may_be_added() {
        let add = |action: &str, key: &str| json!([{"header": {"key": key, "value": "x"}, "append_action": action}]);
        sound(|envoy| host(envoy)["request_headers_to_add"] = add("APPEND_IF_EXISTS_OR_ADD", "x-a"));
        sound(|envoy| host(envoy)["request_headers_to_add"] = add("ADD_IF_ABSENT", "idempotency-key"));
    }
}
