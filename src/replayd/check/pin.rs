//! What stands at the top of the configuration: the singleton that pins shared data, and clusters.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;

/// Checks the top of the configuration.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    singleton(scene, report);
    clusters(scene, report);
}

fn singleton(scene: &Scene<'_>, report: &mut Report) {
    let extensions = scene.root.items("bootstrap_extensions");
    if !extensions.iter().any(|extension| pins(extension, scene.vm_id())) {
        let text = format!(
            "no envoy.bootstrap.wasm singleton has vm_id {:?}: keys are lost when the last listener with the filter goes",
            scene.vm_id()
        );
        report.warn("bootstrap_extensions", text);
    }
}

fn pins(extension: &Node<'_>, vm_id: &str) -> bool {
    let Some(settings) = extension
        .settings()
        .filter(|_| extension.is_kind(&["WasmService", "bootstrap.wasm"]))
    else {
        return false;
    };
    let vm = settings.at(&["config", "vm_config"]);
    settings.is_true("singleton") && vm.and_then(|vm| vm.text("vm_id")) == Some(vm_id)
}

fn clusters(scene: &Scene<'_>, report: &mut Report) {
    let resources = scene.root.field("static_resources");
    let listed = resources.map(|root| root.items("clusters")).unwrap_or_default();
    for wanted in wanted_clusters(scene) {
        match listed.iter().find(|cluster| cluster.text("name") == Some(wanted.name)) {
            Some(cluster) if wanted.is_replayd && !shows_token(cluster) => {
                let text =
                    "no credential_injector adds the ingest token: replayd refuses with 401 what comes without it";
                report.warn(&cluster.place, text);
            }
            None if listed.is_empty() => {}
            None => missing(scene, &wanted, report),
            Some(_) => {}
        }
    }
}

fn missing(scene: &Scene<'_>, wanted: &Wanted<'_>, report: &mut Report) {
    let place = "static_resources.clusters";
    let text = format!("has no cluster {:?}, {}", wanted.name, wanted.why);
    if scene.root.at(&["dynamic_resources", "cds_config"]).is_some() {
        return report.note(place, format!("{text}; see that cds_config brings it"));
    }
    report.error(place, text);
}

/// Lists the filters that a cluster puts requests through.
pub(super) fn of_cluster<'a>(cluster: &Node<'a>) -> Vec<Node<'a>> {
    let options = cluster.field("typed_extension_protocol_options");
    let options = options.map(|options| options.children()).unwrap_or_default();
    options
        .iter()
        .flat_map(|options| options.items("http_filters"))
        .collect()
}

/// Tells whether a cluster's own filters add a credential.
fn shows_token(cluster: &Node<'_>) -> bool {
    of_cluster(cluster)
        .iter()
        .any(|filter| filter.is_kind(&["credential_injector"]))
}

/// A cluster that has to be there.
struct Wanted<'a> {
    name: &'a str,
    why: &'static str,
    is_replayd: bool,
}

/// Lists the clusters that the document names or needs.
fn wanted_clusters<'a>(scene: &'a Scene<'_>) -> Vec<Wanted<'a>> {
    let detached = scene.said().into_iter();
    let detached = detached.filter_map(|place| place.get("detached_cluster")?.as_str());
    let detached = detached.map(|name| Wanted {
        name,
        why: "where detached requests go; idempotency.detached_cluster names it",
        is_replayd: false,
    });
    replayd_cluster(scene).into_iter().chain(detached).collect()
}

