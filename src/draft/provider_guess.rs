//! Guesses the provider of a payload by its headers, its file name, and the samples that it is most
//! like.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::leaves::{Leaf, leaves};
use super::words::words;
use crate::diagnostics::document::Document;
use crate::diagnostics::one_line;
use crate::event::Headers;
use crate::intake::payload::{self, PayloadLimits};
use crate::intake::provider::Provider;
use crate::intake::source::Source;
use crate::mapping_file::bundle;
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// Score below which no provider is guessed.
const SCORE_MIN: f64 = 0.35;
/// Weight of common names below which there is no likeness: a few common names are chance.
const COMMON_MIN: f64 = 1.5;
/// Weight of common names at which a payload is half like the samples, however much else it has: an
/// event that no sample shows has the same surroundings.
const COMMON_HALF: f64 = 20.0;
/// Part of the likeness that counts if nothing is there that all samples have. Tools of one kind
/// have similar objects, but not the same envelope.
const WITHOUT_CORE: f64 = 0.4;
/// Weight of a name that no sample has; one that only the samples of one provider have weighs 1.
const UNKNOWN: f64 = 0.3;
/// Score of a header that only this provider reads. The likeness of the payload adds at most 1.
const PROOF: f64 = 1.0;
/// Score of a header that several read, divided by their number: alone it tells none of them.
const SHARED_HEADER: f64 = 0.6;
/// Score of an event type of which the samples have some, and of another one.
const KNOWN_TYPE: f64 = 0.1;
const OTHER_TYPE: f64 = -0.05;
/// Score of links to the provider, and how many there must be: one may be in a text.
const LINKS: f64 = 0.3;
const LINKS_MIN: usize = 3;
/// Likeness from which links count: another tool's payload has them too, in what it quotes.
const LIKENESS_BESIDE_LINKS: f64 = 0.05;
/// Score of a file that is named after a provider without samples, and of one with samples, which
/// the payload should then be like.
const FILE_NAME: f64 = 0.4;
const FILE_NAME_BESIDE_SAMPLES: f64 = 0.2;
/// Limits of a shape; names beyond them are ignored.
const DEPTH_MAX: usize = 8;
const PATHS_MAX: usize = 2_000;

/// Paths of all members, such as `.items[].id`.
type PayloadShape = BTreeSet<String>;

/// A provider, and why the payload is taken for its.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Recognition {
    pub(super) provider: String,
    /// Ends the sentence "taken for ..., since ...".
    pub(super) why: String,
}

/// What the samples of a provider's mapping files have.
#[derive(Debug, Default)]
struct ProviderSamples {
    shape: PayloadShape,
    /// What all of them have; `None` without samples.
    core: Option<PayloadShape>,
    /// The first words of their events' types.
    types: BTreeSet<String>,
}

/// A provider with what its webhooks look like.
struct KnownProvider {
    name: &'static str,
    source: Arc<Source>,
    samples: ProviderSamples,
    /// Domain of its documentation.
    domain: String,
    /// Headers that it reads, by lower-case name, with the beginning of their values.
    headers: Vec<(String, String)>,
}

/// Returns the provider with the most evidence; `None` if there is too little for any.
pub(super) fn recognise(
    sample: &SamplePayload,
    file_name: &str,
    limits: &PayloadLimits,
) -> Option<Recognition> {
    let known = known(limits);
    let mut providers_with: BTreeMap<&str, f64> = BTreeMap::new();
    for path in known.iter().flat_map(|provider| &provider.samples.shape) {
        *providers_with.entry(path).or_default() += 1.0;
    }
    let mut best: Option<(f64, Recognition)> = None;
    for provider in &known {
        let likeness = by_likeness(provider, &providers_with, sample, limits);
        let headers = by_headers(provider, &known, &sample.headers);
        let mut evidence = vec![headers, by_file_name(provider, file_name)];
        if likeness.0 > LIKENESS_BESIDE_LINKS {
            evidence.push(by_links(provider, sample, limits));
        }
        if evidence[0].0 + likeness.0 > 0.0 {
            evidence.push(by_type(provider, sample, limits));
        }
        evidence.push(likeness);
        let score: f64 = evidence.iter().map(|(points, _)| points).sum();
        let why = evidence.into_iter().max_by(|a, b| a.0.total_cmp(&b.0)).map(|(_, why)| why);
        if score >= SCORE_MIN && best.as_ref().is_none_or(|(best, _)| score > *best) {
            let why = why.unwrap_or_default();
            best = Some((score, Recognition { provider: provider.name.to_owned(), why }));
        }
    }
    best.map(|(_, recognition)| recognition)
}

