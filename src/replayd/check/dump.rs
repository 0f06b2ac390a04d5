//! The configuration of an Envoy that runs, put together from what its admin interface shows.

use serde_json::{Value, json};

/// What an admin interface shows of configuration.
///
/// Source: Envoy admin interface, `GET /config_dump`, `envoy.admin.v3.ConfigDump`, read for 1.40.
struct Dump<'a>(&'a Value);

/// Puts a dump together to one configuration, in which nothing comes from elsewhere; none if it is no dump.
pub(super) fn assemble(dump: &Value) -> Option<Value> {
    let dump = Dump(dump);
    let mut root = dump.part("BootstrapConfigDump")?.get("bootstrap")?.clone();
    let mut listeners = dump.listed(
        "ListenersConfigDump",
        &["static_listeners", "dynamic_listeners"],
        "listener",
    );
    let routes = dump.listed(
        "RoutesConfigDump",
        &["static_route_configs", "dynamic_route_configs"],
        "route_config",
    );
    let filters = dump.listed("EcdsConfigDump", &["ecds_filters"], "ecds_filter");
    listeners
        .iter_mut()
        .for_each(|listener| fill(listener, &routes, &filters));
    root["static_resources"] = json!({
        "listeners": listeners,
        "clusters": dump.listed("ClustersConfigDump", &["static_clusters", "dynamic_active_clusters"], "cluster"),
        "secrets": dump.listed("SecretsConfigDump", &["static_secrets", "dynamic_active_secrets"], "secret"),
    });
    root.as_object_mut()?.remove("dynamic_resources");
    Some(root)
}

impl<'a> Dump<'a> {
    /// Finds the part of this kind.
    fn part(&self, kind: &str) -> Option<&'a Value> {
        let parts = self.0.get("configs")?.as_array()?;
        let is_kind = |part: &&Value| part["@type"].as_str().is_some_and(|name| name.ends_with(kind));
        parts.iter().find(is_kind)
    }

    /// Lists what `item` is in the lists of a part, of what is dynamic what counts now.
    fn listed(&self, kind: &str, lists: &[&str], item: &str) -> Vec<Value> {
        let part = self.part(kind).unwrap_or(&Value::Null);
        let lists = lists.iter().filter_map(|list| part.get(*list)?.as_array());
        let items = lists.flatten();
        items
            .filter_map(|entry| entry.get("active_state").unwrap_or(entry).get(item).cloned())
            .collect()
    }
}

/// Puts routes and filters that come from elsewhere where they are named.
fn fill(value: &mut Value, routes: &[Value], filters: &[Value]) {
    let named = |list: &[Value], name: &Value| list.iter().find(|item| item["name"] == *name).cloned();
    if let Some(table) = value
        .get("rds")
        .and_then(|rds| named(routes, &rds["route_config_name"]))
    {
        value["route_config"] = table;
    }
    if value.get("config_discovery").is_some()
        && let Some(filter) = named(filters, &value["name"])
    {
        value["typed_config"] = filter["typed_config"].clone();
    }
    match value {
        Value::Array(items) => items.iter_mut().for_each(|item| fill(item, routes, filters)),
        Value::Object(fields) => fields.values_mut().for_each(|field| fill(field, routes, filters)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{manager, reference};
    use super::super::{Running, check_running};
    use super::*;

    /// Shows a configuration as an Envoy would that has its listener, its routes and its filter from elsewhere.
    fn shown(mut envoy: Value) -> Value {
        let name = "edge";
        let mut table = manager(&mut envoy)["route_config"].take();
        table["name"] = json!(name);
        manager(&mut envoy)["rds"] = json!({"route_config_name": name});
        let filter = &mut manager(&mut envoy)["http_filters"][0];
        let config = filter["typed_config"].take();
        *filter = json!({"name": "reprise", "config_discovery": {}});
        let resources = envoy["static_resources"].take();
        envoy["dynamic_resources"] = json!({"cds_config": {}});
        let kind = |name: &str| format!("type.googleapis.com/envoy.admin.v3.{name}ConfigDump");
        json!({"configs": [
            {"@type": kind("Bootstrap"), "bootstrap": envoy},
            {"@type": kind("Clusters"), "dynamic_active_clusters": [{"cluster": resources["clusters"][0]}],
                "static_clusters": [{"cluster": resources["clusters"][1]}]},
            {"@type": kind("Listeners"), "dynamic_listeners": [
                {"name": "edge", "active_state": {"listener": resources["listeners"][0]}, "draining_state": {}}]},
            {"@type": kind("Routes"), "dynamic_route_configs": [{"route_config": table}]},
            {"@type": kind("Ecds"), "ecds_filters": [{"ecds_filter": {"name": "reprise", "typed_config": config}}]},
        ]})
    }

    #[test]
    fn a_dump_is_checked_as_the_configuration_that_it_shows() {
        let Running { report, .. } = check_running(&shown(reference()).to_string(), "admin").unwrap();
        assert!(report.is_ok() && report.warnings.is_empty(), "{report}");
        let mut envoy = reference();
        super::super::testing::plugin(&mut envoy)["failure_policy"] = json!("FAIL_OPEN");
        super::super::testing::host(&mut envoy)["request_body_buffer_limit"].take();
        super::super::testing::document(&mut envoy)["replayd"] = json!({"cluster": "nowhere"});
        let Running { report, .. } = check_running(&shown(envoy).to_string(), "admin").unwrap();
        assert_eq!(report.errors.len(), 3, "{report}");
    }

    #[test]
    fn what_is_no_dump_is_not_checked() {
        for text in ["", "{}", "<html>", r#"{"configs": []}"#] {
            assert!(check_running(text, "admin").is_none(), "{text}");
        }
    }
}
