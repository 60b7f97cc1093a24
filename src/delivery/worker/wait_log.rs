//! Logs why nothing is sent to a destination, how many events wait, and when the next try is.

use jiff::{SignedDuration, Timestamp};
use tracing::{info, warn};

use crate::delivery::context::Context;
use crate::delivery::gate::Gate;
use crate::event::{WaitKind, WaitingFor};

/// Time between two lines with the same reason, at least.
const AGAIN: SignedDuration = SignedDuration::from_secs(5);

/// Reason that was logged last; none while requests are sent.
#[derive(Debug, Default)]
pub(super) struct WaitLog {
    logged: Option<WaitingFor>,
    /// Failures in a row at that time.
    failures: u32,
}

impl WaitLog {
    /// Logs the destination's state if it changed since the last call.
    pub(super) async fn observe(&mut self, context: &Context, now: Timestamp) {
        // A rate is no trouble, and a missing token is reported when the relay starts.
        let is_logged = |kind| !matches!(kind, WaitKind::Rate | WaitKind::NoToken);
        let closed = context.gate.closed(now).filter(|it| is_logged(it.kind));
        let destination = &context.destination.name;
        let Some(closed) = closed else {
            // Between two tries of an outage the gate admits one request: the outage has not ended.
            if self.logged.is_some() && !context.gate.read(Gate::is_failing) {
                self.logged = None;
                info!(destination, "requests are sent again");
            }
            return;
        };
        let failures = context.gate.read(Gate::failures);
        if !self.is_new(&closed, failures) {
            return;
        }
        let sources = context.mappings().keys().cloned().collect();
        let queued = context.store.count_queued(sources).await.ok();
        let waiting = queued.map(waiting).unwrap_or_default();
        let next = closed.until.map(next_try).unwrap_or_default();
        warn!(destination, queued, "{}{waiting}{next}", closed.reason);
        self.logged = Some(closed);
        self.failures = failures;
    }

    /// Returns whether the reason differs, or a further try has failed.
    // The wait alone is no news: it is renewed before each try, and by each of several requests in
    // flight.
    fn is_new(&self, closed: &WaitingFor, failures: u32) -> bool {
        let Some(logged) = &self.logged else { return true };
        let later = logged.until.and_then(|until| until.checked_add(AGAIN).ok());
        logged.reason != closed.reason || (failures > self.failures && closed.until > later)
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
