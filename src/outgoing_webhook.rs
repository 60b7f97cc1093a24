//! Webhooks as a provider sends them: a payload, signed with the secret of its source.

use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use reqwest::Url;
use uuid::Uuid;

use crate::event::Headers;
use crate::intake::signature::{
    Key, SignError, SignedParts, SignedRequest, SigningKey, with_parameters,
};
use crate::intake::source::Source;
use crate::mapping_file::file::SamplePayload;

/// Largest decompressed payload, for providers that sign the body as it was before compression.
const COVERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// A webhook as its provider would send it.
pub(crate) struct OutgoingWebhook<'w> {
    pub(crate) source: &'w Source,
    pub(crate) sample: &'w SamplePayload,
    /// The URL as the provider knows it.
    pub(crate) signed_url: Option<&'w str>,
    /// None if the source needs no secret.
    pub(crate) key: Option<&'w SigningKey>,
}

/// A webhook with its signature.
pub(crate) struct PreparedWebhook {
    pub(crate) url: String,
    pub(crate) headers: Headers,
    pub(crate) body: Vec<u8>,
}

#[derive(Debug, thiserror::Error)]
pub(crate) enum PrepareError {
    #[error("{url}: {reason}")]
    Url { url: String, reason: String },
    #[error("the payload cannot be decompressed")]
    Compressed,
    #[error("it cannot be signed: {0}")]
    Unsignable(SignError),
}

/// The provider signs with a private key, of which a source has only the public one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PrivateKeyMissing;

/// Returns the key of the source's secrets with which its provider signs; none if it needs no secret.
pub(crate) fn signing_key(
    source: &Source,
    now: Timestamp,
) -> Result<Option<SigningKey>, PrivateKeyMissing> {
    if !source.signature.needs_secret() {
        return Ok(None);
    }
    let key = source.keys.iter().find(|key| key.is_valid_at(now));
    key.and_then(Key::signing_key).map(Some).ok_or(PrivateKeyMissing)
}

impl OutgoingWebhook<'_> {
    /// Signs the webhook for this URL.
    pub(crate) fn prepare(
        &self,
        url: &str,
        now: Timestamp,
    ) -> Result<PreparedWebhook, PrepareError> {
        let mut url = Url::parse(url).map_err(|error| PrepareError::Url {
            url: url.to_owned(),
            reason: error.to_string(),
        })?;
        // A fragment is never sent, and must not be signed either.
        url.set_fragment(None);
        let signed = self.sign(&url, now)?;
        let mut headers: Headers = self.sample.headers.clone();
        headers.entry(CONTENT_TYPE.to_string()).or_insert("application/json".to_owned());
        headers.extend(signed.headers);
        let body = signed.body.unwrap_or_else(|| self.sample.body.clone());
        Ok(PreparedWebhook { url: with_parameters(url.as_str(), &signed.query), headers, body })
    }

    /// Returns what the signature adds to the request. Signed headers and parameters that are
    /// missing get a random value.
    fn sign(&self, url: &Url, now: Timestamp) -> Result<SignedParts, PrepareError> {
        let Some(key) = self.key else { return Ok(SignedParts::default()) };
        let signature = &self.source.signature;
        let sample = self.sample;
        let body = signature.covered(&sample.headers, &sample.body, COVERED_BYTES_MAX);
        let body = body.ok_or(PrepareError::Compressed)?;
        let mut headers = sample.headers.clone();
        headers.entry(CONTENT_TYPE.to_string()).or_insert("application/json".to_owned());
        let mut generated = SignedParts::default();
        // Each turn adds one that the signature lacks: only the attempt to sign shows which.
        loop {
            let url = with_parameters(&self.provider_url(url), &generated.query);
            let request = SignedRequest {
                method: "POST",
                url: Some(&url),
                query: url.split_once('?').map(|(_, query)| query),
                headers: &headers,
                body: &body,
            };
            match signature.sign(key, &request, now) {
                Ok(signed) => return Ok(generated.and(signed)),
                Err(SignError::NoHeader(name)) if !headers.contains_key(&name) => {
                    let nonce = Uuid::new_v4().to_string();
                    headers.insert(name.clone(), nonce.clone());
                    generated.headers.push((name, nonce));
                }
                Err(SignError::NoParameter(name)) => {
                    generated.query.push((name, Uuid::new_v4().to_string()));
                }
                Err(error) => return Err(PrepareError::Unsignable(error)),
            }
        }
    }

    /// Returns the URL as the provider knows it, with the query that is sent.
    fn provider_url(&self, url: &Url) -> String {
        match (self.signed_url, url.query()) {
            (None, _) => url.to_string(),
            (Some(known), None) => known.to_owned(),
            (Some(known), Some(query)) => format!("{known}?{query}"),
        }
    }
}
