//! The language of provider files: how a kind of sender signs, tests the address and identifies its events.

use serde_json::{Map, Value};
use toml::de::DeTable;

use super::handshake::{self, HandshakeRule};
use super::payload::{BatchPath, BodyConfig};
use super::response_config::AcceptedResponse;
use super::signature::Signature;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use setup_guide::SetupGuide;

/// All built-in provider files, by name.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/providers.rs"));

/// The content of a provider file, or of a mapping file with its provider's keys. `mapping` reads `[answers]`.
#[derive(Debug, Default)]
pub struct Provider {
    pub title: Option<String>,
    pub docs: Option<String>,
    /// How requests are signed; `None` if that is missing or wrong.
    pub signature: Option<Signature>,
    /// A value in the mapping language.
    pub id: Option<SpannedText>,
    /// A value in the mapping language.
    pub event_type: Option<SpannedText>,
    pub body_config: BodyConfig,
    pub batch_path: Option<BatchPath>,
    /// Event types that are never stored, such as pings.
    pub pings: Vec<String>,
    pub handshakes: Vec<HandshakeRule>,
    /// Response to an accepted webhook.
    pub response: Option<AcceptedResponse>,
    /// How a source is set up.
    pub setup: SetupGuide,
}

impl Provider {
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Returns the text of a built-in provider file.
    pub fn builtin(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Returns the content of a built-in provider file.
    pub fn entries(name: &str) -> Option<Map<String, Value>> {
        // A test reads every provider file.
        toml::from_str(Provider::builtin(name)?).ok()
    }

    /// Returns the tool's name as people write it; the provider's own if there is no such provider.
    pub fn title_of(name: &str) -> String {
        let entries = Provider::entries(name).unwrap_or_default();
        entries.get("title").and_then(Value::as_str).unwrap_or(name).to_owned()
    }

    /// Adds the keys of the provider that a mapping file names to its root table, unless the file has them itself.
    pub fn inherit(file: &mut DeTable<'_>) {
        let Some(named) = file.get("provider") else { return };
        let place = named.span();
        if let Some(text) = named.get_ref().as_str().and_then(Provider::builtin) {
            let (base, _) = DeTable::parse_recoverable(text);
            inheritance::inherit(file, base.into_inner(), &place);
        }
    }

    /// Takes the provider's keys out of the root table of a provider file or a mapping file.
    pub fn read(file: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Provider {
        let handshakes = file.tables("handshake", mistakes).into_iter();
        let mut provider = Provider {
            title: file.text("title", mistakes).map(|title| title.text),
            docs: file.text("docs", mistakes).map(|docs| docs.text),
            signature: read_signature(file, mistakes),
            body_config: file
                .table("body", mistakes)
                .map(|table| BodyConfig::read(table, mistakes))
                .unwrap_or_default(),
            handshakes: handshakes.map(|table| handshake::read(table, mistakes)).collect(),
            response: file
                .table("answer", mistakes)
                .map(|table| AcceptedResponse::read(table, mistakes)),
            setup: file
                .table("setup", mistakes)
                .map(|table| SetupGuide::read(table, mistakes))
                .unwrap_or_default(),
            ..Provider::default()
        };
        if let Some(event) = file.table("event", mistakes) {
            provider.read_event(event, mistakes);
        }
        provider
    }

    fn read_event(&mut self, mut event: TomlTable<'_>, mistakes: &mut Diagnostics) {
        self.id = event.text("id", mistakes);
        self.event_type = event.text("type", mistakes);
        self.batch_path = event.text("each", mistakes).and_then(|each| read_each(&each, mistakes));
        let pings = event.texts("ping", mistakes).unwrap_or_default();
        self.pings = pings.into_iter().map(|ping| ping.text).collect();
        event.finish(mistakes);
    }
}

fn read_signature(file: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Signature> {
    // A provider that is named has one, or is not known: that is the mistake then.
    if file.value("signature").is_none() && file.value("provider").is_none() {
        let help = "name a `provider` (`savio-relay providers` lists them), or describe the \
                    tool's proof under [signature]";
        let message = "nothing says how the source proves itself";
        let mistake = Diagnostic::error(file.place.clone(), message).help(help);
        mistakes.push(mistake.missing(vec!["provider", "signature"]));
    }
    signature_config::read(file.table("signature", mistakes)?, mistakes)
}

fn read_each(text: &SpannedText, mistakes: &mut Diagnostics) -> Option<BatchPath> {
    let each = BatchPath::parse(&text.text);
    if each.is_none() {
        let message = "`each` is not a list of events";
        let help = "write names and a final [*], such as \"$[*]\" or \"$.events[*]\"";
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
    }
    each
}

mod inheritance;
mod location_config;
mod message_config;
pub mod setup_guide;
mod signature_config;
mod timestamp_config;
#[cfg(test)]
mod tests;
