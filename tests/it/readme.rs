//! What the README shows works as it is shown.

use std::fs;
use std::path::Path;

use serde_json::Value;

use crate::support::relay::program;

/// The code blocks of a language below a heading.
fn blocks(heading: &str, language: &str) -> Vec<String> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("README.md");
    let text = fs::read_to_string(path).unwrap();
    let (_, section) = text.split_once(&format!("\n## {heading}\n")).expect("the heading is there");
    let section = section.split("\n## ").next().unwrap();
    let open = format!("```{language}\n");
    let blocks = section.split(&open).skip(1).filter_map(|rest| rest.split_once("```"));
    blocks.map(|(block, _)| block.to_owned()).collect()
}

/// The recipe with its sample, as the README tells to write them.
fn recipe() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("mappings/samples");
    fs::create_dir_all(&samples).unwrap();
    let json = blocks("Your own provider", "json");
    let [payload, expected] = json.as_slice() else { panic!("{} blocks of JSON", json.len()) };
    let toml = &blocks("Your own provider", "toml")[0];
    fs::write(folder.path().join("mappings/acme.toml"), toml).unwrap();
    fs::write(samples.join("acme.json"), payload).unwrap();
    fs::write(samples.join("acme.expected.json"), expected).unwrap();
    folder
}

#[test]
fn the_recipe_for_an_unknown_tool_passes_its_test() {
    let folder = recipe();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    assert!(shown.contains("acme.toml: ok, 1 test") && !shown.contains("warning"), "{shown}");
}

#[test]
fn the_recipe_for_an_unknown_tool_gives_what_is_shown() {
    let folder = recipe();

    let arguments = ["try", "acme", "mappings/samples/acme.json", "--json"];
    let output = program(folder.path()).args(arguments).output().unwrap();

    let given: Value = serde_json::from_slice(&output.stdout).unwrap();
    let shown: Value = serde_json::from_str(&blocks("Your own provider", "json")[1]).unwrap();
    assert_eq!(given, shown);
}

/// The mapping files of a Zap each, with their samples, as the README shows them.
fn zaps() -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    let samples = folder.path().join("mappings/samples");
    fs::create_dir_all(&samples).unwrap();
    let (toml, json) = (blocks("Coming from Zapier", "toml"), blocks("Coming from Zapier", "json"));
    for (index, name) in ["survey", "deals"].iter().enumerate() {
        fs::write(folder.path().join(format!("mappings/{name}.toml")), &toml[index]).unwrap();
        fs::write(samples.join(format!("{name}.json")), &json[2 * index]).unwrap();
        fs::write(samples.join(format!("{name}.expected.json")), &json[2 * index + 1]).unwrap();
    }
    assert_eq!((toml.len(), json.len()), (2, 4));
    folder
}

#[test]
fn the_zaps_as_mapping_files_pass_their_tests() {
    let folder = zaps();

    let output = program(folder.path()).arg("check").output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{shown}");
    for file in ["survey.toml: ok, 1 test", "deals.toml: ok, 1 test"] {
        assert!(shown.contains(file) && !shown.contains("warning"), "{file} in {shown}");
    }
}