/// Gives the cluster of replayd, if the document names it or needs it.
fn replayd_cluster<'a>(scene: &'a Scene<'_>) -> Option<Wanted<'a>> {
    let named = scene.raw.get("replayd");
    let named = named.and_then(|replayd| replayd.get("cluster")?.as_str());
    let wanted = |name, why| Wanted {
        name,
        why,
        is_replayd: true,
    };
    if let Some(name) = named {
        return Some(wanted(name, "which the document names in replayd.cluster"));
    }
    let document = scene.document()?;
    let is_called = document.captures() || document.boot_gate || scene.says("store", "replayd");
    let why = "where captures and keys go and boot gates are opened from; the document's replayd.cluster names it";
    is_called.then(|| wanted(&document.replayd.cluster, why))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, noted, silent, sound, warnings};
    use serde_json::{Value, json};

    #[test]
    fn a_missing_singleton_is_a_warning() {
        warnings(
            |envoy| envoy["bootstrap_extensions"] = json!([]),
            "no envoy.bootstrap.wasm singleton",
        );
    }

    #[test]
    fn a_singleton_of_another_vm_does_not_count() {
        let vm_id = "/bootstrap_extensions/0/typed_config/config/vm_config/vm_id";
        warnings(
            |envoy| *envoy.pointer_mut(vm_id).unwrap() = json!("x"),
            "has vm_id \"reprise\"",
        );
    }

    #[test]
    fn a_cluster_that_the_document_names_must_be_there() {
        let named = |envoy: &mut _| document(envoy)["replayd"] = json!({"cluster": "replayd"});
        sound(named);
        let missing = |envoy: &mut Value| {
            named(envoy);
            envoy["static_resources"]["clusters"][1]["name"] = json!("other");
        };
        errors(missing, "has no cluster \"replayd\"");
    }

    #[test]
    fn a_document_that_captures_needs_the_cluster_of_replayd() {
        let wants: [fn(&mut Value); 3] = [
            |document| document["capture"] = json!({"enabled": true}),
            |document| document["rules"] = json!([{"capture": {"enabled": true}}]),
            |document| document["restore"] = json!({"boot_gate": true}),
        ];
        for want in wants {
            sound(|envoy| want(document(envoy)));
            let missing = |envoy: &mut Value| {
                want(document(envoy));
                envoy["static_resources"]["clusters"][1]["name"] = json!("other");
            };
            errors(missing, "has no cluster \"replayd\", where captures");
        }
        sound(|envoy| envoy["static_resources"]["clusters"][1]["name"] = json!("other"));
    }

    #[test]
    fn a_cluster_of_replayd_without_its_token_is_a_warning() {
        let without = |envoy: &mut Value| {
            drop(envoy["static_resources"]["clusters"][1]["typed_extension_protocol_options"].take())
        };
        sound(without);
        warnings(
            |envoy| {
                document(envoy)["capture"] = json!({"enabled": true});
                without(envoy);
            },
            "no credential_injector adds the ingest token",
        );
    }

    #[test]
    fn clusters_from_elsewhere_are_not_looked_for() {
        sound(|envoy| {
            document(envoy)["replayd"] = json!({"cluster": "replayd"});
            envoy["static_resources"]["clusters"] = json!([]);
        });
    }

    #[test]
    fn a_cluster_for_detached_requests_must_be_there() {
        let detached = json!({"execution": "detached", "detached_cluster": "inside"});
        let says: [fn(&mut Value, Value); 2] = [
            |document, detached| document["idempotency"] = detached,
            |document, detached| document["rules"] = json!([{"idempotency": detached}]),
        ];
        for say in says {
            errors(
                |envoy| say(document(envoy), detached.clone()),
                "has no cluster \"inside\", where detached requests go",
            );
            silent(
                |envoy| {
                    say(document(envoy), detached.clone());
                    envoy["static_resources"]["clusters"][0]["name"] = json!("inside");
                },
                "has no cluster",
            );
        }
    }

    #[test]
    fn a_cluster_that_may_come_from_elsewhere_is_noted() {
        noted(
            |envoy| {
                document(envoy)["replayd"] = json!({"cluster": "elsewhere"});
                envoy["dynamic_resources"] = json!({"cds_config": {}});
            },
            "see that cds_config brings it",
        );
    }
}
