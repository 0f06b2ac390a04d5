//! What requests run through that run detached: the internal listener of the reference configuration, and the way to it.

use serde_json::{Value, json};
use std::io;

/// What the reference calls the listener, and the cluster that leads there.
pub(super) const NAME: &str = "detached";

/// The extension by which Envoy listens inside itself.
const EXTENSION: &str = "envoy.bootstrap.internal_listener";

const REFERENCE: &str = include_str!("../../../envoy/envoy.yaml");

/// Adds the reference's listener, cluster and extension to a bootstrap whose upstream has the reference's name.
///
/// # Errors
///
/// [`io::ErrorKind::InvalidData`] if the reference lacks one of them.
pub(super) fn add(bootstrap: &mut Value) -> io::Result<()> {
    let reference: Value = serde_saphyr::from_str(REFERENCE).map_err(io::Error::other)?;
    let parts = [
        ("/bootstrap_extensions", EXTENSION),
        ("/static_resources/listeners", NAME),
        ("/static_resources/clusters", NAME),
    ];
    if bootstrap["bootstrap_extensions"].is_null() {
        bootstrap["bootstrap_extensions"] = json!([]);
    }
    for (list, name) in parts {
        let part = named(&reference, list, name)?;
        if let Some(list) = bootstrap.pointer_mut(list).and_then(Value::as_array_mut) {
            list.push(part);
        }
    }
    Ok(())
}

fn named(reference: &Value, list: &str, name: &str) -> io::Result<Value> {
    let parts = reference.pointer(list).and_then(Value::as_array);
    let part = parts.and_then(|parts| parts.iter().find(|part| part["name"] == name));
    let missing = || {
        let what = format!("envoy/envoy.yaml has no {name} in {list}");
        io::Error::new(io::ErrorKind::InvalidData, what)
    };
    part.cloned().ok_or_else(missing)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Modules, Place};
    use crate::row::Variant;

    fn names(bootstrap: &Value, list: &str) -> Vec<String> {
        let parts = bootstrap.pointer(list).and_then(Value::as_array).unwrap();
        parts
            .iter()
            .map(|part| part["name"].as_str().unwrap().to_owned())
            .collect()
    }

    #[test]
    fn each_part_has_a_name_of_its_own() {
        let text = String::new;
        let modules = Modules {
            reprise: text(),
            noop: text(),
            taps: text(),
            replayd: None,
        };
        let place = Place {
            variant: Variant::Detached,
            port: 1,
        };
        let bootstrap = crate::config::bootstrap(&[place], &modules, 2, 3).unwrap();
        assert_eq!(names(&bootstrap, "/bootstrap_extensions"), [EXTENSION]);
        let listeners = names(&bootstrap, "/static_resources/listeners");
        assert_eq!(listeners, [Variant::Detached.name(), NAME]);
        assert_ne!(listeners[0], listeners[1]);
        assert_eq!(names(&bootstrap, "/static_resources/clusters"), ["upstream", NAME]);
    }
}
