//! Values with their place, so that every finding can say where it stands.

use serde_json::Value;

/// A value of a configuration and its place in it.
#[derive(Debug, Clone)]
pub(super) struct Node<'a> {
    pub(super) value: &'a Value,
    pub(super) place: String,
}

impl<'a> Node<'a> {
    /// The whole of a configuration.
    pub(super) const fn root(value: &'a Value) -> Self {
        Self {
            value,
            place: String::new(),
        }
    }

    /// Goes to the field `name`, in Envoy's spelling or in that of JSON (`httpFilters`); `null` is no field.
    pub(super) fn field(&self, name: &str) -> Option<Self> {
        let value = self.value.get(name).or_else(|| self.value.get(camel(name)));
        value
            .filter(|value| !value.is_null())
            .map(|value| self.child(value, name))
    }

    /// Goes from field to field.
    pub(super) fn at(&self, names: &[&str]) -> Option<Self> {
        names.iter().try_fold(self.clone(), |node, name| node.field(name))
    }

    /// Lists the items of the list `name`; none if there is no such list.
    pub(super) fn items(&self, name: &str) -> Vec<Self> {
        self.field(name).map(|list| list.each()).unwrap_or_default()
    }

    /// Lists the items of this list.
    fn each(&self) -> Vec<Self> {
        let items = self.value.as_array().into_iter().flatten().enumerate();
        items
            .map(|(at, value)| Self {
                value,
                place: format!("{}[{at}]", self.place),
            })
            .collect()
    }

    /// Lists what this object or list holds.
    pub(super) fn children(&self) -> Vec<Self> {
        let fields = self.value.as_object().into_iter().flatten();
        fields
            .map(|(name, value)| self.child(value, name))
            .chain(self.each())
            .collect()
    }

    /// Reads the text at `name`.
    pub(super) fn text(&self, name: &str) -> Option<&'a str> {
        self.field(name)?.value.as_str()
    }

    /// Tells whether `name` is true.
    pub(super) fn is_true(&self, name: &str) -> bool {
        self.field(name).is_some_and(|field| field.value == &Value::Bool(true))
    }

    /// Reads the number at `name`, which may be written as a text, as protobuf's JSON does.
    pub(super) fn number(&self, name: &str) -> Option<u64> {
        let value = self.field(name)?.value;
        value.as_u64().or_else(|| value.as_str()?.parse().ok())
    }

    /// Reads the duration at `name` (`1.5s`) in milliseconds.
    pub(super) fn millis(&self, name: &str) -> Option<u64> {
        let (seconds, fraction) = {
            let text = self.text(name)?.strip_suffix('s')?;
            text.split_once('.').unwrap_or((text, ""))
        };
        let fraction = format!("{fraction:0<3}");
        seconds
            .parse::<u64>()
            .ok()?
            .checked_mul(1000)?
            .checked_add(fraction.get(..3)?.parse().ok()?)
    }

    /// Tells whether the type of this filter or extension contains one of `words`, or its name does.
    pub(super) fn is_kind(&self, words: &[&str]) -> bool {
        let config = self.field("typed_config");
        let kind = config
            .as_ref()
            .and_then(|config| config.text("type_url").or_else(|| config.text("@type")));
        let names = [kind, self.text("name")];
        names
            .iter()
            .flatten()
            .any(|name| words.iter().any(|word| name.contains(word)))
    }

    /// Gives the settings of a filter or extension, out of a `TypedStruct` where it stands in one.
    pub(super) fn settings(&self) -> Option<Self> {
        let config = self.field("typed_config")?;
        if config.field("type_url").is_some() {
            config.field("value")
        } else {
            Some(config)
        }
    }

    fn child(&self, value: &'a Value, name: &str) -> Self {
        let place = if self.place.is_empty() {
            name.into()
        } else {
            format!("{}.{name}", self.place)
        };
        Self { value, place }
    }
}

/// Spells a field's name as protobuf's JSON does.
fn camel(name: &str) -> String {
    let mut words = name.split('_');
    let first = words.next().unwrap_or_default().to_owned();
    words.fold(first, |mut name, word| {
        let mut chars = word.chars();
        name.extend(chars.next().map(|char| char.to_ascii_uppercase()));
        name + chars.as_str()
    })
}

/// Tells whether a field with one of these names stands anywhere in `value`.
pub(super) fn has_any_field(value: &Value, names: &[&str]) -> bool {
    let node = Node::root(value);
    names.iter().any(|name| node.field(name).is_some())
        || node.children().iter().any(|child| has_any_field(child.value, names))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn both_spellings_are_one_field() {
        let value = json!({"httpFilters": [{"name": "a"}]});
        let items = Node::root(&value).items("http_filters");
        assert_eq!(items[0].place, "http_filters[0]");
        assert_eq!(items[0].text("name"), Some("a"));
    }

    #[test]
    fn durations_are_read_in_milliseconds() {
        for (text, want) in [
            ("0s", Some(0)),
            ("300s", Some(300_000)),
            ("1.5s", Some(1500)),
            ("0.0005s", Some(0)),
            ("5m", None),
        ] {
            assert_eq!(Node::root(&json!({"timeout": text})).millis("timeout"), want, "{text}");
        }
    }

    #[test]
    fn numbers_may_be_texts() {
        assert_eq!(Node::root(&json!({"limit": "5"})).number("limit"), Some(5));
        assert_eq!(Node::root(&json!({"limit": 5})).number("limit"), Some(5));
    }

    #[test]
    fn a_field_is_found_anywhere() {
        let value = json!([{"a": {"typedConfig": {}}}]);
        assert!(has_any_field(&value, &["typed_config"]));
        assert!(!has_any_field(&value, &["b"]));
    }
}