/// Judges the headers that the provider reads: for its credentials, and for id and type of events.
fn by_headers(provider: &KnownProvider, all: &[KnownProvider], headers: &Headers) -> (f64, String) {
    let reads = |provider: &KnownProvider, header: &str| {
        provider
            .headers
            .iter()
            .any(|(name, prefix)| name == header && headers[header].starts_with(&**prefix))
    };
    let own = headers.keys().filter(|header| reads(provider, header));
    let readers = |header: &String| all.iter().filter(|other| reads(other, header)).count();
    let Some((readers, header)) = own.map(|header| (readers(header), header)).min() else {
        return (0.0, String::new());
    };
    match readers {
        1 => (PROOF, format!("no other tool sends the header {header}")),
        several => {
            let share = f64::from(u32::try_from(several).unwrap_or(u32::MAX));
            (SHARED_HEADER / share, format!("it has the header {header}"))
        }
    }
}

/// Judges how much of the payload is also in the samples of the provider.
fn by_likeness(
    provider: &KnownProvider,
    providers_with: &BTreeMap<&str, f64>,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> (f64, String) {
    // A name that many providers send says little about which of them sent this payload.
    let weight = |path: &String| {
        providers_with.get(path.as_str()).map_or(UNKNOWN, |providers| 1.0 / providers)
    };
    // Decoded anew by each provider's rules: they decide what the body's format and events are.
    let paths = paths(&provider.source, sample, limits).unwrap_or_default();
    let all: f64 = paths.iter().map(weight).sum();
    let shared: Vec<&String> = paths.intersection(&provider.samples.shape).collect();
    let common: f64 = shared.iter().copied().map(weight).sum();
    if common < COMMON_MIN {
        return (0.0, String::new());
    }
    let core = provider.samples.core.iter().flatten();
    let (there, whole) = core.fold((0.0, 0.0), |(there, whole), path| {
        (there + if paths.contains(path) { weight(path) } else { 0.0 }, whole + weight(path))
    });
    let covered = if whole > 0.0 { there / whole } else { 1.0 };
    let alike = common / all * (WITHOUT_CORE + (1.0 - WITHOUT_CORE) * covered);
    let likeness = alike.max(common / (common + COMMON_HALF));
    let why = format!("{} of its {} names are those of its samples", shared.len(), paths.len());
    (likeness, why)
}

/// Judges a file name such as `acme.json` or `acme-answer.json`.
fn by_file_name(provider: &KnownProvider, file_name: &str) -> (f64, String) {
    let name = file_name.to_lowercase();
    let rest = name.strip_prefix(provider.name);
    if !rest.is_some_and(|rest| rest.starts_with(['.', '-', '_', ' '])) {
        return (0.0, String::new());
    }
    let points =
        if provider.samples.shape.is_empty() { FILE_NAME } else { FILE_NAME_BESIDE_SAMPLES };
    (points, format!("its file is named {}", one_line(&name)))
}

/// Judges the event's type, if all that it is made of is in the webhook.
fn by_type(
    provider: &KnownProvider,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> (f64, String) {
    let payload = parsed(&provider.source, sample, limits);
    let found = provider.source.event_type.as_ref().zip(payload);
    let found = found.and_then(|(lookup, payload)| lookup(&payload, &sample.headers));
    match found.as_deref().and_then(first_word) {
        None => (0.0, String::new()),
        Some(word) if provider.samples.types.contains(&word) => {
            (KNOWN_TYPE, format!("its event type begins with {word}"))
        }
        Some(_) => (OTHER_TYPE, String::new()),
    }
}

/// Returns the first word of an event type; none if the first part of a template is missing.
fn first_word(event_type: &str) -> Option<String> {
    event_type.starts_with(char::is_alphanumeric).then(|| words(event_type).into_iter().next())?
}

/// Judges the links in the payload.
fn by_links(
    provider: &KnownProvider,
    sample: &SamplePayload,
    limits: &PayloadLimits,
) -> (f64, String) {
    let payload = parsed(&provider.source, sample, limits).unwrap_or_default();
    let is_own = |leaf: &&Leaf<'_>| {
        let rest = leaf.text.split_once("://").map_or("", |(_, rest)| rest);
        let host = rest.split(['/', '?', ':']).next().unwrap_or_default();
        let before = host.strip_suffix(&*provider.domain);
        before.is_some_and(|before| before.is_empty() || before.ends_with('.'))
    };
    if leaves(&payload).iter().filter(is_own).count() < LINKS_MIN {
        return (0.0, String::new());
    }
    (LINKS, format!("it has links to {}", provider.domain))
}

fn parsed(source: &Source, sample: &SamplePayload, limits: &PayloadLimits) -> Option<Value> {
    let decoded =
        payload::decode(&source.body_config, &sample.headers, &sample.body, limits).ok()?;
    let events = payload::split(&decoded.text, source.batch_path.as_ref()).ok()?;
    payload::parse(&decoded.text[events.first()?.clone()]).ok()
}

/// Returns all providers, each with what the samples of its mapping files have together.
fn known(limits: &PayloadLimits) -> Vec<KnownProvider> {
    let mut samples = samples(limits);
    let provider = |name: &'static str| {
        let source = source(name)?;
        let headers = headers(name, &source);
        let samples = samples.remove(name).unwrap_or_default();
        Some(KnownProvider { name, source, headers, samples, domain: domain(name) })
    };
    Provider::names().filter_map(provider).collect()
}

