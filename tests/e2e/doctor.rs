//! `replayd doctor` on Envoys that run.

use reprise_tests::harness::tls::Authority;
use reprise_tests::harness::{Ran, Settings, Stack, Wasm, eventually};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

/// Runs the doctor of the first stack's replayd on all of them.
async fn doctor(stacks: &[&Stack]) -> Ran {
    let urls: Vec<String> = stacks.iter().map(|stack| stack.admin_url()).collect();
    let mut arguments = vec!["doctor", "--json"];
    for url in &urls {
        arguments.extend(["--envoy-admin", url]);
    }
    stacks[0].replayd().run(&arguments).await
}

/// Lists what it says of this kind but for notes, as `status: message`, without the admin interface's address.
fn said(ran: &Ran, name: &str) -> BTreeSet<String> {
    let checks: Value = serde_json::from_str(&ran.out).unwrap_or_else(|error| panic!("{error}: {ran:?}"));
    let checks = checks["checks"].as_array().unwrap().iter();
    let texts = checks
        .filter(|check| check["name"] == name && check["status"] != "note")
        .map(|check| {
            let message = check["message"].as_str().unwrap();
            let place = message.split_once(": ").filter(|(place, _)| !place.contains(' '));
            let rest = place.map_or(message, |(_, rest)| rest);
            format!("{}: {rest}", check["status"].as_str().unwrap())
        });
    texts.collect()
}

/// Waits until the doctor says all of `words` about the counts of the stack's Envoy.
async fn counts(stack: &Stack, words: &[&str]) {
    eventually("the doctor tells", Duration::from_secs(20), || async {
        let told = said(&doctor(&[stack]).await, "envoy-counts");
        let has = |word: &&str| told.iter().any(|line| line.contains(word));
        words.iter().all(has).then_some(()).ok_or_else(|| format!("{told:?}"))
    })
    .await;
}

fn manager(bootstrap: &mut Value) -> &mut Value {
    &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]
}

#[tokio::test]
async fn an_envoy_that_runs_as_the_reference_has_nothing_wrong_with_it() {
    for settings in [Stack::builder().ecds(), Stack::builder().lds()] {
        let Some(stack) = settings.replayd().start().await else {
            return;
        };
        let ran = doctor(&[&stack]).await;
        assert_eq!(
            said(&ran, "envoy-running"),
            ["ok: nothing is wrong".to_owned()].into(),
            "{ran:?}"
        );
        let counts = said(&ran, "envoy-counts");
        assert_eq!(
            counts,
            ["ok: the filter counts nothing that is wrong".to_owned()].into()
        );
    }
}

/// Has a bit of everything wrong that Envoy takes.
fn misconfigured(callers: &Authority) -> Settings {
    let socket = callers.socket(json!({"require_client_certificate": true}));
    let document = json!({"principal": ["mtls", {"header": "x-user"}],
        "idempotency": {"in_flight": "wait", "max_wait_ms": 20_000}});
    Stack::builder()
        .document(document)
        .allow_log("")
        .patch(move |bootstrap| {
            let extensions = bootstrap["bootstrap_extensions"].as_array_mut().unwrap();
            extensions.retain(|extension| extension["name"] != "envoy.bootstrap.wasm");
            let chain = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0];
            chain["transport_socket"] = socket;
            let manager = manager(bootstrap);
            manager["early_header_mutation_extensions"] = json!([]);
            manager["stream_idle_timeout"] = json!("10s");
            manager["request_timeout"] = json!("30s");
            let host = &mut manager["route_config"]["virtual_hosts"][0];
            host["request_body_buffer_limit"].take();
            host["request_headers_to_add"] = json!([{"header": {"key": "idempotency-key", "value": "x"}}]);
            host["routes"][0]["route"]["retry_policy"] = json!({"retry_on": "5xx"});
            let off = json!({"@type": "type.googleapis.com/envoy.config.route.v3.FilterConfig", "disabled": true});
            host["routes"][0]["typed_per_filter_config"] = json!({"envoy.filters.http.wasm": off});
            let filters = manager["http_filters"].as_array_mut().unwrap();
            let plugin = &mut filters[0]["typed_config"]["config"];
            plugin["failure_policy"] = json!("FAIL_CLOSED");
            plugin["allow_on_headers_stop_iteration"] = json!(false);
            plugin["vm_config"]["vm_id"] = json!("");
            let typed = |kind: &str, more: Value| {
                let mut config = json!({"@type": format!("type.googleapis.com/envoy.extensions.filters.http.{kind}")});
                reprise_tests::harness::merge(&mut config, more);
                json!({"name": kind, "typed_config": config})
            };
            let gzip = "type.googleapis.com/envoy.extensions.compression.gzip.compressor.v3.Gzip";
            let library = json!({"compressor_library": {"name": "gzip", "typed_config": {"@type": gzip}}});
            filters.insert(1, typed("compressor.v3.Compressor", library));
            filters.insert(1, typed("jwt_authn.v3.JwtAuthentication", json!({})));
        })
}

