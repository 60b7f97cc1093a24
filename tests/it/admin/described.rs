//! Comparison of the API's responses with its own description.

use serde_json::{Map, Value};

/// The OpenAPI document that a relay serves.
#[derive(Debug)]
pub(super) struct Description(pub(super) Value);

/// One operation of the document, with its description.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) description: Value,
}

impl Operation {
    /// Returns the schema of its JSON body; none if it takes none.
    pub(super) fn json_body(&self) -> Option<&Value> {
        self.description.pointer("/requestBody/content/application~1json/schema")
    }
}

impl Description {
    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, methods) in self.0["paths"].as_object().unwrap() {
            for (method, description) in methods.as_object().unwrap() {
                let (method, path) = (method.to_uppercase(), path.clone());
                operations.push(Operation { method, path, description: description.clone() });
            }
        }
        operations
    }

    /// Returns the differences between a response and its description.
    pub(super) fn mismatches(
        &self,
        operation: &Operation,
        status: u16,
        body: &[u8],
    ) -> Vec<String> {
        let Operation { method, path, description } = operation;
        let Some(response) = description["responses"].get(status.to_string()) else {
            return vec![format!("{method} {path}: {status} is not described")];
        };
        let Some(schema) = response["content"].get("application/json") else {
            return Vec::new();
        };
        match serde_json::from_slice(body) {
            Ok(value) => self.schema_mismatches(&schema["schema"], &value, "$"),
            Err(error) => vec![format!("{method} {path}: no JSON: {error}")],
        }
    }

    pub(super) fn resolve<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(named) => self.resolve(self.0.pointer(named.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    fn schema_mismatches(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices
                .iter()
                .filter(|it| self.schema_mismatches(it, value, at).is_empty())
                .count();
            return if fits == 1 { vec![] } else { vec![format!("{at}: {fits} fit {value}")] };
        }
        if let Some(words) = schema["enum"].as_array() {
            return if words.contains(value) { vec![] } else { vec![format!("{at}: {value}")] };
        }
        if !is_of_type(&schema["type"], value) {
            return vec![format!("{at}: {value} is no {}", schema["type"])];
        }
        match value {
            Value::Object(members) => self.members(schema, members, at),
            Value::Array(items) => {
                let each = items.iter().enumerate();
                each.flat_map(|(i, it)| {
                    self.schema_mismatches(&schema["items"], it, &format!("{at}[{i}]"))
                })
                .collect()
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
        }
    }

    fn members(&self, schema: &Value, members: &Map<String, Value>, at: &str) -> Vec<String> {
        let parts: Vec<&Value> = match schema["allOf"].as_array() {
            Some(parts) => parts.iter().map(|part| self.resolve(part)).collect(),
            None => vec![schema],
        };
        let mut mismatches = Vec::new();
        for required in parts.iter().filter_map(|part| part["required"].as_array()).flatten() {
            if !members.contains_key(required.as_str().unwrap()) {
                mismatches.push(format!("{at}: {required} is missing"));
            }
        }
        let is_free = |part: &&Value| !part["properties"].is_object();
        for (key, value) in members {
            let at = format!("{at}.{key}");
            let described = parts.iter().find_map(|part| part["properties"].get(key));
            let other = parts.iter().find_map(|part| part.get("additionalProperties"));
            match described.or(other.filter(|it| it.is_object())) {
                Some(schema) => mismatches.extend(self.schema_mismatches(schema, value, &at)),
                None if parts.iter().any(is_free) => {}
                None => mismatches.push(format!("{at} is not described")),
            }
        }
        mismatches
    }
}

fn is_of_type(described: &Value, value: &Value) -> bool {
    let is = |name: &Value| match name.as_str() {
        Some("null") => value.is_null(),
        Some("boolean") => value.is_boolean(),
        Some("integer") => value.is_i64() || value.is_u64(),
        Some("number") => value.is_number(),
        Some("string") => value.is_string(),
        Some("array") => value.is_array(),
        Some("object") => value.is_object(),
        Some(_) | None => false,
    };
    match described {
        Value::Null => true,
        Value::Array(names) => names.iter().any(is),
        name => is(name),
    }
}

#[test]
fn undescribed_members_are_reported() {
    let description = Description(serde_json::json!({
        "paths": { "/a": { "get": { "responses": { "200": { "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/A" } } } } } } } },
        "components": { "schemas": { "A": {
            "type": "object",
            "required": ["n"],
            "properties": { "n": { "type": ["integer", "null"] }, "w": { "enum": ["x"] } }
        } } }
    }));
    let mismatches = |status, body: &str| {
        let operation = &description.operations()[0];
        description.mismatches(operation, status, body.as_bytes()).len()
    };

    assert_eq!([mismatches(200, r#"{"n":1}"#), mismatches(200, r#"{"n":null,"w":"x"}"#)], [0, 0]);
    for wrong in [r#"{"n":"1"}"#, "{}", r#"{"n":1,"w":"y"}"#, r#"{"n":1,"z":1}"#, "[]", "{"] {
        assert_eq!(mismatches(200, wrong), 1, "{wrong}");
    }
    assert_eq!(mismatches(418, "{}"), 1);
}
