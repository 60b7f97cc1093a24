//! Imports between modules, pure modules and places that start tasks: checked against the table of
//! ARCHITECTURE.md.

mod found;
mod graph;
mod paths;

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use graph::{cycles, is_into_front_page, uses};
use paths::{Named, named};

use super::tree::{files, read};

/// Modules that all others may import.
const WORDS: [&str; 11] = [
    "event",
    "diagnostics",
    "secret",
    "backoff",
    "clock",
    "file",
    "json",
    "rate",
    "http_client",
    "parse_memory",
    "telemetry",
];

/// Imports that each module may have in addition to `WORDS`; these themselves may import only what
/// is listed here. A new module needs a line here and in ARCHITECTURE.md.
const TABLE: [(&str, &[&str]); 30] = [
    ("event", &[]),
    ("backoff", &[]),
    ("clock", &[]),
    ("file", &[]),
    ("json", &[]),
    ("rate", &[]),
    ("http_client", &[]),
    ("parse_memory", &[]),
    ("diagnostics", &["file", "rate"]),
    ("secret", &["file", "diagnostics"]),
    ("telemetry", &["clock", "event", "http_client"]),
    ("listener", &[]),
    ("intake", &["store"]),
    ("store", &[]),
    ("delivery", &["store", "mapping", "savio"]),
    ("mapping", &[]),
    ("savio", &[]),
    (
        "admin",
        &[
            "alerts",
            "comparison",
            "delivery",
            "draft",
            "intake",
            "issues",
            "mapping",
            "mapping_file",
            "outgoing_webhook",
            "store",
        ],
    ),
    ("mapping_file", &["intake", "mapping"]),
    ("comparison", &["intake", "mapping", "mapping_file", "store"]),
    ("draft", &["intake", "mapping", "mapping_file"]),
    ("issues", &["delivery", "intake", "mapping_file", "store"]),
    ("alerts", &["intake", "issues", "store"]),
    ("outgoing_webhook", &["intake", "mapping_file"]),
    ("sandbox", &["savio"]),
    ("config", &SETTINGS),
    (
        "doctor",
        &["admin", "config", "delivery", "intake", "listener", "mapping_file", "savio", "store"],
    ),
    (
        "relay",
        &[
            "admin",
            "alerts",
            "comparison",
            "config",
            "delivery",
            "doctor",
            "intake",
            "issues",
            "listener",
            "mapping_file",
            "savio",
            "store",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "comparison",
            "config",
            "delivery",
            "doctor",
            "draft",
            "intake",
            "issues",
            "listener",
            "mapping",
            "mapping_file",
            "outgoing_webhook",
            "relay",
            "sandbox",
            "savio",
            "store",
        ],
    ),
    ("main", &["cli", "telemetry"]),
];

/// Modules whose settings the configuration reads.
const SETTINGS: [&str; 9] = [
    "admin",
    "alerts",
    "delivery",
    "intake",
    "issues",
    "listener",
    "mapping_file",
    "savio",
    "store",
];

/// Modules without a clock, I/O or async, each with its submodules, except tests.
const PURE: [&str; 13] = [
    "intake/signature",
    "intake/payload",
    "intake/handshake",
    "mapping",
    "delivery/outcome",
    "delivery/gate",
    "delivery/acquisition",
    "delivery/conflicts",
    "issues/kinds",
    "issues/reconcile",
    "alerts/due",
    "alerts/hourly",
    "alerts/message",
];

const IMPURE: [&str; 11] = [
    "std::fs",
    "std::net",
    "std::env",
    "std::process",
    "std::thread",
    "std::time::SystemTime",
    "std::time::Instant",
    "Timestamp::now",
    "tokio",
    "reqwest",
    "rusqlite",
];

