//! Finds each Reprise filter in a configuration, with what stands around it.

use super::node::Node;
use super::report::Report;
use reprise_core::config::{ConfigErrors, Document, Overrides, Policy, Selection};
use serde_json::Value;

/// One Reprise filter and what stands around it.
pub(super) struct Scene<'a> {
    /// The whole configuration.
    pub(super) root: Node<'a>,
    /// The connection manager that has it.
    pub(super) manager: Node<'a>,
    /// Filters before it in the list.
    pub(super) before: Vec<Node<'a>>,
    /// The filter's item in the list.
    pub(super) filter: Node<'a>,
    /// Filters after it in the list.
    pub(super) after: Vec<Node<'a>>,
    /// Its `PluginConfig`.
    pub(super) plugin: Node<'a>,
    /// The document as written.
    pub(super) raw: Value,
    /// The document as read.
    pub(super) read: Result<Option<Document>, ConfigErrors>,
}

/// Finds all Reprise filters, wherever they stand.
pub(super) fn find<'a>(root: &Node<'a>) -> Vec<Scene<'a>> {
    let mut scenes = Vec::new();
    search(root, root, &mut scenes);
    scenes
}

fn search<'a>(root: &Node<'a>, node: &Node<'a>, scenes: &mut Vec<Scene<'a>>) {
    let is_manager = node
        .text("@type")
        .is_none_or(|kind| kind.contains("http_connection_manager"));
    let filters = if is_manager {
        node.items("http_filters")
    } else {
        Vec::new()
    };
    for at in 0..filters.len() {
        scenes.extend(scene(root, node, &filters, at));
    }
    for child in node.children() {
        search(root, &child, scenes);
    }
}

fn scene<'a>(root: &Node<'a>, manager: &Node<'a>, filters: &[Node<'a>], at: usize) -> Option<Scene<'a>> {
    let (before, rest) = filters.split_at_checked(at)?;
    let (filter, after) = rest.split_first()?;
    let plugin = filter
        .settings()
        .filter(|_| filter.is_kind(&["http.wasm"]))?
        .field("config")?;
    let raw = document(&plugin);
    if !is_reprise(filter, &plugin, &raw) {
        return None;
    }
    let read = match &raw {
        Value::String(text) => Document::read(text.as_bytes()),
        value => Document::from_value(value),
    };
    let raw = raw
        .as_str()
        .and_then(|text| serde_json::from_str(text).ok())
        .unwrap_or(raw);
    let (root, manager, filter) = (root.clone(), manager.clone(), filter.clone());
    Some(Scene {
        root,
        manager,
        before: before.to_vec(),
        filter,
        after: after.to_vec(),
        plugin,
        raw,
        read,
    })
}

/// Takes the document out of a `Struct` or a `StringValue`.
fn document(plugin: &Node<'_>) -> Value {
    let Some(configuration) = plugin.field("configuration") else {
        return Value::Object(serde_json::Map::new());
    };
    configuration.field("value").unwrap_or(configuration).value.clone()
}

/// Tells whether a wasm filter is this one: by a name, its code, or what its document speaks of.
fn is_reprise(filter: &Node<'_>, plugin: &Node<'_>, raw: &Value) -> bool {
    let code = plugin
        .at(&["vm_config", "code", "local"])
        .and_then(|code| code.text("filename"));
    let vm_id = plugin.at(&["vm_config"]).and_then(|vm| vm.text("vm_id"));
    let names = [
        filter.text("name"),
        plugin.text("name"),
        plugin.text("root_id"),
        code,
        vm_id,
    ];
    names
        .iter()
        .flatten()
        .any(|name| name.to_lowercase().contains("reprise"))
        || raw.get("idempotency").is_some()
        || raw.as_str().is_some_and(|text| text.contains("\"idempotency\""))
}

impl<'a> Scene<'a> {
    /// Reports what reading the document gave.
    pub(super) fn tell_document(&self, report: &mut Report) {
        let place = format!("{}.configuration", self.plugin.place);
        super::tell_document(&place, self.read.clone(), report);
    }

    /// Gives the document if it is sound and not empty.
    pub(super) fn document(&self) -> Option<&Document> {
        self.read.as_ref().ok()?.as_ref()
    }

