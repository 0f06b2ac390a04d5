//! The JSON Schema of the document, made from the tables.

use super::fields::DocumentFields;
use super::table::Table;
use serde_json::{Value, json};

/// Describes the document as JSON Schema, draft 2020-12.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "The document of the Reprise filter",
        "type": "object",
        "additionalProperties": false,
        "required": ["version"],
        "properties": DocumentFields::properties(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    #[cfg(target_arch = "wasm32")]
    use wasm_bindgen_test::wasm_bindgen_test as test;

    fn committed() -> Value {
        serde_json::from_str(include_str!("../../../envoy/reprise.schema.json")).unwrap()
    }

    #[test]
    fn the_committed_schema_is_that_of_the_tables() {
        let made = serde_json::to_string_pretty(&schema()).unwrap();
        assert!(committed() == schema(), "envoy/reprise.schema.json should be:\n{made}");
    }

    /// Looks for every field of `document` in `schema`, with its value as the default where one is shown.
    fn check(document: &Value, schema: &Value) {
        for (name, value) in document.as_object().unwrap() {
            let field = &schema["properties"][name];
            assert!(field.is_object(), "{name} is not in the schema");
            if field.get("properties").is_some() {
                check(value, field);
            } else if let Some(default) = field
                .get("default")
                .filter(|_| !["header", "methods"].contains(&name.as_str()))
            {
                assert_eq!(default, value, "{name}");
            }
        }
    }

    #[test]
    fn the_schema_knows_every_field_and_its_default() {
        let document = serde_json::from_str(include_str!("fixtures/default.json")).unwrap();
        check(&document, &schema());
    }
}
