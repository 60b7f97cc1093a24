//! The steps of a set-up for one source, and their layout in lines, for a terminal and for the
//! documentation.

use serde::Serialize;
use utoipa::ToSchema;

/// Who makes the secret of a source.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum SecretFrom {
    /// A person, who enters it in the tool too.
    You,
    /// The tool, which shows it.
    Tool,
    /// The tool, which sends it in its first request.
    FirstRequest,
}

/// The steps that set a source up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = Setup)]
pub struct FilledSetup {
    /// Who makes the secret; null if the mapping file does not say.
    pub secret_from: Option<SecretFrom>,
    pub steps: Vec<FilledStep>,
    pub notes: Vec<String>,
}

/// One step.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SetupStep)]
pub struct FilledStep {
    /// What to do, in one paragraph.
    pub text: String,
    /// Fields of a page of the tool, with what to enter there.
    pub enter: Vec<FilledValue>,
    /// A command to run, of one or more lines.
    pub run: Option<String>,
}

/// A field of a page of the tool.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = SetupValue)]
pub struct FilledValue {
    /// Name of the field.
    pub label: String,
    /// What to enter. THE-SECRET stands for the secret, which the relay does not show.
    pub value: String,
}

/// Longest line that is made by breaking a longer one.
const CHARS_MAX: usize = 100;

impl FilledSetup {
    /// Returns the numbered steps, and the notes below them.
    pub fn lines(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (number, step) in (1..).zip(&self.steps) {
            let number = format!("{number}. ");
            let indent = " ".repeat(number.len());
            for (at, line) in step_lines(step, CHARS_MAX - number.len()).into_iter().enumerate() {
                let before = if at == 0 { &number } else { &indent };
                lines.push(format!("{before}{line}").trim_end().to_owned());
            }
        }
        lines.extend(self.notes.iter().flat_map(|note| wrapped(note, CHARS_MAX)));
        lines
    }
}

fn step_lines(step: &FilledStep, chars_max: usize) -> Vec<String> {
    let mut lines = wrapped(&step.text, chars_max);
    let width = step.enter.iter().map(|it| it.label.chars().count()).max().unwrap_or(0) + 1;
    for value in &step.enter {
        let mut label = format!("{}:", value.label);
        // What has lines of its own is a table, which breaks would spoil.
        let parts: Vec<String> = if value.value.contains('\n') {
            value.value.lines().map(str::to_owned).collect()
        } else {
            wrapped(&value.value, chars_max.saturating_sub(width + 2))
        };
        for part in parts {
            lines.push(format!("{label:width$}  {part}"));
            label.clear();
        }
    }
    let Some(run) = &step.run else { return lines };
    match lines.as_mut_slice() {
        [only] if !run.contains('\n') && only.len() + run.len() < chars_max => {
            *only = format!("{only} {run}");
        }
        _ => lines.extend(run.lines().map(|line| format!("  {line}"))),
    }
    lines
}

/// Breaks a text at its spaces, except those in code between backquotes.
fn wrapped(text: &str, chars_max: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    let mut is_code = false;
    let is_end = |c: char| {
        is_code ^= c == '`';
        c == ' ' && !is_code
    };
    for word in text.split(is_end) {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= chars_max => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_number_the_steps_and_align_what_to_enter() {
        let value = |label: &str, value: &str| FilledValue {
            label: label.to_owned(),
            value: value.to_owned(),
        };
        let setup = FilledSetup {
            secret_from: None,
            steps: vec![
                FilledStep {
                    text: "Generate a secret:".to_owned(),
                    run: Some("openssl rand -hex 32".to_owned()),
                    ..FilledStep::default()
                },
                FilledStep {
                    text: "word ".repeat(20) + "`a b c`",
                    enter: vec![
                        value("URL", "https://relay.example.com/hooks/acme"),
                        value("Topics", "a   b\nc   d"),
                    ],
                    run: Some("curl \\\n  -d '{}'".to_owned()),
                },
            ],
            notes: vec!["Acme does not retry.".to_owned()],
        };

        let lines = [
            "1. Generate a secret: openssl rand -hex 32",
            &format!("2. {}word", "word ".repeat(18)),
            "   word `a b c`",
            "   URL:     https://relay.example.com/hooks/acme",
            "   Topics:  a   b",
            "            c   d",
            "     curl \\",
            "       -d '{}'",
            "Acme does not retry.",
        ];
        assert_eq!(setup.lines(), lines);
    }
}
