//! Whether an answer of the API is as its own description says.

use serde_json::{Map, Value};

/// The OpenAPI document that a relay serves.
#[derive(Debug)]
pub(super) struct Description(pub(super) Value);

/// One route of it.
#[derive(Debug, Clone)]
pub(super) struct Operation {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) said: Value,
}

impl Description {
    pub(super) fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for (path, methods) in self.0["paths"].as_object().unwrap() {
            for (method, said) in methods.as_object().unwrap() {
                let (method, path) = (method.to_uppercase(), path.clone());
                operations.push(Operation { method, path, said: said.clone() });
            }
        }
        operations
    }

    /// What is not as described.
    pub(super) fn doubts(&self, of: &Operation, status: u16, body: &[u8]) -> Vec<String> {
        let Some(response) = of.said["responses"].get(status.to_string()) else {
            return vec![format!("{} {}: {status} is not described", of.method, of.path)];
        };
        let Some(schema) = response["content"].get("application/json") else {
            return Vec::new();
        };
        match serde_json::from_slice(body) {
            Ok(value) => self.misfits(&schema["schema"], &value, "$"),
            Err(error) => vec![format!("{} {}: no JSON: {error}", of.method, of.path)],
        }
    }

    pub(super) fn resolve<'d>(&'d self, schema: &'d Value) -> &'d Value {
        match schema["$ref"].as_str() {
            Some(named) => self.resolve(self.0.pointer(named.trim_start_matches('#')).unwrap()),
            None => schema,
        }
    }

    fn misfits(&self, schema: &Value, value: &Value, at: &str) -> Vec<String> {
        let schema = self.resolve(schema);
        if let Some(choices) = schema["oneOf"].as_array() {
            let fits = choices.iter().filter(|it| self.misfits(it, value, at).is_empty()).count();
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
                each.flat_map(|(i, it)| self.misfits(&schema["items"], it, &format!("{at}[{i}]")))
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
        let mut misfits = Vec::new();
        for required in parts.iter().filter_map(|part| part["required"].as_array()).flatten() {
            if !members.contains_key(required.as_str().unwrap()) {
                misfits.push(format!("{at}: {required} is missing"));
            }
        }
        let is_free = |part: &&Value| !part["properties"].is_object();
        for (key, value) in members {
            let at = format!("{at}.{key}");
            let described = parts.iter().find_map(|part| part["properties"].get(key));
            let other = parts.iter().find_map(|part| part.get("additionalProperties"));
            match described.or(other.filter(|it| it.is_object())) {
                Some(schema) => misfits.extend(self.misfits(schema, value, &at)),
                None if parts.iter().any(is_free) => {}
                None => misfits.push(format!("{at} is not described")),
            }
        }
        misfits
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
fn what_is_not_described_is_seen() {
    let description = Description(serde_json::json!({
        "paths": { "/a": { "get": { "responses": { "200": { "content": { "application/json": {
            "schema": { "$ref": "#/components/schemas/A" } } } } } } } },
        "components": { "schemas": { "A": {
            "type": "object",
            "required": ["n"],
            "properties": { "n": { "type": ["integer", "null"] }, "w": { "enum": ["x"] } }
        } } }
    }));
    let doubts = |status, body: &str| {
        let operation = &description.operations()[0];
        description.doubts(operation, status, body.as_bytes()).len()
    };

    assert_eq!([doubts(200, r#"{"n":1}"#), doubts(200, r#"{"n":null,"w":"x"}"#)], [0, 0]);
    for wrong in [r#"{"n":"1"}"#, "{}", r#"{"n":1,"w":"y"}"#, r#"{"n":1,"z":1}"#, "[]", "{"] {
        assert_eq!(doubts(200, wrong), 1, "{wrong}");
    }
    assert_eq!(doubts(418, "{}"), 1);
}
