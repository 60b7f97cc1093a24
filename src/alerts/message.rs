//! The messages, in the words and the form in which they are sent. No text of a payload is in them.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::due::{DueMessage, Transition};
use super::settings::Format;
use crate::store::{Issue, IssueKind};

/// A message to a target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Message {
    /// The same each time it is sent.
    id: String,
    what: &'static str,
    issue: Option<Issue>,
    text: String,
    advice: Option<String>,
    /// Where a person reads more.
    url: Option<String>,
    at: Timestamp,
}

impl Message {
    /// `public_url` is where people reach the pages.
    pub(super) fn of(due: &DueMessage, public_url: Option<&str>, now: Timestamp) -> Message {
        let DueMessage { issue, transition, .. } = due;
        let told = &issue.words.text;
        let lasted = |until| rough(until, issue.opened_at);
        let text = match transition {
            Transition::Opened => told.clone(),
            Transition::Reminder => format!("Open for {}: {told}", lasted(now)),
            Transition::Closed => {
                let outcome = issue.outcome.as_deref().unwrap_or_default();
                let lasted = lasted(issue.closed_at.unwrap_or(now));
                format!("Closed after {lasted}: {told} {outcome}").trim_end().to_owned()
            }
        };
        Message {
            id: id(due),
            what: word(*transition),
            text,
            advice: issue.is_open().then(|| issue.words.advice.clone()),
            url: public_url.map(|url| format!("{url}/issues#{}", issue.id)),
            issue: Some(issue.clone()),
            at: now,
        }
    }

    /// Sums up many messages in one.
    pub(super) fn summary(all: &[DueMessage], public_url: Option<&str>, now: Timestamp) -> Message {
        let mut parts = Vec::new();
        for (transition, verb) in [
            (Transition::Opened, "opened"),
            (Transition::Closed, "closed"),
            (Transition::Reminder, "still open"),
        ] {
            let mut kinds: BTreeMap<IssueKind, u32> = BTreeMap::new();
            for due in all.iter().filter(|it| it.transition == transition) {
                *kinds.entry(due.issue.kind).or_default() += 1;
            }
            let count: u32 = kinds.values().sum();
            let noun = if count == 1 { "issue" } else { "issues" };
            let kinds: Vec<String> =
                kinds.iter().map(|(kind, count)| format!("{count} {}", kind.as_str())).collect();
            if count > 0 {
                parts.push(format!("{count} {noun} {verb}: {}.", kinds.join(", ")));
            }
        }
        Message {
            id: all.first().map_or_else(String::new, |first| format!("summary-{}", id(first))),
            what: "summary",
            issue: None,
            text: parts.join(" "),
            advice: Some("List them with `savio-relay issues`, the worst first.".to_owned()),
            url: public_url.map(|url| format!("{url}/issues")),
            at: now,
        }
    }

    pub(super) fn test(
        id: String,
        name: &str,
        public_url: Option<&str>,
        now: Timestamp,
    ) -> Message {
        Message {
            id,
            what: "test",
            issue: None,
            text: format!("This is a test of the alerts {name}. Nothing is wrong."),
            advice: None,
            url: public_url.map(|url| format!("{url}/issues")),
            at: now,
        }
    }

    /// Returns the body of the request, which is JSON.
    pub(super) fn body(&self, format: Format) -> String {
        match format {
            Format::Slack => {
                let mut lines = vec![escaped(&self.text)];
                lines.extend(self.advice.as_deref().map(escaped));
                lines.extend(self.url.as_deref().map(escaped));
                json!({ "text": lines.join("\n") }).to_string()
            }
            Format::Json => self.json().to_string(),
        }
    }

    fn json(&self) -> Value {
        let Message { id, what, issue, text, advice, url, at } = self;
        let issue = issue.as_ref();
        let state = issue.map(|issue| if issue.is_open() { "open" } else { "closed" });
        json!({
            "id": id,
            "message": what,
            "issue": issue.map(|issue| issue.id),
            "kind": issue.map(|issue| issue.kind),
            "state": state,
            "source": issue.and_then(|issue| issue.place.source.as_ref()),
            "destination": issue.and_then(|issue| issue.place.destination.as_ref()),
            "text": text,
            "advice": advice,
            "url": url,
            "at": at,
        })
    }
}

