//! Examples of the documents, executed as they are shown.

use std::fs;
use std::path::Path;

use serde_json::Value;

use super::{documents, read, section};
use crate::support::relay::program;

/// Returns the code blocks of a language below a heading of a document, or in all of it.
fn blocks(document: &str, heading: &str, language: &str) -> Vec<String> {
    let section = if heading.is_empty() { read(document) } else { section(document, heading) };
    let open = format!("```{language}\n");
    let blocks = section.split(&open).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

/// Writes the recipe and its sample into a folder, as the page describes.
fn recipe() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("mappings/samples");
    fs::create_dir_all(&samples).unwrap();
    let json = blocks("docs/providers.md", "Example", "json");
    let [payload, expected] = json.as_slice() else { panic!("{} blocks of JSON", json.len()) };
    let toml = &blocks("docs/providers.md", "Example", "toml")[0];
    fs::write(folder.path().join("mappings/acme.toml"), toml).unwrap();
    fs::write(samples.join("acme.json"), payload).unwrap();
    fs::write(samples.join("acme.expected.json"), expected).unwrap();
    folder
}

#[test]
fn recipe_for_an_unknown_tool_passes_its_test() {
    let folder = recipe();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("acme.toml: ok, 1 test") && !shown.contains("warning"), "{shown}");
}

#[test]
fn recipe_for_an_unknown_tool_gives_the_shown_result() {
    let folder = recipe();

    let arguments = ["try", "acme", "mappings/samples/acme.json", "--json"];
    let output = program(folder.path()).args(arguments).output().unwrap();

    let printed: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown: Value =
        serde_json::from_str(&blocks("docs/providers.md", "Example", "json")[1]).unwrap();
    assert_eq!(printed, shown);
}

/// Writes a mapping file for each Zap, with its samples, as the page shows them.
fn zaps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("mappings/samples");
    fs::create_dir_all(&samples).unwrap();
    for (name, heading) in [("survey", "Typeform to Savio"), ("deals", "Webhooks by Zapier")] {
        let json = blocks("docs/from-zapier.md", heading, "json");
        let toml = &blocks("docs/from-zapier.md", heading, "toml")[0];
        let [payload, expected] = json.as_slice() else { panic!("{} blocks of JSON", json.len()) };
        fs::write(folder.path().join(format!("mappings/{name}.toml")), toml).unwrap();
        fs::write(samples.join(format!("{name}.json")), payload).unwrap();
        fs::write(samples.join(format!("{name}.expected.json")), expected).unwrap();
    }
    folder
}

#[test]
fn zaps_as_mapping_files_pass_their_tests() {
    let folder = zaps();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for file in ["survey.toml: ok, 1 test", "deals.toml: ok, 1 test"] {
        assert!(shown.contains(file) && !shown.contains("warning"), "{file} in {shown}");
    }
}

#[test]
fn mapping_example_passes_its_test() {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("mappings/samples");
    fs::create_dir_all(&samples).unwrap();
    let json = blocks("docs/mapping.md", "Example", "json");
    fs::write(
        folder.path().join("mappings/typeform.toml"),
        &blocks("docs/mapping.md", "Example", "toml")[0],
    )
    .unwrap();
    fs::write(samples.join("my-answer.json"), &json[0]).unwrap();
    fs::write(samples.join("my-answer.expected.json"), &json[1]).unwrap();

    assert_passes(folder.path(), &["check"], "typeform.toml: ok, 1 test");
}

/// Asserts that the command succeeds and prints this and no warning.
fn assert_passes(folder: &Path, arguments: &[&str], says: &str) -> String {
    let output = program(folder).args(arguments).output().unwrap();
    let shown = String::from_utf8(output.stdout).unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}{error}");
    assert!(shown.contains(says) && !shown.contains("warning"), "{says} in {shown}");
    shown
}

/// Asserts that a mapping file with these lines in a block is valid.
fn assert_valid_block(lines: &str) {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("mappings")).unwrap();
    let problem = if lines.contains("problem ") { "" } else { "problem = \"x\"\n" };
    let text =
        format!("provider = \"form\"\nsecrets = \"env:S\"\n[[feedback]]\n{problem}{lines}\n");
    fs::write(folder.path().join("mappings/example.toml"), text).unwrap();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{lines}: {shown}");
}

