//! What a queued event waits for: its source, another event, the destination, or its own time.

use jiff::Timestamp;

use crate::event::{State, WaitKind, WaitingFor};
use crate::store::EventSummary;

/// What may keep an event from being sent, beside its own time.
#[derive(Debug, Default)]
pub struct Obstacles {
    /// Its source is paused or has no mapping.
    pub source: Option<WaitingFor>,
    /// Reason for which it waits for another event.
    pub other_event: Option<String>,
    /// Nothing is sent to its destination.
    pub destination: Option<WaitingFor>,
}

/// Returns what a queued event waits for; none if nothing keeps it from being sent now.
pub fn waiting_for(
    event: &EventSummary,
    obstacles: Obstacles,
    now: Timestamp,
) -> Option<WaitingFor> {
    let due_at = event.due_at.filter(|_| event.state == State::Queued)?;
    let Obstacles { source, other_event, destination } = obstacles;
    let other = other_event.map(|it| WaitingFor::open_ended(WaitKind::OtherEvent, it));
    let own = (due_at > now).then(|| WaitingFor {
        kind: WaitKind::NextTry,
        reason: event.reason.clone().unwrap_or_else(|| "its next try is later".to_owned()),
        until: Some(due_at),
    });
    source.or(other).or_else(|| match (destination, own) {
        // Whatever lasts longer is what it waits for.
        (Some(closed), Some(own)) if closed.until.is_some_and(|until| until < due_at) => Some(own),
        (Some(closed), _) => Some(closed),
        (None, own) => own,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn event(state: State, due_at: Option<i64>) -> EventSummary {
        let reason = Some("Savio answered 503 (not available)".to_owned());
        EventSummary { reason, due_at: due_at.map(at), ..EventSummary::example(state) }
    }

    fn closed(until: Option<i64>) -> WaitingFor {
        let (kind, reason) = (WaitKind::Backoff, "closed".to_owned());
        WaitingFor { kind, reason, until: until.map(at) }
    }

    #[track_caller]
    fn check(due_at: i64, obstacles: Obstacles, expected: Option<(WaitKind, Option<i64>)>) {
        let found = waiting_for(&event(State::Queued, Some(due_at)), obstacles, at(10));
        let found = found.map(|it| (it.kind, it.until));
        assert_eq!(found, expected.map(|(kind, until)| (kind, until.map(at))));
    }

    #[test]
    fn event_waits_for_what_lasts_longest() {
        let destination =
            |until| Obstacles { destination: Some(closed(until)), ..Obstacles::default() };
        check(0, Obstacles::default(), None);
        check(20, Obstacles::default(), Some((WaitKind::NextTry, Some(20))));
        check(0, destination(Some(15)), Some((WaitKind::Backoff, Some(15))));
        check(20, destination(Some(15)), Some((WaitKind::NextTry, Some(20))));
        check(20, destination(Some(25)), Some((WaitKind::Backoff, Some(25))));
        check(20, destination(None), Some((WaitKind::Backoff, None)));
    }

    #[test]
    fn source_and_other_events_come_before_the_destination() {
        let paused = || {
            let reason = "a person paused the source form".to_owned();
            Some(WaitingFor::open_ended(WaitKind::SourcePaused, reason))
        };
        let other = || Some("waits for event 1".to_owned());
        let destination = Some(closed(Some(15)));
        let all = Obstacles { source: paused(), other_event: other(), destination };
        check(20, all, Some((WaitKind::SourcePaused, None)));
        let both =
            Obstacles { source: None, other_event: other(), destination: Some(closed(None)) };
        check(0, both, Some((WaitKind::OtherEvent, None)));
    }

    #[test]
    fn settled_event_waits_for_nothing() {
        let destination = Obstacles { destination: Some(closed(None)), ..Obstacles::default() };
        assert_eq!(waiting_for(&event(State::Held, None), destination, at(10)), None);
    }
}
