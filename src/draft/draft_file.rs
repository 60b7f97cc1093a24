//! The drafted mapping file: its content, and its text with comments for people.

mod comments;

use std::sync::Arc;

use serde_json::{Map, Value};

use super::event_identity::{EventIdentity, IdentityValue};
use super::field_guesses::{Choice, FieldGuesses};
use super::provider_guess::{self, Recognition, mapping_file};
use super::signature_comment;
use super::toml_text::quoted;
use crate::event::{Event, Headers, SourceName, TypePattern};
use crate::intake::handshake::HandshakeRule;
use crate::intake::provider::Provider;
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// The payload as a test of the mapping file.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftTest<'t> {
    pub(super) payload: &'t str,
    pub(super) expect: &'t str,
    pub(super) headers: &'t Headers,
}

#[derive(Debug)]
pub(super) struct DraftFile {
    name: SourceName,
    /// The provider's file, if there is one.
    provider: Option<Map<String, Value>>,
    /// Comments and keys before `events`.
    head: String,
    events: Vec<String>,
    /// `[signature]` and `[body]`, without a provider.
    tables: String,
    /// The path of the events in a payload that has several.
    pub(super) batch: Option<String>,
    identity: EventIdentity,
    /// Keys of `[answers]`.
    answers: Option<String>,
    guesses: FieldGuesses,
    /// Set if only events that have the text become feedback.
    is_conditional: bool,
}

/// Block that writes each question of a form, with its answer, as a line of JSON.
const ANSWERS: &str = "\n[[feedback]]\nproblem = \"\"\"{% for it in answers %}\
    {{ it | tojson }}\n{% endfor %}\"\"\"\n";

impl DraftFile {
    pub(super) fn new(
        name: SourceName,
        provider: Option<&Recognition>,
        sample: &SamplePayload,
    ) -> DraftFile {
        let entries = provider.and_then(|it| Provider::entries(&it.provider));
        DraftFile {
            head: comments::opening(&name, provider) + &keys(&name, provider),
            // After the keys: a key behind a table would belong to it.
            tables: if provider.is_none() { own_tables(sample) } else { String::new() },
            name,
            provider: entries,
            events: Vec::new(),
            batch: None,
            identity: EventIdentity::default(),
            answers: None,
            guesses: FieldGuesses::default(),
            is_conditional: false,
        }
    }

    pub(super) fn name(&self) -> &SourceName {
        &self.name
    }

    /// Returns whether a key of a table is neither in the file nor in that of the provider.
    pub(super) fn lacks(&self, table: &str, key: &str) -> bool {
        let provider = self.provider.as_ref().and_then(|provider| provider.get(table));
        provider.is_none_or(|table| table.get(key).is_none())
    }

    pub(super) fn lacks_answers(&self) -> bool {
        self.provider.as_ref().is_none_or(|provider| !provider.contains_key("answers"))
    }

    pub(super) fn is_of_provider(&self) -> bool {
        self.provider.is_some()
    }

    /// Returns the headers that its event's id and type are read from.
    pub(super) fn read_headers(&self) -> Vec<String> {
        let own = [&self.identity.id, &self.identity.event_type];
        let own = own.into_iter().flatten().map(|value| value.written.as_str());
        own.flat_map(provider_guess::named_headers)
            .chain(self.inherited_headers("id"))
            .chain(self.type_headers())
            .collect()
    }

    /// Returns the headers from which the provider reads the event's type.
    pub(super) fn type_headers(&self) -> Vec<String> {
        self.inherited_headers("type")
    }

    fn inherited_headers(&self, key: &str) -> Vec<String> {
        let event = self.provider.as_ref().and_then(|provider| provider.get("event"));
        let value = event.and_then(|event| event.get(key)?.as_str());
        value.map(provider_guess::named_headers).unwrap_or_default()
    }

    pub(super) fn has_problem(&self) -> bool {
        self.guesses.problem.taken.is_some()
    }

