//! A request whose body is whole, and what may be said of it before that.

use std::sync::Arc;

use axum::http::Method;
use axum::http::request::Parts;
use jiff::Timestamp;

use super::admission::WebhookRequest;
use super::body::{Expected, ReceivedBody};
use super::events::{ExtractedEvents, ReceivedRequest};
use super::handshake::{HandshakeResponse, HandshakeRule};
use super::response::Rejection;
use super::setup::PendingSetup;
use super::signature::{SignedRequest, VerifyError};
use super::source::Source;
use super::{Intake, admission, payload};
use crate::event::Headers;

/// Up to here, verifying and decoding takes less time than handing the body to another thread and back.
const LIGHT_BYTES_MAX: usize = 16 * 1024;

/// Whom a request is for.
pub(super) struct Target {
    pub(super) source: Arc<Source>,
    /// Where the source waits for its secret.
    pub(super) setup: Option<Arc<PendingSetup>>,
}

/// All that came, in one piece that another thread can take.
pub(super) struct Arrived {
    pub(super) target: Target,
    pub(super) parts: Arc<Parts>,
    pub(super) headers: Headers,
    pub(super) body: ReceivedBody,
    pub(super) now: Timestamp,
}

/// What became of it.
pub(super) enum Judged {
    Greeted(HandshakeResponse),
    /// It is not proven to be the source's.
    Unproven(VerifyError),
    Unpacked(ExtractedEvents),
}

impl Arrived {
    pub(super) fn received(&self) -> ReceivedRequest<'_> {
        ReceivedRequest { headers: &self.headers, body: &self.body.bytes, now: self.now }
    }

    pub(super) fn call(&self) -> WebhookRequest<'_> {
        WebhookRequest {
            source: &self.target.source,
            parts: &self.parts,
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

impl Intake {
    /// Looks at what came before the body: a request whose proof would have to be there already is refused
    /// now, so that it takes no room.
    pub(super) fn expect(
        &self,
        target: &Target,
        parts: &Parts,
        headers: &Headers,
    ) -> Result<Expected, Rejection> {
        let client = self.share(parts);
        let little = Expected { bytes_max: admission::BODY_BYTES_MAX, client };
        if let Some(setup) = &target.setup {
            setup.expects(parts.uri.query())?;
            return Ok(little);
        }
        if parts.method != Method::POST {
            return Ok(little);
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
            return Ok(Expected { bytes_max: self.settings.body_bytes_max, client });
        }
        let is_greeted = |it: &HandshakeRule| it.method == Method::POST && !it.signed;
        if source.handshakes.iter().any(is_greeted) {
            return Ok(little);
        }
        Err(Rejection::Unauthenticated { unproven: VerifyError::Missing, hint: None })
    }
}
