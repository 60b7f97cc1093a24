//! Errors of decoding a body.

use super::limits::EVENTS_MAX;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    #[error("the content type is {0}; send JSON or a form")]
    ContentType(String),
    #[error("the content encoding is {0}; send the body as it is, or gzip")]
    Encoding(String),
    #[error("{0}")]
    Malformed(String),
    /// The reason may quote names of the document.
    #[error("not XML: {reason} at byte {at}")]
    NotXml { reason: String, at: u64 },
    #[error("the body is larger than {0} bytes once it is decompressed")]
    TooLarge(usize),
    #[error("its values take {} MiB of memory once they are parsed, at most {}", .0 >> 20, .1 >> 20)]
    TooHeavy(usize, usize),
    #[error("not enough memory to parse it now")]
    NoMemory,
    #[error("{0} events in one request, at most {EVENTS_MAX}")]
    TooManyEvents(usize),
}

impl DecodeError {
    /// Returns the error without what it quotes of the request.
    pub(in crate::intake) fn unquoted(&self) -> String {
        match self {
            DecodeError::ContentType(_) => {
                "the content type is not supported; send JSON or a form".to_owned()
            }
            DecodeError::Encoding(_) => {
                "the content encoding is not supported; send the body as it is, or gzip".to_owned()
            }
            DecodeError::NotXml { at, .. } => format!("not XML at byte {at}"),
            DecodeError::Malformed(_)
            | DecodeError::TooLarge(_)
            | DecodeError::TooHeavy(..)
            | DecodeError::NoMemory
            | DecodeError::TooManyEvents(_) => self.to_string(),
        }
    }
}

pub(super) fn malformed(reason: impl Into<String>) -> DecodeError {
    DecodeError::Malformed(reason.into())
}

pub(super) fn not_json(error: &serde_json::Error) -> DecodeError {
    malformed(format!("not JSON: {error}"))
}
