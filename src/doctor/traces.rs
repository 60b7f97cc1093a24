//! Check of traces: whether they are sent, and whether the collector answers.

use tokio::task::spawn_blocking;

use super::finding::Finding;
use crate::config::TracesConfig;
use crate::telemetry::traces::{Target, check_connection};

const TRACES: &str = "traces";

pub(crate) async fn collector(config: &TracesConfig, findings: &mut Vec<Finding>) {
    findings.push(match config.target() {
        Ok(None) => Finding::ok(TRACES, "none are sent: no collector is configured"),
        Ok(Some(target)) => probe(target).await,
        Err(reason) => Finding::wrong(TRACES, format!("none are sent: {reason}"))
            .advice("set it, or take the header out of [traces]"),
    });
}

/// Sends an empty request to the collector. A failure is a warning only, since the relay works
/// without it.
async fn probe(target: Target) -> Finding {
    let name = target.name();
    match spawn_blocking(|| check_connection(target)).await {
        Ok(Ok(())) => Finding::ok(TRACES, format!("traces are sent to {name}, and it answers")),
        Ok(Err(reason)) => {
            Finding::warning(TRACES, format!("{name} does not accept them: {reason}"))
                .advice("OTLP over HTTP is mostly at port 4318, and 4317 is gRPC's")
        }
        Err(error) => Finding::unseen(TRACES, error.to_string()),
    }
}
