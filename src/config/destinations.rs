//! Settings of the Savio accounts: `[savio]`, whose destination is "default", and
//! `[destinations.NAME]`.

use std::collections::BTreeMap;
use std::time::Duration;

use super::values::{duration, set_if_some, size};
use crate::delivery::{self, gate, outcome};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::event::{DEFAULT_DESTINATION, SourceName};
use crate::savio::{self, BaseUrl};
use crate::secret::{self, Environment, Secret};

/// Variable of the default destination's token; for others `_NAME` is appended.
const TOKEN: &str = "SAVIO_API_TOKEN";

/// Destinations by name; the default one always exists.
pub type DestinationConfigs = BTreeMap<String, DestinationConfig>;

/// Settings of one destination.
#[derive(Debug, Clone)]
pub struct DestinationConfig {
    pub base_url: BaseUrl,
    /// If missing, nothing is sent to it, and webhooks are accepted all the same.
    pub token: Secret,
    pub timeout: Duration,
    /// Whether the token may be sent unencrypted to an address that is not private.
    pub insecure: bool,
    pub max_in_flight: usize,
    gate: gate::Settings,
    unanswered: outcome::UnansweredPolicy,
}

pub(super) fn defaults(environment: &Environment) -> DestinationConfigs {
    [(DEFAULT_DESTINATION.to_owned(), DestinationConfig::with_token_in(TOKEN, environment))].into()
}

/// Applies `[destinations]`, in which each name is a table of its own.
pub(super) fn apply(
    destinations: &mut DestinationConfigs,
    named: &TomlTable<'_>,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) {
    for (name, section) in named.named_tables("destinations", mistakes) {
        // The same characters as in a source's name, since it is part of URLs, metrics and
        // variables.
        if name.text.parse::<SourceName>().is_err() {
            let message = "a destination's name has 1 to 64 of a-z, 0-9, - and _, and begins with a \
                           letter or digit";
            mistakes.push(Diagnostic::error(name.place, message));
        } else if name.text == DEFAULT_DESTINATION {
            let message = "the destination \"default\" has a section of its own";
            mistakes.push(Diagnostic::error(name.place, message).help("write [savio]"));
        } else {
            let variable = format!("{TOKEN}_{}", name.text.to_uppercase().replace('-', "_"));
            let new = || DestinationConfig::with_token_in(&variable, environment);
            let destination = destinations.entry(name.text).or_insert_with(new);
            destination.take(section, environment, mistakes);
        }
    }
}

impl DestinationConfig {
    fn with_token_in(variable: &str, environment: &Environment) -> DestinationConfig {
        DestinationConfig {
            base_url: savio::BASE_URL.parse().expect("it is tested to be one"),
            token: secret::from_environment(variable, environment),
            timeout: Duration::from_secs(30),
            insecure: false,
            max_in_flight: 8,
            gate: gate::Settings::default(),
            unanswered: outcome::UnansweredPolicy::Retry,
        }
    }

    /// Returns the settings of delivery to it, from the common ones and its own.
    pub fn delivery(&self, common: &delivery::Settings) -> delivery::Settings {
        let retry = outcome::Settings { unanswered: self.unanswered, ..common.retry.clone() };
        let gate = gate::Settings { answer_wait: self.timeout, ..self.gate.clone() };
        delivery::Settings { retry, gate, ..common.clone() }
    }

    pub(super) fn take(
        &mut self,
        mut section: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        if let Some(text) = section.text("base_url", mistakes) {
            match text.text.parse() {
                Ok(base_url) => self.base_url = base_url,
                Err(error) => {
                    let mistake = Diagnostic::error(text.place, format!("`base_url`: {error}"))
                        .help(format!("write it whole, such as \"{}\"", savio::BASE_URL));
                    // User information, query and fragment are where people put a key.
                    let may_hold_key = text.text.contains(['@', '?', '#']);
                    mistakes.push(if may_hold_key { mistake.secret() } else { mistake });
                }
            }
        }
        if let Some(named) = section.text("token", mistakes) {
            set_if_some(&mut self.token, secret::find(&named, environment, mistakes));
        }
        set_if_some(&mut self.insecure, section.boolean("insecure", mistakes));
        set_if_some(&mut self.max_in_flight, size(&mut section, "max_in_flight", mistakes));
        set_if_some(&mut self.timeout, duration(&mut section, "timeout", mistakes));
        set_if_some(&mut self.unanswered, unanswered(&mut section, mistakes));
        apply_gate(&mut self.gate, &mut section, mistakes);
        section.finish(mistakes);
    }
}

fn unanswered(
    section: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Option<outcome::UnansweredPolicy> {
    let text = section.text("unanswered", mistakes)?;
    match text.text.as_str() {
        "retry" => Some(outcome::UnansweredPolicy::Retry),
        "hold" => Some(outcome::UnansweredPolicy::Hold),
        _ => {
            let message = "`unanswered` is \"retry\" or \"hold\"";
            mistakes.push(Diagnostic::error(text.place, message));
            None
        }
    }
}

fn apply_gate(gate: &mut gate::Settings, section: &mut TomlTable<'_>, mistakes: &mut Diagnostics) {
    if let Some(text) = section.text("rate", mistakes) {
        match text.text.parse() {
            Ok(rate) => gate.rate = Some(rate),
            Err(error) => {
                let mistake = Diagnostic::error(text.place, format!("`rate`: {error}"));
                mistakes.push(mistake);
            }
        }
    }
    set_if_some(&mut gate.probe_every, duration(section, "probe_every", mistakes));
    let failures = size(section, "breaker_failures", mistakes);
    set_if_some(
        &mut gate.breaker_failures,
        failures.map(|it| u32::try_from(it).unwrap_or(u32::MAX)),
    );
    set_if_some(&mut gate.breaker_wait, duration(section, "breaker_wait", mistakes));
}
