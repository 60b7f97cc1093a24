//! HTTP client of one Savio account: sends requests, probes the account, and makes typed calls.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::debug;

use super::answer::{account_of, answered, unlike_savio};
use super::base_url::BaseUrl;
use super::cleartext;
use super::error::Error;
use super::send_result::{ApiResponse, BodyKind, SendResult, TEXT_BYTES_MAX};
use super::transport::{RawResponse, ReadEnd, SendError};
use crate::event::{DEFAULT_DESTINATION, Request, RequestKind, storable};
use crate::http_client::{CallFailure, USER_AGENT};
use crate::{clock, json};

/// Number of bytes that are read of a response to [`Client::send`]. A longer one counts as cut off.
// A response is one small object. Up to `max_in_flight` of them are in memory at a time, whatever a
// wrong server sends.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// Longest response with one entry.
pub(super) const SMALL_BYTES_MAX: usize = 1024 * 1024;

/// Search text of the probe, which matches no contact.
const PROBE: &str = "savio-relay-probe-6f1c2b9e";

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Time after which an idle connection is closed.
// Short, so that a connection is seldom used at the moment at which Savio closes it: whether the
// request arrived would then be unknown.
const IDLE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Settings {
    pub base_url: BaseUrl,
    pub token: SecretString,
    /// Time from connecting to the last byte of the response.
    pub timeout: Duration,
}

/// One Savio account. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) base_url: BaseUrl,
    token: SecretString,
    insecure: bool,
    /// Name of the account in messages.
    account: String,
}

/// Reason for which a probe did not show that Savio works.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{reason}")]
pub struct ProbeError {
    /// Status of the answer, if there was one.
    pub status: Option<u16>,
    pub reason: String,
}

impl Client {
    pub fn new(settings: Settings) -> Result<Client, ClientError> {
        let Settings { base_url, token, timeout } = settings;
        let http = connections(&base_url, timeout)
            .default_headers(headers(&token)?)
            .build()
            .map_err(|source| {
                let base_url = base_url.clone();
                if base_url.is_https() {
                    ClientError::NoTls { base_url, source }
                } else {
                    ClientError::Http { base_url, source }
                }
            })?;
        let account = account_of(DEFAULT_DESTINATION);
        Ok(Client { http, base_url, token, insecure: false, account })
    }

    /// Names the destination in messages.
    #[must_use]
    pub fn named(self, destination: &str) -> Client {
        Client { account: account_of(destination), ..self }
    }

    /// Returns the name of the account in messages: `Savio`, or `Savio` with the destination's.
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Allows or forbids to send the token without TLS to an address that is not private. The
    /// default forbids it.
    #[must_use]
    pub fn insecure(self, insecure: bool) -> Client {
        Client { insecure, ..self }
    }

    /// Fails with the reason if the token must not be sent to the address as it resolves now. Every
    /// call checks this first.
    pub async fn permitted(&self) -> Result<(), String> {
        if self.insecure {
            return Ok(());
        }
        cleartext::refusal(&self.base_url).await.map_or(Ok(()), Err)
    }

    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// Sends a request once. Redirects are not followed, and nothing is retried.
    pub async fn send(&self, request: &Request) -> SendResult {
        let call = self.http.post(self.url(request.kind)).json(&request.body);
        self.result(self.call(call, BODY_BYTES_MAX).await)
    }

    /// Checks by a search without results that Savio answers and accepts the token.
    pub async fn probe(&self) -> Result<(), ProbeError> {
        // `users/` needs the token and changes nothing. The API has no route of its own for this.
        let call = self.http.get(self.base_url.join("users/")).query(&[("search", PROBE)]);
        let failed = |status, reason| Err(ProbeError { status, reason });
        match self.call(call, BODY_BYTES_MAX).await {
            Ok(raw) if !(200..300).contains(&raw.status) => {
                failed(Some(raw.status), answered(&self.account, raw.status))
            }
            Ok(raw) if BodyKind::has_results(&raw.bytes, raw.is_whole()) => Ok(()),
            Ok(raw) => failed(Some(raw.status), unlike_savio(&self.account, raw.status)),
            Err(
                SendError::Withheld(reason)
                | SendError::NotSent(reason)
                | SendError::NoReply(reason),
            ) => failed(None, reason),
        }
    }

    pub(super) async fn call(
        &self,
        call: RequestBuilder,
        bytes_max: usize,
    ) -> Result<RawResponse, SendError> {
        self.permitted().await.map_err(SendError::Withheld)?;
        match call.send().await {
            Ok(response) => Ok(RawResponse::read(response, bytes_max).await),
            Err(error) => Err(self.failure(error)),
        }
    }

    /// URL for requests of this kind.
    pub fn url(&self, kind: RequestKind) -> Url {
        self.base_url.join(match kind {
            RequestKind::Company => "companies/",
            RequestKind::Contact => "users/",
            RequestKind::Feedback => "create-feedback/",
        })
    }

    pub(super) fn list(&self, path: &str, filter: &impl Serialize) -> Url {
        let call = self.http.get(self.base_url.join(path)).query(filter).build();
        call.expect("a filter is a flat list of texts").url().clone()
    }

