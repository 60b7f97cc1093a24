//! A webhook's request, from the source that it names to its whole body.

use std::borrow::Cow;
use std::sync::Arc;

use axum::http::request::Parts;
use jiff::Timestamp;
use percent_encoding::percent_decode_str;
use serde_json::Value;

use super::body::BufferedBody;
use super::handshake::HandshakeRequest;
use super::payload;
use super::setup::PendingSetup;
use super::signature::SignedRequest;
use super::source::Source;
use crate::event::{Headers, SourceName};
use crate::rate::client_key::ClientKey;

/// Up to here, verifying and decoding takes less time than handing the body to another thread and back.
const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// The source that a request's path names.
pub(super) fn source_name(parts: &Parts) -> Option<SourceName> {
    let name = parts.uri.path().strip_prefix("/hooks/")?;
    // `%2D` is `-`, and some senders write it so.
    let name = percent_decode_str(name.strip_suffix('/').unwrap_or(name)).decode_utf8();
    name.ok()?.parse().ok()
}

/// The source that a request is for.
pub(super) struct TargetSource {
    pub(super) source: Arc<Source>,
    /// Where the source waits for its secret.
    pub(super) setup: Option<Arc<PendingSetup>>,
}

/// A request whose body is whole, in one piece that another thread can take.
pub(super) struct BufferedRequest {
    pub(super) target: TargetSource,
    pub(super) parts: Arc<Parts>,
    pub(super) client: Option<ClientKey>,
    pub(super) headers: Headers,
    pub(super) body: BufferedBody,
    pub(super) now: Timestamp,
}

/// A request whose body is whole, and the source that it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct WebhookRequest<'r> {
    pub(super) source: &'r Source,
    pub(super) parts: &'r Parts,
    /// Whose share of the limits it counts for; none where that is not known.
    pub(super) client: Option<ClientKey>,
    pub(super) received: ReceivedRequest<'r>,
}

/// The parts of a request that its events are extracted from.
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

    pub(super) fn call(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            source: &self.target.source,
            parts: &self.parts,
            client: self.client,
            received: self.received(),
        }
    }

    /// A few hundred bytes may hold megabytes, elliptic curves cost much for any body, and the first
    /// request of a source waits for the disk.
    pub(super) fn is_light(&self) -> bool {
        self.body.bytes.len() <= LIGHT_BYTES_MAX
            && self.target.setup.is_none()
            && !payload::is_encoded(&self.headers)
            && !self.target.source.signature.scheme.has_public_key()
    }
}

impl WebhookRequest<'_> {
    /// What its proof may lie in or cover; the URL as the provider knows it.
    pub(super) fn presented<'a>(&'a self, url: Option<&'a str>) -> SignedRequest<'a> {
        SignedRequest {
            method: self.parts.method.as_str(),
            url,
            query: self.parts.uri.query(),
            headers: self.received.headers,
            body: self.received.body,
        }
    }

    /// The body that its proof covers; none if it cannot be decompressed to no more bytes than these.
    pub(super) fn covered(&self, bytes_max: usize) -> Option<Cow<'_, [u8]>> {
        let ReceivedRequest { headers, body, .. } = self.received;
        self.source.signature.covered(headers, body, bytes_max)
    }

    pub(super) fn asks<'a>(&'a self, body: Option<&'a Value>) -> HandshakeRequest<'a> {
        HandshakeRequest {
            method: &self.parts.method,
            query: self.parts.uri.query(),
            headers: self.received.headers,
            body,
            key: self.source.keys.iter().find(|key| key.in_force(self.received.now)),
        }
    }
}
