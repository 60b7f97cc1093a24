//! What came of a request before anything was stored.

use tokio::sync::SemaphorePermit;

use super::events::ExtractedEvents;
use super::handshake::HandshakeResponse;
use super::request::BufferedRequest;
use super::response::Acknowledgement;
use super::signature::VerifyError;
use crate::store::Verified;

/// The result for a request whose body has arrived.
pub(super) enum RequestOutcome {
    Handshake(HandshakeResponse),
    Unauthenticated(VerifyError),
    Events(ExtractedEvents, Verified),
}

/// What came of a request before anything was stored.
#[expect(
    clippy::large_enum_variant,
    reason = "one is moved once for each request; a box would cost an allocation"
)]
pub(super) enum AdmittedRequest<'i> {
    /// It carries nothing to store.
    Answered(Acknowledgement),
    Webhook(AdmittedWebhook<'i>),
}

/// A verified webhook with its events.
pub(super) struct AdmittedWebhook<'i> {
    pub(super) arrived: BufferedRequest,
    pub(super) extracted: ExtractedEvents,
    pub(super) verified: Verified,
    /// Held until it is stored.
    pub(super) _permit: SemaphorePermit<'i>,
}
