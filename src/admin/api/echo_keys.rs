//! Keys for echoes, by which `doctor` tests the public address.

use std::sync::Arc;
use std::time::Instant;

use axum::extract::State;
use axum::response::Json;
use secrecy::ExposeSecret;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::state::AdminState;
use crate::intake::echo::{REQUESTS_MAX, VALID_FOR};
use crate::store::AuditAction;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = EchoKey)]
pub(crate) struct EchoKeyView {
    /// The key: `POST /hooks/~NUMBERMAC`, with the number and the HMAC-SHA256 of `request`, a NUL
    /// character and the byte of the number, both in hex, is answered with what arrived.
    key: String,
    expires_in_seconds: u64,
    /// Numbers begin with 0, and each is good for one request.
    requests_max: u8,
    /// Largest body that the relay accepts.
    body_bytes_max: usize,
}

/// Issue a key with which the webhook listener tells what arrives of a request, for tests of proxies
#[utoipa::path(post, path = "/api/v1/echo-keys",
    responses((status = 200, description = "A key that is good for a few minutes", body = EchoKeyView)))]
pub(crate) async fn issue(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
) -> Json<EchoKeyView> {
    let key = admin.intake.echoes.issue(Instant::now());
    admin.record(caller.did(AuditAction::IssueEchoKey)).await;
    Json(EchoKeyView {
        key: key.text().expose_secret().to_owned(),
        expires_in_seconds: VALID_FOR.as_secs(),
        requests_max: REQUESTS_MAX,
        body_bytes_max: admin.intake.limits().bytes_max,
    })
}