fn id(due: &DueMessage) -> String {
    format!("{}-{}-{}", due.issue.id, word(due.transition), due.number)
}

fn word(transition: Transition) -> &'static str {
    match transition {
        Transition::Opened => "opened",
        Transition::Closed => "closed",
        Transition::Reminder => "reminder",
    }
}

/// Escapes what Slack takes for markup of its own.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Writes the time since then roughly, such as `3 min` or `2 h`.
fn rough(until: Timestamp, since: Timestamp) -> String {
    let minutes = until.duration_since(since).max(SignedDuration::ZERO).as_mins();
    match minutes {
        0 => "less than 1 min".to_owned(),
        1..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{IssueId, IssuePlace, IssueWords};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn due(transition: Transition, closed_at: Option<Timestamp>) -> DueMessage {
        let issue = Issue {
            id: IssueId::from_bytes([7; 16]),
            kind: IssueKind::Dead,
            key: "form x".to_owned(),
            place: IssuePlace { source: "form".parse().ok(), ..IssuePlace::default() },
            words: IssueWords {
                text: "Savio refused 2 <events> & more from form.".to_owned(),
                reason: Some("problem: Ada's words".to_owned()),
                hint: Some("Ada's words".to_owned()),
                advice: "Fix the mapping.".to_owned(),
            },
            opened_at: at(0),
            last_at: at(0),
            count: 2,
            unit: "events".to_owned(),
            steps: Vec::new(),
            muted: None,
            closed_at,
            outcome: closed_at.map(|_| "None of them is dead any more.".to_owned()),
        };
        DueMessage { issue, transition, number: 3 }
    }

    #[test]
    fn slack_gets_escaped_text_with_advice_and_page() {
        let message =
            Message::of(&due(Transition::Opened, None), Some("https://relay.example.com"), at(0));

        assert_eq!(
            serde_json::from_str::<Value>(&message.body(Format::Slack)).unwrap(),
            json!({ "text": "Savio refused 2 &lt;events&gt; &amp; more from form.\nFix the mapping.\n\
                https://relay.example.com/issues#07070707-0707-0707-0707-070707070707" })
        );
    }

    #[test]
    fn json_has_all_that_a_program_needs_and_no_words_of_a_payload() {
        let closed = due(Transition::Closed, Some(at(150)));
        let message = Message::of(&closed, None, at(152));

        assert_eq!(
            serde_json::from_str::<Value>(&message.body(Format::Json)).unwrap(),
            json!({
                "id": "07070707-0707-0707-0707-070707070707-closed-3",
                "message": "closed",
                "issue": "07070707-0707-0707-0707-070707070707",
                "kind": "dead",
                "state": "closed",
                "source": "form",
                "destination": null,
                "text": "Closed after 2 h: Savio refused 2 <events> & more from form. None of them is \
                         dead any more.",
                "advice": null,
                "url": null,
                "at": "2027-01-15T10:32:00Z",
            })
        );
        let reminder = Message::of(&due(Transition::Reminder, None), None, at(60 * 24 * 3));
        assert!(reminder.text.starts_with("Open for 3 days: Savio refused"), "{}", reminder.text);
        for message in [message, reminder] {
            for format in [Format::Slack, Format::Json] {
                assert!(!message.body(format).contains("Ada"));
            }
        }
    }

    #[test]
    fn summary_counts_by_what_happened_and_kind() {
        let mut all = vec![due(Transition::Opened, None); 3];
        all[0].issue.kind = IssueKind::Store;
        all.push(due(Transition::Closed, Some(at(1))));
        let message = Message::summary(&all, None, at(1));

        assert_eq!(message.text, "3 issues opened: 1 store, 2 dead. 1 issue closed: 1 dead.");
        assert!(message.id.starts_with("summary-07070707-"), "{}", message.id);
    }
}
