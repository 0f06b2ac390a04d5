//! Routes: what their metadata says, whether Envoy retries them, whether they leave the filter out.

use super::node::Node;
use super::report::Report;
use super::scene::Scene;
use reprise_core::config::{Document, Mode, Overrides};

/// Reasons for a retry that mean that the first attempt never reached the application.
const HARMLESS: [&str; 2] = ["connect-failure", "refused-stream"];

/// Checks every route that the configuration shows.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    spelling(scene, report);
    for host in scene.virtual_hosts() {
        for route in host.items("routes") {
            check_route(scene, &host, &route, report);
        }
        // Manifests patch a virtual host without showing its routes.
        if host.items("routes").is_empty() {
            retries(scene, &host, &host, report);
        }
    }
}

fn check_route(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>, report: &mut Report) {
    if let Some(metadata) = metadata(route)
        && let Err(errors) = Overrides::read(metadata.value)
    {
        report.document_errors(&metadata.place, errors);
    }
    retries(scene, host, route, report);
    copies(scene, host, route, report);
    left_out(scene, host, route, report);
}

/// Gives what a route says to Reprise.
pub(super) fn metadata<'a>(route: &Node<'a>) -> Option<Node<'a>> {
    // `reprise` is no field of Envoy's, so it has one spelling.
    route.at(&["metadata", "filter_metadata", "reprise"])
}

/// Gives what the paths of a route begin with, as far as its match says so.
pub(super) fn beginning<'a>(route: &Node<'a>) -> &'a str {
    let asked = route.field("match");
    let said = asked.and_then(|asked| asked.text("prefix").or_else(|| asked.text("path")));
    said.unwrap_or_default()
}

/// Warns where paths have several spellings and rules have one.
fn spelling(scene: &Scene<'_>, report: &mut Report) {
    if scene.document().is_none_or(|document| document.routes.is_empty()) {
        return;
    }
    for name in ["normalize_path", "merge_slashes"] {
        if !scene.manager.is_true(name) {
            let text = format!(
                "{name}: true is advised: rules read paths normalised, and the application should see the same path"
            );
            report.warn(&scene.manager.place, text);
        }
    }
    let escaped = scene.manager.text("path_with_escaped_slashes_action");
    if matches!(
        escaped,
        None | Some("KEEP_UNCHANGED" | "IMPLEMENTATION_SPECIFIC_DEFAULT")
    ) {
        let text = "path_with_escaped_slashes_action: REJECT_REQUEST is advised: to rules /a%2Fb is not /a/b, to the \
                    application it may be";
        report.warn(&scene.manager.place, text);
    }
}

/// The unsafe methods that rules speak of.
const METHODS: [&str; 4] = ["POST", "PATCH", "PUT", "DELETE"];

/// Lists the modes that requests of a route may have: by what its path selects, and by rules for paths below it.
fn modes(document: &Document, host: &Node<'_>, route: &Node<'_>) -> Vec<Mode> {
    let overrides = metadata(route).and_then(|metadata| Overrides::read(metadata.value).ok());
    if let Some(mode) = overrides.as_ref().and_then(Overrides::mode) {
        return vec![mode];
    }
    let place = route.field("match");
    let text = |name: &str| place.as_ref().and_then(|place| place.text(name));
    let prefix = text("prefix").or_else(|| text("path_separated_prefix"));
    let path = text("path").or(prefix).unwrap_or("/");
    let domains = host.items("domains");
    let domains = domains.iter().filter_map(|domain| domain.value.as_str());
    let routes = &document.routes;
    let here = domains
        .flat_map(|domain| METHODS.map(|method| routes.select(method.as_bytes(), domain.as_bytes(), path.as_bytes())))
        .map(|selection| routes.policy(selection, None).mode);
    let below = document
        .routes
        .rules()
        .filter(|(template, _)| text("path").is_none() && template.starts_with(path));
    let below = below.map(|(_, policy)| policy.mode);
    below.chain(here).collect()
}

/// Tells whether keys mean nothing on a route.
pub(super) fn is_off(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>) -> bool {
    let is_off = |document| modes(document, host, route).iter().all(|mode| *mode == Mode::Off);
    scene.document().is_some_and(is_off)
}

