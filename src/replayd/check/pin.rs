//! What stands at the top of the configuration: the singleton that pins shared data, and clusters.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;

/// Checks the top of the configuration.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    singleton(scene, report);
    cluster(scene, report);
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

fn cluster(scene: &Scene<'_>, report: &mut Report) {
    let listed = scene
        .root
        .field("static_resources")
        .map(|root| root.items("clusters"))
        .unwrap_or_default();
    let Some(wanted) = wanted_cluster(scene) else {
        return;
    };
    match listed.iter().find(|cluster| cluster.text("name") == Some(wanted.name)) {
        Some(cluster) if !shows_token(cluster) => {
            let text = "no credential_injector adds the ingest token: replayd refuses with 401 what comes without it";
            report.warn(&cluster.place, text);
        }
        None if !listed.is_empty() => {
            let text = format!("has no cluster {:?}, {}", wanted.name, wanted.why);
            report.error("static_resources.clusters", text);
        }
        Some(_) | None => {}
    }
}

/// Tells whether a cluster's own filters add a credential.
fn shows_token(cluster: &Node<'_>) -> bool {
    let options = cluster.field("typed_extension_protocol_options");
    let options = options.map(|options| options.children()).unwrap_or_default();
    let mut filters = options.iter().flat_map(|options| options.items("http_filters"));
    filters.any(|filter| filter.is_kind(&["credential_injector"]))
}

/// A cluster that has to be there.
struct Wanted<'a> {
    name: &'a str,
    why: &'static str,
}

/// Gives the cluster of replayd, if the document names it or needs it.
fn wanted_cluster<'a>(scene: &'a Scene<'_>) -> Option<Wanted<'a>> {
    let named = scene
        .raw
        .get("replayd")
        .and_then(|replayd| replayd.get("cluster")?.as_str());
    if let Some(name) = named {
        let why = "which the document names in replayd.cluster";
        return Some(Wanted { name, why });
    }
    let document = scene.document()?;
    (document.captures() || document.boot_gate).then_some(Wanted {
        name: &document.replayd.cluster,
        why: "where captures go and boot gates are opened from; the document's replayd.cluster names it",
    })
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, sound, warnings};
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
            errors(missing, "has no cluster \"replayd\", where captures go");
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
}
