//! Logs why nothing is sent to a destination, how many events wait, and when the next try is.

use jiff::Timestamp;
use tracing::{info, warn};

use crate::delivery::context::Context;
use crate::event::{WaitKind, WaitingFor};

/// Reason that was logged last; none while requests are sent.
#[derive(Debug, Default)]
pub(super) struct WaitLog {
    logged: Option<WaitingFor>,
}

impl WaitLog {
    /// Logs the destination's state if it changed since the last call.
    pub(super) async fn observe(&mut self, context: &Context, now: Timestamp) {
        let closed = context.gate.closed(now).filter(|it| it.kind != WaitKind::Rate);
        let destination = &context.destination.name;
        let Some(closed) = closed else {
            // Between two tries of an outage the gate admits one request: the outage has not ended.
            if self.logged.is_some() && !context.gate.read(|gate| gate.is_failing()) {
                self.logged = None;
                info!(destination, "requests are sent again");
            }
            return;
        };
        if !self.is_new(&closed) {
            return;
        }
        let sources = context.mappings().keys().cloned().collect();
        let queued = context.store.count_queued(sources).await.ok();
        let waiting = queued.map(|events| waiting(events)).unwrap_or_default();
        let next = closed.until.map(next_try).unwrap_or_default();
        warn!(destination, queued, "{}{waiting}{next}", closed.reason);
        self.logged = Some(closed);
    }

    /// Returns whether the reason differs, or a further try has failed.
    fn is_new(&self, closed: &WaitingFor) -> bool {
        self.logged.as_ref().is_none_or(|logged| {
            logged.reason != closed.reason
                || (logged.until < closed.until && closed.until.is_some())
        })
    }
}

fn waiting(events: u64) -> String {
    match events {
        1 => "; 1 event waits".to_owned(),
        events => format!("; {events} events wait"),
    }
}

// In UTC, as the times of the log's lines.
fn next_try(at: Timestamp) -> String {
    format!(", next try at {} UTC", at.strftime("%H:%M:%S"))
}
