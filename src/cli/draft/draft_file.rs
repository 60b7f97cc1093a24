//! The drafted mapping file: what it says, and how it is written for people.

use std::sync::Arc;

use serde_json::Value;

use super::field_guesses::FieldGuesses;
use super::provider_guess::{ProviderGuess, SecretKind, mapping_file};
use crate::cli::output;
use crate::event::{Event, SourceName, TypePattern};
use crate::mapping_file::file::{MappingFile, SamplePayload};

/// The file with its blocks, or with one for a question of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DraftVariant {
    Whole,
    /// Takes every type of event.
    Anything,
    /// Gives each question with its answer as a line of JSON.
    Answers,
}

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
    problem: Option<String>,
    /// Without this no feedback is made, if that had to be said.
    when: Option<String>,
    text: String,
    fields: Vec<DraftField>,
}

#[derive(Debug)]
struct DraftField {
    name: &'static str,
    why: &'static str,
    value: Option<String>,
}

const ANSWERS: &str = "\n[[feedback]]\nproblem = \"\"\"{% for it in answers %}\
    {{ it | tojson }}\n{% endfor %}\"\"\"\n";

impl DraftFile {
    pub(super) fn about(sender: &ProviderGuess, name: &SourceName) -> DraftFile {
        DraftFile {
            name: name.clone(),
            head: head(sender, name),
            events: Vec::new(),
            problem: None,
            when: None,
            text: String::new(),
            fields: Vec::new(),
        }
    }

    pub(super) fn name(&self) -> &SourceName {
        &self.name
    }

    pub(super) fn has_problem(&self) -> bool {
        self.problem.is_some()
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
        let FieldGuesses { problem, text, person_email, person_name, company_name, source_url } =
            found;
        self.problem = problem;
        self.text = text;
        let field = |name, why, value| DraftField { name, why, value };
        self.fields = vec![
            field("person_email", "The person's address.", person_email),
            field("person_name", "The person's name.", person_name),
            field("company_name", "The company; Savio ignores it without a person.", company_name),
            field("source_url", "Where it can be looked at.", source_url),
        ];
    }

    /// Asks no more for what the mapping had to leave out; tells whether there was any.
    pub(super) fn leave_out(&mut self, notes: &[String]) -> bool {
        let before = self.fields.iter().filter(|field| field.value.is_some()).count();
        for field in &mut self.fields {
            let name = format!("feedback[0].{}", field.name);
            field.value.take_if(|_| notes.iter().any(|note| note.starts_with(&name)));
        }
        before != self.fields.iter().filter(|field| field.value.is_some()).count()
    }

    /// Some event of the payload has no words in it.
    pub(super) fn make_conditional(&mut self) {
        self.when = Some(format!("{{{{ {} }}}}", self.text));
    }

    pub(super) fn trial(&self, trial: DraftVariant) -> MappingFile {
        let text = match trial {
            DraftVariant::Whole => self.written(None),
            DraftVariant::Anything => {
                format!("{}\n[[feedback]]\nproblem = \"$.text\"\n", self.head)
            }
            DraftVariant::Answers => format!("{}{ANSWERS}", self.head),
        };
        mapping_file(self.name.as_str(), text)
    }

    pub(super) fn written(&self, test: Option<&DraftTest<'_>>) -> String {
        let mut page = self.head.clone();
        if !self.events.is_empty() {
            let names: Vec<String> = self.events.iter().map(|name| quoted(name)).collect();
            page += "# Other types are answered and not kept. Leave this out to take them all.\n";
            page += &format!("events   = [{}]\n", names.join(", "));
        }
        page += "\n[[feedback]]\n";
        if let Some(when) = &self.when {
            page += "# An event without these words makes no feedback.\n";
            page += &format!("when = {}\n", quoted(when));
        }
        page += &self.problem_lines();
        for DraftField { name, why, value } in &self.fields {
            page += &match value {
                Some(value) => format!("# {why}\n{name} = {}\n", quoted(value)),
                None => format!("# {why} Nothing like it was found.\n# {name} = \"$.path\"\n"),
            };
        }
        page += &format!("tags = [{}]\n", quoted(self.name.as_str()));
        page += &test.map_or_else(hint, lines);
        page
    }

    fn problem_lines(&self) -> String {
        match &self.problem {
            Some(problem) => {
                format!(
                    "# What the person says: the text of the feedback.\nproblem = {}\n",
                    quoted(problem)
                )
            }
            None => "# Nothing in the payload reads like a person's words: name the text here.\n\
                     problem = \"$.path.to.the.text\"\n"
                .to_owned(),
        }
    }
}

fn head(sender: &ProviderGuess, name: &SourceName) -> String {
    let title = sender.title.as_deref().unwrap_or("a tool that the relay does not know");
    let mut head = format!(
        "#:schema ./mapping.schema.json\n#\n# {title}: a first draft, made from one payload. Read it, \
         change it, and run\n#   savio-relay check mappings/{name}.toml\n#   savio-relay try {name} \
         PAYLOAD --explain\n\n"
    );
    if let Some(provider) = sender.provider {
        head += &format!("provider = {}\n", quoted(provider));
    }
    if sender.secret == SecretKind::Brought {
        head +=
            "# The tool brings its secret in its first request; the relay keeps it in this file.\n";
        head += &format!("secrets  = [\"file:{name}.secret\"]\n");
    } else if sender.secret == SecretKind::Chosen {
        let variable = name.as_str().to_uppercase().replace('-', "_");
        head += "# The secret stays out of this file: in the environment, or in \"file:PATH\".\n";
        head += &format!("secrets  = [\"env:{variable}_SECRET\"]\n");
    }
    if sender.provider.is_none() {
        head += &own(sender);
    }
    head
}

/// What a mapping file says itself where no provider does. It comes behind all plain keys.
fn own(sender: &ProviderGuess) -> String {
    let token = "\n# The tool proves itself by a token: ?token=... in the URL, or a header. If it signs its\n\
         # requests, say how instead; see docs/providers.md.\n[signature]\n\
         scheme = \"token\"\nquery  = \"token\"\nheader = \"X-Relay-Token\"\n";
    match sender.format {
        Some(format) => format!("{token}\n[body]\nformat = {}\n", quoted(format)),
        None => token.to_owned(),
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

fn hint() -> String {
    "\n# [[test]]\n# payload = \"samples/one.json\"\n# expect  = \"samples/one.expected.json\"\n"
        .to_owned()
}

/// A text in quotes, as TOML and JSON write it alike. A draft is read on a terminal first.
fn quoted(text: &str) -> String {
    // A replacement character in a mapping file counts as damage; in a payload it stands for half a character.
    output::json(&Value::from(text).to_string()).replace(char::REPLACEMENT_CHARACTER, "\\ufffd")
}
