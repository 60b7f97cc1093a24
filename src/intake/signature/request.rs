//! What a proof lies in or covers, and how verifying and signing fail.

use crate::event::Headers;

/// What of a request a proof may lie in or cover.
#[derive(Debug, Clone, Copy)]
pub struct SignedRequest<'r> {
    pub method: &'r str,
    /// The address as the provider knows it, with its query; none if it is not configured.
    pub url: Option<&'r str>,
    pub query: Option<&'r str>,
    pub headers: &'r Headers,
    pub body: &'r [u8],
}

/// Says nothing of what was expected. In order: the later ones are nearer to a proof.
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

/// What `sign` adds to a request.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct SignedParts {
    pub headers: Vec<(String, String)>,
    pub query: Vec<(String, String)>,
    /// The body with what was put into it, where that is where it has to be.
    pub body: Option<Vec<u8>>,
}

impl SignedParts {
    /// With what another one adds behind it.
    #[must_use]
    pub fn and(mut self, other: SignedParts) -> SignedParts {
        self.headers.extend(other.headers);
        self.query.extend(other.query);
        self.body = other.body.or(self.body);
        self
    }
}

/// The first of these that is right; else what comes nearest to it.
pub(super) fn any_of(
    given: &[String],
    mut verify: impl FnMut(&str) -> Result<usize, VerifyError>,
) -> Result<usize, VerifyError> {
    let mut nearest = VerifyError::Missing;
    for one in given {
        match verify(one) {
            Ok(position) => return Ok(position),
            Err(unproven) => nearest = nearest.max(unproven),
        }
    }
    Err(nearest)
}
