//! Shows how the requests of a payload differ from the expected ones.

use std::fmt::Write as _;

use serde_json::Value;

use crate::diagnostics::counted;
use crate::diagnostics::in_one_line;
use crate::diagnostics::report::OutputStyle;
use crate::event::{Request, RequestKind};
use crate::mapping_file::test_run::ChangedTest;

/// Lines shown of one difference.
const LINES_MAX: usize = 200;

const KINDS: [RequestKind; 3] = [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback];

/// Formats the difference below the name of the file with the expected requests.
pub(crate) fn show(changed: &ChangedTest, look: OutputStyle) -> String {
    let mut lines = DifferenceLines { lines: Vec::new(), look };
    match &changed.expected {
        None if changed.requests.is_empty() => lines.same("  no request".to_owned()),
        None => lines.differences(&[], &changed.requests),
        Some(expected) => lines.differences(expected, &changed.requests),
    }
    let mut shown = format!("{}: - expected, + given now\n", in_one_line(&name(changed)));
    for line in lines.lines.iter().take(LINES_MAX) {
        shown += &format!("{line}\n");
    }
    if lines.lines.len() > LINES_MAX {
        let more = counted((lines.lines.len() - LINES_MAX) as u64, "more line");
        writeln!(shown, "  … and {more}").expect("writing to a String cannot fail");
    }
    shown
}

fn name(changed: &ChangedTest) -> String {
    match &changed.file {
        Some(file) => file.display().to_string(),
        None => changed.test.expect.text.clone(),
    }
}

struct DifferenceLines {
    lines: Vec<String>,
    look: OutputStyle,
}

impl DifferenceLines {
    fn differences(&mut self, expected: &[Request], actual: &[Request]) {
        for kind in KINDS {
            let of_kind = |requests: &[Request]| -> Vec<Request> {
                requests.iter().filter(|request| request.kind == kind).cloned().collect()
            };
            let (expected, actual) = (of_kind(expected), of_kind(actual));
            for position in 0..expected.len().max(actual.len()) {
                let name = format!("{}[{position}]", kind.as_str());
                self.request(&name, expected.get(position), actual.get(position));
            }
        }
        // Equal kind by kind, but not as a whole.
        if self.lines.is_empty() {
            let kinds = |requests: &[Request]| {
                let kinds: Vec<&str> = requests.iter().map(|it| it.kind.as_str()).collect();
                kinds.join(", ")
            };
            self.removed(&format!("  in this order: {}", kinds(expected)));
            self.added(&format!("  in this order: {}", kinds(actual)));
        }
    }

    fn request(&mut self, name: &str, expected: Option<&Request>, actual: Option<&Request>) {
        match (expected, actual) {
            (Some(expected), Some(actual)) if expected.body == actual.body => {}
            (Some(expected), Some(actual)) => {
                self.same(format!("  {name}"));
                let added = actual.body.keys().filter(|key| !expected.body.contains_key(*key));
                for key in expected.body.keys().chain(added) {
                    self.field(key, expected.body.get(key), actual.body.get(key));
                }
            }
            (Some(expected), None) => {
                self.removed(&format!("  {name}"));
                expected.body.iter().for_each(|(key, value)| self.field(key, Some(value), None));
            }
            (None, Some(actual)) => {
                self.added(&format!("  {name}"));
                actual.body.iter().for_each(|(key, value)| self.field(key, None, Some(value)));
            }
            (None, None) => {}
        }
    }

    fn field(&mut self, key: &str, expected: Option<&Value>, actual: Option<&Value>) {
        if expected == actual {
            return;
        }
        if let (Some(Value::String(expected)), Some(Value::String(actual))) = (expected, actual)
            && (expected.contains('\n') || actual.contains('\n'))
        {
            self.same(format!("      {}:", in_one_line(key)));
            return self.text(expected, actual);
        }
        // As JSON, so that a text that looks like a number can be told from a number.
        let shown = |value: &Value| {
            format!("    {}: {}", in_one_line(key), in_one_line(&value.to_string()))
        };
        if let Some(expected) = expected {
            self.removed(&shown(expected));
        }
        if let Some(actual) = actual {
            self.added(&shown(actual));
        }
    }

