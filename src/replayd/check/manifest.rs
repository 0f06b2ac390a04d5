//! Manifests that patch Envoy, put together to the configuration that they make.
//!
//! Istio's `EnvoyFilter` and Envoy Gateway's `EnvoyPatchPolicy` and `EnvoyProxy` only say what they add. What they are
//! added to is not seen, so an order of filters is only as complete as the patches are.

use serde_json::{Map, Value, json};

/// Where the connection manager that is patched stands in the result.
const MANAGER: &str = "http_connection_manager";

/// Puts the documents of a file together: manifests to what they make, anything else as it is.
pub(super) fn assemble(documents: Vec<Value>) -> Value {
    let mut root = json!({});
    for document in documents {
        match document.get("kind").and_then(Value::as_str) {
            Some("EnvoyFilter") => patches(&document, "configPatches").for_each(|patch| add_istio(&mut root, patch)),
            Some("EnvoyPatchPolicy") => {
                patches(&document, "jsonPatches").for_each(|patch| add_gateway(&mut root, patch))
            }
            Some("EnvoyProxy") => add_proxy(&mut root, &document),
            _ => merge(&mut root, document),
        }
    }
    if root.get(MANAGER).is_some() {
        // A virtual host to look at, even if no patch speaks of one.
        place(
            &mut root,
            &[MANAGER, "route_config", "virtual_hosts", "0"],
            json!({}),
            Ending::Merge,
        );
    }
    root
}

fn patches<'a>(document: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    document["spec"][list].as_array().into_iter().flatten()
}

/// Adds one patch of an `EnvoyFilter`.
fn add_istio(root: &mut Value, patch: &Value) {
    let value = patch["patch"]["value"].clone();
    let path: &[&str] = match patch["applyTo"].as_str().unwrap_or_default() {
        "BOOTSTRAP" => &[],
        "CLUSTER" => &["static_resources", "clusters", "-"],
        "NETWORK_FILTER" => return place(root, &[MANAGER], value["typed_config"].clone(), Ending::Merge),
        "HTTP_FILTER" => &[MANAGER, "http_filters", "-"],
        "ROUTE_CONFIGURATION" => &[MANAGER, "route_config"],
        "VIRTUAL_HOST" => &[MANAGER, "route_config", "virtual_hosts", "0"],
        "HTTP_ROUTE" => &[MANAGER, "route_config", "virtual_hosts", "0", "routes", "-"],
        _ => return,
    };
    place(root, path, value, Ending::Merge);
}

/// Adds one patch of an `EnvoyPatchPolicy`.
fn add_gateway(root: &mut Value, patch: &Value) {
    let operation = &patch["operation"];
    let path: Vec<&str> = operation["path"]
        .as_str()
        .unwrap_or_default()
        .split('/')
        .skip(1)
        .collect();
    let kind = patch["type"].as_str().unwrap_or_default();
    let value = operation["value"].clone();
    if kind.ends_with("Cluster") && path.is_empty() {
        place(root, &["static_resources", "clusters", "-"], value, Ending::Insert);
    } else if kind.ends_with("RouteConfiguration") {
        place(
            root,
            &[&[MANAGER, "route_config"], path.as_slice()].concat(),
            value,
            Ending::Insert,
        );
    } else if let Some(at) = path
        .iter()
        .position(|name| *name == "typed_config")
        .filter(|_| kind.ends_with("Listener"))
    {
        let rest = path.get(at.saturating_add(1)..).unwrap_or_default();
        place(root, &[&[MANAGER], rest].concat(), value, Ending::Insert);
    }
}

/// Adds the bootstrap of an `EnvoyProxy`, written as patches or as a text.
fn add_proxy(root: &mut Value, document: &Value) {
    let bootstrap = &document["spec"]["bootstrap"];
    for patch in bootstrap["jsonPatches"].as_array().into_iter().flatten() {
        let path: Vec<&str> = patch["path"].as_str().unwrap_or_default().split('/').skip(1).collect();
        place(root, &path, patch["value"].clone(), Ending::Insert);
    }
    if let Some(Ok(value)) = bootstrap["value"].as_str().map(serde_saphyr::from_str) {
        merge(root, value);
    }
}

/// What happens where a path ends in a list's place that is taken.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Ending {
    /// The value there is merged with the new one.
    Merge,
    /// The new value goes before it.
    Insert,
}

