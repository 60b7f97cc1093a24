//! Events of which nobody knows whether a request arrived, and which wait for a person.

use crate::issues::condition::{IssueCondition, Measure, RuleFinding};
use crate::store::{HeldEvents, IssuePlace, IssueWords};

pub fn judge(held: &[HeldEvents]) -> RuleFinding {
    let waiting = held.iter().filter(|it| it.events > 0);
    let condition = |HeldEvents { source, events, newest }: &HeldEvents| {
        IssueCondition {
        key: source.to_string(),
        place: IssuePlace { source: Some(source.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text: match events {
                1 => format!("1 event from {source} waits for your decision."),
                _ => format!("{events} events from {source} wait for your decision."),
            },
            reason: Some("They were sent, and Savio didn't respond.".to_owned()),
            hint: None,
            advice: "Look in Savio whether they arrived. Then release each: as arrived, or to be sent again."
                .to_owned(),
        },
        count: *events,
        unit: "events",
        measure: Measure::Total,
        last_at: *newest,
    }
    };
    RuleFinding::holds(waiting.map(condition).collect())
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn texts(events: &[u64]) -> Vec<String> {
        let held = |(source, events): (usize, &u64)| HeldEvents {
            source: format!("form{source}").parse().unwrap(),
            events: *events,
            newest: Timestamp::UNIX_EPOCH,
        };
        let held: Vec<HeldEvents> = events.iter().enumerate().map(held).collect();
        let RuleFinding::Known(known) = judge(&held) else { return Vec::new() };
        known.holds.into_iter().map(|it| it.words.text).collect()
    }

    #[test]
    fn held_events_are_an_issue_of_each_source_that_has_any() {
        assert_eq!(
            texts(&[1, 0, 7]),
            [
                "1 event from form0 waits for your decision.",
                "7 events from form2 wait for your decision."
            ]
        );
        assert!(texts(&[]).is_empty());
    }
}
