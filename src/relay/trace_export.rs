//! Starts and ends the export of traces: it starts before the parts that record spans and ends
//! after them, and none of its failures stops the relay.

use http::{HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};
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

/// Sends another value of a header to the collector from now on.
pub(super) fn replace_header(
    traces: &Traces,
    name: &str,
    value: &SecretString,
) -> Result<(), String> {
    let unfit = || format!("no HTTP header can carry it, as `{name}` of [traces] should");
    let name = HeaderName::try_from(name).map_err(|_| unfit())?;
    let mut value = HeaderValue::try_from(value.expose_secret()).map_err(|_| unfit())?;
    // Keeps it out of debug output of the HTTP client.
    value.set_sensitive(true);
    if traces.replace_header(name, value) {
        return Ok(());
    }
    Err("no traces are sent since the start: restart the relay".to_owned())
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