/// Returns the domain of its documentation, without the part before it: `github.com`.
fn domain(name: &str) -> String {
    let entries = Provider::entries(name).unwrap_or_default();
    let docs = entries.get("docs").and_then(Value::as_str).unwrap_or_default();
    let host = docs.split('/').nth(2).unwrap_or_default();
    let labels: Vec<&str> = host.split('.').collect();
    labels[labels.len().saturating_sub(2)..].join(".")
}

/// Returns the headers that a provider reads, with the beginning that their values must have.
fn headers(name: &str, source: &Source) -> Vec<(String, String)> {
    let entries = Provider::entries(name).unwrap_or_default();
    let text = |table: &str, key: &str| entries.get(table)?.get(key)?.as_str();
    // In a header that lists several parts, the prefix is not at its beginning.
    let is_list = entries.get("signature").is_some_and(|it| it.get("separator").is_some());
    let prefix = text("signature", "prefix").filter(|_| !is_list).unwrap_or_default();
    let credentials = source.signature.credential_headers().into_iter();
    let mut headers: Vec<(String, String)> =
        credentials.map(|name| (name.to_lowercase(), prefix.to_owned())).collect();
    let values = ["id", "type"].into_iter().filter_map(|key| text("event", key));
    headers.extend(values.flat_map(named_headers).map(|name| (name, String::new())));
    headers
}

/// Returns the headers that a value of the mapping language names: `header:NAME`, `headers['NAME']`.
pub(super) fn named_headers(value: &str) -> Vec<String> {
    if let Some(name) = value.strip_prefix("header:") {
        return vec![name.trim().to_lowercase()];
    }
    let named = value.split("headers['").skip(1).filter_map(|rest| rest.split('\'').next());
    named.map(str::to_lowercase).collect()
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

/// Returns what the samples of each provider's mapping files have.
fn samples(limits: &PayloadLimits) -> BTreeMap<String, ProviderSamples> {
    let mut samples: BTreeMap<String, ProviderSamples> = BTreeMap::new();
    for document in bundle::mappings() {
        let file = MappingFile::of_text(document);
        let Some(source) = &file.source else { continue };
        let Some(provider) = source.provider.clone() else { continue };
        let known = samples.entry(provider).or_default();
        for test in &file.tests {
            let body = bundle::text(&test.payload.text).unwrap_or_default();
            let sample = SamplePayload { headers: test.headers.clone(), body: body.into() };
            let shape = paths(source, &sample, limits).unwrap_or_default();
            known.core = Some(match known.core.take() {
                Some(core) => core.intersection(&shape).cloned().collect(),
                None => shape.clone(),
            });
            known.shape.extend(shape);
            let payload = parsed(source, &sample, limits);
            let event_type = source.event_type.as_ref().zip(payload);
            let event_type = event_type.and_then(|(lookup, it)| lookup(&it, &sample.headers));
            known.types.extend(event_type.as_deref().and_then(first_word));
        }
    }
    samples
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
