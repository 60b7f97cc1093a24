//! One Savio account: its connection, its token, and one send, one probe or one typed call at a time.

use std::time::Duration;

use http::header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue};
use reqwest::redirect::Policy;
use reqwest::{RequestBuilder, Url};
use secrecy::{ExposeSecret, SecretString};
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::base_url::BaseUrl;
use super::cleartext;
use super::error::{Error, ErrorDetails};
use super::send_result::{ApiResponse, BodyKind, SendResult, TEXT_BYTES_MAX, wait_asked};
use super::transport::{RawResponse, ReadEnd, SendError};
use crate::event::{Request, RequestKind, storable};
use crate::http_client::chain;
use crate::{clock, json};

/// How much of an answer to [`Client::send`] is read; a longer one counts as cut off.
const BODY_BYTES_MAX: usize = 64 * 1024;

/// How long an answer with one entry may be.
pub(super) const SMALL_BYTES_MAX: usize = 1024 * 1024;

/// What the probe searches for: nobody's name.
const PROBE: &str = "savio-relay-probe-6f1c2b9e";

const CONNECT_TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Short, so that a connection is seldom used in the moment in which Savio closes it.
const IDLE_MAX: Duration = Duration::from_secs(10);

#[derive(Debug, Clone)]
pub struct Settings {
    pub base_url: BaseUrl,
    pub token: SecretString,
    /// From connecting to the last byte of the answer.
    pub timeout: Duration,
}

