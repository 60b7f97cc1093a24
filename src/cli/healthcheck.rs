//! `healthcheck`: asks the running relay whether it is ready to accept webhooks.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use reqwest::Url;
use serde::Deserialize;

use super::error::CommandError;
use super::send::client;
use super::{input, output, runtime};
use crate::http_client::CallFailure;
use crate::json;
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
    NotReady { reasons: Vec<String> },
}

/// Response of `/readyz`.
#[derive(Debug, Deserialize)]
struct ReadinessBody {
    status: String,
    #[serde(default)]
    reasons: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let url = match &arguments.url {
        Some(url) => url.clone(),
        None => local_url(input::config(arguments.config.as_deref(), environment)?.listen)?,
    };
    match runtime::block_on(ask(url))? {
        Health::Ready => output::print("ready\n"),
        Health::NotReady { reasons } => {
            Err(CommandError::InvalidInput(format!("not ready: {}", reasons.join("; "))))
        }
    }
}

/// Returns the URL at which this machine reaches a relay that listens on the address.
pub(super) fn local_url(listen: SocketAddr) -> Result<Url, CommandError> {
    let Some(local) = input::local_address(listen) else {
        let unknown = "`listen` leaves the port open: say where the relay is with --url";
        return Err(CommandError::InvalidInput(unknown.to_owned()));
    };
    Ok(format!("http://{local}").parse().expect("an address makes a URL"))
}

pub(super) async fn ask(mut url: Url) -> Result<Health, CommandError> {
    if matches!(url.path(), "" | "/") {
        url.set_path("/readyz");
    }
    let failed = |error: reqwest::Error| {
        CommandError::Failed(format!("no answer from {url}: {}", CallFailure::of(error, &url)))
    };
    let call = client(url.as_str())?.get(url.clone()).timeout(TIMEOUT);
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
    fn local_url_of_a_wildcard_address_is_loopback() {
        let check = |listen: &str, url: &str| {
            assert_eq!(local_url(listen.parse().unwrap()).unwrap().as_str(), url);
        };

        check("0.0.0.0:8080", "http://127.0.0.1:8080/");
        check("[::]:80", "http://[::1]/");
        check("192.0.2.7:9000", "http://192.0.2.7:9000/");
        assert!(local_url("127.0.0.1:0".parse().unwrap()).is_err());
    }

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
