//! Links in the documents, and pages that texts of the program name.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{documents, files, prose, read, root, section};

/// Returns the anchors of a document's headings, as GitHub makes them.
fn anchors(path: &str) -> BTreeSet<String> {
    let text = read(path);
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    let mut found = BTreeSet::new();
    for heading in prose(&text).filter(|line| line.starts_with('#')) {
        let heading = heading.trim_start_matches('#').trim().to_lowercase();
        let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let anchor: String = kept.map(|c| if c == ' ' { '-' } else { c }).collect();
        let repeats = seen.entry(anchor.clone()).or_default();
        found.insert(if *repeats == 0 { anchor } else { format!("{anchor}-{repeats}") });
        *repeats += 1;
    }
    found
}

/// Returns the path from the root of a relative link, and its anchor.
fn target(document: &str, link: &str) -> (String, Option<String>) {
    let (path, anchor) = link.split_once('#').map_or((link, None), |(path, it)| (path, Some(it)));
    let mut parts: Vec<&str> = document.split('/').collect();
    if !path.is_empty() {
        parts.pop();
    }
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match part {
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    (parts.join("/"), anchor.map(str::to_owned))
}

fn links(text: &str) -> Vec<String> {
    let prose: Vec<&str> = prose(text).collect();
    let prose = prose.join("\n");
    let links = prose.split("](").skip(1).filter_map(|rest| rest.split_once(')'));
    links.map(|(link, _)| link.to_owned()).filter(|link| !link.contains("://")).collect()
}

fn assert_leads_somewhere(from: &str, path: &str, anchor: Option<&str>) {
    assert!(root().join(path).exists(), "{from} names {path}, which does not exist");
    if let Some(anchor) = anchor {
        assert!(anchors(path).contains(anchor), "{from} names {path}#{anchor}: no such heading");
    }
}

#[test]
fn every_relative_link_and_anchor_exists() {
    for document in documents() {
        for link in links(&read(&document)) {
            let (path, anchor) = target(&document, &link);
            assert_leads_somewhere(&document, &path, anchor.as_deref());
        }
    }
}

/// Returns the pages that a text names, such as `docs/providers.md#signature`.
fn named_pages(text: &str) -> Vec<(String, Option<String>)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("docs/") {
        let is_word =
            |c: &char| c.is_ascii_alphanumeric() || matches!(c, '-' | '/' | '.' | '#' | '_');
        let named: String = text[at..].chars().take_while(is_word).collect();
        let (path, anchor) = named.split_once('#').unwrap_or((&named, ""));
        let (path, anchor) = (path.trim_end_matches('.'), anchor.trim_end_matches('.'));
        if Path::new(path).extension().is_some_and(|it| it == "md") {
            found.push((path.to_owned(), (!anchor.is_empty()).then(|| anchor.to_owned())));
        }
    }
    found
}

#[test]
fn every_page_named_by_the_program_exists() {
    let folders = [("src", ".rs"), ("src", ".toml"), ("mappings", ".toml"), ("mappings", ".json")];
    let others = [("examples", ""), ("benches", ".rs"), ("tests", ".rs")];
    let mut checked: Vec<String> = Vec::new();
    for (folder, ending) in folders.into_iter().chain(others) {
        checked.extend(files(folder, ending));
    }
    checked.extend(["relay.example.toml", "relay.schema.json"].map(str::to_owned));
    checked.retain(|file| file != "tests/it/meta/docs/links.rs");

    for file in checked {
        for (path, anchor) in named_pages(&read(&file)) {
            assert_leads_somewhere(&file, &path, anchor.as_deref());
        }
    }
}

#[test]
fn program_names_pages_and_not_sections_of_the_readme() {
    for file in files("src", ".rs").into_iter().chain(files("mappings", ".toml")) {
        let text = read(&file);
        assert!(
            !text.contains("README") || text.contains("include_str!"),
            "{file} names the README"
        );
    }
}

#[test]
fn readme_has_at_most_8192_bytes() {
    let bytes = read("README.md").len();

    assert!(bytes <= 8192, "README.md has {bytes} bytes: move details to a page in docs/");
}

#[test]
fn readme_links_every_page() {
    let table: BTreeSet<String> =
        links(&section("README.md", "Documentation")).into_iter().collect();

    let pages: BTreeSet<String> = files("docs", ".md").into_iter().collect();
    assert_eq!(table, pages);
}
