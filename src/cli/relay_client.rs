//! Calls of the running relay's admin API: finds its address and token as the relay has them, and
//! says of each failure what a person can do about it.

use std::path::PathBuf;
use std::time::Duration;

use http::Method;
use http::header::CONTENT_TYPE;
use reqwest::Url;
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::error::CommandError;
use super::local_listener::LocalListener;
use super::operator::operator;
use crate::admin::USER_HEADER;
use crate::config::Config;
use crate::file;
use crate::http_client::CallFailure;
use crate::json;
use crate::listener::PLAIN_HTTP_REFUSAL;
use crate::relay::admin_token;

/// Longest time for a response.
const TIMEOUT: Duration = Duration::from_secs(10);

/// Longest time for a response that waits for Savio's. More than a destination's longest timeout
/// is not worth waiting for on a terminal.
const TIMEOUT_WITH_SAVIO: Duration = Duration::from_mins(1);

/// Longest time for what only improves the output of a command that works without the relay.
const TIMEOUT_OPTIONAL: Duration = Duration::from_secs(2);

const TOKEN_BYTES_MAX: usize = 4096;

// A page of 500 events with long reasons is some hundred KiB.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// The admin API of the relay that runs with this configuration.
pub(super) struct RelayClient {
    listener: LocalListener,
    /// An error is the reason why it is not known.
    token: Result<SecretString, String>,
    /// Where the token is from, for messages.
    token_from: String,
    timeout: Duration,
}

/// Failure of a call, one variant for each thing that a caller may do differently.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum CallError {
    /// Nobody listens at the address.
    #[error(
        "no relay is running at {address}: start one with `savio-relay serve`, or name its address \
         in `server.admin_listen`"
    )]
    NotRunning { address: Url },
    #[error(
        "`server.admin_listen` leaves the port open: give it a port, so that commands find the relay"
    )]
    NoPort,
    #[error(
        "the admin token of the relay is not known here: {reason}. Give this command the same token \
         as the relay"
    )]
    NoToken { reason: String },
    #[error("the relay at {address} gave no answer: {reason}")]
    NoAnswer { address: Url, reason: String },
    /// 401.
    #[error(
        "the relay at {address} does not accept the admin token of {token_from}: was it started with \
         another configuration or environment?"
    )]
    WrongToken { address: Url, token_from: String },
    /// 403.
    #[error("the relay at {address} does not permit it: {reason}")]
    Forbidden { address: Url, reason: String },
    /// 404.
    #[error("{reason}")]
    NotFound { reason: String },
    /// Any other 4xx.
    #[error("the relay at {address} refused it ({status}): {reason}")]
    Refused { address: Url, status: u16, reason: String },
    /// 5xx.
    #[error("the relay at {address} could not do it ({status}): {reason}")]
    Failed { address: Url, status: u16, reason: String },
    #[error("{address} answers, but not as savio-relay does: is `server.admin_listen` right?")]
    NotARelay { address: Url },
}

impl From<CallError> for CommandError {
    fn from(error: CallError) -> CommandError {
        match error {
            CallError::NoPort
            | CallError::NoToken { .. }
            | CallError::WrongToken { .. }
            | CallError::Forbidden { .. }
            | CallError::NotFound { .. }
            | CallError::Refused { .. } => CommandError::InvalidInput(error.to_string()),
            CallError::NotRunning { .. }
            | CallError::NoAnswer { .. }
            | CallError::Failed { .. }
            | CallError::NotARelay { .. } => CommandError::Failed(error.to_string()),
        }
    }
}

/// Body of every error response.
#[derive(Debug, Deserialize)]
struct RefusalBody {
    reason: String,
}

impl RelayClient {
    /// Finds the address and the token of the relay; calls nothing yet.
    pub(super) fn of(config: &Config) -> Result<RelayClient, CallError> {
        let listener = LocalListener::of(config.admin_listen, &config.admin.tls);
        let listener = listener.ok_or(CallError::NoPort)?;
        let (token, token_from) = match token(config) {
            Ok((token, from)) => (Ok(token), from),
            Err(reason) => (Err(reason), String::new()),
        };
        Ok(RelayClient { listener, token, token_from, timeout: TIMEOUT })
    }

