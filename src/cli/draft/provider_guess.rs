//! Guesses the provider of a payload by its headers, and by the samples that it is most like.

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

/// Likeness below which no provider is guessed.
const LIKENESS_MIN: f64 = 0.35;
/// Weight of common names below which there is no likeness: a few common names are chance.
const COMMON_MIN: f64 = 1.5;
/// Weight of a name that no sample has; one that only the samples of one provider have weighs 1.
const UNKNOWN: f64 = 0.3;
/// Score of a header for the provider's credentials. The likeness of the payload adds at most 1.
const PROOF: f64 = 1.0;
/// Limits of a shape; names beyond them are ignored.
const DEPTH_MAX: usize = 8;
const PATHS_MAX: usize = 2_000;

/// Paths of all members, such as `.items[].id`.
type PayloadShape = BTreeSet<String>;

/// Adds the content type that the beginning of the body suggests, if no header has it.
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
        // A form's first line is `name=value` without spaces, unlike other text with an equals
        // sign.
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
    json::without_bom(body).trim_ascii_start().starts_with(beginning.as_bytes())
}

/// Returns the ending for a file with this payload.
pub(super) fn extension(sample: &SamplePayload) -> &'static str {
    let content_type = sample.headers.get("content-type").map_or("", String::as_str);
    match content_type {
        it if it.starts_with("multipart/") => "multipart",
        it if it.contains("urlencoded") => "form",
        it if it.contains("xml") => "xml",
        _ => "json",
    }
}

/// Returns the provider whose samples the payload is most like; `None` if it is like none of them.
pub(super) fn recognise(sample: &SamplePayload, limits: &PayloadLimits) -> Option<&'static str> {
    let known = shapes(limits);
    let mut providers_with: BTreeMap<&str, f64> = BTreeMap::new();
    for path in known.values().flatten() {
        *providers_with.entry(path).or_default() += 1.0;
    }
    // A name that many providers send says little about which of them sent this payload.
    let weight = |path: &String| {
        providers_with.get(path.as_str()).map_or(UNKNOWN, |providers| 1.0 / providers)
    };
    let sources: Vec<(&'static str, Arc<Source>)> =
        Provider::names().filter_map(|name| Some((name, source(name)?))).collect();
    let proves = |source: &Source| carries_proof(source, &sample.headers);
    // Several providers read the header X-Relay-Token, which then says nothing of which one it was.
    let readers = sources.iter().filter(|(_, source)| proves(source)).count();
    let proof = if readers == 1 { PROOF } else { 0.0 };
    let mut best: Option<(f64, &'static str)> = None;
    for (name, source) in sources {
        let shape = known.get(name).cloned().unwrap_or_default();
        // Decoded anew by each provider's rules: they decide what the body's format and events are.
        let paths = paths(&source, sample, limits).unwrap_or_default();
        let all: f64 = paths.iter().map(weight).sum();
        let common: f64 = paths.intersection(&shape).map(weight).sum();
        let likeness = if common >= COMMON_MIN { common / all } else { 0.0 };
        let score = likeness + if proves(&source) { proof } else { 0.0 };
        if score >= LIKENESS_MIN && best.is_none_or(|(best, _)| score > best) {
            best = Some((score, name));
        }
    }
    best.map(|(_, name)| name)
}

fn carries_proof(source: &Source, headers: &Headers) -> bool {
    source.signature.credential_headers().iter().any(|name| headers.contains_key(*name))
}

/// Returns the source of a mapping file that only names the provider.
pub(super) fn source(name: &str) -> Option<Arc<Source>> {
    // Secret and block only make the file valid.
    let text = format!(
        "provider = \"{name}\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n"
    );
    mapping_file(name, text).source
}

/// Parses the text of a mapping file that is not on disk.
pub(super) fn mapping_file(name: &str, text: String) -> MappingFile {
    MappingFile::of_text(Document { name: format!("{name}.toml"), text })
}

/// Returns the shape that the samples of each provider's mapping files have together.
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

/// Returns the paths of all events of the payload; `None` if the source cannot decode it.
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