#[test]
fn conditions_and_blocks_of_the_mapping_page_are_valid() {
    let conditions = &blocks("docs/mapping.md", "Conditions", "toml")[0];
    assert_eq!(conditions.lines().count(), 4);
    conditions.lines().for_each(assert_valid_block);
    for heading in ["Repetition", "Linking to existing feature requests"] {
        assert_valid_block(&blocks("docs/mapping.md", heading, "toml")[0]);
    }
}

#[test]
fn configuration_example_is_valid() {
    let folder = tempfile::tempdir().unwrap();
    let text = &blocks("docs/configuration.md", "", "toml")[0];
    let mapping =
        "provider = \"form\"\nsecrets = \"env:S\"\n[[feedback]]\nproblem = \"$.message\"\n";
    fs::create_dir(folder.path().join("mappings")).unwrap();
    fs::write(folder.path().join("mappings/form.toml"), mapping).unwrap();
    let text =
        text.replace("/etc/savio-relay/mappings", folder.path().join("mappings").to_str().unwrap());
    fs::write(folder.path().join("relay.toml"), text).unwrap();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
}

#[test]
fn customers_example_is_imported_as_shown() {
    let folder = tempfile::tempdir().unwrap();
    let heading = "Customers with plan and MRR";
    fs::write(folder.path().join("customers.csv"), &blocks("docs/import.md", heading, "csv")[0])
        .unwrap();

    let arguments = ["import", "customers", "customers.csv", "--dry-run"];
    let shown = assert_passes(folder.path(), &arguments, "1 event would be imported");

    assert_eq!(shown, blocks("docs/import.md", heading, "text")[0]);
}

#[test]
fn import_rules_of_the_providers_page_read_an_export() {
    let folder = tempfile::tempdir().unwrap();
    let rules = &blocks("docs/providers.md", "Import rules", "toml")[0];
    let mapping = format!(
        "provider = \"form\"\nsecrets = \"env:S\"\n{rules}\n[[feedback]]\nproblem = \"$.answers[0].title\"\n"
    );
    fs::write(folder.path().join("acme.toml"), mapping).unwrap();
    let export = "Entry,Idea?,company,Date\n1,Faster,Example Ltd,2026-01-01\n";
    fs::write(folder.path().join("entries.csv"), export).unwrap();
    let form = r#"{"hidden": ["company"], "fields": [{"label": "Idea?"}]}"#;
    fs::write(folder.path().join("form.json"), form).unwrap();

    for options in [&[][..], &["--form", "form.json"]] {
        let arguments = [&["import", "acme.toml", "entries.csv", "--dry-run"], options].concat();
        let shown = assert_passes(folder.path(), &arguments, "problem  Idea?");
        assert!(shown.contains("columns: 1 question, hidden fields: company"), "{shown}");
    }
}

#[test]
fn seed_of_the_sandbox_page_is_valid() {
    let text = blocks("docs/sandbox.md", "Seed data", "json").remove(0);
    let name = "seed.json".to_owned();

    assert!(
        savio_relay::sandbox::Seed::read(&savio_relay::diagnostics::diagnostic::Document {
            name,
            text
        })
        .is_ok()
    );
}

/// Returns the words of a line of shell, up to a comment, a pipe or a redirection.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in line.chars() {
        match (quote, c) {
            (None, '#' | '|' | '<' | '>' | '&') => break,
            (None, '"' | '\'') => quote = Some(c),
            (None, ' ') => words.push(String::new()),
            (Some(open), c) if c == open => quote = None,
            (_, c) => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn every_command_of_the_examples_is_valid() {
    let mut checked = 0;
    for document in documents().into_iter().filter(|it| it != "CHANGELOG.md") {
        let text = read(&document);
        let blocks = text.split("```sh\n").skip(1).filter_map(|rest| rest.split_once("```"));
        for line in blocks.flat_map(|(block, _)| block.lines()) {
            let Some(at) = line.find("savio-relay ") else { continue };
            let words = words(&line[at..]);
            let parsed = savio_relay::cli::command().try_get_matches_from(&words);
            assert!(parsed.is_ok(), "{document}: {line}\n{}", parsed.unwrap_err());
            checked += 1;
        }
    }
    assert!(checked > 20, "{checked}");
}