/// Envoy may send a request more than once by itself, whatever becomes of the first copy.
fn copies(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>, report: &mut Report) {
    if is_off(scene, host, route) {
        return;
    }
    for name in ["hedge_policy", "request_mirror_policies"] {
        let Some(copies) = route.at(&["route", name]).or_else(|| host.field(name)) else {
            continue;
        };
        let text = format!("{name}: Envoy sends a protected request more than once by itself, which no key can see");
        report.warn(&copies.place, text);
    }
}

/// Lists the retry policies that count for a route.
fn retry_policy<'a>(host: &Node<'a>, route: &Node<'a>) -> Option<Node<'a>> {
    route
        .at(&["route", "retry_policy"])
        .or_else(|| host.field("retry_policy"))
}

fn retries(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>, report: &mut Report) {
    let Some(policy) = retry_policy(host, route) else {
        return;
    };
    let reasons = policy
        .text("retry_on")
        .unwrap_or_default()
        .split(',')
        .map(str::trim)
        .filter(|reason| !reason.is_empty());
    let risky: Vec<&str> = reasons.filter(|reason| !HARMLESS.contains(reason)).collect();
    if risky.is_empty() || is_off(scene, host, route) {
        return;
    }
    let text = format!(
        "Envoy retries a protected route ({}): after a second attempt a failure is an unknown outcome, not a released \
         key; include_attempt_count_in_response: true makes retried attempts counted",
        risky.join(", ")
    );
    report.warn(&policy.place, text);
}

/// Tells whether `node` turns the filter off; none if it does not speak of it.
fn is_disabled(scene: &Scene<'_>, node: &Node<'_>) -> Option<bool> {
    let name = scene.filter.text("name")?;
    let config = node.field("typed_per_filter_config")?.field(name)?;
    Some(config.is_true("disabled"))
}

/// Tells whether requests of a route miss the filter: what speaks of it nearest to the cluster counts.
fn misses(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>) -> bool {
    let clusters = clusters(route);
    let table = scene.manager.field("route_config");
    let around = [Some(route), Some(host), table.as_ref()].into_iter().flatten();
    let around = around.filter_map(|node| is_disabled(scene, node)).next();
    let around = around.unwrap_or_else(|| scene.filter.is_true("disabled"));
    let mut each = clusters
        .iter()
        .map(|cluster| is_disabled(scene, cluster).unwrap_or(around));
    clusters.is_empty() && around || each.any(|misses| misses)
}

/// Lists the weighted clusters of a route, which may differ in what they do to requests.
pub(super) fn clusters<'a>(route: &Node<'a>) -> Vec<Node<'a>> {
    let weighted = route.at(&["route", "weighted_clusters"]);
    weighted.map(|weighted| weighted.items("clusters")).unwrap_or_default()
}

