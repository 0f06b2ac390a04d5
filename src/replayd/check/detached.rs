//! The way of what runs detached: cluster, internal listener, and what that tells of each response.

use super::node::Node;
use super::report::Report;
use super::scene::{self, Scene};
use reprise_core::config::{BadExecution, Policy};

/// Checks the way of what runs detached, where anything does.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    let mut problems: Vec<_> = scene
        .policies()
        .iter()
        .filter_map(|policy| policy.detached().err())
        .collect();
    problems.dedup();
    for BadExecution(problem) in problems {
        let text =
            format!("what the document, a rule and a route's metadata say together: {problem}; keyed requests get 503");
        report.error("document", text);
    }
    for name in clusters(scene) {
        cluster(scene, &name, report);
    }
}

/// Names the clusters that detached requests are sent to, each once.
fn clusters(scene: &Scene<'_>) -> Vec<String> {
    let named = |policy: Policy| policy.detached().ok().flatten().map(str::to_owned);
    let mut names: Vec<String> = scene.policies().into_iter().filter_map(named).collect();
    names.sort();
    names.dedup();
    names
}

fn cluster(scene: &Scene<'_>, name: &str, report: &mut Report) {
    let listed = listed(scene, "clusters");
    // That one is there at all is looked at with the other clusters.
    if let Some(cluster) = listed.iter().find(|cluster| cluster.text("name") == Some(name)) {
        endpoints(scene, cluster, report);
    }
}

fn listed<'a>(scene: &Scene<'a>, kind: &str) -> Vec<Node<'a>> {
    let resources = scene.root.field("static_resources");
    resources.map(|resources| resources.items(kind)).unwrap_or_default()
}

fn endpoints(scene: &Scene<'_>, cluster: &Node<'_>, report: &mut Report) {
    let mut names = Vec::new();
    listener_names(cluster, &mut names);
    if names.is_empty() {
        let text = "none of its endpoints is an envoy_internal_address: the route's timeouts, retries and header rules \
                    do not count for what runs detached, and its outcomes are unknown unless reprise-details says more";
        report.warn(&cluster.place, text);
    }
    for name in names {
        internal(scene, name, report);
    }
}

/// Collects the names of the internal listeners that a cluster leads to.
fn listener_names<'a>(node: &Node<'a>, names: &mut Vec<&'a str>) {
    let address = node.field("envoy_internal_address");
    names.extend(address.and_then(|address| address.text("server_listener_name")));
    for child in node.children() {
        listener_names(&child, names);
    }
}

fn internal(scene: &Scene<'_>, name: &str, report: &mut Report) {
    let extensions = scene.root.items("bootstrap_extensions");
    if !extensions.is_empty() && !extensions.iter().any(|each| each.is_kind(&["internal_listener"])) {
        let text = "envoy.bootstrap.internal_listener is needed for the listener of what runs detached";
        report.error("bootstrap_extensions", text);
    }
    let listed = listed(scene, "listeners");
    let Some(listener) = listed.iter().find(|listener| listener.text("name") == Some(name)) else {
        let text = format!("has no listener {name:?}, which the way of what runs detached ends at");
        let comes_later = scene.root.at(&["dynamic_resources", "lds_config"]).is_some();
        match (listed.is_empty(), comes_later) {
            (true, _) => {}
            (false, true) => report.note("static_resources.listeners", format!("{text}: see that LDS brings it")),
            (false, false) => report.error("static_resources.listeners", text),
        }
        return;
    };
    if !scene::find(listener).is_empty() {
        let text = "has Reprise again: it would take every detached request for a duplicate of itself";
        report.error(&listener.place, text);
    }
    let names = ["reprise-details", "reprise-attempts"];
    for name in names.into_iter().filter(|name| !sets(listener, name)) {
        let text = format!("does not set the response header {name}: every outcome of what runs detached is unknown");
        report.error(&listener.place, text);
    }
}

