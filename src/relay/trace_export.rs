//! Traces begin before the parts that tell of themselves, and end after them. They never keep the relay
//! from its work.

use tokio::task::spawn_blocking;
use tracing::{info, warn};

use crate::config::TracesConfig;
use crate::telemetry::traces::Traces;

/// Off where no collector is configured, or where it cannot be spoken to, which is said.
pub(super) async fn start(config: &TracesConfig) -> Traces {
    let target = match config.target() {
        Ok(Some(target)) => target,
        Ok(None) => return Traces::default(),
        Err(reason) => return without(&reason),
    };
    let collector = target.name();
    match spawn_blocking(|| Traces::start(target)).await {
        Ok(Ok(traces)) => {
            info!(collector, "traces go to {collector}");
            traces
        }
        Ok(Err(reason)) => without(&reason),
        Err(error) => without(&error.to_string()),
    }
}

fn without(reason: &str) -> Traces {
    warn!(reason, "no traces are sent: {reason}");
    Traces::default()
}

pub(super) async fn end(traces: Traces) {
    if let Err(error) = spawn_blocking(move || traces.end()).await {
        warn!(%error, "the last traces were not sent");
    }
}
