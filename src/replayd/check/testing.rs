//! What the tests of the checks share: sound configurations to break in one place.

use super::{Report, check};
use serde_json::{Value, json};

/// Gives an Envoy configuration in which nothing is wrong.
pub(super) fn reference() -> Value {
    json!({
        "stats_config": {"stats_tags": [{"tag_name": "outcome", "regex": "(_outcome=\\.=(.+?);\\.;)"}]},
        "bootstrap_extensions": [{"name": "envoy.bootstrap.wasm", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.wasm.v3.WasmService",
            "singleton": true, "config": {"vm_config": {"vm_id": "reprise"}}}}],
        "static_resources": {
            "listeners": [{"per_connection_buffer_limit_bytes": 65_536, "filter_chains": [{"filters": [{
                "name": "envoy.filters.network.http_connection_manager", "typed_config": connection_manager()}]}]}],
            "clusters": [{"name": "upstream"}, {"name": "replayd", "typed_extension_protocol_options": {
                "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {"http_filters": [
                    {"name": "envoy.filters.http.credential_injector"}, {"name": "envoy.filters.http.upstream_codec"}]}}}],
        },
    })
}

fn connection_manager() -> Value {
    json!({
        "@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "normalize_path": true, "merge_slashes": true, "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "early_header_mutation_extensions": [{"name": "reprise-headers", "typed_config": {
            "mutations": [{"remove_on_match": {"key_matcher": {"prefix": "reprise-"}}}]}}],
        "route_config": {"virtual_hosts": [{"name": "edge", "domains": ["*"], "request_body_buffer_limit": 4_194_304,
            "routes": [{"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}]}]},
        "http_filters": [{"name": "envoy.filters.http.wasm", "typed_config": {
            "@type": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm",
            "config": {"name": "reprise", "failure_policy": "FAIL_RELOAD", "allow_on_headers_stop_iteration": true,
                "vm_config": {"vm_id": "reprise"},
                "configuration": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"version": 1,
                    "idempotency": {"mode": "optional"},
                    "rules": [{"match": {"path": "/orders"}, "idempotency": {"mode": "required"}}]}}}}},
            {"name": "envoy.filters.http.router"}],
    })
}

/// The same as patches of Istio.
pub(super) const ISTIO: &str = r#"
kind: EnvoyFilter
spec:
  configPatches:
    - applyTo: BOOTSTRAP
      patch:
        operation: MERGE
        value:
          stats_config: {stats_tags: [{tag_name: outcome}]}
          bootstrap_extensions:
            - name: envoy.bootstrap.wasm
              typed_config: {"@type": x/envoy.extensions.wasm.v3.WasmService, singleton: true, config: {vm_config: {vm_id: r}}}
    - applyTo: VIRTUAL_HOST
      patch: {operation: MERGE, value: {request_body_buffer_limit: 4194304}}
    - applyTo: NETWORK_FILTER
      patch:
        operation: MERGE
        value:
          typed_config:
            "@type": x/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager
            early_header_mutation_extensions:
              - typed_config: {mutations: [{remove_on_match: {key_matcher: {prefix: reprise-}}}]}
    - applyTo: HTTP_FILTER
      patch:
        operation: INSERT_BEFORE
        value:
          name: reprise
          typed_config:
            "@type": x/envoy.extensions.filters.http.wasm.v3.Wasm
            config:
              failure_policy: FAIL_RELOAD
              allow_on_headers_stop_iteration: true
              vm_config: {vm_id: r}
              configuration: {"@type": x/google.protobuf.StringValue, value: '{"version": 1}'}
"#;

/// The same as patches of Envoy Gateway.
pub(super) const GATEWAY: &str = r#"
kind: EnvoyProxy
spec:
  bootstrap:
    type: JSONPatch
    jsonPatches:
      - op: add
        path: /stats_config
        value: {stats_tags: [{tag_name: outcome}]}
      - op: add
        path: /bootstrap_extensions
        value:
          - name: envoy.bootstrap.wasm
            typed_config: {"@type": x/envoy.extensions.wasm.v3.WasmService, singleton: true, config: {vm_config: {vm_id: r}}}
---
kind: EnvoyPatchPolicy
spec:
  jsonPatches:
    - type: x/envoy.config.route.v3.RouteConfiguration
      operation: {op: add, path: /virtual_hosts/0/request_body_buffer_limit, value: 4194304}
    - type: x/envoy.config.listener.v3.Listener
      operation:
        op: add
        path: /default_filter_chain/filters/0/typed_config/early_header_mutation_extensions
        value:
          - typed_config: {mutations: [{remove_on_match: {key_matcher: {prefix: reprise-}}}]}
    - type: x/envoy.config.listener.v3.Listener
      operation:
        op: add
        path: /default_filter_chain/filters/0/typed_config/http_filters/0
        value:
          name: reprise
          typed_config:
            "@type": x/envoy.extensions.filters.http.wasm.v3.Wasm
            config:
              failure_policy: FAIL_RELOAD
              allow_on_headers_stop_iteration: true
              vm_config: {vm_id: r}
              configuration: {"@type": x/google.protobuf.Struct, value: {version: 1}}
"#;

pub(super) fn manager(envoy: &mut Value) -> &mut Value {
    envoy
        .pointer_mut("/static_resources/listeners/0/filter_chains/0/filters/0/typed_config")
        .unwrap()
}

pub(super) fn filters(envoy: &mut Value) -> &mut Vec<Value> {
    manager(envoy)["http_filters"].as_array_mut().unwrap()
}

pub(super) fn filter(envoy: &mut Value) -> &mut Value {
    &mut manager(envoy)["http_filters"][0]
}

pub(super) fn plugin(envoy: &mut Value) -> &mut Value {
    &mut filter(envoy)["typed_config"]["config"]
}

pub(super) fn document(envoy: &mut Value) -> &mut Value {
    &mut plugin(envoy)["configuration"]["value"]
}

pub(super) fn host(envoy: &mut Value) -> &mut Value {
    &mut manager(envoy)["route_config"]["virtual_hosts"][0]
}

fn changed(change: impl FnOnce(&mut Value)) -> Report {
    let mut envoy = reference();
    change(&mut envoy);
    check(&envoy.to_string(), "envoy.yaml")
}

/// Checks that `change` makes an error that says `text`.
#[track_caller]
pub(super) fn errors(change: impl FnOnce(&mut Value), text: &str) {
    let report = changed(change);
    assert!(report.errors.iter().any(|error| error.text.contains(text)), "{report}");
}

/// Checks that `change` makes no error, and a warning that says `text`.
#[track_caller]
pub(super) fn warnings(change: impl FnOnce(&mut Value), text: &str) {
    let report = changed(change);
    assert!(
        report.is_ok() && report.warnings.iter().any(|warning| warning.text.contains(text)),
        "{report}"
    );
}

/// Checks that `change` makes neither an error nor a warning.
#[track_caller]
pub(super) fn sound(change: impl FnOnce(&mut Value)) {
    let report = changed(change);
    assert!(report.is_ok() && report.warnings.is_empty(), "{report}");
}

/// Checks that `change` makes neither an error nor a warning, and a note that says `text`.
#[track_caller]
pub(super) fn noted(change: impl FnOnce(&mut Value), text: &str) {
    let report = changed(change);
    let is_said = report.notes.iter().any(|note| note.text.contains(text));
    assert!(report.is_ok() && report.warnings.is_empty() && is_said, "{report}");
}

/// Checks that nothing that is said because of `change` has `text` in it.
#[track_caller]
pub(super) fn silent(change: impl FnOnce(&mut Value), text: &str) {
    let report = changed(change);
    let said = report.errors.iter().chain(&report.warnings);
    assert!(said.into_iter().all(|finding| !finding.text.contains(text)), "{report}");
}
