//! The manifests say what the reference configuration says.

use super::sources::read;
use serde_json::Value;

/// What has to stand in a manifest as it stands in the reference.
const PARTS: [&str; 6] = [
    "/stats_config/stats_tags",
    "/bootstrap_extensions/0",
    "/static_resources/secrets/0",
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/early_header_mutation_extensions",
    "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0",
    "/static_resources/clusters/1/typed_extension_protocol_options",
];

/// Single values, which the manifests write in forms of their own.
const VALUES: [(&str, &str); 6] = [
    ("per_connection_buffer_limit_bytes", "65536"),
    ("request_body_buffer_limit", "4194304"),
    ("include_attempt_count_in_response", "true"),
    ("normalize_path", "true"),
    ("merge_slashes", "true"),
    ("path_with_escaped_slashes_action", "REJECT_REQUEST"),
];

#[test]
fn manifests_carry_the_settings_of_the_reference() {
    let mut reference = parse("envoy/envoy.yaml");
    cut_detached(&mut reference[0]);
    for manifest in ["envoy/istio.yaml", "envoy/envoy-gateway.yaml"] {
        let documents = parse(manifest);
        for part in PARTS {
            let wanted = reference[0]
                .pointer(part)
                .unwrap_or_else(|| panic!("the reference has no {part}"));
            assert!(
                documents.iter().any(|document| holds(document, wanted)),
                "{manifest} differs in {part}"
            );
        }
    }
}

#[test]
fn manifests_carry_the_values_of_the_reference() {
    for file in ["envoy/envoy.yaml", "envoy/istio.yaml", "envoy/envoy-gateway.yaml"] {
        let text = read(file);
        for (name, value) in VALUES {
            let near = |(at, _): (usize, &str)| text[at + name.len()..].chars().take(30).collect::<String>();
            assert!(
                text.match_indices(name).any(|place| near(place).contains(value)),
                "{file}: {name} is not {value}"
            );
        }
    }
}

/// Reads all documents of a file; names of files are cut to their last part, which is all they share.
fn parse(path: &str) -> Vec<Value> {
    let mut documents: Vec<Value> =
        serde_saphyr::from_multiple(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    documents.iter_mut().for_each(cut_file_names);
    documents
}

/// Takes off what runs detached: its internal listener needs routes to the application, and those are the mesh's own there.
fn cut_detached(reference: &mut Value) {
    let document = "/static_resources/listeners/0/filter_chains/0/filters/0/typed_config/http_filters/0/typed_config/config\
                    /configuration/value";
    let rules = &mut reference.pointer_mut(document).unwrap()["rules"];
    for rule in rules.as_array_mut().unwrap() {
        if let Some(keys) = rule.get_mut("idempotency").and_then(Value::as_object_mut) {
            keys.retain(|name, _| !["execution", "detached_cluster"].contains(&name.as_str()));
        }
    }
}

fn cut_file_names(value: &mut Value) {
    if let Some(name) = value.get_mut("filename") {
        let last = name
            .as_str()
            .and_then(|path| path.rsplit('/').next())
            .map(str::to_owned);
        *name = last.into();
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(cut_file_names),
        Value::Object(fields) => fields.values_mut().for_each(cut_file_names),
        _ => {}
    }
}

fn holds(value: &Value, wanted: &Value) -> bool {
    value == wanted
        || match value {
            Value::Array(items) => items.iter().any(|item| holds(item, wanted)),
            Value::Object(fields) => fields.values().any(|field| holds(field, wanted)),
            _ => false,
        }
}