/// Tells whether something below `node` writes a header of this name.
fn sets(node: &Node<'_>, name: &str) -> bool {
    node.text("key") == Some(name) || node.children().iter().any(|child| sets(child, name))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, host, sound, warnings};
    use serde_json::{Value, json};

    /// Makes the reference run detached, with all that needs.
    fn detached(envoy: &mut Value) {
        document(envoy)["rules"] =
            json!([{"match": {"path": "/pay"}, "idempotency": {"execution": "detached", "detached_cluster": "d"}}]);
        let extensions = envoy["bootstrap_extensions"].as_array_mut().unwrap();
        extensions.push(json!({"name": "envoy.bootstrap.internal_listener"}));
        let resources = &mut envoy["static_resources"];
        let way = json!({"endpoint": {"address": {"envoy_internal_address": {"server_listener_name": "inner"}}}});
        let cluster = json!({"name": "d", "load_assignment": {"endpoints": [{"lb_endpoints": [way]}]}});
        resources["clusters"].as_array_mut().unwrap().push(cluster);
        let told = ["reprise-details", "reprise-attempts"].map(|name| json!({"append": {"header": {"key": name}}}));
        let told = json!({"name": "m", "typed_config": {"mutations": {"response_mutations": told}}});
        let manager = json!({"typed_config": {"http_filters": [told, {"name": "envoy.filters.http.router"}]}});
        let listener = json!({"name": "inner", "internal_listener": {}, "filter_chains": [{"filters": [manager]}]});
        resources["listeners"].as_array_mut().unwrap().push(listener);
    }

    #[track_caller]
    fn breaks(change: impl FnOnce(&mut Value), text: &str) {
        errors(
            |envoy| {
                detached(envoy);
                change(envoy);
            },
            text,
        );
    }

    fn inner(envoy: &mut Value) -> &mut Value {
        &mut envoy["static_resources"]["listeners"][1]["filter_chains"][0]["filters"][0]["typed_config"]["http_filters"]
    }

    #[test]
    fn a_whole_way_is_sound() {
        sound(detached);
    }

    #[test]
    fn what_contradicts_in_rules_and_metadata_together_is_an_error() {
        let manual = json!({"filter_metadata": {"reprise": {"idempotency": {"mode": "manual"}}}});
        breaks(
            |envoy| host(envoy)["routes"][0]["metadata"] = manual,
            "contradicts mode: manual; keyed requests get 503",
        );
        breaks(
            |envoy| {
                let ahead =
                    json!({"match": {"path": "/pay"}, "capture": {"enabled": true, "durability": "write_ahead"}});
                document(envoy)["rules"].as_array_mut().unwrap().push(ahead);
            },
            "contradicts a capture.durability other than async; keyed requests get 503",
        );
    }

    #[test]
    fn each_part_of_the_way_is_missed() {
        breaks(
            |envoy| drop(envoy["static_resources"]["clusters"].as_array_mut().unwrap().pop()),
            "has no cluster \"d\"",
        );
        breaks(
            |envoy| drop(envoy["static_resources"]["listeners"].as_array_mut().unwrap().pop()),
            "has no listener \"inner\"",
        );
        breaks(
            |envoy| drop(envoy["bootstrap_extensions"].as_array_mut().unwrap().pop()),
            "internal_listener is needed",
        );
        breaks(
            |envoy| drop(inner(envoy).as_array_mut().unwrap().remove(0)),
            "does not set the response header reprise-details",
        );
    }

    #[test]
    fn reprise_twice_on_the_way_is_an_error() {
        breaks(
            |envoy| {
                let filter = super::super::testing::filter(envoy).clone();
                inner(envoy).as_array_mut().unwrap().insert(0, filter);
            },
            "has Reprise again",
        );
    }

    #[test]
    fn a_cluster_past_the_internal_listener_is_a_warning() {
        warnings(
            |envoy| {
                detached(envoy);
                envoy["static_resources"]["clusters"][2]["load_assignment"] = json!({});
            },
            "none of its endpoints is an envoy_internal_address",
        );
    }

    #[test]
    fn a_body_limit_is_above_what_is_held_for_a_detached_rule() {
        breaks(
            |envoy| host(envoy)["request_body_buffer_limit"] = json!(4_063_232),
            "above hold_bytes_max 4063232 is needed",
        );
    }
}
