//! The language of provider files: how a kind of sender signs, tests the address and identifies its events.

use std::ops::Range;

use toml::Spanned;

use super::handshake::{self, HandshakeRule};
use super::payload::{BatchPath, BodyConfig};
use super::signature::Signature;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
pub use signature_config::SignatureConfig;

/// All built-in provider files, by name.
const BUILTIN: &[(&str, &str)] = include!(concat!(env!("OUT_DIR"), "/providers.rs"));

/// The content of a provider file, or the same keys of a mapping file. `mapping` reads `[answers]`.
#[derive(Debug, Clone, Default)]
pub struct Provider {
    pub title: Option<String>,
    pub docs: Option<String>,
    pub recipe: Option<SignatureConfig>,
    pub id: Option<ValueSource>,
    pub event_type: Option<ValueSource>,
    pub body_config: Option<BodyConfig>,
    pub batch_path: Option<BatchPath>,
    /// Event types that are never stored, such as pings.
    pub pings: Option<Vec<String>>,
    pub handshakes: Option<Vec<HandshakeRule>>,
    /// Response to an accepted webhook.
    pub answer: Option<AcceptedResponse>,
}

/// The place of a delivery's id or an event's type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueSource {
    /// A header by its lower-case name.
    Header(String),
    /// A query or a template in the mapping language.
    Value(SpannedText),
}

/// The response that the provider expects to an accepted webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptedResponse {
    pub status: u16,
    pub content_type: String,
    pub body: String,
}

impl Provider {
    pub fn names() -> impl Iterator<Item = &'static str> {
        BUILTIN.iter().map(|(name, _)| *name)
    }

    /// Returns the text of a built-in provider file.
    pub fn builtin(name: &str) -> Option<&'static str> {
        BUILTIN.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
    }

    /// Takes the provider's keys out of the root table of a provider file or a mapping file.
    pub fn read(file: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Provider {
        let mut provider = Provider {
            title: file.text("title", mistakes).map(|title| title.text),
            docs: file.text("docs", mistakes).map(|docs| docs.text),
            recipe: file
                .table("signature", mistakes)
                .map(|table| SignatureConfig::read(table, mistakes)),
            body_config: file
                .table("body", mistakes)
                .map(|table| BodyConfig::read(table, mistakes)),
            answer: file
                .table("answer", mistakes)
                .map(|table| AcceptedResponse::read(table, mistakes)),
            ..Provider::default()
        };
        let handshakes = file.tables("handshake", mistakes);
        if !handshakes.is_empty() {
            let read = |table| handshake::read(table, mistakes);
            provider.handshakes = Some(handshakes.into_iter().map(read).collect());
        }
        if let Some(event) = file.table("event", mistakes) {
            provider.read_event(event, mistakes);
        }
        provider
    }

    fn read_event(&mut self, mut event: TomlTable<'_>, mistakes: &mut Diagnostics) {
        self.id = event.text("id", mistakes).map(ValueSource::read);
        self.event_type = event.text("type", mistakes).map(ValueSource::read);
        self.batch_path = event.text("each", mistakes).and_then(|each| read_each(&each, mistakes));
        self.pings = event
            .texts("ping", mistakes)
            .map(|pings| pings.into_iter().map(|ping| ping.text).collect());
        event.finish(mistakes);
    }

    /// Merges: the keys of `self`, a mapping file, replace those of `base`, its provider. A `[signature]` with a
    /// scheme replaces the provider's, without one it changes single keys of it.
    #[must_use]
    pub fn over(self, base: Provider) -> Provider {
        let recipe = match (self.recipe, base.recipe) {
            (Some(own), Some(base)) => Some(own.over(base)),
            (own, base) => own.or(base),
        };
        Provider {
            title: self.title.or(base.title),
            docs: self.docs.or(base.docs),
            recipe,
            id: self.id.or(base.id),
            event_type: self.event_type.or(base.event_type),
            body_config: self.body_config.or(base.body_config),
            batch_path: self.batch_path.or(base.batch_path),
            pings: self.pings.or(base.pings),
            handshakes: self.handshakes.or(base.handshakes),
            answer: self.answer.or(base.answer),
        }
    }

    /// Returns how requests are signed. If nothing is configured, the mistake is shown at `place`.
    pub fn signature(&self, place: Range<usize>, mistakes: &mut Diagnostics) -> Option<Signature> {
        let Some(recipe) = &self.recipe else {
            let help = "name a `provider` (`savio-relay providers` lists them), or describe the \
                        tool's proof under [signature]";
            let message = "nothing says how the source proves itself";
            mistakes.push(Diagnostic::error(place, message).help(help));
            return None;
        };
        recipe.signature(mistakes)
    }
}

impl ValueSource {
    fn read(text: SpannedText) -> ValueSource {
        match text.text.strip_prefix("header:") {
            Some(name) => ValueSource::Header(name.trim().to_ascii_lowercase()),
            None => ValueSource::Value(text),
        }
    }
}

fn read_each(text: &SpannedText, mistakes: &mut Diagnostics) -> Option<BatchPath> {
    let each = BatchPath::parse(&text.text);
    if each.is_none() {
        let message = "`each` is no list of events";
        let help = "write names and a final [*], such as \"$[*]\" or \"$.events[*]\"";
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
    }
    each
}

impl AcceptedResponse {
    pub fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> AcceptedResponse {
        let status = table.number("status", mistakes).unwrap_or(200);
        let accepted = AcceptedResponse {
            status: u16::try_from(status).unwrap_or_default(),
            content_type: text_or(&mut table, "content_type", "text/plain", mistakes),
            body: text_or(&mut table, "body", "", mistakes),
        };
        if !(200..300).contains(&accepted.status) {
            let place = table.value("status").map_or(table.place.clone(), Spanned::span);
            let message = "an answer has a status from 200 to 299";
            mistakes.push(Diagnostic::error(place, message));
        }
        if http::HeaderValue::from_str(&accepted.content_type).is_err() {
            let message = "`content_type` does not fit in a header";
            mistakes.push(Diagnostic::error(table.place.clone(), message));
        }
        table.finish(mistakes);
        accepted
    }
}

fn text_or(
    table: &mut TomlTable<'_>,
    key: &'static str,
    default: &str,
    mistakes: &mut Diagnostics,
) -> String {
    table.text(key, mistakes).map_or_else(|| default.to_owned(), |text| text.text)
}

mod signature_config;
pub(crate) mod timestamp_config;
pub(crate) mod keywords;
#[cfg(test)]
mod tests;