/// Functions that start a task or thread, and the modules that may call them.
const SPAWNS: [(&str, &[&str]); 7] = [
    ("tokio::spawn", &["relay/tasks"]),
    ("task::spawn", &["relay/tasks"]),
    (
        "spawn_blocking",
        &["store", "intake", "delivery", "comparison", "admin", "relay", "doctor", "cli/savio"],
    ),
    ("spawn_local", &[]),
    ("thread::spawn", &["store"]),
    ("thread::Builder", &["store"]),
    ("JoinSet", &["cli/savio", "delivery", "listener"]),
];

const LINES_MAX: usize = 500;

/// Returns all violations in one file; `path` is relative to `src`.
fn violations(path: &str, text: &str) -> Vec<String> {
    let module = module_of(path);
    let mut found = shape(path, text);
    for named in named(text, &module) {
        let place = format!("src/{path}:{}", named.line);
        found.extend(imports(path, &named).map(|what| format!("{place}: {what}")));
        found.extend(impure(path, &named).map(|what| format!("{place}: {what}")));
        found.extend(spawns(path, &named).map(|what| format!("{place}: {what}")));
    }
    found
}

/// Returns the file's module from the root; `lib.rs` and `main.rs` are roots.
fn module_of(path: &str) -> Vec<String> {
    let stem = path.trim_end_matches(".rs");
    if stem == "lib" || stem == "main" {
        return Vec::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

fn shape(path: &str, text: &str) -> Vec<String> {
    let opening = text.lines().take_while(|line| line.starts_with("//!")).count();
    let lines = text.lines().count();
    let mut found = Vec::new();
    if opening == 0 || (opening > 3 && path != "lib.rs") {
        found.push(format!("src/{path}:1: a file opens with one to three lines of `//!`"));
    }
    if lines > LINES_MAX {
        found.push(format!("src/{path}: {lines} lines, at most {LINES_MAX}"));
    }
    if path.ends_with("mod.rs") {
        found.push(format!("src/{path}: a module is `x.rs` beside `x/`"));
    }
    found
}

/// Files that include a table of texts from build.rs.
const TEXTS_INSIDE: [&str; 2] = ["mapping_file/bundle.rs", "intake/provider.rs"];

fn imports(path: &str, named: &Named) -> Option<String> {
    let written = named.segments.join("::");
    let part = path.split('/').next()?.trim_end_matches(".rs");
    if written == "extern" || (written == "include" && !TEXTS_INSIDE.contains(&path)) {
        return Some(format!("`{written}` hides what is imported"));
    }
    let target = resolve(path, named)?;
    let Some(target) = target.first().filter(|target| *target != "*") else {
        return Some(format!("`{written}` imports the root and with it everything"));
    };
    if target == part {
        return None;
    }
    if !TABLE.iter().any(|(known, _)| known == target) {
        return Some(format!("`{written}`: there is no part `{target}` in the table"));
    }
    let permitted = TABLE.iter().find(|(known, _)| *known == part).map(|(_, permitted)| permitted);
    let Some(permitted) = permitted else {
        return Some(format!("`{part}` is not in the table"));
    };
    let target = target.as_str();
    let word = WORDS.contains(&target) && !WORDS.contains(&part) && part != "main";
    if word || permitted.contains(&target) {
        return None;
    }
    Some(format!("`{written}`: {part} may not import {target}"))
}

/// Returns the path from the root of our crate; `None` if it leads to another crate.
fn resolve(path: &str, named: &Named) -> Option<Vec<String>> {
    let mut segments = named.segments.iter().map(String::as_str).peekable();
    let mut target = named.module.clone();
    match segments.next()? {
        "crate" if named.segments.len() > 1 || named.imported => target.clear(),
        "savio_relay" => target.clear(),
        "self" if named.segments.len() > 1 => {}
        "super" if named.segments.len() > 1 || named.imported => drop(target.pop()),
        first if path == "lib.rs" && named.segments.len() > 1 => target.push(first.to_owned()),
        _ => return None,
    }
    while segments.next_if_eq(&"super").is_some() {
        target.pop();
    }
    target.extend(segments.filter(|segment| *segment != "self").map(str::to_owned));
    Some(target)
}

fn impure(path: &str, named: &Named) -> Option<String> {
    if !is_below(path, &PURE) || is_of_tests(named) {
        return None;
    }
    let written = named.segments.join("::");
    let is_async = written == "async" || written == "await";
    let clock =
        resolve(path, named).is_some_and(|target| target.first().is_some_and(|t| t == "clock"));
    let outside = IMPURE.iter().any(|root| has(&named.segments, root));
    (is_async || clock || outside).then(|| format!("`{written}` in a pure file"))
}

fn spawns(path: &str, named: &Named) -> Option<String> {
    if named.module.iter().any(|module| module == "tests") {
        return None;
    }
    let written = named.segments.join("::");
    let (_, places) = SPAWNS.iter().find(|(spawn, _)| has(&named.segments, spawn))?;
    if is_of_tests(named) {
        return None;
    }
    (!is_below(path, places)).then(|| format!("`{written}` begins a task or thread here"))
}

fn is_of_tests(named: &Named) -> bool {
    named.module.iter().any(|module| module == "tests")
}

/// Returns whether the file is one of these modules or a submodule of one.
fn is_below(path: &str, modules: &[&str]) -> bool {
    let stem = path.trim_end_matches(".rs");
    modules.iter().any(|module| {
        stem.strip_prefix(module).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

fn begins(segments: &[String], root: &str) -> bool {
    let mut segments = segments.iter();
    root.split("::").all(|part| segments.next().is_some_and(|segment| segment == part))
}

fn has(segments: &[String], part: &str) -> bool {
    (0..segments.len()).any(|from| begins(&segments[from..], part))
}

fn source_files(folder: &Path, found: &mut Vec<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            source_files(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path.to_str().unwrap().to_owned());
        }
    }
}

/// Returns the path of each file of `src`, relative to it, and its text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    source_files(&root, &mut files);
    assert!(files.len() > 10, "the sources were not found");
    files.sort();
    let read = |file: String| {
        let path = Path::new(&file).strip_prefix(&root).unwrap().to_str().unwrap();
        (path.replace('\\', "/"), fs::read_to_string(&file).unwrap())
    };
    files.into_iter().map(read).collect()
}

#[test]
fn sources_import_only_what_the_table_permits() {
    let found: Vec<String> =
        sources().iter().flat_map(|(path, text)| violations(path, text)).collect();

    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn files_form_no_cycle_and_use_no_front_page_from_below() {
    let files: Vec<_> = sources()
        .into_iter()
        .map(|(path, text)| {
            let named = named(&text, &module_of(&path));
            (path, named)
        })
        .collect();
    let (into_front_pages, others): (BTreeSet<_>, BTreeSet<_>) =
        uses(&files).into_iter().partition(is_into_front_page);

    assert_eq!(into_front_pages, BTreeSet::new());
    assert_eq!(cycles(&others), Vec::<Vec<String>>::new());
}

/// Calls of axum by which a route could be added to a router, and no description.
const UNDESCRIBED_ROUTES: [&str; 7] = [
    "Router::new(",
    "Router::default(",
    ".route(",
    ".route_service(",
    ".nest(",
    ".nest_service(",
    ".fallback_service(",
];

#[test]
fn admin_listener_answers_no_path_that_is_not_described() {
    let mut looked_at = 0;
    for path in files("src", ".rs").iter().filter(|path| path.starts_with("src/admin")) {
        let text = read(path);
        for call in UNDESCRIBED_ROUTES {
            assert!(!text.contains(call), "{path}: add the route by `Routes`, and not by {call}");
        }
        // The one list from which routes and description both come.
        let is_list = text.contains("OpenApiRouter");
        assert_eq!(is_list, path == "src/admin/routes.rs", "{path}");
        looked_at += 1;
    }
    assert!(looked_at > 50, "{looked_at} files");
}
