//! Admission of requests: rate limits, handshakes, verification, and the first request, which brings a secret.

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
use crate::store::{MatchedSecret, Verified};
use crate::telemetry::metrics::Webhooks;

/// Size of a body that may be a handshake. What is not signed is parsed up to this size only.
const HANDSHAKE_BYTES_MAX: usize = 64 * 1024;

/// Decides which requests are admitted, and keeps the rates that limit them.
#[derive(Debug)]
pub(super) struct Admission {
    public_url: Option<String>,
    limits: PayloadLimits,
    webhooks: Webhooks,
    rates: RateLimiters,
    handshakes: Handshakes,
    diagnoses: Diagnoses,
}

/// What verification found out about the sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Caller {
    Authenticated,
    Anonymous,
}

/// A request that is not refused.
#[derive(Debug)]
pub(super) enum Admitted {
    Webhook { verified: Verified },
    Handshake(HandshakeResponse),
}

/// Describes what authenticated a webhook.
fn verified(webhook: &WebhookRequest<'_>, matched: Option<usize>) -> Verified {
    let source = webhook.source;
    let location = |position| source.secret_locations.get(position).cloned();
    let secret = matched.map(|position| MatchedSecret { position, location: location(position) });
    let headers = source.signature.presented_in(webhook.received.headers);
    Verified { scheme: source.signature.scheme_name().to_owned(), header: headers, secret }
}

impl Admission {
    /// Creates an admission. `public_url` is the base of the URLs that some providers sign; `webhooks` counts
    /// which secrets match.
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

    /// Returns how large the body may be, or refuses the request by its headers and query alone.
    pub(super) fn body_bytes_max(
        &self,
        target: &TargetSource,
        parts: &Parts,
        headers: &Headers,
    ) -> Result<usize, Rejection> {
        if target.setup.is_some() || parts.method != Method::POST {
            return Ok(HANDSHAKE_BYTES_MAX);
        }
        let request = SignedRequest {
            method: parts.method.as_str(),
            // Only looks for the signature, so neither the URL nor the body is needed.
            url: None,
            query: parts.uri.query(),
            headers,
            body: &[],
        };
        let source = &target.source;
        if !source.signature.scheme.is_missing_before_body(&request) {
            return Ok(self.limits.bytes_max);
        }
        let is_unsigned = |it: &HandshakeRule| it.method == Method::POST && !it.signed;
        // Whether it is one of these handshakes is seen in its body, which therefore has to be
        // read.
        if source.handshakes.iter().any(is_unsigned) {
            return Ok(HANDSHAKE_BYTES_MAX);
        }
        Err(Rejection::Unauthenticated { error: VerifyError::Missing, hint: None })
    }

    /// Admits a webhook, or returns the response to a handshake. A source that waits for its secret becomes live
    /// in `sources`.
    pub(super) fn admit(
        &self,
        webhook: &WebhookRequest<'_>,
        setup: Option<&PendingSetup>,
        sources: &Registry,
    ) -> Result<Admitted, Rejection> {
        if webhook.parts.method != Method::POST {
            let response = self.answer_unauthenticated(webhook)?.ok_or(Rejection::PostRequired);
            return response.map(Admitted::Handshake);
        }
        if let Some(setup) = setup {
            return self.complete_setup(setup, webhook, sources).map(Admitted::Handshake);
        }
        let matched = match self.verify(webhook) {
            Ok(matched) => matched,
            Err(error) => {
                let rejection = Rejection::Unauthenticated { error, hint: None };
                let response = self.answer_unauthenticated(webhook)?.ok_or(rejection);
                return response.map(Admitted::Handshake);
            }
        };
        // Only after verification: otherwise anybody could use up the rate of a source.
        if let Some(rate) = webhook.source.rate {
            self.check_rate(webhook, rate_limit::webhooks(rate))?;
        }
        Ok(match self.handshake_response(webhook, Caller::Authenticated) {
            Some(response) => Admitted::Handshake(response),
            None => Admitted::Webhook { verified: verified(webhook, matched) },
        })
    }

    /// Returns the rejection of an unauthenticated request, with a hint at the probable cause. In a flood, two
    /// wrong signatures a second are diagnosed for each source.
    pub(super) async fn refuse(&self, arrived: BufferedRequest, error: VerifyError) -> Rejection {
        let url = self.signed_url(&arrived.parts);
        let hint = match error {
            // Before the rate is checked: it needs no cryptography, and requests without a
            // signature must not use up the diagnoses of wrong ones.
            VerifyError::Missing => signature_hint::missing(&arrived, url.as_deref()),
            _ if self.check_rate(&arrived.as_webhook(), HINTS).is_err() => None,
            VerifyError::UnreadableTime | VerifyError::OutsideTolerance => {
                self.diagnoses.time(arrived, url, error).await
            }
            VerifyError::Mismatch => self.diagnoses.mismatch(arrived, url).await,
        };
        Rejection::Unauthenticated { error, hint }
    }

