//! `healthcheck`: asks the running relay whether it is ready to accept webhooks.

use std::path::PathBuf;
use std::time::Duration;

use reqwest::{Client, Url};
use serde::Deserialize;

use super::error::CommandError;
use super::local_listener::{LocalListener, client, explain_named, https_expected};
use super::{input, output, runtime};
use crate::config::Config;
use crate::http_client::CallFailure;
use crate::json;
use crate::listener::PLAIN_HTTP_REFUSAL;
use crate::secret::Environment;

/// Longest time for the response, more than the relay waits for its store.
const TIMEOUT: Duration = Duration::from_secs(10);

const ANSWER_BYTES_MAX: usize = 64 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// URL of the relay, such as http://127.0.0.1:8080 (default: from the configuration)
    #[arg(long, value_name = "URL")]
    url: Option<Url>,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Readiness of a relay.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Health {
    Ready,
    NotReady {
        reasons: Vec<String>,
    },
    /// It was asked without TLS, and speaks https.
    SpeaksHttps {
        url: Url,
    },
}

/// Response of `/readyz`.
#[derive(Debug, Deserialize)]
struct ReadinessBody {
    status: String,
    #[serde(default)]
    reasons: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let health = if let Some(url) = &arguments.url {
        let explain = |failure: &CallFailure| explain_named(failure, url, "--url");
        runtime::block_on(ask(&client(url.as_str())?, url.clone(), &explain))
    } else {
        let config = input::config(arguments.config.as_deref(), environment)?;
        runtime::block_on(ask_local(&config))
    };
    match health? {
        Health::Ready => output::print("ready\n"),
        Health::NotReady { reasons } => {
            Err(CommandError::InvalidInput(format!("not ready: {}", reasons.join("; "))))
        }
        Health::SpeaksHttps { url } => Err(https_expected(url.as_str(), "--url")),
    }
}

/// Asks the relay of this configuration, on this machine, whatever its certificate is.
pub(super) async fn ask_local(config: &Config) -> Result<Health, CommandError> {
    ask_listener(LocalListener::for_health(config.listen, &config.tls)).await
}

/// Asks the relay of this configuration, on this machine, which has to have the certificate in its
/// file.
pub(super) async fn ask_by_certificate(config: &Config) -> Result<Health, CommandError> {
    ask_listener(LocalListener::of(config.listen, &config.tls)).await
}

async fn ask_listener(listener: Option<LocalListener>) -> Result<Health, CommandError> {
    let Some(listener) = listener else {
        let unknown = "`listen` leaves the port open: say where the relay is with --url";
        return Err(CommandError::InvalidInput(unknown.to_owned()));
    };
    let http = listener.client().map_err(|reason| {
        CommandError::Failed(format!("{} cannot be asked: {reason}", listener.url))
    })?;
    ask(http, listener.url.clone(), &|failure| listener.explain(failure)).await
}

async fn ask(
    http: &Client,
    mut url: Url,
    explain: &dyn Fn(&CallFailure) -> String,
) -> Result<Health, CommandError> {
    if matches!(url.path(), "" | "/") {
        url.set_path("/readyz");
    }
    let failed = |error: reqwest::Error| {
        let reason = explain(&CallFailure::of(error, &url));
        CommandError::Failed(format!("no answer from {url}: {reason}"))
    };
    let call = http.get(url.clone()).timeout(TIMEOUT);
    let mut response = call.send().await.map_err(failed)?;
    let status = response.status().as_u16();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(failed)? {
        body.extend_from_slice(&chunk);
        // Another program may listen there, and send without end.
        if body.len() > ANSWER_BYTES_MAX {
            break;
        }
    }
    if body == PLAIN_HTTP_REFUSAL.as_bytes() {
        return Ok(Health::SpeaksHttps { url });
    }
    health(status, &body).ok_or_else(|| {
        CommandError::InvalidInput(format!("{url} answers {status}, and not as savio-relay does"))
    })
}

fn health(status: u16, body: &[u8]) -> Option<Health> {
    let body: ReadinessBody = json::from_slice(body).ok()?;
    match (status, body.status.as_str()) {
        (200, "ready") => Some(Health::Ready),
        (503, "not ready") => Some(Health::NotReady { reasons: body.reasons }),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_relay_counts_as_ready() {
        let reasons = vec!["no source is live".to_owned()];
        let not_ready = br#"{"status":"not ready","reasons":["no source is live"]}"#;

        assert_eq!(health(200, br#"{"status":"ready"}"#), Some(Health::Ready));
        assert_eq!(health(503, not_ready), Some(Health::NotReady { reasons }));
        assert_eq!(health(200, b"<html>"), None);
        assert_eq!(health(502, br#"{"status":"ready"}"#), None);
    }
}
