//! Documentation: README.md, docs/ and the documents beside them.

mod examples;
mod generated;
mod limits;
mod links;

use super::tree::{files, read, root};

/// Returns all documents, as paths from the root.
fn documents() -> Vec<String> {
    let beside = ["README.md", "ARCHITECTURE.md", "GUARANTEES.md", "CHANGELOG.md"];
    beside.map(str::to_owned).into_iter().chain(files("docs", ".md")).collect()
}

/// Returns the lines of a document outside its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut is_code = false;
    text.lines().filter(move |line| {
        let is_fence = line.trim_start().starts_with("```");
        is_code ^= is_fence;
        !is_code && !is_fence
    })
}

/// Returns the text below a heading of the second level, up to the next one.
fn section(path: &str, heading: &str) -> String {
    let text = read(path);
    let start = text.split_once(&format!("\n## {heading}\n"));
    let (_, section) = start.unwrap_or_else(|| panic!("{path} has no section {heading}"));
    section.split("\n## ").next().unwrap().to_owned()
}