    /// Gives up soon, for what only improves the output.
    #[must_use]
    pub(super) fn optional(self) -> RelayClient {
        RelayClient { timeout: TIMEOUT_OPTIONAL, ..self }
    }

    /// Waits long enough for calls in which the relay asks Savio.
    #[must_use]
    pub(super) fn asking_savio(self) -> RelayClient {
        RelayClient { timeout: TIMEOUT_WITH_SAVIO, ..self }
    }

    /// Reads a resource below `/api/v1/`; names of people belong into `path` by [`segment`].
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::GET, path, None).await
    }

    /// Calls a route below `/api/v1/` that takes no body.
    pub(super) async fn post<T: DeserializeOwned>(&self, path: &str) -> Result<T, CallError> {
        self.call(Method::POST, path, None).await
    }

    /// Calls a route below `/api/v1/` with a body.
    pub(super) async fn post_json<T: DeserializeOwned>(
        &self,
        path: &str,
        body: &Value,
    ) -> Result<T, CallError> {
        self.post_text(path, body.to_string()).await
    }

    /// Calls a route below `/api/v1/` with a body that is JSON already.
    pub(super) async fn post_text<T: DeserializeOwned>(
        &self,
        path: &str,
        body: String,
    ) -> Result<T, CallError> {
        self.call(Method::POST, path, Some(body)).await
    }

    async fn call<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Option<String>,
    ) -> Result<T, CallError> {
        let url = self.listener.url.join("/api/v1/").and_then(|it| it.join(path));
        let url = url.expect("paths are written in this program, their names escaped");
        let http = self.listener.client().map_err(|reason| CallError::NoAnswer {
            address: self.address(),
            reason: reason.to_owned(),
        })?;
        let mut request = http.request(method, url).timeout(self.timeout);
        // Without it as well: that no relay is running is the reason to tell, if so.
        if let Ok(token) = &self.token {
            request = request.bearer_auth(token.expose_secret());
        }
        // For the audit. A header is ASCII, and a name need not be.
        let user = operator().who.replace(|it: char| !it.is_ascii(), "?");
        request = request.header(USER_HEADER, user);
        if let Some(body) = body {
            request = request.header(CONTENT_TYPE, "application/json").body(body);
        }
        let mut response = request.send().await.map_err(|error| self.failure(error))?;
        let status = response.status().as_u16();
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| self.failure(error))? {
            body.extend_from_slice(&chunk);
            // Another program may listen there, and send without end.
            if body.len() > ANSWER_BYTES_MAX {
                return Err(CallError::NotARelay { address: self.address() });
            }
        }
        if (200..300).contains(&status) {
            let read = json::from_slice(&body);
            return read.map_err(|_| CallError::NotARelay { address: self.address() });
        }
        Err(self.refusal(status, &body))
    }

    fn address(&self) -> Url {
        self.listener.url.clone()
    }

    fn failure(&self, error: reqwest::Error) -> CallError {
        let failure = CallFailure::of(error, &self.listener.url);
        let address = self.address();
        if failure.is_refused {
            return CallError::NotRunning { address };
        }
        CallError::NoAnswer { address, reason: self.listener.explain(&failure) }
    }

    fn refusal(&self, status: u16, body: &[u8]) -> CallError {
        let address = self.address();
        if body == PLAIN_HTTP_REFUSAL.as_bytes() {
            let reason = "it speaks https, and this configuration has no [admin.tls]".to_owned();
            return CallError::Refused { address, status, reason };
        }
        let Ok(RefusalBody { reason }) = json::from_slice(body) else {
            return CallError::NotARelay { address };
        };
        match (status, &self.token) {
            (401, Err(reason)) => CallError::NoToken { reason: reason.clone() },
            (401, Ok(_)) => CallError::WrongToken { address, token_from: self.token_from.clone() },
            (403, _) => CallError::Forbidden { address, reason },
            (404, _) => CallError::NotFound { reason },
            (400..=499, _) => CallError::Refused { address, status, reason },
            _ => CallError::Failed { address, status, reason },
        }
    }
}

