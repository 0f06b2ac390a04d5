//! The settings of the wasm plugin itself.

use super::report::Report;
use super::scene::Scene;

/// Checks the plugin's settings.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    failure_policy(scene, report);
    stop_iteration(scene, report);
    vm_id(scene, report);
    enabled(scene, report);
    backoff(scene, report);
}

fn failure_policy(scene: &Scene<'_>, report: &mut Report) {
    let policy = scene.plugin.text("failure_policy").unwrap_or("not set");
    if policy != "FAIL_RELOAD" {
        let text = format!(
            "failure_policy is {policy}; FAIL_RELOAD is needed, or a worker answers 503 for ever once its VM fails"
        );
        report.error(&scene.plugin.place, text);
    }
}

fn stop_iteration(scene: &Scene<'_>, report: &mut Report) {
    if !scene.plugin.is_true("allow_on_headers_stop_iteration") {
        let text = "allow_on_headers_stop_iteration: true is needed, or duplicates with a body hang for ever";
        report.error(&scene.plugin.place, text);
    }
}

fn vm_id(scene: &Scene<'_>, report: &mut Report) {
    if scene.vm_id().is_empty() {
        let text = "vm_config.vm_id is empty; keys live under it, so it must be set and never change";
        report.error(&scene.plugin.place, text);
    }
}

fn enabled(scene: &Scene<'_>, report: &mut Report) {
    if scene.filter.is_true("disabled") {
        let text = "disabled: true: only routes that turn the filter on are protected";
        report.warn(&scene.filter.place, text);
    }
}

/// Envoy (1.38 to 1.40) halves the interval and divides by it: at the first reload of a VM it would die.
fn backoff(scene: &Scene<'_>, report: &mut Report) {
    let Some(backoff) = scene.plugin.at(&["reload_config", "backoff"]) else {
        return;
    };
    if backoff.millis("base_interval").is_some_and(|millis| millis < 2) {
        let text = "base_interval is below 0.002s: Envoy ends with a division by zero when it reloads a VM";
        report.error(&backoff.place, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, filter, plugin, warnings};
    use serde_json::json;

    #[test]
    fn another_failure_policy_is_an_error() {
        errors(
            |envoy| plugin(envoy)["failure_policy"] = json!("FAIL_CLOSED"),
            "failure_policy is FAIL_CLOSED",
        );
        errors(
            |envoy| drop(plugin(envoy)["failure_policy"].take()),
            "failure_policy is not set",
        );
    }

    #[test]
    fn headers_must_be_held_while_bodies_flow() {
        errors(
            |envoy| plugin(envoy)["allow_on_headers_stop_iteration"] = json!(false),
            "allow_on_headers_stop_iteration: true",
        );
    }

    #[test]
    fn a_back_off_that_kills_envoy_is_an_error() {
        errors(
            |envoy| plugin(envoy)["reload_config"] = json!({"backoff": {"base_interval": "0.001s"}}),
            "base_interval is below 0.002s",
        );
    }

    #[test]
    fn an_empty_vm_id_is_an_error() {
        errors(
            |envoy| plugin(envoy)["vm_config"]["vm_id"] = json!(""),
            "vm_config.vm_id is empty",
        );
    }

    #[test]
    fn a_filter_that_is_off_by_default_is_a_warning() {
        warnings(
            |envoy| {
                filter(envoy)["disabled"] = json!(true);
                document(envoy).as_object_mut().unwrap().remove("rules");
            },
            "only routes that turn the filter on",
        );
    }
}
