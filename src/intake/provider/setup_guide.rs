//! How a source is set up: who makes its secret, and what a person does in the tool, in order. It is
//! data of provider files and mapping files, with placeholders for what only the relay knows.

mod filled;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable, as_text, wrong_type};
pub use filled::{FilledSetup, FilledStep, FilledValue, SecretFrom};

const SECRET_FROM: [(&str, SecretFrom); 3] = [
    ("you", SecretFrom::You),
    ("tool", SecretFrom::Tool),
    ("first_request", SecretFrom::FirstRequest),
];

/// `[setup]` of a provider file or a mapping file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetupGuide {
    pub secret_from: Option<SecretFrom>,
    /// A command that prints a secret, if a person makes it.
    generate: Option<String>,
    /// A sentence about the secret.
    secret_hint: Option<String>,
    /// What the tool is to send, in its own words; fills `{sends}`.
    sends: Option<String>,
    /// Steps of the mapping before and after those of the provider.
    before: Vec<SetupStep>,
    steps: Vec<SetupStep>,
    after: Vec<SetupStep>,
    notes: Vec<String>,
}

/// One step, as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct SetupStep {
    text: String,
    /// Fields of a page of the tool, each with what to enter there.
    enter: Vec<(String, String)>,
    /// A command to run.
    run: Option<String>,
}

/// The source that is to be set up.
#[derive(Debug, Clone, Copy)]
pub struct SetupTarget<'t> {
    pub name: &'t str,
    /// The tool's name as people write it.
    pub title: &'t str,
    /// Base URL of the relay, without a final slash.
    pub relay_url: &'t str,
    /// Where its secret is, such as `env:NAME`.
    pub secret: Option<&'t str>,
    /// Whether the API sets that secret.
    pub is_set_by_api: bool,
}

/// What a text may contain, in braces.
const PLACEHOLDERS: [&str; 5] = ["url", "relay", "name", "keep_secret", "sends"];

impl SetupGuide {
    pub(super) fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> SetupGuide {
        let mut text = |key: &'static str, mistakes: &mut Diagnostics| {
            table.text(key, mistakes).map(|text| text.text)
        };
        let generate = text("generate", mistakes);
        let secret_hint = text("secret_hint", mistakes);
        let sends = text("sends", mistakes);
        let notes = table.texts("notes", mistakes).unwrap_or_default();
        for note in &notes {
            check_placeholders(&note.text, &note.place, mistakes);
        }
        let mut steps = |key: &'static str, heading: &str, mistakes: &mut Diagnostics| {
            let steps = table.tables_headed(key, heading, mistakes).into_iter();
            steps.map(|step| SetupStep::read(step, mistakes)).collect()
        };
        let guide = SetupGuide {
            generate,
            secret_hint,
            sends,
            before: steps("before", "setup.before", mistakes),
            steps: steps("steps", "setup.steps", mistakes),
            after: steps("after", "setup.after", mistakes),
            notes: notes.into_iter().map(|note| note.text).collect(),
            secret_from: table.keyword("secret_from", &SECRET_FROM, mistakes),
        };
        table.finish(mistakes);
        guide
    }

    /// Fills the steps for this source.
    pub fn filled(&self, target: &SetupTarget<'_>) -> FilledSetup {
        let fill = |text: &str| self.fill(text, target);
        let step = |step: &SetupStep| FilledStep {
            text: paragraph(&fill(&step.text)),
            enter: step
                .enter
                .iter()
                .map(|(label, value)| FilledValue { label: label.clone(), value: fill(value) })
                .collect(),
            run: step.run.as_ref().map(|run| fill(run).trim_end().to_owned()),
        };
        let mut steps: Vec<FilledStep> = self.before.iter().map(step).collect();
        steps.extend(self.secret_steps(target));
        if self.steps.is_empty() {
            let text = format!("Let {} send its webhooks to this address.", target.title);
            steps.push(step(&SetupStep {
                text,
                enter: vec![("URL".to_owned(), "{url}".to_owned())],
                run: None,
            }));
        }
        steps.extend(self.steps.iter().chain(&self.after).map(step));
        FilledSetup {
            secret_from: self.secret_from,
            steps,
            notes: self.notes.iter().map(|note| paragraph(&fill(note))).collect(),
        }
    }

    fn fill(&self, text: &str, target: &SetupTarget<'_>) -> String {
        let SetupTarget { name, relay_url, .. } = target;
        // What the tool sends is prose of a file too, and may name the address.
        let sends = self.sends.as_deref().unwrap_or("the events that your mapping file handles");
        text.replace("{sends}", sends.trim_end())
            .replace("{url}", &format!("{relay_url}/hooks/{name}"))
            .replace("{relay}", relay_url)
            .replace("{name}", name)
            .replace("{keep_secret}", &keep_secret(target))
    }

    /// Returns the steps by which the relay gets its secret, as far as they are the same for all tools.
    fn secret_steps(&self, target: &SetupTarget<'_>) -> Vec<FilledStep> {
        let step = |text: String| FilledStep { text, ..FilledStep::default() };
        let SetupTarget { name, title, .. } = target;
        match self.secret_from {
            Some(SecretFrom::You) => {
                let hint = self.secret_hint.as_deref().unwrap_or_default();
                let example = if self.generate.is_some() { ", for example with:" } else { "." };
                let generate = format!("{hint} Generate a random secret{example}");
                vec![
                    FilledStep {
                        run: self.generate.clone(),
                        ..step(generate.trim_start().to_owned())
                    },
                    step(format!("{}.", capitalized(&keep_secret(target)))),
                ]
            }
            Some(SecretFrom::FirstRequest) => {
                let mut steps = Vec::new();
                if target.secret.is_none_or(|secret| !secret.starts_with("file:")) {
                    steps.push(step(format!(
                        "{title} generates the secret itself and sends it in its first request: set \
                         `secrets = [\"file:{name}.secret\"]` in mappings/{name}.toml. The relay \
                         writes the secret to that file: its folder must be writable and persistent."
                    )));
                }
                steps.push(step(format!(
                    "Start the relay. Copy the setup URL of this source (/hooks/{name} with ?setup= \
                     and a code). The relay shows it on the terminal. Without a terminal, it is in \
                     the file setup-addresses beside the store."
                )));
                steps
            }
            Some(SecretFrom::Tool) | None => Vec::new(),
        }
    }
}

