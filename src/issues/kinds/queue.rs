//! Events whose first try is overdue.

use std::collections::BTreeSet;

use jiff::Timestamp;

use super::words::rough;
use crate::event::{DEFAULT_DESTINATION, SourceName};
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{IssuePlace, IssueWords};

/// The overdue events of a destination: queued for longer than `issues.queue_age`, and not tried since.
/// Imports, paused sources and running replays do not count.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OverdueEvents {
    pub destination: String,
    pub sources: BTreeSet<SourceName>,
    pub events: u64,
    /// Whether there may be more of them.
    pub at_least: bool,
    pub oldest: Timestamp,
}

/// `paused` are the destinations of which an issue says that nothing is sent there, or that are paused
/// by a person: that events wait for them is no news.
pub fn judge(overdue: &[OverdueEvents], paused: &BTreeSet<String>, now: Timestamp) -> RuleFinding {
    let mut known = KnownFinding::default();
    for one in overdue.iter().filter(|it| it.events > 0) {
        if paused.contains(&one.destination) {
            let outcome = "Nothing is sent there at present, which is an issue of its own.";
            known.outcomes.insert(one.destination.clone(), outcome.to_owned());
        } else {
            known.holds.push(condition(one, now));
        }
    }
    RuleFinding::Known(known)
}

fn condition(overdue: &OverdueEvents, now: Timestamp) -> IssueCondition {
    let OverdueEvents { destination, sources, events, at_least, oldest } = overdue;
    let to = match destination.as_str() {
        DEFAULT_DESTINATION => String::new(),
        name => format!(" to {name}"),
    };
    let number = if *at_least { format!("More than {events}") } else { events.to_string() };
    let noun = if *events == 1 { "event waits" } else { "events wait" };
    let age = rough(now.duration_since(*oldest));
    let source = match sources.len() {
        1 => sources.first().cloned(),
        _ => None,
    };
    IssueCondition {
        key: destination.clone(),
        place: IssuePlace {
            destination: Some(destination.clone()),
            source,
            ..IssuePlace::default()
        },
        words: IssueWords {
            text: format!("{number} {noun} for the first delivery{to}, the oldest for {age}."),
            reason: None,
            hint: None,
            advice: "See whether `rate` and `max_in_flight` of the destination allow more, and whether Savio is slow."
                .to_owned(),
        },
        count: *events,
        unit: "events",
        measure: Measure::Level,
        last_at: now,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn overdue(destination: &str, events: u64, at_least: bool) -> OverdueEvents {
        OverdueEvents {
            destination: destination.to_owned(),
            sources: ["form".parse().unwrap()].into(),
            events,
            at_least,
            oldest: at(0),
        }
    }

    fn known(overdue: &[OverdueEvents], paused: &[&str]) -> KnownFinding {
        let paused = paused.iter().map(|name| (*name).to_owned()).collect();
        match judge(overdue, &paused, at(90)) {
            RuleFinding::Known(known) => known,
            RuleFinding::Unknown => KnownFinding::default(),
        }
    }

    #[test]
    fn overdue_events_are_an_issue_of_their_destination() {
        let found = known(
            &[
                overdue(DEFAULT_DESTINATION, 1, false),
                overdue("sales", 500, true),
                overdue("idle", 0, false),
            ],
            &[],
        );

        let texts: Vec<&str> = found.holds.iter().map(|it| it.words.text.as_str()).collect();
        assert_eq!(
            texts,
            [
                "1 event waits for the first delivery, the oldest for 90 min.",
                "More than 500 events wait for the first delivery to sales, the oldest for 90 min."
            ]
        );
        assert_eq!(found.holds[1].place.destination.as_deref(), Some("sales"));
        assert_eq!(found.holds[1].place.source, Some("form".parse().unwrap()));
    }

    #[test]
    fn events_of_several_sources_are_one_issue_without_a_source() {
        let mut both = overdue("sales", 7, false);
        both.sources.insert("chat".parse().unwrap());

        assert_eq!(known(&[both], &[]).holds[0].place.source, None);
    }

    #[test]
    fn events_that_wait_for_a_paused_destination_are_no_news() {
        let found = known(&[overdue("sales", 3, false)], &["sales"]);

        assert!(found.holds.is_empty());
        assert!(found.outcomes["sales"].contains("an issue of its own"), "{found:?}");
    }
}
