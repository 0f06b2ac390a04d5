//! How long duplicates wait for the first request, and how long Envoy lets them.

use super::node::Node;
use super::report::Report;
use super::routes::is_off;
use super::scene::Scene;
use reprise_core::config::{InFlight, Mode};
use serde_json::Value;

/// Envoy's own `stream_idle_timeout`.
const IDLE_MS: u64 = 300_000;

/// Checks the times that end a stream while it waits.
pub(super) fn check(scene: &Scene<'_>, report: &mut Report) {
    let Some(wait_ms) = longest_wait(scene) else { return };
    let hosts = scene.virtual_hosts();
    let routes = hosts.iter().flat_map(|host| {
        let here = host.items("routes").into_iter();
        here.filter(|route| !is_off(scene, host, route))
    });
    let own: Vec<_> = routes.map(|route| route.at(&["route", "idle_timeout"])).collect();
    for timeout in own.iter().flatten() {
        tell(timeout, "idle_timeout", millis(timeout.value), wait_ms, report);
    }
    if own.is_empty() || own.iter().any(Option::is_none) {
        let idle_ms = scene.manager.millis("stream_idle_timeout").unwrap_or(IDLE_MS);
        tell(&scene.manager, "stream_idle_timeout", Some(idle_ms), wait_ms, report);
    }
    if let Some(options) = scene.manager.field("common_http_protocol_options") {
        let longest = options.millis("max_stream_duration");
        tell(&options, "max_stream_duration", longest, wait_ms, report);
    }
}

/// Tells of a time that is not above that of waiters; 0 and none mean for ever.
fn tell(place: &Node<'_>, name: &str, limit_ms: Option<u64>, wait_ms: u64, report: &mut Report) {
    if let Some(limit_ms) = limit_ms.filter(|limit_ms| (1..=wait_ms).contains(limit_ms)) {
        let text = format!("{name} is {limit_ms} ms; above max_wait_ms {wait_ms} is needed, or waiters get 504");
        report.error(&place.place, text);
    }
}

fn millis(value: &Value) -> Option<u64> {
    let holder = serde_json::json!({"time": value});
    Node::root(&holder).millis("time")
}

/// Gives the longest time that a duplicate may wait; none if none does.
fn longest_wait(scene: &Scene<'_>) -> Option<u64> {
    let policies = scene.policies().into_iter();
    let waiting = policies.filter(|policy| policy.mode != Mode::Off && policy.in_flight == InFlight::Wait);
    waiting.map(|policy| policy.max_wait.0).max()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, errors, host, manager, sound};
    use serde_json::{Value, json};

    const TOO_SHORT: &str = "is 5000 ms; above max_wait_ms 5000 is needed";

    fn waits(envoy: &mut Value) {
        document(envoy)["idempotency"] = json!({"in_flight": "wait", "max_wait_ms": 5000});
    }

    #[test]
    fn streams_may_idle_longer_than_duplicates_wait() {
        let idle = |time: &'static str| {
            move |envoy: &mut Value| {
                waits(envoy);
                manager(envoy)["stream_idle_timeout"] = json!(time);
            }
        };
        errors(idle("5s"), TOO_SHORT);
        for time in ["5.001s", "0s"] {
            sound(idle(time));
        }
        sound(waits);
    }

    #[test]
    fn a_rule_and_a_routes_metadata_may_wait_too() {
        let hasty = |envoy: &mut Value| manager(envoy)["stream_idle_timeout"] = json!("5s");
        let wait = json!({"in_flight": "wait", "max_wait_ms": 5000});
        errors(
            |envoy| {
                hasty(envoy);
                document(envoy)["rules"] = json!([{"match": {"path": "/x"}, "idempotency": wait.clone()}]);
            },
            TOO_SHORT,
        );
        errors(
            |envoy| {
                hasty(envoy);
                let metadata = json!({"filter_metadata": {"reprise": {"idempotency": wait.clone()}}});
                host(envoy)["routes"][0]["metadata"] = metadata;
            },
            TOO_SHORT,
        );
        errors(
            |envoy| {
                hasty(envoy);
                document(envoy)["idempotency"] = json!({"max_wait_ms": 5000});
                document(envoy)["rules"] = json!([{"idempotency": {"in_flight": "wait"}}]);
            },
            TOO_SHORT,
        );
    }

    #[test]
    fn streams_may_idle_longer_than_a_preset_lets_duplicates_wait() {
        errors(
            |envoy| {
                document(envoy)["idempotency"] = json!({"preset": "django"});
                manager(envoy)["stream_idle_timeout"] = json!("0.1s");
            },
            "is 100 ms; above max_wait_ms 100 is needed",
        );
    }

    #[test]
    fn a_routes_own_time_counts_in_place_of_the_managers() {
        let own = |time: &'static str| {
            move |envoy: &mut Value| {
                waits(envoy);
                manager(envoy)["stream_idle_timeout"] = json!("1s");
                host(envoy)["routes"][0]["route"]["idle_timeout"] = json!(time);
            }
        };
        errors(own("5s"), "idle_timeout is 5000 ms; above max_wait_ms 5000");
        sound(own("6s"));
    }

    #[test]
    fn a_route_where_keys_mean_nothing_may_idle_shortly() {
        let metadata = json!({"filter_metadata": {"reprise": {"idempotency": {"mode": "off"}}}});
        sound(|envoy| {
            waits(envoy);
            let off = json!({"match": {"prefix": "/off"}, "metadata": metadata,
                "route": {"cluster": "upstream", "idle_timeout": "1s"}});
            host(envoy)["routes"].as_array_mut().unwrap().insert(0, off);
        });
    }

    #[test]
    fn streams_that_end_before_duplicates_are_done_waiting_are_an_error() {
        errors(
            |envoy| {
                waits(envoy);
                manager(envoy)["common_http_protocol_options"] = json!({"max_stream_duration": "5s"});
            },
            "max_stream_duration is 5000 ms",
        );
    }

    #[test]
    fn streams_may_idle_shortly_where_nobody_waits() {
        sound(|envoy| manager(envoy)["stream_idle_timeout"] = json!("1s"));
    }
}
