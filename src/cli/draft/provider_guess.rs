//! Which tool sent a payload: by its headers, else by which samples have most in common with it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use crate::diagnostics::document::Document;
use crate::event::Headers;
use crate::intake::payload::{self, PayloadLimits};
use crate::intake::provider::Provider;
use crate::intake::source::Source;
use crate::json;
use crate::mapping_file::bundle;
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// A payload of which less is known than this is nobody's.
const LIKENESS_MIN: f64 = 0.35;
/// A few names in common are chance.
const COMMON_MIN: f64 = 1.5;
/// What a name weighs that no sample has, beside one that only one tool's samples have.
const UNKNOWN: f64 = 0.3;
/// What a header that carries the provider's proof says, beside the payload's form.
const PROOF: f64 = 1.0;
const DEPTH_MAX: usize = 8;
const PATHS_MAX: usize = 2_000;

/// Names of members from the outermost object on, through lists.
type PayloadShape = BTreeSet<String>;

/// Says how the body is written, where no header does.
pub(super) fn complete(sample: &mut SamplePayload) {
    if sample.headers.contains_key("content-type") {
        return;
    }
    let written = String::from_utf8_lossy(&sample.body);
    let first =
        written.trim_start_matches('\u{feff}').lines().next().unwrap_or_default().trim_end();
    let content_type = if let Some(boundary) = first.strip_prefix("--") {
        format!("multipart/form-data; boundary={boundary}")
    } else if starts_with(&sample.body, "<") {
        "text/xml".to_owned()
    } else if !starts_with(&sample.body, "{") && !starts_with(&sample.body, "[") {
        let is_form = first.contains('=') && !first.contains(['"', '{', ' ']);
        if !is_form {
            return;
        }
        "application/x-www-form-urlencoded".to_owned()
    } else {
        return;
    };
    sample.headers.insert("content-type".to_owned(), content_type);
}

fn starts_with(body: &[u8], beginning: &str) -> bool {
    json::unmarked(body).trim_ascii_start().starts_with(beginning.as_bytes())
}

/// How the file of a payload like this ends.
pub(super) fn extension(sample: &SamplePayload) -> &'static str {
    let content_type = sample.headers.get("content-type").map_or("", String::as_str);
    match content_type {
        it if it.starts_with("multipart/") => "multipart",
        it if it.contains("urlencoded") => "form",
        it if it.contains("xml") => "xml",
        _ => "json",
    }
}

/// The provider whose samples have most in common with the payload; none: no tool that is known.
pub(super) fn recognise(sample: &SamplePayload, limits: &PayloadLimits) -> Option<&'static str> {
    let known = shapes(limits);
    let mut spread: BTreeMap<&str, f64> = BTreeMap::new();
    for path in known.values().flatten() {
        *spread.entry(path).or_default() += 1.0;
    }
    // What many tools send tells little of which one it was.
    let weight = |path: &String| spread.get(path.as_str()).map_or(UNKNOWN, |tools| 1.0 / tools);
    let mut best: Option<(f64, &'static str)> = None;
    for name in Provider::names() {
        let Some(source) = source(name) else { continue };
        let shape = known.get(name).cloned().unwrap_or_default();
        let paths = paths(&source, sample, limits).unwrap_or_default();
        let all: f64 = paths.iter().map(weight).sum();
        let common: f64 = paths.intersection(&shape).map(weight).sum();
        let likeness = if common >= COMMON_MIN { common / all } else { 0.0 };
        let score = likeness + if carries_proof(&source, &sample.headers) { PROOF } else { 0.0 };
        if score >= LIKENESS_MIN && best.is_none_or(|(best, _)| score > best) {
            best = Some((score, name));
        }
    }
    best.map(|(_, name)| name)
}

fn carries_proof(source: &Source, headers: &Headers) -> bool {
    source.signature.credential_headers().iter().any(|name| headers.contains_key(*name))
}

/// The source that a mapping file with nothing of its own gives.
pub(super) fn source(name: &str) -> Option<Arc<Source>> {
    let text = format!(
        "provider = \"{name}\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n"
    );
    mapping_file(name, text).source
}

/// A mapping file that is not on a disk.
pub(super) fn mapping_file(name: &str, text: String) -> MappingFile {
    MappingFile::of_text(Document { name: format!("{name}.toml"), text })
}

/// What the samples of each provider's mapping file look like.
fn shapes(limits: &PayloadLimits) -> BTreeMap<String, PayloadShape> {
    let mut shapes: BTreeMap<String, PayloadShape> = BTreeMap::new();
    for document in bundle::mappings() {
        let file = MappingFile::of_text(document);
        let Some(source) = &file.source else { continue };
        let Some(provider) = source.provider.clone() else { continue };
        let shape = shapes.entry(provider).or_default();
        for test in &file.tests {
            let body = bundle::text(&test.payload.text).unwrap_or_default();
            let sample = SamplePayload { headers: test.headers.clone(), body: body.into() };
            shape.extend(paths(source, &sample, limits).unwrap_or_default());
        }
    }
    shapes
}

/// Of all events of the payload, if the source can read it.
fn paths(source: &Source, sample: &SamplePayload, limits: &PayloadLimits) -> Option<PayloadShape> {
    let decoded =
        payload::decode(&source.body_config, &sample.headers, &sample.body, limits).ok()?;
    let text = decoded.text;
    let mut paths = PayloadShape::new();
    for event in payload::split(&text, source.batch_path.as_ref()).ok()? {
        collect(&payload::parse(&text[event]).ok()?, "", 0, &mut paths);
    }
    Some(paths)
}

fn collect(value: &Value, path: &str, depth: usize, paths: &mut PayloadShape) {
    if depth == DEPTH_MAX || paths.len() >= PATHS_MAX {
        return;
    }
    match value {
        Value::Object(entries) => {
            for (key, value) in entries {
                let path = format!("{path}.{key}");
                collect(value, &path, depth + 1, paths);
                paths.insert(path);
            }
        }
        Value::Array(items) => {
            let path = format!("{path}[]");
            for item in items {
                collect(item, &path, depth + 1, paths);
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
