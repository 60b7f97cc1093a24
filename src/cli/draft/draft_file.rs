//! The drafted mapping file: what it says, and how it is written for people.

use std::sync::Arc;

use serde_json::Value;

use super::field_guesses::FieldGuesses;
use super::provider_guess::{self, mapping_file};
use crate::cli::output;
use crate::event::{Event, SourceName, TypePattern};
use crate::intake::handshake::HandshakeRule;
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// The payload as the file's own test.
#[derive(Debug, Clone, Copy)]
pub(super) struct DraftTest<'t> {
    pub(super) payload: &'t str,
    pub(super) expect: &'t str,
    pub(super) sample: &'t SamplePayload,
}

#[derive(Debug)]
pub(super) struct DraftFile {
    name: SourceName,
    /// What goes before the blocks, but for `events`.
    head: String,
    events: Vec<String>,
    found: FieldGuesses,
    /// Feedback is made only of an event that has the text.
    is_conditional: bool,
}

/// Gives each question of a form with its answer as a line of JSON.
const ANSWERS: &str = "\n[[feedback]]\nproblem = \"\"\"{% for it in answers %}\
    {{ it | tojson }}\n{% endfor %}\"\"\"\n";

impl DraftFile {
    pub(super) fn new(
        name: SourceName,
        provider: Option<&str>,
        sample: &SamplePayload,
    ) -> DraftFile {
        let head = head(&name, provider, sample);
        let found = FieldGuesses::default();
        DraftFile { name, head, events: Vec::new(), found, is_conditional: false }
    }

    pub(super) fn name(&self) -> &SourceName {
        &self.name
    }

    pub(super) fn has_problem(&self) -> bool {
        self.found.problem.is_some()
    }

    /// Names the types of these events, if each has one that can be told.
    pub(super) fn take_types(&mut self, events: &[(Event, Arc<Value>)]) {
        for (event, _) in events {
            let is_whole = |name: &&String| !name.starts_with('.') && !name.ends_with('.');
            let named = event.event_type.as_ref().filter(is_whole);
            let Some(name) = named.filter(|name| name.parse::<TypePattern>().is_ok()) else {
                self.events.clear();
                return;
            };
            if !self.events.contains(name) {
                self.events.push(name.clone());
            }
        }
    }

    pub(super) fn take(&mut self, found: FieldGuesses) {
        self.found = found;
    }

    /// Some event of the payload has no words in it.
    pub(super) fn make_conditional(&mut self) {
        self.is_conditional = true;
    }

    pub(super) fn trial(&self) -> MappingFile {
        mapping_file(self.name.as_str(), self.written(None))
    }

    /// Its mapping of a form's answers; it has mistakes if the provider sends no form.
    pub(super) fn answers_trial(&self) -> MappingFile {
        mapping_file(self.name.as_str(), format!("{}{ANSWERS}", self.head))
    }

    pub(super) fn written(&self, test: Option<&DraftTest<'_>>) -> String {
        let mut page = self.head.clone();
        if !self.events.is_empty() {
            let names: Vec<String> = self.events.iter().map(|name| quoted(name)).collect();
            page += "# Other types are answered and not kept. Leave this out to take them all.\n";
            page += &format!("events   = [{}]\n", names.join(", "));
        }
        page += "\n[[feedback]]\n";
        if self.is_conditional {
            page += "# An event without these words makes no feedback.\n";
            page += &format!("when = {}\n", quoted(&format!("{{{{ {} }}}}", self.found.text)));
        }
        page += &match &self.found.problem {
            Some(problem) => format!(
                "# What the person says: the text of the feedback.\nproblem = {}\n",
                quoted(problem)
            ),
            None => "# Nothing in the payload reads like a person's words: name the text here.\n\
                     problem = \"$.path.to.the.text\"\n"
                .to_owned(),
        };
        if self.has_problem() {
            page += &self.field_lines();
        }
        page += &format!("tags = [{}]\n", quoted(self.name.as_str()));
        page + &test.map_or_else(String::new, lines)
    }

    fn field_lines(&self) -> String {
        let FieldGuesses { person_email, person_name, company_name, source_url, .. } = &self.found;
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
    let brings = |rule: &HandshakeRule| rule.carries_secret();
    if source.as_ref().is_some_and(|source| source.handshakes.iter().any(brings)) {
        head +=
            "# The tool brings its secret in its first request; the relay keeps it in this file.\n";
        head += &format!("secrets  = [\"file:{name}.secret\"]\n");
    } else if source.is_none_or(|source| source.signature.needs_secret()) {
        let variable = name.as_str().to_uppercase().replace('-', "_");
        head += "# The secret stays out of this file: in the environment, or in \"file:PATH\".\n";
        head += &format!("secrets  = [\"env:{variable}_SECRET\"]\n");
    }
    if provider.is_none() {
        head += &own(sample);
    }
    head
}

/// What a mapping file says itself where no provider does. It comes behind all plain keys.
fn own(sample: &SamplePayload) -> String {
    let token = "\n# The tool proves itself by a token: ?token=... in the URL, or a header. If it signs its\n\
         # requests, say how instead; see docs/providers.md.\n[signature]\n\
         scheme = \"token\"\nquery  = \"token\"\nheader = \"X-Relay-Token\"\n";
    match provider_guess::extension(sample) {
        "xml" => format!("{token}\n[body]\nformat = \"xml\"\n"),
        _ => token.to_owned(),
    }
}

fn lines(test: &DraftTest<'_>) -> String {
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

/// A text in quotes, as TOML and JSON write it alike. A draft is read on a terminal first.
fn quoted(text: &str) -> String {
    // A replacement character in a mapping file counts as damage; in a payload it stands for half a character.
    output::json(&Value::from(text).to_string()).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}
