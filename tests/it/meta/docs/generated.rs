//! Generated parts of the documents: rendered from the code and compared, or written with
//! `UPDATE_DOCS=1`.

mod bundled;
mod commands;
mod schemas;
mod tables;

use std::collections::BTreeSet;
use std::fs;

use super::{documents, read, root};

/// Part of a document, between `<!-- generated: NAME -->` and `<!-- end -->`.
struct Part {
    document: &'static str,
    name: &'static str,
    text: String,
}

/// Parts by name and document that a unit test in `src` renders, because their source is private.
const IN_UNIT_TESTS: [(&str, &str); 1] = [("statuses", "docs/http-responses.md")];

fn parts() -> Vec<Part> {
    let part = |document, name, text| Part { document, name, text };
    vec![
        part("README.md", "counts", bundled::counts()),
        part("docs/admin-api.md", "endpoints", tables::endpoints()),
        part("docs/bundled.md", "mappings", bundled::mappings()),
        part("docs/bundled.md", "providers", bundled::providers()),
        part("docs/bundled.md", "setup", bundled::setup()),
        part("docs/commands.md", "commands", commands::reference()),
        part("docs/configuration.md", "keys", schemas::configuration()),
        part("docs/mapping-reference.md", "keys", schemas::mapping()),
        part("docs/monitoring.md", "metrics", tables::metrics()),
        part("docs/sandbox.md", "faults", commands::faults()),
        part("docs/templates.md", "functions", tables::functions()),
    ]
}

/// Returns the document with the part replaced.
fn with_part(text: &str, part: &Part) -> String {
    let Part { document, name, text: rendered } = part;
    let begin = format!("<!-- generated: {name} -->\n");
    let missing = || panic!("{document} has no part {name}");
    let (before, rest) = text.split_once(&begin).unwrap_or_else(missing);
    let (_, after) = rest.split_once("<!-- end -->").unwrap_or_else(missing);
    format!("{before}{begin}{rendered}<!-- end -->{after}")
}

#[expect(clippy::disallowed_methods, reason = "whoever runs the tests says whether they write")]
fn is_update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some_and(|value| value == "1")
}

#[test]
fn generated_parts_equal_their_sources() {
    for part in parts() {
        let text = read(part.document);
        let current = with_part(&text, &part);
        if is_update() {
            fs::write(root().join(part.document), current).unwrap();
            continue;
        }
        let (document, name) = (part.document, part.name);
        let line = text.lines().zip(current.lines()).find(|(old, new)| old != new);
        let help = "UPDATE_DOCS=1 cargo test docs";
        assert!(text == current, "{document}: the part {name} is stale ({line:?}); run {help}");
    }
}

#[test]
fn every_generated_part_has_a_source() {
    let mut rendered: BTreeSet<(String, String)> =
        parts().iter().map(|it| (it.document.to_owned(), it.name.to_owned())).collect();
    rendered.extend(IN_UNIT_TESTS.map(|(name, document)| (document.to_owned(), name.to_owned())));
    let mut marked = BTreeSet::new();
    for document in documents() {
        let text = read(&document);
        let names = text.lines().filter_map(|line| line.strip_prefix("<!-- generated: "));
        let names = names.filter_map(|line| line.strip_suffix(" -->"));
        marked.extend(names.map(|name| (document.clone(), name.to_owned())));
    }

    assert_eq!(marked, rendered);
}

/// Escapes text for a cell of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace('\n', " ")
}

/// Escapes plain text for Markdown, except for code in backquotes.
fn plain(text: &str) -> String {
    let mut out = String::new();
    let mut is_code = false;
    for c in text.chars() {
        is_code ^= c == '`';
        if !is_code && matches!(c, '*' | '_' | '<' | '>' | '[' | ']') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