fn left_out(scene: &Scene<'_>, host: &Node<'_>, route: &Node<'_>, report: &mut Report) {
    let Some(document) = scene.document() else { return };
    if misses(scene, host, route) && modes(document, host, route).contains(&Mode::Required) {
        let text = "disabled: true leaves the filter out where the document says mode: required";
        report.error(&route.place, text);
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, filter, host, manager, sound, warnings};
    use serde_json::{Value, json};

    fn route(envoy: &mut Value) -> &mut Value {
        &mut host(envoy)["routes"][0]
    }

    fn say(envoy: &mut Value, mode: &str) {
        route(envoy)["metadata"] = json!({"filter_metadata": {"reprise": {"idempotency": {"mode": mode}}}});
    }

    #[test]
    fn a_routes_metadata_is_checked() {
        errors(
            |envoy| say(envoy, "must"),
            "\"must\" is not known; allowed: off, optional, required",
        );
        sound(|envoy| say(envoy, "required"));
    }

    /// Case T77.
    #[test]
    fn retries_on_a_protected_route_are_a_warning() {
        let policy = json!({"retry_on": "connect-failure,5xx"});
        warnings(
            |envoy| route(envoy)["route"]["retry_policy"] = policy.clone(),
            "a protected route (5xx)",
        );
        warnings(
            |envoy| host(envoy)["retry_policy"] = policy.clone(),
            "include_attempt_count_in_response",
        );
    }

    /// Case T77.
    #[test]
    fn retries_that_cannot_run_twice_are_no_warning() {
        sound(|envoy| route(envoy)["route"]["retry_policy"] = json!({"retry_on": "connect-failure, refused-stream"}));
    }

    /// Case T77.
    #[test]
    fn retries_on_a_route_that_is_off_are_no_warning() {
        sound(|envoy| {
            say(envoy, "off");
            route(envoy)["route"]["retry_policy"] = json!({"retry_on": "5xx"});
        });
    }

    #[test]
    fn copies_that_envoy_makes_of_a_protected_request_are_a_warning() {
        for (name, value) in [
            ("hedge_policy", json!({})),
            ("request_mirror_policies", json!([{"cluster": "shadow"}])),
        ] {
            warnings(
                |envoy| route(envoy)["route"][name] = value.clone(),
                "more than once by itself",
            );
        }
    }

    #[test]
    fn a_rule_for_another_method_than_post_counts() {
        errors(
            |envoy| {
                document(envoy)["rules"] = json!([
                    {"match": {"methods": ["PATCH"], "path": "/only"}, "idempotency": {"mode": "required"}}
                ]);
                route(envoy)["match"] = json!({"path": "/only"});
                leave_out(envoy, route);
            },
            "leaves the filter out where the document says mode: required",
        );
    }

    fn leave_out(envoy: &mut Value, node: fn(&mut Value) -> &mut Value) {
        let name = filter(envoy)["name"].as_str().unwrap().to_owned();
        node(envoy)["typed_per_filter_config"] = json!({name: {"disabled": true}});
    }

    #[test]
    fn a_required_route_cannot_leave_the_filter_out() {
        let text = "leaves the filter out where the document says mode: required";
        let nodes: [fn(&mut Value) -> &mut Value; 3] = [route, host, |envoy| &mut manager(envoy)["route_config"]];
        for node in nodes {
            errors(|envoy| leave_out(envoy, node), text);
        }
        errors(|envoy| filter(envoy)["disabled"] = json!(true), text);
        errors(
            |envoy| {
                route(envoy)["route"] = json!({"weighted_clusters": {"clusters": [{"name": "a"}, {"name": "b"}]}});
                leave_out(envoy, |envoy| {
                    &mut route(envoy)["route"]["weighted_clusters"]["clusters"][1]
                });
            },
            text,
        );
    }

    #[test]
    fn a_route_that_turns_the_filter_on_counts_over_what_is_around_it() {
        warnings(
            |envoy| {
                filter(envoy)["disabled"] = json!(true);
                leave_out(envoy, host);
                let name = filter(envoy)["name"].as_str().unwrap().to_owned();
                route(envoy)["typed_per_filter_config"] = json!({name: {}});
            },
            "only routes that turn the filter on",
        );
    }

    #[test]
    fn an_optional_route_may_leave_the_filter_out() {
        sound(|envoy| {
            leave_out(envoy, route);
            drop(document(envoy)["rules"].take());
            document(envoy).as_object_mut().unwrap().remove("rules");
        });
    }

    #[test]
    fn a_route_that_says_required_cannot_leave_the_filter_out() {
        errors(
            |envoy| {
                leave_out(envoy, route);
                document(envoy).as_object_mut().unwrap().remove("rules");
                say(envoy, "required");
            },
            "leaves the filter out",
        );
    }

    #[test]
    fn paths_with_several_spellings_are_a_warning() {
        warnings(
            |envoy| manager(envoy)["merge_slashes"] = json!(false),
            "merge_slashes: true is advised",
        );
        warnings(
            |envoy| drop(manager(envoy)["normalize_path"].take()),
            "normalize_path: true is advised",
        );
    }

    #[test]
    fn slashes_that_stay_escaped_are_a_warning() {
        warnings(
            |envoy| drop(manager(envoy)["path_with_escaped_slashes_action"].take()),
            "path_with_escaped_slashes_action: REJECT_REQUEST is advised",
        );
        sound(|envoy| manager(envoy)["path_with_escaped_slashes_action"] = json!("UNESCAPE_AND_FORWARD"));
    }
}