    /// Returns the fields of feedback, each with what was found for it.
    pub(super) fn choices(&self) -> [(&'static str, &Choice); 5] {
        let FieldGuesses { problem, person_email, person_name, company_name, source_url, .. } =
            &self.guesses;
        [
            ("problem", problem),
            ("person_email", person_email),
            ("person_name", person_name),
            ("company_name", company_name),
            ("source_url", source_url),
        ]
    }

    /// Returns the fields of the person that were not found.
    pub(super) fn missing(&self) -> Vec<&'static str> {
        let of_person = ["person_email", "person_name", "company_name"];
        let missing = self.choices().into_iter().filter(|(_, choice)| choice.taken.is_none());
        missing.map(|(name, _)| name).filter(|name| of_person.contains(name)).collect()
    }

    /// Lists the types of these events in `events`, if each of them has one.
    pub(super) fn take_types(&mut self, events: &[(Event, Arc<Value>)]) {
        for (event, _) in events {
            // A type template whose first or last value is missing in the payload gives `.created`.
            let is_whole = |name: &&String| !name.starts_with('.') && !name.ends_with('.');
            let named = event.event_type.as_ref().filter(is_whole);
            let Some(name) = named.filter(|name| name.parse::<TypePattern>().is_ok()) else {
                // A list of the other types would leave this event out.
                self.events.clear();
                return;
            };
            if !self.events.contains(name) {
                self.events.push(name.clone());
            }
        }
    }

    pub(super) fn take_answers(&mut self, keys: Option<String>) {
        self.answers = keys;
    }

    /// Takes what the provider does not say itself.
    pub(super) fn take_identity(&mut self, found: EventIdentity) {
        self.identity = found;
        if !self.lacks("event", "type") {
            self.identity.event_type = None;
        }
        if !self.lacks("event", "id") {
            self.identity = EventIdentity {
                event_type: self.identity.event_type.take(),
                ..EventIdentity::default()
            };
        }
    }

    pub(super) fn take(&mut self, guesses: FieldGuesses) {
        self.guesses = guesses;
    }

    /// Makes feedback only of events that have the text.
    pub(super) fn make_conditional(&mut self) {
        self.is_conditional = true;
    }

    /// Parses the draft.
    pub(super) fn trial(&self) -> MappingFile {
        mapping_file(self.name.as_str(), self.written(None))
    }

    /// Parses a file that maps a form's answers. It has mistakes if there is no `[answers]`.
    pub(super) fn answers_trial(&self) -> MappingFile {
        mapping_file(self.name.as_str(), self.before_blocks() + ANSWERS)
    }

    /// Returns the text of the file, with its test if there is one.
    pub(super) fn written(&self, test: Option<&DraftTest<'_>>) -> String {
        let mut draft = self.before_blocks() + "\n[[feedback]]\n";
        if self.is_conditional {
            draft += "# An event without these words makes no feedback.\n";
            draft += &line("when", &format!("{{{{ {} }}}}", self.guesses.text));
        }
        draft += &self.field_lines();
        draft += &format!("tags = [{}]\n", quoted(self.name.as_str()));
        draft += &comments::contact(&self.guesses);
        draft + &test.map_or_else(String::new, test_table)
    }

    fn before_blocks(&self) -> String {
        let mut text = self.head.clone();
        if !self.events.is_empty() {
            let names: Vec<String> = self.events.iter().map(|name| quoted(name)).collect();
            text += "# Other types are answered and not kept. Leave this out to take them all.\n";
            text += &format!("events   = [{}]\n", names.join(", "));
        }
        text += &self.tables;
        text += &self.event_table();
        if let Some(keys) = &self.answers {
            text +=
                "\n# The questions of the form and their answers: `answers` below.\n[answers]\n";
            text += keys;
        }
        text
    }

