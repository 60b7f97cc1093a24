//! Destinations to which nothing is sent, by an answer of Savio or since it fails.

use jiff::{SignedDuration, Timestamp};

use super::words::rough;
use crate::event::DEFAULT_DESTINATION;
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{IssuePlace, IssueWords};

/// Time for which the breaker has to be open: Savio fails for a moment often enough.
const BREAKER_OPEN: SignedDuration = SignedDuration::from_mins(5);

/// A destination and its gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DestinationGate {
    pub name: String,
    /// None until the stored state is read.
    pub gate: Option<GateCondition>,
    /// Events that wait for it.
    pub waiting: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum GateCondition {
    /// Requests are sent, or a person paused it.
    Works,
    /// Paused by an answer.
    Paused { since: Timestamp, reason: String },
    /// There is no token.
    NoToken { since: Timestamp, reason: String },
    /// The breaker is open.
    Failing { since: Timestamp, reason: String },
}

pub fn judge(destinations: &[DestinationGate], now: Timestamp) -> RuleFinding {
    let mut known = KnownFinding::default();
    for destination in destinations {
        match &destination.gate {
            None => drop(known.unknown.insert(destination.name.clone())),
            Some(state) => known.holds.extend(condition(destination, state, now)),
        }
    }
    RuleFinding::Known(known)
}

fn condition(
    destination: &DestinationGate,
    state: &GateCondition,
    now: Timestamp,
) -> Option<IssueCondition> {
    let DestinationGate { name, waiting, .. } = destination;
    let (since, reason, advice) = match state {
        GateCondition::Works => return None,
        GateCondition::Paused { since, reason } => (
            since,
            reason,
            "Correct the token or the address. The relay asks Savio again by itself, and resumes.",
        ),
        // A relay that is being set up has none either: only events that wait make it worth a message.
        GateCondition::NoToken { .. } if *waiting == 0 => return None,
        GateCondition::NoToken { since, reason } => (since, reason, "Set the token."),
        GateCondition::Failing { since, .. } if now.duration_since(*since) < BREAKER_OPEN => {
            return None;
        }
        GateCondition::Failing { since, reason } => (
            since,
            reason,
            "See whether Savio is down. The relay tries again by itself; nothing is lost.",
        ),
    };
    let to = if name == DEFAULT_DESTINATION {
        "Savio".to_owned()
    } else {
        format!("destination {name}")
    };
    let waits = match waiting {
        0 => String::new(),
        1 => " 1 event is waiting; nothing is lost.".to_owned(),
        events => format!(" {events} events are waiting; nothing is lost."),
    };
    let text = format!("Nothing is sent to {to} for {}.{waits}", rough(now.duration_since(*since)));
    Some(IssueCondition {
        key: name.clone(),
        place: IssuePlace { destination: Some(name.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text,
            reason: Some(reason.clone()),
            hint: None,
            advice: advice.to_owned(),
        },
        count: *waiting,
        unit: "events",
        measure: Measure::Level,
        last_at: now,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn texts(gate: Option<GateCondition>, waiting: u64) -> (Vec<String>, usize) {
        let name = DEFAULT_DESTINATION.to_owned();
        let RuleFinding::Known(known) = judge(&[DestinationGate { name, gate, waiting }], at(10))
        else {
            return (Vec::new(), 0);
        };
        (known.holds.into_iter().map(|it| it.words.text).collect(), known.unknown.len())
    }

    #[test]
    fn pause_by_an_answer_holds_at_once_and_a_failure_after_five_minutes() {
        let reason = "Savio returned 401".to_owned();
        let paused = GateCondition::Paused { since: at(9), reason: reason.clone() };
        let expected = "Nothing is sent to Savio for 1 min. 2 events are waiting; nothing is lost.";
        assert_eq!(texts(Some(paused), 2), (vec![expected.to_owned()], 0));
        let failing = |since| Some(GateCondition::Failing { since, reason: reason.clone() });
        assert_eq!(texts(failing(at(6)), 2).0.len(), 0);
        assert_eq!(texts(failing(at(5)), 2).0.len(), 1);
        assert_eq!(texts(Some(GateCondition::Works), 2), (Vec::new(), 0));
    }

    #[test]
    fn missing_token_holds_once_events_wait() {
        let missing =
            || Some(GateCondition::NoToken { since: at(0), reason: "not set".to_owned() });
        assert_eq!((texts(missing(), 0).0.len(), texts(missing(), 1).0.len()), (0, 1));
    }

    #[test]
    fn gate_that_was_not_read_is_unknown() {
        assert_eq!(texts(None, 2), (Vec::new(), 1));
    }
}
