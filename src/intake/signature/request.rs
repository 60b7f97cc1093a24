//! The request as signatures see it, and the errors of verification and signing.

use crate::event::Headers;

/// The parts of a request that may hold a credential or be signed.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'r> {
    pub method: &'r str,
    /// The URL as the provider knows it, with its query; none if `public_url` is not configured.
    pub url: Option<&'r str>,
    pub query: Option<&'r str>,
    pub headers: &'r Headers,
    pub body: &'r [u8],
}

/// Why verification failed, without what was expected. Ordered: later variants are closer to success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum VerifyError {
    #[error("the signature is missing")]
    Missing,
    #[error("the signature is wrong")]
    Mismatch,
    #[error("the signature is right, but its time is missing or cannot be read")]
    UnreadableTime,
    #[error("the signature is outside its time window")]
    OutsideTolerance,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SignError {
    #[error("the header {0} is signed and not given")]
    NoHeader(String),
    #[error("the URL is signed and not known")]
    NoUrl,
    #[error("the parameter {0} is signed and not given")]
    NoParameter(String),
    #[error("the body has no room for what is signed")]
    NoField,
    #[error("the key is not of the kind that signs here")]
    WrongKey,
}

/// The parts that `sign` adds to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedParts {
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    /// The changed body, if a part belongs into it.
    pub body: Option<Vec<u8>>,
}

impl SignedParts {
    /// Appends the parts of another signature.
    #[must_use]
    pub fn and(mut self, other: SignedParts) -> SignedParts {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.body = other.body.or(self.body);
        self
    }
}

/// Returns the result of the first value that verifies, otherwise the error that is closest to success.
pub(super) fn any_of(
    values: &[String],
    mut verify: impl FnMut(&str) -> Result<usize, VerifyError>,
) -> Result<usize, VerifyError> {
    let mut nearest = VerifyError::Missing;
    for value in values {
        match verify(value) {
            Ok(position) => return Ok(position),
            Err(error) => nearest = nearest.max(error),
        }
    }
    Err(nearest)
}