    fn event_table(&self) -> String {
        let EventIdentity { event_type, id, other_ids, id_repeats } = &self.identity;
        let mut table = String::new();
        if let Some(each) = &self.batch {
            table += "# Each of these is an event of its own; `$` is one of them from here on.\n";
            table += &format!("each = {}\n", quoted(each));
        }
        let value = |key: &str, why: &str, value: &IdentityValue| {
            format!(
                "# {why}: {}\n{key:4} = {}\n",
                comments::shown(&value.value),
                quoted(&value.written)
            )
        };
        if let Some(id) = id {
            table += &value("id", "By it a repeated delivery is recognised. Here", id);
        }
        if let Some(event_type) = event_type {
            table += &value("type", "What kind of event it is. Here", event_type);
        }
        let comment = comments::ids(other_ids, *id_repeats);
        if table.is_empty() {
            // A comment alone would be a table without keys.
            return if comment.is_empty() { comment } else { format!("\n# [event]\n{comment}") };
        }
        format!("\n[event]\n{table}{comment}")
    }

    fn field_lines(&self) -> String {
        let FieldGuesses { problem, person_email, person_name, company_name, source_url, .. } =
            &self.guesses;
        let mut lines = match &problem.taken {
            Some(taken) => {
                comments::taken("What the person says", problem) + &line("problem", taken)
            }
            None => {
                "# Nothing in the payload reads like a person's words: name the text here.\n"
                    .to_owned()
                    + &line("problem", "$.path.to.the.text")
            }
        };
        lines += &comments::others(problem);
        if problem.taken.is_none() && person_email.others.is_empty() && person_email.taken.is_none()
        {
            return lines;
        }
        let fields: [(&str, &str, &Choice); 4] = [
            ("person_email", "The person's address", person_email),
            ("person_name", "The person's name", person_name),
            ("company_name", "The person's company", company_name),
            ("source_url", "Where it can be looked at", source_url),
        ];
        for (name, what, choice) in fields {
            lines += &match &choice.taken {
                Some(taken) => comments::taken(what, choice) + &line(name, taken),
                None => comments::absent(what, name, choice),
            };
            lines += &comments::others(choice);
        }
        lines
    }
}

/// Returns the keys before all tables, except `events`.
fn keys(name: &SourceName, provider: Option<&Recognition>) -> String {
    let provider = provider.map(|it| it.provider.as_str());
    let mut keys = String::new();
    if let Some(provider) = provider {
        keys += &format!("provider = {}\n", quoted(provider));
    }
    let source = provider.and_then(provider_guess::source);
    let carries_secret = |rule: &HandshakeRule| rule.carries_secret();
    if source.as_ref().is_some_and(|source| source.handshakes.iter().any(carries_secret)) {
        keys +=
            "# The tool brings its secret in its first request; the relay keeps it in this file.\n";
        keys += &format!("secrets  = [\"file:{name}.secret\"]\n");
    } else if source.is_none_or(|source| source.signature.needs_secret()) {
        // A name of a source may have `-`, which no variable of a shell has.
        let variable = name.as_str().to_uppercase().replace('-', "_");
        keys += "# The secret stays out of this file: in the environment, or in \"file:PATH\".\n";
        keys += &format!("secrets  = [\"env:{variable}_SECRET\"]\n");
    }
    keys
}

/// Returns the tables of a mapping file that names no provider.
fn own_tables(sample: &SamplePayload) -> String {
    let mut tables = "\n# The tool proves itself by a token: ?token=... in the URL, or a header. If it signs its\n\
         # requests, say how instead; see docs/providers.md.\n[signature]\n\
         scheme = \"token\"\nquery  = \"token\"\nheader = \"X-Relay-Token\"\n"
        .to_owned();
    tables += &signature_comment::comment(&sample.headers).unwrap_or_default();
    if sample.extension() == "xml" {
        tables += "\n[body]\nformat = \"xml\"\n";
    }
    tables
}

fn test_table(test: &DraftTest<'_>) -> String {
    let headers = test.headers.iter();
    let headers: Vec<String> =
        headers.map(|(name, value)| format!("{} = {}", quoted(name), quoted(value))).collect();
    let headers = if headers.is_empty() {
        String::new()
    } else {
        format!("headers = {{ {} }}\n", headers.join(", "))
    };
    format!(
        "\n# The payload from which this was made, and what it becomes.\n[[test]]\npayload = {}\n\
         {headers}expect  = {}\n",
        quoted(test.payload),
        quoted(test.expect)
    )
}

fn line(key: &str, value: &str) -> String {
    format!("{key} = {}\n", quoted(value))
}
