//! What an event says, in one line: made of its requests, for lists and searches.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::diagnostics::is_terminal_control;
use crate::event::{Request, RequestKind};

/// Length of each text.
const CHARS_MAX: usize = 200;

/// What was said, by whom and for which company. Each is one line of at most 200 characters,
/// without control characters.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Headline {
    pub summary: Option<String>,
    /// Name of the person, or its e-mail address.
    pub who: Option<String>,
    pub company: Option<String>,
}

impl Headline {
    /// Returns the headline of an event that was mapped to these requests.
    pub fn of<'r>(requests: impl IntoIterator<Item = &'r Request>) -> Headline {
        let requests: Vec<&Request> = requests.into_iter().collect();
        let first = |kind, keys: &[&str]| {
            let own = requests.iter().filter(|request| request.kind == kind);
            own.flat_map(|it| keys.iter().filter_map(|key| line(&it.body, key))).next()
        };
        // Feedback first: it names the person and the company as the sender wrote them.
        let contact = first(RequestKind::Contact, &["name", "email"]);
        let company = first(RequestKind::Company, &["name"]);
        let said = first(RequestKind::Feedback, &["problem", "feature_request_title"]);
        let summary = said.or_else(|| upserted(contact.as_deref(), company.as_deref()));
        Headline {
            summary,
            who: first(RequestKind::Feedback, &["person_name", "person_email"]).or(contact),
            company: first(RequestKind::Feedback, &["company_name"]).or(company),
        }
    }
}

impl Headline {
    /// Returns the headline whose summary is the first line of what a person said.
    #[must_use]
    pub fn saying(self, said: Option<&str>) -> Headline {
        Headline { summary: said.and_then(first_line).or(self.summary), ..self }
    }
}

/// Describes an event that says nothing, and only changes records.
fn upserted(contact: Option<&str>, company: Option<&str>) -> Option<String> {
    let contact = contact.map(|name| format!("contact {name}"));
    let company = company.map(|name| format!("company {name}"));
    let records: Vec<String> = contact.into_iter().chain(company).collect();
    if records.is_empty() {
        return None;
    }
    first_line(&format!("creates or updates {}", records.join(", ")))
}

/// Returns the first line of a text that has any.
fn line(body: &Map<String, Value>, key: &str) -> Option<String> {
    body.get(key)?.as_str().and_then(first_line)
}

fn is_line_end(c: char) -> bool {
    matches!(c, '\n' | '\r' | '\u{b}' | '\u{c}' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// Returns the first line that says something, without control characters, each white space as one space,
/// and its end replaced by an ellipsis if it is too long.
// No more of the text is read than is shown: it may be megabytes.
fn first_line(text: &str) -> Option<String> {
    let (mut shown, mut chars, mut has_gap) = (String::new(), 0, false);
    for c in text.chars() {
        if is_line_end(c) && !shown.is_empty() {
            break;
        }
        // White space first: a tab is a control character too.
        if c.is_whitespace() {
            has_gap = !shown.is_empty();
        } else if !is_terminal_control(c) {
            let added = 1 + usize::from(has_gap);
            if chars + added > CHARS_MAX {
                if chars == CHARS_MAX {
                    shown.pop();
                }
                shown.push('…');
                break;
            }
            if std::mem::take(&mut has_gap) {
                shown.push(' ');
            }
            shown.push(c);
            chars += added;
        }
    }
    (!shown.is_empty()).then_some(shown)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn request(kind: RequestKind, body: &Value) -> Request {
        Request { kind, body: body.as_object().unwrap().clone() }
    }

    fn check(requests: &[Request], expected: [Option<&str>; 3]) {
        let Headline { summary, who, company } = Headline::of(requests);
        assert_eq!([summary.as_deref(), who.as_deref(), company.as_deref()], expected);
    }

    #[test]
    fn feedback_is_summarized_by_the_first_line_of_its_problem() {
        let body = json!({
            "problem": "\n  \r\n The export\ttimes  out \nand then", "person_name": "Ada",
            "person_email": "ada@example.com", "company_name": "Acme", "feature_request_title": "CSV",
        });
        let expected = [Some("The export times out"), Some("Ada"), Some("Acme")];
        check(&[request(RequestKind::Feedback, &body)], expected);

        let body =
            json!({ "problem": " ", "feature_request_title": "CSV", "person_email": "a@b.c" });
        check(&[request(RequestKind::Feedback, &body)], [Some("CSV"), Some("a@b.c"), None]);
    }

    #[test]
    fn feedback_goes_before_the_records_that_are_sent_first() {
        let requests = [
            request(RequestKind::Company, &json!({ "internal_id": "6", "name": "Acme Inc." })),
            request(RequestKind::Contact, &json!({ "internal_id": "7", "name": "Ada L." })),
            request(RequestKind::Feedback, &json!({ "problem": "Slow", "person_name": "Ada" })),
        ];
        check(&requests, [Some("Slow"), Some("Ada"), Some("Acme Inc.")]);
        let summary = Some("creates or updates contact Ada L., company Acme Inc.");
        check(&requests[..2], [summary, Some("Ada L."), Some("Acme Inc.")]);
        check(
            &requests[..1],
            [Some("creates or updates company Acme Inc."), None, Some("Acme Inc.")],
        );
        check(&[], [None, None, None]);
    }

    #[test]
    fn texts_are_bounded_and_without_control_characters() {
        let long = "ä".repeat(201);
        let body = json!({
            "problem": long, "person_name": "A\u{1b}[2J\u{202e}da\u{200d}", "company_name": 7,
        });
        let Headline { summary, who, company } =
            Headline::of(&[request(RequestKind::Feedback, &body)]);
        assert_eq!(summary, Some("ä".repeat(199) + "…"));
        // A joiner is a part of words and emoji.
        assert_eq!((who.as_deref(), company), (Some("A[2Jda\u{200d}"), None));

        let body = json!({ "problem": "b".repeat(200) + "  \u{7}" });
        let headline = Headline::of(&[request(RequestKind::Feedback, &body)]);
        assert_eq!(headline.summary, Some("b".repeat(200)));
    }
}
