//! Statements of the documents about files of the repository.

use std::collections::BTreeSet;

use serde_json::Value;

use super::tree::{files, read};

fn json(path: &str) -> Value {
    serde_json::from_str(&read(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn toml(path: &str, text: &str) -> toml::Table {
    toml::from_str(text).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns a document without its code blocks.
fn prose(text: &str) -> String {
    text.split("```").step_by(2).collect()
}

#[test]
fn every_test_named_by_a_guarantee_exists() {
    let text = prose(&read("GUARANTEES.md"));
    let spans = text.split('`').skip(1).step_by(2);
    let named: Vec<_> = spans.filter_map(|span| span.split_once("::")).collect();
    assert!(named.len() > 3, "no tests are named");

    for (file, test) in named {
        let name = test.rsplit("::").next().unwrap();
        let code = read(file);
        let function = code.find(&format!("fn {name}("));
        let before = function.map(|at| &code[code[..at].rfind("#[").unwrap_or(0)..at]);
        let is_test =
            before.is_some_and(|line| line.contains("test") || code.contains("proptest!"));
        assert!(is_test, "GUARANTEES.md names `{test}`, which is no test in {file}");
    }
}

#[test]
fn architecture_has_a_row_for_each_part() {
    let text = read("ARCHITECTURE.md");
    let rows: BTreeSet<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("| `")?.split_once(".rs` |"))
        .map(|(part, _)| part)
        .collect();
    let parts: BTreeSet<String> = files("src", ".rs")
        .iter()
        .filter_map(|path| path.strip_prefix("src/")?.strip_suffix(".rs"))
        .filter(|part| !part.contains('/'))
        .map(str::to_owned)
        .collect();

    assert_eq!(rows, parts.iter().map(String::as_str).collect());
}

#[test]
fn changelog_has_this_version() {
    let heading = format!("## [{}]", env!("CARGO_PKG_VERSION"));

    assert!(read("CHANGELOG.md").contains(&heading), "{heading}");
}

/// Returns the crates that one needs, by a lock file.
fn locked(lock: &str, package: &str) -> BTreeSet<String> {
    let lock = toml(lock, &read(lock));
    let packages = lock["package"].as_array().unwrap();
    let found = packages.iter().find(|it| it["name"].as_str() == Some(package)).unwrap();
    let name = |it: &toml::Value| it.as_str().unwrap().split(' ').next().unwrap().to_owned();
    found["dependencies"].as_array().unwrap().iter().map(name).collect()
}

#[test]
fn fuzz_targets_lock_what_the_program_needs() {
    let manifest = toml("Cargo.toml", &read("Cargo.toml"));
    let only_in_tests: BTreeSet<String> =
        manifest["dev-dependencies"].as_table().unwrap().keys().cloned().collect();
    let own = &locked("Cargo.lock", "savio-relay") - &only_in_tests;

    assert_eq!(locked("fuzz/Cargo.lock", "savio-relay"), own);
}

#[test]
fn samples_are_exactly_those_of_the_tests() {
    let mut named = BTreeSet::new();
    for path in files("mappings", ".toml") {
        let mapping = toml(&path, &read(&path));
        let tests = mapping["test"].as_array().unwrap();
        assert!(tests.len() >= 3, "{path} has few tests");
        for key in ["payload", "expect"] {
            let samples = tests.iter().map(|test| test[key].as_str().unwrap());
            named.extend(samples.map(|sample| format!("mappings/{sample}")));
        }
    }

    assert_eq!(named, files("mappings/samples", "").into_iter().collect());
}

#[test]
fn every_mapping_file_explains_its_setup() {
    for path in files("mappings", ".toml") {
        let text = read(&path);
        let name = path.rsplit('/').next().unwrap().trim_end_matches(".toml");
        let variable = format!("{}_SECRET", name.to_uppercase().replace('-', "_"));
        let secret = format!("secrets  = [\"env:{variable}\"]");
        let setup = format!("# Setup: `savio-relay init {name}` says what to paste where.\n");
        for part in ["#:schema ./mapping.schema.json\n", &secret, &setup] {
            assert!(text.contains(part), "{path} lacks {part}");
        }
    }
}

/// Returns the example with every key uncommented.
fn example() -> toml::Table {
    let text = read("relay.example.toml");
    let lines = text.lines().map(|line| match line.strip_prefix('#') {
        Some(key) if key.starts_with(|c: char| c == '[' || c.is_ascii_lowercase()) => key,
        _ => line,
    });
    toml("relay.example.toml", &lines.collect::<Vec<_>>().join("\n"))
}

#[test]
fn example_configuration_sets_nothing() {
    let text = read("relay.example.toml");

    assert!(toml("relay.example.toml", &text).is_empty());
}

#[test]
fn example_configuration_has_each_key_with_its_default() {
    let schema = json("relay.schema.json");
    let sections = schema["properties"].as_object().unwrap();
    let example = example();
    assert_eq!(example.keys().collect::<BTreeSet<_>>(), sections.keys().collect());

    for (section, described) in sections.iter().filter(|(_, it)| it["properties"].is_object()) {
        let keys = described["properties"].as_object().unwrap();
        let written = example[section].as_table().unwrap();
        assert_eq!(written.keys().collect::<BTreeSet<_>>(), keys.keys().collect(), "[{section}]");
        for (key, described) in keys.iter().filter(|(_, it)| !it["default"].is_null()) {
            let value = serde_json::to_value(&written[key]).unwrap();
            assert_eq!(value, described["default"], "{section}.{key}");
        }
    }
}

/// Asserts that each property, at any depth, has a description.
fn check_described(schema: &Value, place: &str) {
    let Some(object) = schema.as_object() else { return };
    for (name, property) in
        object.get("properties").and_then(Value::as_object).into_iter().flatten()
    {
        let described = property["description"].as_str().is_some_and(|text| text.len() > 8);
        assert!(described, "{place}.{name} has no description");
        check_described(property, &format!("{place}.{name}"));
    }
    for key in ["items", "$defs", "oneOf"] {
        let inner = object.get(key).into_iter();
        inner.for_each(|inner| check_described(inner, &format!("{place}.{key}")));
    }
}

#[test]
fn schemas_describe_every_key() {
    for path in ["mappings/mapping.schema.json", "relay.schema.json"] {
        let schema = json(path);
        assert_eq!(schema["$schema"], "https://json-schema.org/draft/2020-12/schema");
        check_described(&schema, path);
    }
}
