//! An Envoy that runs: what is wrong with its configuration, and what it protects.

use super::node::Node;
use super::report::Report;
use super::scene::{self, Scene};
use super::{check_root, dump, paths, shares};
use reprise_core::config::Mode;
use serde_json::Value;

/// What the configuration of an Envoy that runs says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Running {
    /// What was found, as in a file of the same configuration.
    pub report: Report,
    /// The paths where keys are required, also of callers whom nothing names.
    pub shared: Vec<String>,
    /// What keys in this Envoy's own shared data protect.
    pub protected: Vec<Protected>,
}

/// Paths of one host that keys in shared data protect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Protected {
    /// The name of the document.
    pub name: String,
    /// A domain of a virtual host, as Envoy writes it.
    pub domain: String,
    /// The paths.
    pub paths: Vec<String>,
}

impl Protected {
    /// Lists the paths that both protect, each with keys that the other does not see.
    #[must_use]
    pub fn overlap(&self, other: &Self) -> Vec<String> {
        let meets = self.domain == other.domain || [&self.domain, &other.domain].iter().any(|domain| *domain == "*");
        if self.name != other.name || !meets {
            return Vec::new();
        }
        let both = self.paths.iter().filter(|path| other.paths.contains(path));
        both.cloned().collect()
    }
}

/// Checks what the admin interface at `place` shows with `GET /config_dump`; none if that is no dump.
#[must_use]
pub fn check_running(dump: &str, place: &str) -> Option<Running> {
    let root = dump::assemble(&serde_json::from_str::<Value>(dump).ok()?)?;
    let mut report = Report::new(place);
    check_root(&root, &mut report);
    let root = Node::root(&root);
    let scenes = scene::find(&root);
    let shared = scenes.iter().filter_map(Scene::document);
    Some(Running {
        report,
        shared: shared.flat_map(|document| paths(document, shares)).collect(),
        protected: scenes.iter().flat_map(protected).collect(),
    })
}

/// Lists what one filter protects with keys in shared data.
fn protected(scene: &Scene<'_>) -> Vec<Protected> {
    let Some(document) = scene.document().filter(|_| !scene.says("store", "replayd")) else {
        return Vec::new();
    };
    let paths = paths(document, |policy| policy.mode != Mode::Off);
    let hosts = scene.virtual_hosts().into_iter();
    let domains = hosts.flat_map(|host| host.items("domains"));
    let domains = domains.filter_map(|domain| domain.value.as_str());
    let each = domains.map(|domain| Protected {
        name: document.name.clone(),
        domain: domain.into(),
        paths: paths.clone(),
    });
    each.filter(|each| !each.paths.is_empty()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn protected(name: &str, domain: &str, paths: &[&str]) -> Protected {
        Protected {
            name: name.into(),
            domain: domain.into(),
            paths: paths.iter().map(|path| (*path).to_owned()).collect(),
        }
    }

    #[test]
    fn two_instances_overlap_in_the_paths_of_one_host_and_layer() {
        let one = protected("edge", "a.test", &["/pay", "/orders"]);
        let overlap = |name: &str, domain: &str| one.overlap(&protected(name, domain, &["/orders", "/x"]));
        assert_eq!(overlap("edge", "a.test"), ["/orders"]);
        assert_eq!(overlap("edge", "*"), ["/orders"]);
        assert!(overlap("edge", "b.test").is_empty() && overlap("inside", "a.test").is_empty());
    }
}
