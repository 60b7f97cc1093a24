//! Payloads of tools that the relay does not know, in the shapes that these document: a draft finds
//! the right person, text, event and answers in each.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use super::run;

/// Fields of the first request that are compared.
const FIELDS: [&str; 5] = ["person_email", "person_name", "company_name", "source_url", "problem"];

fn payloads() -> Vec<PathBuf> {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/cli/draft/payloads"));
    let files = folder.read_dir().unwrap().map(|entry| entry.unwrap().path());
    let mut payloads: Vec<PathBuf> =
        files.filter(|path| !path.to_str().unwrap().ends_with(".expected.json")).collect();
    payloads.sort();
    payloads
}

/// Drafts a mapping file, checks it, and returns what it makes of its payload.
fn drafted(payload: &Path, headers: &Map<String, Value>) -> Value {
    let folder = tempfile::tempdir().unwrap();
    let file = payload.to_str().unwrap();
    let headers: Vec<String> =
        headers.iter().map(|(name, value)| format!("{name}:{}", value.as_str().unwrap())).collect();
    let headers: Vec<&str> =
        headers.iter().flat_map(|header| ["--header", header.as_str()]).collect();
    succeed(folder.path(), &[&["draft", file, "--output", "acme.toml"], &*headers].concat());
    succeed(folder.path(), &["check", "acme.toml"]);

    let text = fs::read_to_string(folder.path().join("acme.toml")).unwrap();
    let table: toml::Table = toml::from_str(&text).unwrap();
    fs::write(folder.path().join("probe.toml"), text + &probes(&table)).unwrap();
    let requests =
        succeed(folder.path(), &[&["try", "probe.toml", file, "--json"], &*headers].concat());
    let requests: Vec<Value> = serde_json::from_str(&requests).unwrap();
    let mut found: Map<String, Value> = FIELDS
        .map(|field| (field.to_owned(), requests[0]["body"][field].clone()))
        .into_iter()
        .collect();
    found.insert("provider".to_owned(), json!(table.get("provider").and_then(toml::Value::as_str)));
    for (at, name) in ["type", "id", "answers"].into_iter().enumerate() {
        let printed = requests[at + 1]["body"]["problem"].as_str().unwrap();
        let value = printed.strip_prefix("= ").map_or(Value::Null, |value| json!(value));
        found.insert(name.to_owned(), value);
    }
    let answers: Option<Vec<Value>> = found["answers"]
        .as_str()
        .map(|lines| lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect());
    found.insert("answers".to_owned(), json!(answers));
    Value::Object(found)
}

/// Returns blocks whose texts are the event's type, its id and its answers.
fn probes(table: &toml::Table) -> String {
    let id = table.get("event").and_then(|event| event.get("id")?.as_str());
    let id = match id {
        None => "none".to_owned(),
        Some(query) if query.starts_with('$') => {
            format!("= {{{{ jsonpath({}) }}}}", json!(query))
        }
        Some(header) if header.starts_with("header:") => {
            format!("= {{{{ headers['{}'] }}}}", header["header:".len()..].to_lowercase())
        }
        Some(template) => format!("= {template}"),
    };
    let answers = if table.contains_key("answers") {
        "= {% for it in answers %}{{ [it.question, it.answer] | tojson }}\n{% endfor %}"
    } else {
        "none"
    };
    let event_type = "{{ '= ' ~ event.type if event.type else 'none' }}";
    [event_type, &id, answers]
        .map(|text| format!("\n[[feedback]]\nproblem = {}\n", json!(text)))
        .concat()
}

fn succeed(folder: &Path, arguments: &[&str]) -> String {
    let output = run(folder, arguments);
    let messages = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{arguments:?}: {messages}{printed}");
    printed
}

#[test]
fn draft_finds_the_right_values_in_payloads_of_unknown_tools() {
    let payloads = payloads();
    let mut wrong = Vec::new();
    for payload in &payloads {
        let expected = fs::read_to_string(payload.with_extension("expected.json")).unwrap();
        let mut expected: Map<String, Value> = serde_json::from_str(&expected).unwrap();
        let headers = expected.remove("headers");
        let headers = headers.and_then(|headers| headers.as_object().cloned()).unwrap_or_default();

        let found = drafted(payload, &headers);

        for (key, value) in &expected {
            if found[key] != *value {
                let name = payload.file_stem().unwrap().to_string_lossy();
                wrong.push(format!("{name}: {key}\n  found    {}\n  expected {value}", found[key]));
            }
        }
    }
    assert!(wrong.is_empty(), "{} values are wrong:\n{}", wrong.len(), wrong.join("\n"));
    assert!(payloads.len() >= 18, "the payloads were not found");
}
