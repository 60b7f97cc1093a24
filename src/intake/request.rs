//! The request of a webhook, from the source in its path to its body.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::Method;
use axum::http::header::USER_AGENT;
use axum::http::request::Parts;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::body::BufferedBody;
use super::handshake::{HandshakeRequest, HandshakeRule};
use super::payload;
use super::setup::PendingSetup;
use super::signature::SignedRequest;
use super::source::Source;
use crate::event::{Headers, SourceName};
use crate::http_client::is_relay;
use crate::rate::client_key::ClientKey;
use crate::store::WebhookOrigin;

/// Size up to which verifying and decoding takes less time than a change of threads and back.
const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// Returns the name of the source in the request's path.
pub(super) fn source_name(parts: &Parts) -> Option<SourceName> {
    let name = parts.uri.path().strip_prefix("/hooks/")?;
    // RFC 3986, 2.3: `%2D` is the same as `-`. A 404 makes some providers disable a webhook for
    // good.
    let name = percent_decode_str(name.strip_suffix('/').unwrap_or(name)).decode_utf8();
    name.ok()?.parse().ok()
}

/// Returns who sends the webhook: its provider, or a person by `savio-relay send`.
pub(super) fn origin(parts: &Parts) -> WebhookOrigin {
    let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    if agent.is_some_and(is_relay) { WebhookOrigin::Made } else { WebhookOrigin::Sent }
}

/// Returns whether a provider may use the method at a correct address: to send, or to test the address.
pub(super) fn is_used(method: &Method, handshakes: &[HandshakeRule]) -> bool {
    // Many test it by GET or HEAD, whatever the handshakes of the mapping file are. A source that
    // is off answers these 503, not 405, so that the provider tests again later.
    [Method::POST, Method::GET, Method::HEAD].contains(method)
        || handshakes.iter().any(|it| it.method == *method)
}

/// The source that a request is for.
pub(super) struct TargetSource {
    pub(super) source: Arc<Source>,
    /// Present while the source waits for its secret; the request has the one-time code.
    pub(super) setup: Option<Arc<PendingSetup>>,
}

/// A request whose body has arrived; owned, so that it can move to another thread.
pub(super) struct BufferedRequest {
    pub(super) target: TargetSource,
    pub(super) parts: Arc<Parts>,
    pub(super) client: Option<ClientKey>,
    pub(super) headers: Headers,
    pub(super) body: BufferedBody,
    pub(super) now: Timestamp,
}

/// A request whose body has arrived, borrowed, and its source.
#[derive(Debug, Clone, Copy)]
pub(super) struct WebhookRequest<'r> {
    pub(super) source: &'r Source,
    pub(super) parts: &'r Parts,
    /// The client that limits count it for; none if that is not known.
    pub(super) client: Option<ClientKey>,
    pub(super) received: ReceivedRequest<'r>,
}

/// The parts of a request from which events are extracted.
#[derive(Debug, Clone, Copy)]
pub struct ReceivedRequest<'r> {
    pub headers: &'r Headers,
    pub body: &'r [u8],
    pub now: Timestamp,
}

impl BufferedRequest {
    pub(super) fn received(&self) -> ReceivedRequest<'_> {
        ReceivedRequest { headers: &self.headers, body: &self.body.bytes, now: self.now }
    }

    pub(super) fn as_webhook(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            source: &self.target.source,
            parts: &self.parts,
            client: self.client,
            received: self.received(),
        }
    }

    /// Returns whether the request can be verified and decoded on the thread that answers requests.
    pub(super) fn is_light(&self) -> bool {
        // A few hundred compressed bytes may hold megabytes, elliptic curves are slow for any body,
        // and the setup of a source waits for the disk.
        self.body.bytes.len() <= LIGHT_BYTES_MAX
            && self.target.setup.is_none()
            && !payload::is_encoded(&self.headers)
            && !self.target.source.signature.scheme.has_public_key()
    }
}

impl WebhookRequest<'_> {
    /// Returns the parts that a signature may cover; `url` is the URL as the provider knows it.
    pub(super) fn signed_request<'a>(&'a self, url: Option<&'a str>) -> SignedRequest<'a> {
        SignedRequest {
            method: self.parts.method.as_str(),
            url,
            query: self.parts.uri.query(),
            headers: self.received.headers,
            body: self.received.body,
        }
    }

    /// Returns the body that the signature covers; none if it cannot be decompressed within `bytes_max`.
    pub(super) fn covered(&self, bytes_max: usize) -> Option<Cow<'_, [u8]>> {
        let ReceivedRequest { headers, body, .. } = self.received;
        self.source.signature.covered(headers, body, bytes_max)
    }

    pub(super) fn handshake_request<'a>(&'a self, body: Option<&'a Value>) -> HandshakeRequest<'a> {
        HandshakeRequest {
            method: &self.parts.method,
            query: self.parts.uri.query(),
            headers: self.received.headers,
            body,
            // The first that has not expired: during a rotation the new secret is listed first.
            key: self.source.keys.iter().find(|key| key.is_valid_at(self.received.now)),
        }
    }
}
