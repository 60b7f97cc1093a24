//! The drafted mapping file: its content, and its text with comments for people.

use std::sync::Arc;

use serde_json::Value;

use super::field_guesses::FieldGuesses;
use super::provider_guess::{self, mapping_file};
use crate::cli::output;
use crate::event::{Event, SourceName, TypePattern};
use crate::intake::handshake::HandshakeRule;
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// The payload as a test of the mapping file.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftTest<'t> {
    pub(super) payload: &'t str,
    pub(super) expect: &'t str,
    pub(super) sample: &'t SamplePayload,
}

#[derive(Debug)]
pub(super) struct DraftFile {
    name: SourceName,
    /// Text before the blocks, except `events`.
    head: String,
    events: Vec<String>,
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
        provider: Option<&str>,
        sample: &SamplePayload,
    ) -> DraftFile {
        let head = head(&name, provider, sample);
        let guesses = FieldGuesses::default();
        DraftFile { name, head, events: Vec::new(), guesses, is_conditional: false }
    }

    pub(super) fn name(&self) -> &SourceName {
        &self.name
    }

    pub(super) fn has_problem(&self) -> bool {
        self.guesses.problem.is_some()
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

    /// Parses a file that maps a form's answers. It has mistakes if the provider sends no forms.
    pub(super) fn answers_trial(&self) -> MappingFile {
        mapping_file(self.name.as_str(), format!("{}{ANSWERS}", self.head))
    }

    /// Returns the text of the file, with its test if there is one.
    pub(super) fn written(&self, test: Option<&DraftTest<'_>>) -> String {
        let mut draft = self.head.clone();
        if !self.events.is_empty() {
            let names: Vec<String> = self.events.iter().map(|name| quoted(name)).collect();
            draft += "# Other types are answered and not kept. Leave this out to take them all.\n";
            draft += &format!("events   = [{}]\n", names.join(", "));
        }
        draft += "\n[[feedback]]\n";
        if self.is_conditional {
            draft += "# An event without these words makes no feedback.\n";
            draft += &format!("when = {}\n", quoted(&format!("{{{{ {} }}}}", self.guesses.text)));
        }
        draft += &match &self.guesses.problem {
            Some(problem) => format!(
                "# What the person says: the text of the feedback.\nproblem = {}\n",
                quoted(problem)
            ),
            None => "# Nothing in the payload reads like a person's words: name the text here.\n\
                     problem = \"$.path.to.the.text\"\n"
                .to_owned(),
        };
        if self.has_problem() {
            draft += &self.field_lines();
        }
        draft += &format!("tags = [{}]\n", quoted(self.name.as_str()));
        draft + &test.map_or_else(String::new, test_table)
    }

    fn field_lines(&self) -> String {
        let FieldGuesses { person_email, person_name, company_name, source_url, .. } =
            &self.guesses;
        let fields = [
            ("person_email", "The person's address.", person_email),
            ("person_name", "The person's name.", person_name),
            ("company_name", "The company; Savio ignores it without a person.", company_name),
            ("source_url", "Where it can be looked at.", source_url),
        ];
        let lines = fields.map(|(name, why, value)| match value {
            Some(value) => format!("# {why}\n{name} = {}\n", quoted(value)),
            None => format!("# {why} Nothing like it was found.\n# {name} = \"$.path\"\n"),
        });
        lines.concat()
    }
}

fn head(name: &SourceName, provider: Option<&str>, sample: &SamplePayload) -> String {
    let tool = provider.unwrap_or("a tool that the relay does not know");
    let mut head = format!(
        "#:schema ./mapping.schema.json\n#\n# {tool}: a first draft, made from one payload. Read it, \
         change it, and run\n#   savio-relay check mappings/{name}.toml\n#   savio-relay try {name} \
         PAYLOAD --explain\n\n"
    );
    if let Some(provider) = provider {
        head += &format!("provider = {}\n", quoted(provider));
    }
    let source = provider.and_then(provider_guess::source);
    let carries_secret = |rule: &HandshakeRule| rule.carries_secret();
    if source.as_ref().is_some_and(|source| source.handshakes.iter().any(carries_secret)) {
        head +=
            "# The tool brings its secret in its first request; the relay keeps it in this file.\n";
        head += &format!("secrets  = [\"file:{name}.secret\"]\n");
    } else if source.is_none_or(|source| source.signature.needs_secret()) {
        // A name of a source may have `-`, which no variable of a shell has.
        let variable = name.as_str().to_uppercase().replace('-', "_");
        head += "# The secret stays out of this file: in the environment, or in \"file:PATH\".\n";
        head += &format!("secrets  = [\"env:{variable}_SECRET\"]\n");
    }
    // Last: a key behind a table would belong to it. `events` comes later still, but without a
    // provider no event has a type.
    if provider.is_none() {
        head += &own_tables(sample);
    }
    head
}

/// Returns the tables of a mapping file that names no provider.
fn own_tables(sample: &SamplePayload) -> String {
    let token = "\n# The tool proves itself by a token: ?token=... in the URL, or a header. If it signs its\n\
         # requests, say how instead; see docs/providers.md.\n[signature]\n\
         scheme = \"token\"\nquery  = \"token\"\nheader = \"X-Relay-Token\"\n";
    match provider_guess::extension(sample) {
        "xml" => format!("{token}\n[body]\nformat = \"xml\"\n"),
        _ => token.to_owned(),
    }
}

fn test_table(test: &DraftTest<'_>) -> String {
    let headers: Vec<String> = test
        .sample
        .headers
        .iter()
        .map(|(name, value)| format!("{} = {}", quoted(name), quoted(value)))
        .collect();
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

/// Quotes a text in a way that is both TOML and JSON.
// Without control characters, since a draft is often read on a terminal first.
fn quoted(text: &str) -> String {
    // In a mapping file, a replacement character counts as damage. In a payload, it stands for half
    // of a surrogate pair.
    output::json(&Value::from(text).to_string()).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}
