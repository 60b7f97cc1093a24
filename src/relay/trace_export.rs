//! Starts and ends the export of traces: it starts before the parts that record spans and ends
//! after them, and none of its failures stops the relay.

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::config::TracesConfig;
use crate::telemetry::traces::Traces;

/// Starts the export. It is off if no collector is configured or, with a warning, if it cannot
/// start.
pub(super) async fn start(config: &TracesConfig) -> Traces {
    let target = match config.target() {
        Ok(Some(target)) => target,
        Ok(None) => return Traces::default(),
        Err(reason) => return disabled(&reason),
    };
    let collector = target.name();
    match spawn_blocking(|| Traces::start(target)).await {
        Ok(Ok(traces)) => {
            info!(collector, "sending traces to {collector}");
            traces
        }
        Ok(Err(reason)) => disabled(&reason),
        Err(error) => disabled(&error.to_string()),
    }
}

fn disabled(reason: &str) -> Traces {
    warn!(reason, "no traces are sent: {reason}");
    Traces::default()
}

pub(super) async fn end(traces: Traces) {
    if let Err(error) = spawn_blocking(move || traces.end()).await {
        warn!(%error, "the last traces were not sent");
    }
}
