//! Comparison of secrets with those that the running relay uses, for `doctor`.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::secret::SecretComparison;

/// Number of fingerprints that are compared in one request.
// More than a relay has secrets, and too few to try guesses by the thousand.
const SECRETS_MAX: usize = 500;

/// Shortest nonce: 128 bits in hex.
const NONCE_LENGTH_MIN: usize = 32;

/// Fingerprints of secrets: HMAC-SHA256 in hex, with the nonce as its key, of the purpose, a NUL
/// character and the secret.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CompareBody {
    /// Random text of at least 32 characters, another one for each request.
    #[schema(min_length = 32)]
    nonce: String,
    #[schema(max_items = 500)]
    secrets: Vec<SecretFingerprint>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct SecretFingerprint {
    /// As in `destination default`, `admin.token`, `admin token NAME`, `source typeform`.
    purpose: String,
    fingerprint: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedSecrets {
    /// In the order of the request.
    secrets: Vec<ComparedSecret>,
    /// Secrets, and certificates such as `server.tls`, whose files cannot be used now, so that what
    /// was read before counts.
    kept: Vec<KeptSecretView>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ComparedSecret {
    purpose: String,
    state: SecretState,
}

#[derive(Debug, Clone, Copy, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum SecretState {
    /// The relay uses this value.
    Same,
    /// The relay uses another value.
    Different,
    /// The relay has no secret for this purpose.
    Unused,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct KeptSecretView {
    purpose: String,
    /// The file, as the configuration names it.
    from: String,
    reason: String,
}

/// Tell whether the relay uses the same secrets as another process finds, by fingerprints
#[utoipa::path(post, path = "/api/v1/secrets/compare", request_body = CompareBody,
    responses((status = 200, description = "Whether each is the same", body = ComparedSecrets)))]
pub(crate) async fn compare(
    State(admin): State<Arc<AdminState>>,
    JsonBody(body): JsonBody<CompareBody>,
) -> Result<Json<ComparedSecrets>, ApiError> {
    let CompareBody { nonce, secrets } = body;
    if nonce.len() < NONCE_LENGTH_MIN || secrets.len() > SECRETS_MAX {
        let reason = format!(
            "the nonce has at least {NONCE_LENGTH_MIN} characters, and there are at most \
             {SECRETS_MAX} secrets"
        );
        return Err(ApiError::BadRequest(reason));
    }
    let compared = secrets.into_iter().map(|SecretFingerprint { purpose, fingerprint }| {
        let state = match admin.secrets.compare(&purpose, nonce.as_bytes(), &fingerprint) {
            SecretComparison::Same => SecretState::Same,
            SecretComparison::Different => SecretState::Different,
            SecretComparison::Unused => SecretState::Unused,
        };
        ComparedSecret { purpose, state }
    });
    let kept = admin.secrets.kept().into_iter().map(|kept| KeptSecretView {
        purpose: kept.purpose,
        from: kept.reference,
        reason: kept.reason,
    });
    Ok(Json(ComparedSecrets { secrets: compared.collect(), kept: kept.collect() }))
}
