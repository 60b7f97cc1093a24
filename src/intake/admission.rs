//! Handshakes at the door: who may ask, how often, and the first request that brings a secret.

use std::borrow::Cow;
use std::time::Instant;

use axum::http::request::Parts;
use secrecy::SecretString;
use serde_json::Value;
use tracing::info;

use super::Intake;
use super::events::ReceivedRequest;
use super::handshake::{HandshakeRequest, HandshakeResponse, HandshakeRule};
use super::payload::{self, Limits};
use super::rate_limit::RateLimit;
use super::response::Rejection;
use super::setup::{self, PendingSetup};
use super::signature::SignedRequest;
use super::source::Source;

/// Larger bodies are no handshakes.
pub(super) const BODY_BYTES_MAX: usize = 64 * 1024;

/// A request, all of it there, and the source that it is for.
#[derive(Debug, Clone, Copy)]
pub(super) struct WebhookRequest<'r> {
    pub(super) source: &'r Source,
    pub(super) parts: &'r Parts,
    pub(super) received: ReceivedRequest<'r>,
}

/// Who sent a request, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Caller {
    Authenticated,
    Anonymous,
}

impl Intake {
    /// The answer to a handshake that nobody signed: at most one a second for a client.
    pub(super) fn answer_unauthenticated(
        &self,
        call: &WebhookRequest<'_>,
    ) -> Result<Option<HandshakeResponse>, Rejection> {
        let Some(greeting) = self.greeting(call, Caller::Anonymous) else {
            return Ok(None);
        };
        self.pace_handshake(call)?;
        Ok(Some(greeting))
    }

    pub(super) fn greeting(
        &self,
        call: &WebhookRequest<'_>,
        asker: Caller,
    ) -> Option<HandshakeResponse> {
        let fits = |it: &&HandshakeRule| it.method == call.parts.method && it.is_for(asker);
        let source = call.source;
        let handshakes: Vec<&HandshakeRule> = source.handshakes.iter().filter(fits).collect();
        let body = self.body(call, &handshakes);
        let question = call.asks(body.as_ref());
        handshakes.into_iter().find_map(|handshake| {
            if handshake.brings_secret() {
                // The provider did not get the first answer and asks again.
                let secret = handshake.secret(&question)?;
                source.keys.iter().find(|key| key.is(secret.as_bytes()))?;
            }
            handshake.answer(&question)
        })
    }

    /// Takes the secret that a source waits for, keeps it, and makes the source live.
    pub(super) fn complete_setup(
        &self,
        setup: &PendingSetup,
        call: &WebhookRequest<'_>,
    ) -> Result<HandshakeResponse, Rejection> {
        setup.expects(call.parts.uri.query())?;
        let bringing = |it: &&HandshakeRule| it.method == call.parts.method && it.brings_secret();
        let handshakes: Vec<&HandshakeRule> =
            call.source.handshakes.iter().filter(bringing).collect();
        let body = self.body(call, &handshakes);
        let question = call.asks(body.as_ref());
        let found = handshakes.into_iter().find_map(|handshake| {
            let secret = handshake.secret(&question).map(SecretString::from)?;
            Some((secret, handshake.answer(&question)?))
        });
        let (secret, greeting) = found.ok_or_else(setup::waits)?;
        self.pace_handshake(call)?;
        // This waits for the disk, once in a source's life.
        let live = setup.finish(&secret).map_err(Rejection::SecretNotSaved)?;
        info!(source = %live.name, "{} has its secret and is live", live.name);
        self.sources.go_live(&live);
        Ok(greeting)
    }

    /// The decoded body, where a handshake depends on it.
    fn body(&self, call: &WebhookRequest<'_>, handshakes: &[&HandshakeRule]) -> Option<Value> {
        let WebhookRequest { source, received, .. } = call;
        let is_read = handshakes.iter().any(|handshake| handshake.reads_body());
        if !is_read || received.body.len() > BODY_BYTES_MAX {
            return None;
        }
        let limits = Limits { bytes_max: BODY_BYTES_MAX, ..self.settings.limits() };
        let decoded =
            payload::decode(&source.packing, received.headers, received.body, &limits).ok()?;
        payload::parse(&decoded.text).ok()
    }

    fn pace_handshake(&self, call: &WebhookRequest<'_>) -> Result<(), Rejection> {
        let client = self.share(call.parts);
        let taken = self.handshakes.take(&call.source.name, client, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }

    pub(super) fn pace(&self, call: &WebhookRequest<'_>, pace: RateLimit) -> Result<(), Rejection> {
        let taken = self.paces.take(&call.source.name, pace, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }
}

impl HandshakeRule {
    fn is_for(&self, asker: Caller) -> bool {
        match asker {
            Caller::Authenticated => true,
            Caller::Anonymous => !self.signed,
        }
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

    fn asks<'a>(&'a self, body: Option<&'a Value>) -> HandshakeRequest<'a> {
        HandshakeRequest {
            method: &self.parts.method,
            query: self.parts.uri.query(),
            headers: self.received.headers,
            body,
            key: self.source.keys.iter().find(|key| key.in_force(self.received.now)),
        }
    }
}
