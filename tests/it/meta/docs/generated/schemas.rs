//! References of relay.toml and of mapping files, from their JSON Schemas.

use std::fmt::Write;

use serde_json::{Map, Value};

use super::super::read;
use super::{cell, plain};

struct Schema(Value);

impl Schema {
    fn read(path: &str) -> Schema {
        Schema(serde_json::from_str(&read(path)).unwrap())
    }

    /// Returns a property with the keys of its `$ref`, over which its own take precedence.
    fn resolve(&self, property: &Value) -> Map<String, Value> {
        let mut resolved = property.as_object().unwrap().clone();
        if let Some(reference) = property["$ref"].as_str() {
            let path = reference.strip_prefix('#').unwrap();
            let target = self.0.pointer(path).unwrap().as_object().unwrap();
            for (key, value) in target {
                resolved.entry(key.clone()).or_insert_with(|| value.clone());
            }
        }
        resolved
    }

    fn rows(&self, properties: &Map<String, Value>, required: &[Value]) -> String {
        let mut out =
            String::from("| Key | Type | Default | Meaning |\n| --- | --- | --- | --- |\n");
        for (key, property) in properties {
            let resolved = Value::Object(self.resolve(property));
            let is_required = required.iter().any(|it| it == key);
            let default = match &resolved["default"] {
                Value::Null if is_required => "required".to_owned(),
                Value::Null => String::new(),
                value => format!("`{}`", cell(&written(value))),
            };
            let meaning = cell(&plain(&description(&resolved)));
            let type_name = cell(&type_name(property));
            writeln!(out, "| `{key}` | {type_name} | {default} | {meaning} |").unwrap();
        }
        out
    }
}

fn type_name(property: &Value) -> String {
    if let Some(reference) = property["$ref"].as_str() {
        return reference.rsplit('/').next().unwrap().to_owned();
    }
    if let Some(words) = property["enum"].as_array() {
        let words: Vec<String> = words.iter().map(|it| format!("`{}`", text(it))).collect();
        return words.join(", ");
    }
    if let Some(options) = property["oneOf"].as_array() {
        let mut names: Vec<String> = options.iter().map(type_name).collect();
        names.dedup();
        return names.join(" or ");
    }
    match &property["type"] {
        Value::String(name) if name == "array" => {
            format!("list of {}", type_name(&property["items"]))
        }
        Value::String(name) if name == "object" => "table".to_owned(),
        Value::String(name) => name.clone(),
        Value::Array(names) => names.iter().map(text).collect::<Vec<_>>().join(" or "),
        _ => "any".to_owned(),
    }
}

fn description(property: &Value) -> String {
    let mut description = property["description"].as_str().unwrap_or_default().to_owned();
    let bounds = [("minimum", "At least"), ("maximum", "At most")];
    let bounds: Vec<String> = bounds
        .iter()
        .filter(|(key, _)| property[key].is_number())
        .map(|(key, word)| format!(" {word} {}.", property[key]))
        .collect();
    description += &bounds.concat();
    if let Some(examples) = property["examples"].as_array() {
        let examples: Vec<String> =
            examples.iter().map(|it| format!("`{}`", written(it))).collect();
        write!(description, " Examples: {}.", examples.join(", ")).unwrap();
    }
    description
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Returns a value in TOML.
fn written(value: &Value) -> String {
    match value {
        Value::Object(entries) => {
            let entries = entries.iter().map(|(key, value)| {
                let is_bare = key.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
                let key = if is_bare { key.clone() } else { format!("\"{key}\"") };
                format!("{key} = {}", written(value))
            });
            format!("{{ {} }}", entries.collect::<Vec<_>>().join(", "))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(written).collect::<Vec<_>>().join(", "))
        }
        value => value.to_string(),
    }
}

fn required(property: &Value) -> Vec<Value> {
    property["required"].as_array().cloned().unwrap_or_default()
}