/// One Savio account. Clones share their connections.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) http: reqwest::Client,
    pub(super) base_url: BaseUrl,
    token: SecretString,
    insecure: bool,
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
        Ok(Client { http, base_url, token, insecure: false })
    }

    /// If so, the token goes also to an address that is neither private nor encrypted.
    #[must_use]
    pub fn insecure(self, insecure: bool) -> Client {
        Client { insecure, ..self }
    }

    /// Whether the token may go to the address as it is now, else why not. No call is made otherwise.
    pub async fn permitted(&self) -> Result<(), String> {
        if self.insecure {
            return Ok(());
        }
        cleartext::refusal(&self.base_url).await.map_or(Ok(()), Err)
    }

    pub fn base_url(&self) -> &BaseUrl {
        &self.base_url
    }

    /// Sends one request once; redirects are not followed and nothing is tried again.
    pub async fn send(&self, request: &Request) -> SendResult {
        let call = self.http.post(self.url(request.kind)).json(&request.body);
        match self.call(call, BODY_BYTES_MAX).await {
            Ok(raw) => SendResult::Reply(self.reply(raw)),
            Err(SendError::Withheld(reason)) => SendResult::Withheld { reason },
            Err(SendError::NotSent(reason)) => SendResult::NotSent { reason },
            Err(SendError::NoReply(reason)) => SendResult::NoReply { reason },
        }
    }

    /// Whether Savio is there and takes the token, shown by a search that finds nothing; else why not.
    pub async fn probe(&self) -> Result<(), String> {
        let call = self.http.get(self.base_url.join("users/")).query(&[("search", PROBE)]);
        match self.call(call, BODY_BYTES_MAX).await {
            Ok(raw) if !(200..300).contains(&raw.status) => {
                Err(format!("savio answered {}", raw.status))
            }
            Ok(raw) => {
                let is_page = BodyKind::has_results(&raw.bytes, raw.is_whole());
                is_page.then_some(()).ok_or_else(|| "the answer is not as savio's".to_owned())
            }
            Err(
                SendError::Withheld(reason)
                | SendError::NotSent(reason)
                | SendError::NoReply(reason),
            ) => Err(reason),
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

    /// Where a request of this kind goes.
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

    /// A call that writes, without what Savio cannot store; what [`Client::send`] sends was cleaned when it was mapped.
    pub(super) fn write(&self, kind: RequestKind, body: &impl Serialize) -> RequestBuilder {
        let body = serde_json::to_value(body).expect("texts, numbers and maps of them are JSON");
        self.http.post(self.url(kind)).json(&storable(body))
    }

    fn reply(&self, raw: RawResponse) -> ApiResponse {
        let content = BodyKind::of(&raw.bytes, raw.is_whole(), raw.content_type.contains("json"));
        let text = self.presentable(&String::from_utf8_lossy(&raw.bytes));
        ApiResponse { status: raw.status, retry_after: raw.retry_after, content, text }
    }

    /// Connecting has a shorter timeout than the whole, so whatever else fails came after it. A kept
    /// connection that was closed before the first byte is replaced by the library and not seen here.
    fn failure(&self, error: reqwest::Error) -> SendError {
        let surely_not_sent = error.is_connect() || error.is_builder();
        let reason = self.presentable(&chain(&error.without_url()));
        if surely_not_sent { SendError::NotSent(reason) } else { SendError::NoReply(reason) }
    }

    /// Short, and without the token, which an answer may repeat.
    pub(super) fn presentable(&self, text: &str) -> String {
        let blanked = text.replace(self.token.expose_secret(), "***");
        blanked[..blanked.floor_char_boundary(TEXT_BYTES_MAX)].to_owned()
    }

    /// The 2xx answer to a call; all else is an error.
    pub(super) async fn ask(
        &self,
        call: RequestBuilder,
        bytes_max: usize,
    ) -> Result<RawResponse, Error> {
        let raw = self.call(call, bytes_max).await.map_err(|no_answer| match no_answer {
            SendError::Withheld(reason) => Error::Insecure { reason },
            SendError::NotSent(reason) => Error::Unreachable { reason },
            SendError::NoReply(reason) => Error::NoResponse { reason },
        })?;
        match raw.status {
            200..=299 => Ok(raw),
            401 => Err(Error::Unauthorized { said: self.refusal(&raw).to_string() }),
            404 => Err(Error::NotFound { said: self.refusal(&raw).to_string() }),
            408 | 425 | 429 | 500.. => Err(self.later(&raw)),
            400..=499 => Err(Error::Refused { status: raw.status, refusal: self.refusal(&raw) }),
            status => Err(Error::UnexpectedResponse {
                status,
                reason: "an answer of this kind is none of savio's: is the base URL right?".into(),
            }),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, raw: &RawResponse) -> Result<T, Error> {
        let status = raw.status;
        let failed = |reason: String| Error::UnexpectedResponse { status, reason };
        match raw.end {
            ReadEnd::TooLong => {
                return Err(failed(format!("it is longer than {} bytes", raw.bytes.len())));
            }
            ReadEnd::BrokenOff => return Err(failed("it broke off before its end".to_owned())),
            ReadEnd::Whole if raw.bytes.trim_ascii().is_empty() => {
                return Err(failed("it is empty".to_owned()));
            }
            ReadEnd::Whole if raw.is_html() => {
                let reason = "it is an HTML page: is the base URL right?";
                return Err(failed(reason.to_owned()));
            }
            ReadEnd::Whole => {}
        }
        json::from_slice(&raw.bytes).map_err(|error| {
            let kind = if error.is_data() { "it is not as documented" } else { "it is no JSON" };
            failed(self.presentable(&format!("{kind}: {error}")))
        })
    }

    fn later(&self, raw: &RawResponse) -> Error {
        let wait = raw.retry_after.as_deref().and_then(|text| wait_asked(text, clock::now()));
        if raw.status == 429 {
            return Error::Throttled { retry_after: wait };
        }
        Error::ServerError {
            status: raw.status,
            retry_after: wait,
            said: self.refusal(raw).to_string(),
        }
    }

    fn refusal(&self, raw: &RawResponse) -> ErrorDetails {
        if raw.is_html() {
            return ErrorDetails::text("an HTML page");
        }
        ErrorDetails::read(&self.presentable(&String::from_utf8_lossy(&raw.bytes)))
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
    // It fails only where a provider was installed before, which serves as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut builder = reqwest::Client::builder()
        .user_agent(concat!("savio-relay/", env!("CARGO_PKG_VERSION")))
        .redirect(Policy::none())
        .retry(reqwest::retry::never())
        .timeout(timeout)
        .connect_timeout(CONNECT_TIMEOUT_MAX.min(timeout / 2))
        .pool_idle_timeout(IDLE_MAX);
    if !base_url.is_https() {
        // Without redirects TLS is never spoken, so a machine without CA certificates will do.
        builder = builder.tls_certs_only([]);
    }
    if base_url.is_loopback() {
        builder = builder.no_proxy();
    }
    builder
}