    /// Adds the lines in which two texts differ, with one equal line on both sides.
    fn text(&mut self, expected: &str, actual: &str) {
        let (old, new): (Vec<&str>, Vec<&str>) =
            (expected.split('\n').collect(), actual.split('\n').collect());
        let shorter = old.len().min(new.len());
        let before = (0..shorter).take_while(|at| old[*at] == new[*at]).count();
        let is_same_from_end = |at: &usize| old[old.len() - 1 - at] == new[new.len() - 1 - at];
        let after = (0..shorter - before).take_while(is_same_from_end).count();
        let around = |line: &str| format!("        {}", in_one_line(line));
        if before > 1 {
            self.same("        …".to_owned());
        }
        if before > 0 {
            self.same(around(old[before - 1]));
        }
        old[before..old.len() - after].iter().for_each(|line| self.removed(&around(line)[2..]));
        new[before..new.len() - after].iter().for_each(|line| self.added(&around(line)[2..]));
        if after > 0 {
            self.same(around(old[old.len() - after]));
        }
        if after > 1 {
            self.same("        …".to_owned());
        }
    }

    fn same(&mut self, line: String) {
        self.lines.push(line);
    }

    fn removed(&mut self, text: &str) {
        self.marked('-', 31, text);
    }

    fn added(&mut self, text: &str) {
        self.marked('+', 32, text);
    }

    /// Adds a line with its sign behind the indent, in a color on a terminal.
    fn marked(&mut self, sign: char, color: u8, text: &str) {
        let content = text.trim_start();
        let indent = &text[..text.len() - content.len()];
        let line = format!("{indent}{sign} {content}");
        self.lines.push(match self.look {
            OutputStyle::Terminal => format!("\u{1b}[{color}m{line}\u{1b}[0m"),
            OutputStyle::Plain => line,
        });
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(expected: &Value, actual: &Value, lines: &[&str]) {
        let read = |value: &Value| serde_json::from_value::<Vec<Request>>(value.clone()).unwrap();
        let mut found = DifferenceLines { lines: Vec::new(), look: OutputStyle::Plain };
        found.differences(&read(expected), &read(actual));

        assert_eq!(found.lines, lines);
    }

    #[test]
    fn changed_missing_and_added_fields_are_shown() {
        let one = json!([{"request": "feedback", "body": {"problem": "Slow", "tags": ["a"]}}]);
        let other = json!([{"request": "feedback", "body": {"problem": "Fast", "state": "NEW"}}]);

        check(
            &one,
            &other,
            &[
                "  feedback[0]",
                "    - problem: \"Slow\"",
                "    + problem: \"Fast\"",
                "    - tags: [\"a\"]",
                "    + state: \"NEW\"",
            ],
        );
    }

    #[test]
    fn missing_and_added_requests_are_shown_whole() {
        let feedback = json!({"request": "feedback", "body": {"problem": "Slow"}});
        let company = json!({"request": "company", "body": {"internal_id": "1", "name": "Acme"}});

        check(
            &json!([feedback]),
            &json!([company]),
            &[
                "  + company[0]",
                "    + internal_id: \"1\"",
                "    + name: \"Acme\"",
                "  - feedback[0]",
                "    - problem: \"Slow\"",
            ],
        );
        check(
            &json!([feedback, company]),
            &json!([company, feedback]),
            &["  - in this order: feedback, company", "  + in this order: company, feedback"],
        );
    }

    #[test]
    fn long_text_is_shown_by_its_changed_lines() {
        let feedback =
            |problem: &str| json!([{"request": "feedback", "body": {"problem": problem}}]);

        check(
            &feedback("a\nb\nc\nd\ne"),
            &feedback("a\nb\nx\ny\nd\ne"),
            &[
                "  feedback[0]",
                "      problem:",
                "        …",
                "        b",
                "      - c",
                "      + x",
                "      + y",
                "        d",
                "        …",
            ],
        );
        check(
            &feedback("a"),
            &feedback("a\nb"),
            &["  feedback[0]", "      problem:", "        a", "      + b"],
        );
    }
}
