//! Headers with keys that somebody else adds: a request must not come to have two.

use super::headers::early_mutations;
use super::node::Node;
use super::pin::of_cluster;
use super::report::Report;
use super::routes::{clusters, metadata};
use super::scene::Scene;
use reprise_core::config::{Document, Overrides, Policy};

/// Checks that nobody adds a second key.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
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

/// Lists the headers that carry keys, by the document and its rules.
fn key_headers(scene: &Scene<'_>) -> Vec<String> {
    let Some(document) = scene.document() else {
        return Vec::new();
    };
    let rules = document.routes.rules().map(|(_, policy)| policy);
    let policies = rules
        .chain([document.routes.defaults().clone()])
        .chain(of_routes(scene, document));
    policies
        .flat_map(|policy| policy.header_aliases.into_iter().chain([policy.header]))
        .collect()
}

/// Lists what the metadata of routes ask for.
fn of_routes<'a>(scene: &Scene<'a>, document: &'a Document) -> impl Iterator<Item = Policy> {
    let routes = scene.virtual_hosts().into_iter().flat_map(|host| host.items("routes"));
    let said = routes.filter_map(|route| Overrides::read(metadata(&route)?.value).ok());
    said.map(|overrides| document.routes.policy(Default::default(), Some(&overrides)))
}

/// Lists every node that may add a request header, in the forms that Envoy has for it.
fn adders<'a>(scene: &Scene<'a>) -> Vec<Node<'a>> {
    let tables = tables(scene);
    let added = tables.iter().flat_map(|table| table.items("request_headers_to_add"));
    added.chain(mutations(scene, &tables)).collect()
}

/// Lists the tables of routes: the whole, its hosts, their routes, and the weighted clusters of those.
fn tables<'a>(scene: &Scene<'a>) -> Vec<Node<'a>> {
    let hosts = scene.virtual_hosts();
    let routes: Vec<Node<'a>> = hosts.iter().flat_map(|host| host.items("routes")).collect();
    let weighted: Vec<Node<'a>> = routes.iter().flat_map(clusters).collect();
    let whole = scene.manager.field("route_config");
    whole.into_iter().chain(hosts).chain(routes).chain(weighted).collect()
}

/// Lists what mutations of headers append: at first, in filters of the manager and of clusters, and in what routes say
/// to such filters.
fn mutations<'a>(scene: &Scene<'a>, tables: &[Node<'a>]) -> Vec<Node<'a>> {
    let around = scene.before.iter().chain(&scene.after).cloned();
    let resources = scene.root.field("static_resources");
    let upstream = resources.map(|resources| resources.items("clusters"));
    let filters = around.chain(upstream.iter().flatten().flat_map(of_cluster));
    let filters = filters.filter(|filter| filter.is_kind(&["http.header_mutation"]));
    let settings = filters.filter_map(|filter| filter.settings());
    let own = tables.iter().filter_map(|table| table.field("typed_per_filter_config"));
    let own = own.flat_map(|configs| configs.children());
    let settings = settings.chain(own).filter_map(|settings| settings.field("mutations"));
    let requests = settings.flat_map(|mutations| mutations.items("request_mutations"));
    let early = early_mutations(scene);
    requests
        .chain(early)
        .filter_map(|mutation| mutation.field("append"))
        .collect()
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

    #[test]
    fn a_second_header_that_may_carry_keys_counts_too() {
        errors(
            |envoy| {
                document(envoy)["idempotency"] = json!({"header_aliases": ["X-Request-Key"]});
                host(envoy)["request_headers_to_add"] = json!([{"header": {"key": "x-request-key", "value": "x"}}]);
            },
            "adds another x-request-key",
        );
    }

    #[test]
    fn keys_are_not_added_at_the_edges_either() {
        let add = json!({"append": {"header": {"key": "idempotency-key", "value": "x"}}});
        let mutation = json!({"@type": "x/envoy.extensions.filters.http.header_mutation.v3.HeaderMutation",
            "mutations": {"request_mutations": [add]}});
        let places: [&dyn Fn(&mut Value); 4] = [
            &|envoy| {
                let early = &mut manager(envoy)["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
                early.as_array_mut().unwrap().push(add.clone());
            },
            &|envoy| {
                let filter = json!({"name": "m", "typed_config": mutation.clone()});
                let options = &mut envoy["static_resources"]["clusters"][0]["typed_extension_protocol_options"];
                *options =
                    json!({"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"http_filters": [filter]}});
            },
            &|envoy| host(envoy)["routes"][0]["typed_per_filter_config"] = json!({"m": mutation.clone()}),
            &|envoy| {
                let added = [add["append"].clone()];
                let cluster = json!({"name": "a", "request_headers_to_add": added});
                host(envoy)["routes"][0]["route"] = json!({"weighted_clusters": {"clusters": [cluster]}});
            },
        ];
        for place in places {
            errors(place, "adds another idempotency-key");
        }
    }
}