    /// Lists the listeners that the configuration shows and that this stands in: one, or none.
    pub(super) fn listeners(&self) -> Vec<Node<'a>> {
        let listed = self.root.field("static_resources");
        let listed = listed.map(|resources| resources.items("listeners"));
        self.around(listed.unwrap_or_default())
    }

    /// Lists the filter chains that the configuration shows and that this stands in: one, or none.
    pub(super) fn filter_chains(&self) -> Vec<Node<'a>> {
        let chains = self.listeners().into_iter().flat_map(|listener| {
            let default = listener.field("default_filter_chain");
            listener.items("filter_chains").into_iter().chain(default)
        });
        self.around(chains)
    }

    /// Keeps the nodes that this stands in.
    fn around(&self, nodes: impl IntoIterator<Item = Node<'a>>) -> Vec<Node<'a>> {
        let holds = |node: &Node<'_>| self.manager.place.starts_with(&format!("{}.", node.place));
        nodes.into_iter().filter(holds).collect()
    }

    /// Lists what is written about keys: by the document, by its rules, and by the metadata of routes.
    pub(super) fn said(&self) -> Vec<&Value> {
        let rules = self.raw.get("rules").and_then(Value::as_array);
        let own = [&self.raw].into_iter().chain(rules.into_iter().flatten());
        let routes = self.virtual_hosts().into_iter().flat_map(|host| host.items("routes"));
        let routes = routes.filter_map(|route| Some(super::routes::metadata(&route)?.value));
        own.chain(routes).filter_map(|place| place.get("idempotency")).collect()
    }

    /// Lists what routes may ask for: the document's defaults, what each rule makes of them, and what the metadata of each
    /// route do; none where the document is not sound.
    pub(super) fn policies(&self) -> Vec<Policy> {
        let Some(document) = self.document() else {
            return Vec::new();
        };
        let routes = &document.routes;
        let mut policies = vec![routes.defaults().clone()];
        let mut metadata = Vec::new();
        for route in self.virtual_hosts().iter().flat_map(|host| host.items("routes")) {
            let read = super::routes::metadata(&route).and_then(|said| Overrides::read(said.value).ok());
            metadata.extend(read.map(|said| (super::routes::beginning(&route).to_owned(), said)));
        }
        policies.extend(
            metadata
                .iter()
                .map(|(_, said)| routes.policy(Selection::NONE, Some(said))),
        );
        for (path, policy) in routes.rules() {
            // What counts together for a request that the rule is about.
            let selection = routes.select(b"POST", b"", path.as_bytes());
            let here = metadata.iter().filter(|(beginning, _)| path.starts_with(beginning));
            policies.push(policy);
            policies.push(routes.policy(selection, None));
            policies.extend(here.map(|(_, said)| routes.policy(selection, Some(said))));
        }
        policies
    }

    /// Tells whether something that is written about keys says `word` of `name`.
    pub(super) fn says(&self, name: &str, word: &str) -> bool {
        self.said()
            .iter()
            .any(|place| place.get(name).and_then(Value::as_str) == Some(word))
    }

    /// Lists the virtual hosts that the configuration shows.
    pub(super) fn virtual_hosts(&self) -> Vec<Node<'a>> {
        self.manager
            .field("route_config")
            .map(|routes| routes.items("virtual_hosts"))
            .unwrap_or_default()
    }

    /// Lists the identifiers of the wasm VM, which shared data belongs to.
    pub(super) fn vm_id(&self) -> &'a str {
        self.plugin
            .field("vm_config")
            .and_then(|vm| vm.text("vm_id"))
            .unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::{document, reference};
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_may_be_a_struct_or_a_text() {
        for value in [
            json!({"version": 1, "name": "x"}),
            json!("{\"version\": 1, \"name\": \"x\"}"),
        ] {
            let mut envoy = reference();
            *document(&mut envoy) = value;
            let scenes = find(&Node::root(&envoy));
            assert_eq!(scenes[0].document().unwrap().name, "x");
            assert_eq!(scenes[0].raw, json!({"version": 1, "name": "x"}));
        }
    }

    #[test]
    fn another_wasm_filter_is_not_reprise() {
        let text = reference()
            .to_string()
            .replace("reprise", "other")
            .replace("\"idempotency\"", "\"rules\"");
        let envoy: Value = serde_json::from_str(&text).unwrap();
        assert!(find(&Node::root(&envoy)).is_empty());
    }

    #[test]
    fn a_filter_in_a_typed_struct_is_found() {
        let mut envoy = reference();
        let filter = super::super::testing::filter(&mut envoy);
        let settings = filter["typed_config"].take();
        filter["typed_config"] = json!({"@type": "type.googleapis.com/xds.type.v3.TypedStruct",
            "type_url": "type.googleapis.com/envoy.extensions.filters.http.wasm.v3.Wasm", "value": settings});
        assert_eq!(find(&Node::root(&envoy)).len(), 1);
    }
}