    /// Builds a call that writes. NUL characters, which Savio cannot store, are removed.
    // Not needed for `send`: its requests were cleaned when they were mapped.
    pub(super) fn write(&self, kind: RequestKind, body: &impl Serialize) -> RequestBuilder {
        let body = serde_json::to_value(body).expect("texts, numbers and maps of them are JSON");
        self.http.post(self.url(kind)).json(&storable(body))
    }

    fn result(&self, answer: Result<RawResponse, SendError>) -> SendResult {
        match answer {
            Ok(raw) => SendResult::Reply(self.reply(raw)),
            Err(SendError::Withheld(reason)) => SendResult::Withheld { reason },
            Err(SendError::NotSent(reason)) => SendResult::NotSent { reason },
            Err(SendError::NoReply(reason)) => SendResult::NoReply { reason },
        }
    }

    fn reply(&self, raw: RawResponse) -> ApiResponse {
        let content = BodyKind::of(&raw.bytes, raw.is_whole(), raw.content_type.contains("json"));
        let text = self.redact(&String::from_utf8_lossy(&raw.bytes));
        ApiResponse { status: raw.status, retry_after: raw.retry_after, content, text }
    }

    fn failure(&self, error: reqwest::Error) -> SendError {
        // Connecting has a shorter timeout than the whole call, so every other failure came after
        // it. A kept connection that was closed before the first byte is replaced by the library
        // and not seen here.
        let failure = CallFailure::of(error, &self.base_url.0);
        let (account, base_url) = (&self.account, &self.base_url);
        debug!(cause = self.redact(&failure.cause), "a call to {account} failed: {failure}");
        if failure.is_before_send {
            SendError::NotSent(format!("{account} ({base_url}) cannot be reached: {failure}"))
        } else {
            SendError::NoReply(format!("{account} ({base_url}) gave no answer: {failure}"))
        }
    }

    /// Shortens a text to `TEXT_BYTES_MAX`, and removes the token from it.
    pub(super) fn redact(&self, text: &str) -> String {
        // Some servers and proxies repeat the request's headers in an error. The token is removed
        // first: cut in the middle, it would not be found.
        let redacted = text.replace(self.token.expose_secret(), "***");
        redacted[..redacted.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
    }

    /// Makes a call and returns the response if its status is 2xx.
    pub(super) async fn request(
        &self,
        call: RequestBuilder,
        bytes_max: usize,
    ) -> Result<RawResponse, Error> {
        match self.call(call, bytes_max).await {
            Ok(raw) if (200..300).contains(&raw.status) => Ok(raw),
            answer => Err(self.result(answer).into_error(clock::now())),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, raw: &RawResponse) -> Result<T, Error> {
        let status = raw.status;
        let failed = |reason: String| Error::UnexpectedResponse { status, reason };
        match raw.end {
            ReadEnd::TooLong => {
                return Err(failed(format!("it is longer than {} bytes", raw.bytes.len())));
            }
            ReadEnd::BrokenOff => return Err(failed("it ended early".to_owned())),
            ReadEnd::Whole if raw.bytes.trim_ascii().is_empty() => {
                return Err(failed("it is empty".to_owned()));
            }
            ReadEnd::Whole if raw.is_html() => {
                let reason = "it is an HTML page: is the base URL right?";
                return Err(failed(reason.to_owned()));
            }
            ReadEnd::Whole => {}
        }
        json::from_slice(&json::repaired(&raw.bytes)).map_err(|error| {
            let kind = if error.is_data() { "it is not as documented" } else { "it is not JSON" };
            failed(self.redact(&format!("{kind}: {error}")))
        })
    }
}

#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    #[error("the Savio token is empty")]
    EmptyToken,
    #[error("the Savio token has characters that no HTTP header can carry")]
    BadToken,
    #[error(
        "cannot speak HTTPS to {base_url}: install the CA certificates of the machine (the package \
         is mostly called ca-certificates), or name a file of them in SSL_CERT_FILE"
    )]
    NoTls { base_url: BaseUrl, source: reqwest::Error },
    #[error("cannot set up the connection to {base_url}")]
    Http { base_url: BaseUrl, source: reqwest::Error },
}

fn headers(token: &SecretString) -> Result<HeaderMap, ClientError> {
    if token.expose_secret().is_empty() {
        return Err(ClientError::EmptyToken);
    }
    let mut authorization = HeaderValue::try_from(format!("Token {}", token.expose_secret()))
        .map_err(|_| ClientError::BadToken)?;
    authorization.set_sensitive(true);
    Ok(HeaderMap::from_iter([
        (AUTHORIZATION, authorization),
        (ACCEPT, HeaderValue::from_static("application/json")),
    ]))
}

fn connections(base_url: &BaseUrl, timeout: Duration) -> reqwest::ClientBuilder {
    // It fails only if a provider is installed already, which will do as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(USER_AGENT)
        // A redirect would send the token to another address, and turn a POST into a GET.
        .redirect(Policy::none())
        // The outcome table decides about retries: Savio has no idempotency key, so a silent one
        // could create a record twice.
        .retry(reqwest::retry::never())
        .timeout(timeout)
        // Always less than `timeout`, so that `failure` can tell a connection that was never made
        // from a lost response.
        .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout / 2))
        .pool_idle_timeout(IDLE_MAX);
    if !base_url.is_https() {
        // Without redirects TLS is never used, so a machine without CA certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if base_url.is_loopback() {
        builder = builder.no_proxy();
    }
    builder
}