/// Puts `value` at `path`, making what is missing on the way.
fn place(root: &mut Value, path: &[&str], value: Value, ending: Ending) {
    let Some((first, rest)) = path.split_first() else {
        return merge(root, value);
    };
    if *first != "-" && first.parse::<usize>().is_err() {
        if !root.is_object() {
            *root = Value::Object(Map::new());
        }
        if let Some(fields) = root.as_object_mut() {
            place(fields.entry(*first).or_insert(Value::Null), rest, value, ending);
        }
        return;
    }
    if !root.is_array() {
        *root = json!([]);
    }
    if let Some(items) = root.as_array_mut() {
        place_item(items, first, rest, value, ending);
    }
}

fn place_item(items: &mut Vec<Value>, at: &str, rest: &[&str], value: Value, ending: Ending) {
    let at = at.parse().unwrap_or(items.len()).min(items.len());
    if at == items.len() || (rest.is_empty() && ending == Ending::Insert) {
        items.insert(at, Value::Null);
    }
    if let Some(item) = items.get_mut(at) {
        place(item, rest, value, ending);
    }
}

/// Lays `value` over `under`: objects field by field, lists one after the other.
fn merge(under: &mut Value, value: Value) {
    match (under, value) {
        (Value::Object(under), Value::Object(over)) => {
            for (name, value) in over {
                merge(under.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(under), Value::Array(over)) => under.extend(over),
        (under, value) => *under = value,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn istios_patches_make_a_configuration() {
        let filter = json!({"kind": "EnvoyFilter", "spec": {"configPatches": [
            {"applyTo": "HTTP_FILTER", "patch": {"operation": "INSERT_BEFORE", "value": {"name": "a"}}},
            {"applyTo": "NETWORK_FILTER", "patch": {"operation": "MERGE", "value": {"typed_config": {"merge_slashes": true}}}},
            {"applyTo": "VIRTUAL_HOST", "patch": {"operation": "MERGE", "value": {"x": 1}}},
            {"applyTo": "VIRTUAL_HOST", "patch": {"operation": "MERGE", "value": {"y": 2}}},
            {"applyTo": "BOOTSTRAP", "patch": {"operation": "MERGE", "value": {"bootstrap_extensions": [{"name": "b"}]}}},
            {"applyTo": "CLUSTER", "patch": {"operation": "ADD", "value": {"name": "c"}}},
        ]}});
        let manager = json!({"http_filters": [{"name": "a"}], "merge_slashes": true,
            "route_config": {"virtual_hosts": [{"x": 1, "y": 2}]}});
        let want = json!({MANAGER: manager, "bootstrap_extensions": [{"name": "b"}],
            "static_resources": {"clusters": [{"name": "c"}]}});
        assert_eq!(assemble(vec![filter]), want);
    }

    #[test]
    fn gateways_patches_make_a_configuration() {
        let patch = |kind: &str, path: &str, value: Value| json!({"type": format!("type.googleapis.com/x.{kind}"), "operation": {"op": "add", "path": path, "value": value}});
        let policy = json!({"kind": "EnvoyPatchPolicy", "spec": {"jsonPatches": [
            patch("Listener", "/default_filter_chain/filters/0/typed_config/http_filters/0", json!({"name": "b"})),
            patch("Listener", "/default_filter_chain/filters/0/typed_config/http_filters/0", json!({"name": "a"})),
            patch("Listener", "/per_connection_buffer_limit_bytes", json!(1)),
            patch("RouteConfiguration", "/virtual_hosts/0/x", json!(1)),
            patch("RouteConfiguration", "/virtual_hosts/0/y", json!(2)),
            patch("Cluster", "", json!({"name": "c"})),
        ]}});
        let manager = json!({"http_filters": [{"name": "a"}, {"name": "b"}], "route_config": {"virtual_hosts": [{"x": 1, "y": 2}]}});
        let want = json!({MANAGER: manager, "static_resources": {"clusters": [{"name": "c"}]}});
        assert_eq!(assemble(vec![policy]), want);
    }

    #[test]
    fn gateways_bootstrap_is_read_in_both_forms() {
        let want = json!({"bootstrap_extensions": [{"name": "b"}]});
        let patches = json!([{"op": "add", "path": "/bootstrap_extensions", "value": [{"name": "b"}]}]);
        let proxy = |bootstrap: Value| assemble(vec![json!({"kind": "EnvoyProxy", "spec": {"bootstrap": bootstrap}})]);
        assert_eq!(proxy(json!({"jsonPatches": patches})), want);
        assert_eq!(proxy(json!({"value": "bootstrap_extensions: [{name: b}]"})), want);
    }

    #[test]
    fn other_documents_stay() {
        let envoy = json!({"static_resources": {"listeners": []}});
        assert_eq!(assemble(vec![envoy.clone()]), envoy);
    }
}