#[tokio::test]
async fn the_doctor_says_of_a_running_envoy_what_check_config_says_of_its_file() {
    let callers = Authority::new();
    let Some(checked) = misconfigured(&callers).check_config() else {
        return;
    };
    let checked = checked.unwrap_err();
    let lines = checked
        .lines()
        .filter_map(|line| line.split_once(": ").map(|(_, line)| line));
    let is_told = |line: &&str| line.starts_with("error: ") || line.starts_with("warning: ");
    let checked: BTreeSet<String> = lines.filter(is_told).map(str::to_owned).collect();
    for word in [
        "failure_policy is FAIL_CLOSED",
        "allow_on_headers_stop_iteration: true is needed",
        "vm_config.vm_id is empty",
        "request_body_buffer_limit is needed",
        "stream_idle_timeout is 10000 ms; above max_wait_ms 20000",
        "a duplicate that is held would get 408",
        "does not remove clients' headers that begin with reprise-",
        "leaves the filter out where the document says mode: required",
        "callers that it has not let in",
        "recorded compressed",
        "adds another idempotency-key",
        "has no trusted_ca",
        "the principal is read from x-user",
        "Envoy retries a protected route",
        "no envoy.bootstrap.wasm singleton",
    ] {
        assert!(checked.iter().any(|line| line.contains(word)), "{word}: {checked:#?}");
    }
    let Some(stack) = misconfigured(&callers).replayd().start().await else {
        return;
    };
    let ran = doctor(&[&stack]).await;
    assert_eq!((said(&ran, "envoy-running"), ran.code), (checked, 1), "{ran:?}");
}

#[tokio::test]
async fn two_envoys_that_protect_one_path_with_keys_of_their_own_are_a_warning() {
    let Some(one) = Stack::builder().replayd().start().await else {
        return;
    };
    let Some(other) = Stack::builder().shares(one.replayd()).start().await else {
        return;
    };
    assert!(said(&doctor(&[&one]).await, "shared-data").is_empty());
    let told = said(&doctor(&[&one, &other]).await, "shared-data");
    let text = told.first().unwrap();
    assert!(
        text.starts_with("warning: ") && text.contains("/api/payments"),
        "{text}"
    );
}

#[tokio::test]
async fn what_the_filter_counts_is_told() {
    let bad = json!({"filter_metadata": {"reprise": {"idempotency": {"mode": "must"}}}});
    let settings = Stack::builder().replayd().allow_log("metadata").route(json!({
        "match": {"prefix": "/bad/"}, "route": {"cluster": "upstream"}, "metadata": bad}));
    let Some(stack) = settings.start().await else { return };
    assert_eq!(stack.post("/bad/x").key("bad").body("{}").send().await.status, 503);
    let paid = stack.post("/api/payments").key("paid").body("{}").send().await;
    assert_eq!(paid.status, 201, "{paid:?}");
    let nameless = "1 of 1 requests with a key had no caller";
    counts(
        &stack,
        &[
            "error: requests were refused as misconfigured (1)",
            nameless,
            "on /api/payments",
        ],
    )
    .await;
}

#[tokio::test]
async fn a_vm_that_failed_is_told() {
    let settings = Stack::builder().wasm(Wasm::Trap).reloads_at_once().allow_log("");
    let Some(stack) = settings.workers(1).replayd().start().await else {
        return;
    };
    stack.post("/trap").header("x-reprise-trap", "1").send().await;
    eventually("a VM is there", Duration::from_secs(20), || async {
        let status = stack.request("GET", "/awake").send().await.status;
        (status != 503).then_some(()).ok_or_else(|| status.to_string())
    })
    .await;
    counts(&stack, &["VMs of the filter failed and were made again"]).await;
}
