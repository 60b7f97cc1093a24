//! Explanations of all bundled mapping files: they change nothing, and name what is in the payload.

use std::path::Path;

use savio_relay::clock;
use savio_relay::diagnostics::document::Document;
use savio_relay::intake::payload::PayloadLimits;
use savio_relay::mapping::language::query::Query;
use savio_relay::mapping_file::file::{MappingFile, SamplePayload};
use serde_json::Value;

const LIMITS: PayloadLimits = PayloadLimits {
    bytes_max: 5 << 20,
    depth_max: 64,
    key_bytes_max: 65_536,
    parsed_bytes_max: 1 << 27,
};

/// Returns the text at a place of the file.
fn part(
    text: &str,
    (line, column): (usize, usize),
    (end_line, end_column): (usize, usize),
) -> String {
    let lines: Vec<&str> = text.split('\n').collect();
    let chars = |line: usize| lines[line - 1].chars();
    if line == end_line {
        return chars(line).skip(column - 1).take(end_column - column).collect();
    }
    let mut part: String = chars(line).skip(column - 1).collect();
    for line in line + 1..end_line {
        part += "\n";
        part += lines[line - 1];
    }
    let last: String = chars(end_line).take(end_column - 1).collect();
    part + "\n" + &last
}

#[test]
fn explanation_of_every_sample_makes_the_same_requests() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let (mut fields, mut found) = (0, 0);
    for entry in std::fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_none_or(|it| it != "toml") {
            continue;
        }
        let file = MappingFile::of_text(Document::read(&path).unwrap());
        let text = &file.document.text;
        for test in &file.tests {
            let body = std::fs::read(folder.join(&test.payload.text)).unwrap();
            let sample = SamplePayload { headers: test.headers.clone(), body };
            let events = file.sample_events(&sample, &LIMITS, clock::now()).unwrap().unwrap();
            for (event, payload) in &events.events {
                let applied = file.mapping.apply(event, payload);
                let explanation = file.explain(event, payload);
                assert_eq!(explanation.mapped, Some(applied), "{}", test.payload.text);
                for field in explanation.fields {
                    fields += 1;
                    let written =
                        part(text, (field.line, field.column), (field.end_line, field.end_column));
                    assert!(!written.is_empty(), "{field:?}");
                    for node in &field.nodes {
                        let query = Query::parse(node).unwrap();
                        let nodes = query.nodes(payload, payload).unwrap();
                        assert!(nodes.len() == 1 && *nodes[0] != Value::Null, "{node}: {field:?}");
                        found += 1;
                    }
                }
            }
        }
    }
    assert!(fields > 500 && found > 500, "{fields} fields, {found} nodes");
}