impl SetupStep {
    fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> SetupStep {
        let mut step = SetupStep::default();
        if let Some(text) = table.required_text("text", mistakes) {
            check_placeholders(&text.text, &text.place, mistakes);
            step.text = text.text;
        }
        if let Some(run) = table.text("run", mistakes) {
            check_placeholders(&run.text, &run.place, mistakes);
            step.run = Some(run.text);
        }
        if let Some(fields) = table.table_headed("enter", "setup.steps.enter", mistakes) {
            for (label, value) in fields.entries() {
                let Some(text) = as_text(fields.document(), value) else {
                    mistakes.push(wrong_type(&label.text, value, "a text in quotes"));
                    continue;
                };
                check_placeholders(&text.text, &text.place, mistakes);
                step.enter.push((label.text, text.text));
            }
        }
        table.finish(mistakes);
        step
    }
}

/// Returns what to do with the secret, as the end of a sentence.
fn keep_secret(target: &SetupTarget<'_>) -> String {
    if target.is_set_by_api {
        let name = target.name;
        return format!("set it as the source's secret (PUT /api/v1/sources/{name}/secret)");
    }
    match target.secret.map(|secret| secret.split_once(':').unwrap_or(("env", secret))) {
        Some(("file", path)) => format!("write it to the file {path}"),
        Some((_, variable)) => format!("set the relay's environment variable {variable} to it"),
        None => {
            let variable = target.name.to_uppercase().replace('-', "_");
            format!("set the relay's environment variable {variable}_SECRET to it")
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

/// Returns the text in one line.
fn paragraph(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Reports words in braces that look like a placeholder and are none.
// Only such words: steps quote JSON and the templates of other tools.
fn check_placeholders(text: &str, place: &std::ops::Range<usize>, mistakes: &mut Diagnostics) {
    for (at, _) in text.match_indices('{') {
        let rest = &text[at + 1..];
        let Some((word, after)) = rest.split_once('}') else { continue };
        let is_doubled = text[..at].ends_with('{') || after.starts_with('}');
        let is_word =
            !word.is_empty() && word.bytes().all(|it| it.is_ascii_lowercase() || it == b'_');
        if is_word && !is_doubled && !PLACEHOLDERS.contains(&word) {
            let known = PLACEHOLDERS.map(|it| format!("{{{it}}}")).join(", ");
            let mistake = Diagnostic::error(place.clone(), format!("unknown part `{{{word}}}`"));
            mistakes.push(mistake.help(format!("known here: {known}")));
        }
    }
}