    /// Verifies the request, and returns the position of the secret that matched. Nothing of the body is stored or
    /// logged before, and no payload parsed.
    fn verify(&self, webhook: &WebhookRequest<'_>) -> Result<Option<usize>, VerifyError> {
        let (source, url) = (webhook.source, self.signed_url(webhook.parts));
        // No separate error for a body that cannot be decompressed: the sender is not known yet.
        let body = webhook.covered(self.limits.bytes_max).ok_or(VerifyError::Mismatch)?;
        let request = SignedRequest { body: &body, ..webhook.signed_request(url.as_deref()) };
        let matched = source.signature.verify(&source.keys, &request, webhook.received.now)?;
        if let Some(position) = matched {
            let now = webhook.received.now;
            self.webhooks.matched(source.name.as_str(), position, now);
            debug!(source = %source.name, secret = position, "the signature is right");
        }
        Ok(matched)
    }

    /// Returns the URL as the provider knows it.
    fn signed_url(&self, parts: &Parts) -> Option<String> {
        // Path and query as they were sent: decoding and encoding again would not give the same
        // bytes.
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        self.public_url.as_ref().map(|public_url| format!("{public_url}{address}"))
    }

    /// Returns the response to an unsigned handshake: at most one a second for a client.
    fn answer_unauthenticated(
        &self,
        webhook: &WebhookRequest<'_>,
    ) -> Result<Option<HandshakeResponse>, Rejection> {
        let Some(handshake_response) = self.handshake_response(webhook, Caller::Anonymous) else {
            return Ok(None);
        };
        // Only for real handshakes: other requests of a client must not block its handshake.
        self.check_handshake_rate(webhook)?;
        Ok(Some(handshake_response))
    }

    fn handshake_response(
        &self,
        webhook: &WebhookRequest<'_>,
        caller: Caller,
    ) -> Option<HandshakeResponse> {
        let is_allowed = |it: &HandshakeRule| match caller {
            Caller::Authenticated => true,
            Caller::Anonymous => !it.signed,
        };
        let fits = |it: &&HandshakeRule| it.method == webhook.parts.method && is_allowed(it);
        let source = webhook.source;
        let handshakes: Vec<&HandshakeRule> = source.handshakes.iter().filter(fits).collect();
        let body = self.body(webhook, &handshakes);
        let request = webhook.handshake_request(body.as_ref());
        handshakes.into_iter().find_map(|handshake| {
            if handshake.carries_secret() {
                // The provider did not get the first response and repeats the request. Another
                // secret is refused: anybody could replace the secret by it.
                let secret = handshake.secret(&request)?;
                source.keys.iter().find(|key| key.matches(secret.as_bytes()))?;
            }
            handshake.respond(&request)
        })
    }

    /// Saves the secret that the source waits for, and makes the source live. The request has the one-time code:
    /// otherwise its `TargetSource` has no setup.
    fn complete_setup(
        &self,
        setup: &PendingSetup,
        webhook: &WebhookRequest<'_>,
        sources: &Registry,
    ) -> Result<HandshakeResponse, Rejection> {
        let bringing =
            |it: &&HandshakeRule| it.method == webhook.parts.method && it.carries_secret();
        let handshakes: Vec<&HandshakeRule> =
            webhook.source.handshakes.iter().filter(bringing).collect();
        let body = self.body(webhook, &handshakes);
        let request = webhook.handshake_request(body.as_ref());
        let found = handshakes.into_iter().find_map(|handshake| {
            let secret = handshake.secret(&request).map(SecretString::from)?;
            Some((secret, handshake.respond(&request)?))
        });
        let (secret, handshake_response) = found.ok_or_else(setup::awaiting_secret)?;
        self.check_handshake_rate(webhook)?;
        // Saved before the response is sent: after a 200 the provider does not send its secret
        // again. It blocks on the disk; `is_light` sends such requests to a blocking thread.
        let live = setup.save_secret(&secret).map_err(Rejection::SecretNotSaved)?;
        info!(source = %live.name, "{} has its secret and is live", live.name);
        sources.go_live(&live);
        Ok(handshake_response)
    }

    /// Decodes the body, if a handshake depends on it.
    fn body(&self, webhook: &WebhookRequest<'_>, handshakes: &[&HandshakeRule]) -> Option<Value> {
        let WebhookRequest { source, received, .. } = webhook;
        let is_read = handshakes.iter().any(|handshake| handshake.reads_body());
        if !is_read || received.body.len() > HANDSHAKE_BYTES_MAX {
            return None;
        }
        // Also for what it is decompressed to: the sender is not known.
        let limits = PayloadLimits { bytes_max: HANDSHAKE_BYTES_MAX, ..self.limits };
        let decoded =
            payload::decode(&source.body_config, received.headers, received.body, &limits).ok()?;
        payload::parse(&decoded.text).ok()
    }

    fn check_handshake_rate(&self, webhook: &WebhookRequest<'_>) -> Result<(), Rejection> {
        let taken = self.handshakes.take(&webhook.source.name, webhook.client, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }

    fn check_rate(&self, webhook: &WebhookRequest<'_>, limit: RateLimit) -> Result<(), Rejection> {
        let taken = self.rates.take(&webhook.source.name, limit, Instant::now());
        taken.map_err(|wait| Rejection::RateLimited { wait })
    }
}
