//! Settings of the reference configuration that a running Envoy can do without, and what it then lacks.

use super::report::Report;
use super::scene::Scene;

/// The label of the filter's metrics.
const LABEL: &str = "outcome";

/// Tells which settings of the reference are missing.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    pieces(scene, report);
    labels(scene, report);
}

fn pieces(scene: &Scene<'_>, report: &mut Report) {
    for listener in scene.listeners() {
        if listener.field("per_connection_buffer_limit_bytes").is_none() {
            let text = "per_connection_buffer_limit_bytes is not set: bodies come in pieces of up to 1 MiB, which each worker \
                        holds; the reference has 65536";
            report.note(&listener.place, text);
        }
    }
}

fn labels(scene: &Scene<'_>, report: &mut Report) {
    let tags = scene.root.at(&["stats_config"]);
    let tags = tags.map(|config| config.items("stats_tags")).unwrap_or_default();
    if !tags.iter().any(|tag| tag.text("tag_name") == Some(LABEL)) {
        let text = "no tag is named outcome: the filter's metrics have their labels in their names; the reference has an \
                    expression for it";
        report.note("stats_config.stats_tags", text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::reference;
    use super::super::{Report, check};
    use serde_json::Value;

    fn notes(change: impl FnOnce(&mut Value)) -> Report {
        let mut envoy = reference();
        change(&mut envoy);
        check(&envoy.to_string(), "envoy.yaml")
    }

    #[track_caller]
    fn noted(change: impl FnOnce(&mut Value), place: &str, text: &str) {
        let report = notes(change);
        let is_it = |note: &&super::super::Finding| note.place == place && note.text.contains(text);
        assert!(
            report.is_ok() && report.notes.iter().any(|note| is_it(&note)),
            "{report}"
        );
    }

    #[test]
    fn a_listener_without_a_bound_on_pieces_is_noted() {
        noted(
            |envoy| drop(envoy["static_resources"]["listeners"][0]["per_connection_buffer_limit_bytes"].take()),
            "static_resources.listeners[0]",
            "per_connection_buffer_limit_bytes is not set",
        );
    }

    #[test]
    fn metrics_without_labels_are_noted() {
        noted(
            |envoy| drop(envoy["stats_config"].take()),
            "stats_config.stats_tags",
            "no tag is named outcome",
        );
    }
}
