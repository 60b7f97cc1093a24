//! Which requests may pass: rate limits, handshakes, verification, and the first request that brings a secret.

use std::time::Instant;

use axum::http::Method;
use axum::http::request::Parts;
use secrecy::SecretString;
use serde_json::Value;
use tracing::{debug, info};

use super::handshake::{HandshakeResponse, HandshakeRule};
use super::payload::{self, PayloadLimits};
use super::rate_limit::{self, HINTS, Handshakes, RateLimit, RateLimiters};
use super::registry::Registry;
use super::request::{BufferedRequest, TargetSource, WebhookRequest};
use super::response::Rejection;
use super::setup::{self, PendingSetup};
use super::signature::{SignedRequest, VerifyError};
use super::signature_hint::{self, Diagnoses};
use crate::event::Headers;
use crate::telemetry::metrics::Webhooks;

/// Larger bodies are no handshakes.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// What a request needs in order to pass, and the counts that limit it.
#[derive(Debug)]
pub(super) struct Admission {
    public_url: Option<String>,
    limits: PayloadLimits,
    webhooks: Webhooks,
    rates: RateLimiters,
    handshakes: Handshakes,
    diagnoses: Diagnoses,
}

/// Who sent a request, as far as is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Authenticated,
    Anonymous,
}

impl Admission {
    /// `public_url` is where providers send to, which some of them sign; `webhooks` counts which secrets match.
    pub(super) fn new(
        public_url: Option<String>,
        limits: PayloadLimits,
        webhooks: Webhooks,
    ) -> Admission {
        Admission {
            public_url,
            limits,
            webhooks,
            rates: RateLimiters::default(),
            handshakes: Handshakes::default(),
            diagnoses: Diagnoses::default(),
        }
    }

    /// Returns how large the body may be, from what came before it: a request whose proof would have to be there
    /// already is refused now, so that it takes no room.
    pub(super) fn body_bytes_max(
        &self,
        target: &TargetSource,
        parts: &Parts,
        headers: &Headers,
    ) -> Result<usize, Rejection> {
        if let Some(setup) = &target.setup {
            setup.expects(parts.uri.query())?;
            return Ok(HANDSHAKE_BYTES_MAX);
        }
        if parts.method != Method::POST {
            return Ok(HANDSHAKE_BYTES_MAX);
        }
        let presented = SignedRequest {
            method: parts.method.as_str(),
            url: None,
            query: parts.uri.query(),
            headers,
            body: &[],
        };
        let source = &target.source;
        if !source.signature.scheme.is_missing_before_body(&presented) {
            return Ok(self.limits.bytes_max);
        }
        let is_greeted = |it: &HandshakeRule| it.method == Method::POST && !it.signed;
        if source.handshakes.iter().any(is_greeted) {
            return Ok(HANDSHAKE_BYTES_MAX);
        }
        Err(Rejection::Unauthenticated { unproven: VerifyError::Missing, hint: None })
    }

    /// Lets a webhook of the source pass, or returns what a handshake is answered. A source that waits for its
    /// secret becomes live in `sources`.
    pub(super) fn admit(
        &self,
        call: &WebhookRequest<'_>,
        setup: Option<&PendingSetup>,
        sources: &Registry,
    ) -> Result<Option<HandshakeResponse>, Rejection> {
        if call.parts.method != Method::POST {
            return self.answer_unauthenticated(call)?.ok_or(Rejection::PostRequired).map(Some);
        }
        if let Some(setup) = setup {
            return self.complete_setup(setup, call, sources).map(Some);
        }
        if let Err(unproven) = self.verify(call) {
            let rejection = Rejection::Unauthenticated { unproven, hint: None };
            return self.answer_unauthenticated(call)?.ok_or(rejection).map(Some);
        }
        if let Some(rate) = call.source.rate {
            self.check_rate(call, rate_limit::webhooks(rate))?;
        }
        Ok(self.greeting(call, Caller::Authenticated))
    }

