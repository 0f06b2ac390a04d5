//! Documents that Envoy must not take.

use reprise_tests::harness::{Settings, Stack};
use serde_json::{Value, json};

#[track_caller]
fn assert_refused(settings: Settings, words: &[&str]) {
    let Some(verdict) = settings.validate() else { return };
    let Err(said) = verdict else { panic!("Envoy took it") };
    for word in words {
        assert!(said.contains(word), "{word:?} is not in: {said}");
    }
}

/// Case T12.
#[test]
fn contradictory_rules_are_refused_at_load() {
    let settings = Stack::builder()
        .area("both", &json!({"mode": "off"}))
        .area("both", &json!({"mode": "required"}));
    assert_refused(settings, &["rules", "mode"]);
}

/// Case T85.
#[test]
fn a_store_too_small_for_the_expected_rate_is_refused_at_load() {
    let document = json!({"idempotency": {"keys_max": 3200, "retain_s": 900, "expect_keys_per_s": 1000}});
    assert_refused(Stack::builder().document(document), &["expect_keys_per_s", "1000"]);
}

#[test]
fn the_reference_configuration_is_valid() {
    if let Some(verdict) = Stack::builder().validate() {
        assert_eq!(verdict, Ok(()));
    }
}

#[test]
fn check_config_finds_no_error_in_what_is_tested() {
    for settings in [
        Stack::builder(),
        super::shared::settings(),
        Stack::builder().reloads_at_once(),
    ] {
        let Some(verdict) = settings.check_config() else { return };
        assert!(verdict.is_ok(), "{verdict:?}");
    }
}

/// Case T77.
#[test]
fn check_config_warns_of_routes_that_retry() {
    let Some(verdict) = super::shared::settings().check_config() else {
        return;
    };
    let said = verdict.unwrap();
    assert!(said.contains("warning") && said.contains("retry"), "{said}");
}

#[test]
fn check_config_refuses_what_would_let_duplicates_hang() {
    let settings = Stack::builder().patch(|bootstrap| {
        let manager = &mut bootstrap["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0];
        let filters = manager["typed_config"]["http_filters"].as_array_mut().unwrap();
        let wasm = filters
            .iter_mut()
            .find(|filter| filter["name"] == "envoy.filters.http.wasm");
        wasm.unwrap()["typed_config"]["config"]["allow_on_headers_stop_iteration"] = false.into();
    });
    let Some(verdict) = settings.check_config() else { return };
    let said = verdict.unwrap_err();
    assert!(said.contains("allow_on_headers_stop_iteration"), "{said}");
}

#[test]
fn the_authentication_example_is_valid_where_it_says_it_belongs() {
    let example = include_str!("../../envoy/authn.yaml");
    let example: Value = serde_saphyr::from_str(example).unwrap();
    let settings = Stack::builder()
        .document(json!({"principal": [{"header": "x-user"}]}))
        .patch(move |bootstrap| {
            let resources = &mut bootstrap["static_resources"];
            append(&mut resources["clusters"], &example["clusters"]);
            let manager = &mut resources["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"];
            let mutations = &mut manager["early_header_mutation_extensions"][0]["typed_config"]["mutations"];
            append(mutations, &example["mutations"]);
            let filters = manager["http_filters"].as_array_mut().unwrap();
            filters.splice(0..0, example["http_filters"].as_array().unwrap().iter().cloned());
        });
    if let Some(verdict) = settings.validate() {
        assert_eq!(verdict, Ok(()));
    }
}

fn append(list: &mut Value, more: &Value) {
    list.as_array_mut()
        .unwrap()
        .extend(more.as_array().unwrap().iter().cloned());
}
