//! Passes on which fields the mapped events have, to whoever watches; delivery never waits for them.

use jiff::Timestamp;
use tokio::sync::mpsc::{Receiver, Sender, channel};

use crate::event::{Event, EventId, FilledBlock, SourceName};
use crate::http_client::is_relay;
use crate::store::ClaimedEvent;
use crate::telemetry::metrics::Attempts;

/// Events that wait to be watched: some 1 MiB.
const WAITING_MAX: usize = 4_096;

/// An event of the sender that was mapped, and is recorded so.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObservedEvent {
    pub id: EventId,
    pub source: SourceName,
    pub event_type: Option<String>,
    pub received_at: Timestamp,
    /// The blocks that ran.
    pub blocks: Vec<FilledBlock>,
}

/// Passes events on, if anybody watches.
#[derive(Debug, Clone, Default)]
pub struct EventObserver(Option<Sender<ObservedEvent>>);

impl EventObserver {
    pub fn watched() -> (EventObserver, Receiver<ObservedEvent>) {
        let (sender, receiver) = channel(WAITING_MAX);
        (EventObserver(Some(sender)), receiver)
    }

    /// Drops the event, and counts that, if too many wait.
    pub(super) fn pass_on(&self, event: ObservedEvent, counters: &Attempts) {
        if let Some(sender) = &self.0
            && sender.try_send(event).is_err()
        {
            counters.unobserved();
        }
    }
}

/// Returns the event as it is watched once it is mapped; none of one that says nothing about its
/// sender: a replay, an import, a copy, a test.
pub(super) fn observable(claimed: &ClaimedEvent) -> Option<ObservedEvent> {
    let Event { id, source, event_type, received_at, headers, .. } = &claimed.event;
    let is_test = headers.get("user-agent").is_some_and(|agent| is_relay(agent));
    let is_sent = !claimed.replay && !claimed.is_copy && claimed.event.imported_at().is_none();
    (is_sent && !is_test).then(|| ObservedEvent {
        id: *id,
        source: source.clone(),
        event_type: event_type.clone(),
        received_at: *received_at,
        blocks: Vec::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::metrics::{Counters, Gauges, Metrics, TextFormat};

    #[tokio::test]
    async fn event_for_which_there_is_no_room_is_dropped_and_counted() {
        let counters = Counters::default();
        let (observer, mut watched) = EventObserver::watched();
        let event = ObservedEvent {
            id: EventId::new(Timestamp::UNIX_EPOCH),
            source: "form".parse().unwrap(),
            event_type: None,
            received_at: Timestamp::UNIX_EPOCH,
            blocks: Vec::new(),
        };

        for _ in 0..WAITING_MAX + 3 {
            observer.pass_on(event.clone(), &counters.attempts);
        }

        let text = Metrics::new(&counters).text(&Gauges::default(), TextFormat::Prometheus);
        assert!(text.contains("savio_relay_drift_events_dropped_total 3\n"), "{text}");
        assert_eq!(watched.recv().await, Some(event.clone()));
        EventObserver::default().pass_on(event, &counters.attempts);
    }
}