    /// The rejection of a request that is not proven, with a hint at what is probably wrong; a flood of wrong
    /// signatures is not looked into.
    pub(super) async fn refuse(
        &self,
        arrived: BufferedRequest,
        unproven: VerifyError,
    ) -> Rejection {
        let url = self.signed_url(&arrived.parts);
        let hint = match unproven {
            VerifyError::Missing => signature_hint::missing(&arrived, url.as_deref()),
            _ if self.check_rate(&arrived.call(), HINTS).is_err() => None,
            VerifyError::UnreadableTime | VerifyError::OutsideTolerance => {
                signature_hint::time(&arrived, url.as_deref(), unproven)
            }
            VerifyError::Mismatch => self.diagnoses.run(arrived, url).await,
        };
        Rejection::Unauthenticated { unproven, hint }
    }

    /// Before this, nothing of the body is parsed, kept or logged.
    fn verify(&self, call: &WebhookRequest<'_>) -> Result<(), VerifyError> {
        let (source, url) = (call.source, self.signed_url(call.parts));
        let body = call.covered(self.limits.bytes_max).ok_or(VerifyError::Mismatch)?;
        let presented = SignedRequest { body: &body, ..call.presented(url.as_deref()) };
        let matched = source.signature.verify(&source.keys, &presented, call.received.now)?;
        if let Some(position) = matched {
            self.webhooks.matched(source.name.as_str(), position);
            debug!(source = %source.name, secret = position, "the signature is right");
        }
        Ok(())
    }

    /// The address as the provider knows it.
    fn signed_url(&self, parts: &Parts) -> Option<String> {
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        self.public_url.as_ref().map(|public_url| format!("{public_url}{address}"))
    }

    /// The answer to a handshake that nobody signed: at most one a second for a client.
    fn answer_unauthenticated(
        &self,
        call: &WebhookRequest<'_>,
    ) -> Result<Option<HandshakeResponse>, Rejection> {
        let Some(greeting) = self.greeting(call, Caller::Anonymous) else {
            return Ok(None);
        };
        self.check_handshake_rate(call)?;
        Ok(Some(greeting))
    }

    fn greeting(&self, call: &WebhookRequest<'_>, caller: Caller) -> Option<HandshakeResponse> {
        let is_allowed = |it: &HandshakeRule| match caller {
            Caller::Authenticated => true,
            Caller::Anonymous => !it.signed,
        };
        let fits = |it: &&HandshakeRule| it.method == call.parts.method && is_allowed(it);
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
    fn complete_setup(
        &self,
        setup: &PendingSetup,
        call: &WebhookRequest<'_>,
        sources: &Registry,
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
        self.check_handshake_rate(call)?;
        // This waits for the disk, once in a source's life.
        let live = setup.finish(&secret).map_err(Rejection::SecretNotSaved)?;
        info!(source = %live.name, "{} has its secret and is live", live.name);
        sources.go_live(&live);
        Ok(greeting)
    }

    /// The decoded body, where a handshake depends on it.
    fn body(&self, call: &WebhookRequest<'_>, handshakes: &[&HandshakeRule]) -> Option<Value> {
        let WebhookRequest { source, received, .. } = call;
        let is_read = handshakes.iter().any(|handshake| handshake.reads_body());
        if !is_read || received.body.len() > HANDSHAKE_BYTES_MAX {
            return None;
        }
        let limits = PayloadLimits { bytes_max: HANDSHAKE_BYTES_MAX, ..self.limits };
        let decoded =
            payload::decode(&source.body_config, received.headers, received.body, &limits).ok()?;
        payload::parse(&decoded.text).ok()
    }

    fn check_handshake_rate(&self, call: &WebhookRequest<'_>) -> Result<(), Rejection> {
        let taken = self.handshakes.take(&call.source.name, call.client, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }

    fn check_rate(&self, call: &WebhookRequest<'_>, limit: RateLimit) -> Result<(), Rejection> {
        let taken = self.rates.take(&call.source.name, limit, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }
}