/// Renders the keys of relay.toml, by section.
pub(super) fn configuration() -> String {
    let schema = Schema::read("relay.schema.json");
    let sections = schema.0["properties"].as_object().unwrap();
    let (plain_keys, tables): (Vec<_>, Vec<_>) =
        sections.iter().partition(|(_, it)| it["type"] == "string");
    let plain_keys = plain_keys.into_iter().map(|(key, it)| (key.clone(), it.clone())).collect();
    let mut out = format!("\n### Top level\n\n{}", schema.rows(&plain_keys, &[]));
    for (name, section) in tables {
        let resolved = Value::Object(schema.resolve(section));
        let meaning = plain(resolved["description"].as_str().unwrap());
        let Some(keys) = resolved["properties"].as_object() else {
            let table = &resolved["items"];
            if let Some(keys) = table["properties"].as_object() {
                let rows = schema.rows(keys, &required(table));
                let rows = rows.trim_end();
                writeln!(out, "\n### \\[\\[{name}\\]\\]\n\n{meaning}\n\n{rows}").unwrap();
            } else {
                writeln!(out, "\n### \\[{name}.NAME\\]\n\n{meaning}").unwrap();
            }
            continue;
        };
        let rows = schema.rows(keys, &required(&resolved));
        writeln!(out, "\n### \\[{name}\\]\n\n{meaning}\n\n{}", rows.trim_end()).unwrap();
        for (key, table) in keys.iter().filter(|(_, it)| it["properties"].is_object()) {
            let rows = schema.rows(table["properties"].as_object().unwrap(), &required(table));
            let meaning = plain(table["description"].as_str().unwrap());
            writeln!(out, "\n### \\[{name}.{key}\\]\n\n{meaning}\n\n{}", rows.trim_end()).unwrap();
        }
        for (key, list) in keys.iter().filter(|(_, it)| it["items"]["properties"].is_object()) {
            let (heading, table) = (format!("### \\[\\[{name}.{key}\\]\\]"), &list["items"]);
            let rows = schema.rows(table["properties"].as_object().unwrap(), &required(table));
            let meaning = plain(list["description"].as_str().unwrap());
            writeln!(out, "\n{heading}\n\n{meaning}\n\n{}", rows.trim_end()).unwrap();
        }
    }
    out.push('\n');
    out
}

/// Renders the keys of a mapping file, by table.
pub(super) fn mapping() -> String {
    let schema = Schema::read("mappings/mapping.schema.json");
    let keys = schema.0["properties"].as_object().unwrap();
    let is_table = |it: &Value| it["type"] == "object" || it["items"]["properties"].is_object();
    let (tables, plain_keys): (Vec<_>, Vec<_>) = keys.iter().partition(|(_, it)| is_table(it));
    let plain_keys = plain_keys.into_iter().map(|(key, it)| (key.clone(), it.clone())).collect();
    let mut out = format!("\n## Top level\n\n{}", schema.rows(&plain_keys, &[]));
    for (name, table) in tables {
        let (heading, table) = if table["items"].is_object() {
            (format!("\\[\\[{name}\\]\\]"), &table["items"])
        } else {
            (format!("\\[{name}\\]"), table)
        };
        section(&schema, &mut out, (&heading, name), table);
    }
    let step = &schema.0["$defs"]["setup_step"];
    section(&schema, &mut out, ("setup_step", "setup_step"), step);
    for name in ["value", "secret"] {
        let options = schema.0["$defs"][name]["oneOf"].as_array().unwrap();
        let description = schema.0["$defs"][name]["description"].as_str().unwrap_or_default();
        writeln!(out, "\n## {name}\n\n{}\n", plain(description)).unwrap();
        out += "| Form | Meaning |\n| --- | --- |\n";
        for option in options {
            let meaning = cell(&plain(option["description"].as_str().unwrap_or_default()));
            writeln!(out, "| {} | {meaning} |", type_name(option)).unwrap();
        }
        for option in options.iter().filter(|it| it["properties"].is_object()) {
            let keys = option["properties"].as_object().unwrap();
            writeln!(out, "\n{}", schema.rows(keys, &required(option)).trim_end()).unwrap();
        }
    }
    out.push('\n');
    out
}

/// Renders a table of a mapping file and the tables inside of it.
fn section(schema: &Schema, out: &mut String, (heading, name): (&str, &str), table: &Value) {
    let keys = table["properties"].as_object().unwrap();
    let level = if name.contains('.') { "###" } else { "##" };
    let meaning = plain(table["description"].as_str().unwrap());
    let rows = schema.rows(keys, &required(table));
    writeln!(out, "\n{level} {heading}\n\n{meaning}\n\n{}", rows.trim_end()).unwrap();
    for (key, inner) in keys.iter().filter(|(_, it)| it["properties"].is_object()) {
        let name = format!("{name}.{key}");
        section(schema, out, (&format!("`{name}`"), &name), inner);
    }
}