/// Escapes a name for a path.
pub(super) fn segment(name: &str) -> String {
    percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// Returns the configured token, or the one that the relay generated and wrote at its start.
fn token(config: &Config) -> Result<(SecretString, String), String> {
    let missing = match config.admin.token.value() {
        Ok(token) => return Ok((token.clone(), "this configuration".to_owned())),
        Err(reason) => reason,
    };
    let path: PathBuf = admin_token::path(config);
    let shown = path.display();
    let unreadable = match file::read(&path, TOKEN_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) if !text.trim().is_empty() => {
            return Ok((SecretString::from(text.trim()), shown.to_string()));
        }
        Ok(_) => format!("{shown} does not hold a token"),
        Err(_) if matches!(path.try_exists(), Ok(false)) => {
            format!("there is no {shown}, which a relay without a configured token writes")
        }
        Err(error) => format!("{shown} cannot be read by this user: {error}"),
    };
    Err(format!("{missing}, and {unreadable}"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Environment;

    fn client() -> RelayClient {
        client_of("127.0.0.1:1")
    }

    fn client_of(listen: &str) -> RelayClient {
        let config = Config::read(None, &Environment::new()).unwrap().0;
        RelayClient {
            listener: LocalListener::of(listen.parse().unwrap(), &config.tls).unwrap(),
            token: Ok("token".into()),
            token_from: "/data/admin-token".to_owned(),
            timeout: TIMEOUT,
        }
    }

    #[test]
    fn each_refusal_of_the_relay_is_told_with_what_to_do() {
        let check = |status, expected: &str| {
            let body = br#"{"error":"x","reason":"there is no destination eu"}"#;
            let told = client().refusal(status, body).to_string();
            assert!(told.contains(expected), "{status}: {told}");
        };
        check(401, "does not accept the admin token of /data/admin-token");
        check(403, "does not permit it: there is no destination eu");
        check(404, "there is no destination eu");
        check(409, "refused it (409)");
        check(503, "could not do it (503)");
        let reason = "ADMIN_TOKEN is not set".to_owned();
        let without = RelayClient { token: Err(reason.clone()), ..client() };
        assert_eq!(without.refusal(401, br#"{"reason":"x"}"#), CallError::NoToken { reason });
        let foreign = client().refusal(404, b"<html>").to_string();
        assert!(foreign.contains("not as savio-relay does"), "{foreign}");
    }

    #[tokio::test]
    async fn relay_that_does_not_run_is_told_from_one_that_does_not_answer() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let silent = RelayClient { timeout: Duration::from_millis(50), ..client_of(&address) };
        let error = silent.get::<serde_json::Value>("destinations").await.unwrap_err();
        assert!(matches!(error, CallError::NoAnswer { .. }), "{error}");
        assert!(error.to_string().contains("gave no answer: timeout"), "{error}");

        drop(listener);
        let error = client_of(&address).get::<serde_json::Value>("destinations").await.unwrap_err();
        let address = format!("http://{address}").parse().unwrap();
        assert_eq!(error, CallError::NotRunning { address });
    }

    #[test]
    fn address_without_a_port_is_told() {
        let environment = Environment::from([(
            "SAVIO_RELAY_SERVER__ADMIN_LISTEN".to_owned(),
            "127.0.0.1:0".to_owned(),
        )]);
        let (config, _) = Config::read(None, &environment).unwrap();

        assert!(matches!(RelayClient::of(&config), Err(CallError::NoPort)));
    }

    #[test]
    fn https_address_that_is_called_without_tls_is_told() {
        let told = client().refusal(400, PLAIN_HTTP_REFUSAL.as_bytes()).to_string();

        assert!(told.contains("[admin.tls]"), "{told}");
    }
}
