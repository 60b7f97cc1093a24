//! What arrived of a request, as the answer of an echo says it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use axum::http::request::Parts;
use data_encoding::{BASE64, HEXLOWER};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::event::Headers;
use crate::intake::client_ip::Peer;
use crate::intake::headers;

/// Length up to which the body itself is returned. Longer ones are told by their digest.
const BODY_BYTES_MAX: usize = 4096;

/// Headers whose values are returned, because they say what proxies are on the way.
// Of all others only digests: a proxy may add a secret, by which a server tells that a request came through it.
const SHOWN: [&str; 9] = [
    "content-encoding",
    "content-length",
    "forwarded",
    "host",
    "transfer-encoding",
    "via",
    "x-forwarded-for",
    "x-forwarded-proto",
    "x-real-ip",
];

/// What arrived of a request.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct EchoReport {
    /// Path and query.
    pub target: String,
    /// Such as `HTTP/1.1`.
    pub http_version: String,
    pub body_bytes: usize,
    /// SHA-256 in hex.
    pub body_digest: String,
    /// In base64; none for a long one.
    pub body: Option<String>,
    /// Values of some headers.
    pub headers: Headers,
    /// SHA-256, in hex, of the value of each header, see [`EchoReport::digest`].
    pub header_digests: BTreeMap<String, String>,
    /// Whoever opened the connection to the relay: the sender, or the last proxy.
    pub peer: Option<IpAddr>,
    pub is_peer_trusted: bool,
    /// The sender, as limits and the log have it.
    pub client: Option<IpAddr>,
}

impl EchoReport {
    pub(super) fn of(parts: &Parts, peer: Option<Peer>, body: &[u8]) -> EchoReport {
        let headers = headers::collect(&parts.headers);
        let digests = headers
            .iter()
            .map(|(name, value)| (name.clone(), EchoReport::digest(value.as_bytes())));
        EchoReport {
            target: parts.uri.path_and_query().map(ToString::to_string).unwrap_or_default(),
            http_version: format!("{:?}", parts.version),
            body_bytes: body.len(),
            body_digest: EchoReport::digest(body),
            body: (body.len() <= BODY_BYTES_MAX).then(|| BASE64.encode(body)),
            header_digests: digests.collect(),
            headers: headers
                .into_iter()
                .filter(|(name, _)| SHOWN.contains(&name.as_str()))
                .collect(),
            peer: peer.map(|it| it.address),
            is_peer_trusted: peer.is_some_and(|it| it.is_trusted),
            client: peer.map(|it| it.client),
        }
    }

    /// Returns the SHA-256 in hex, as the report has it.
    pub fn digest(bytes: &[u8]) -> String {
        HEXLOWER.encode(&Sha256::digest(bytes))
    }
}
