//! One call of the API: what was asked, what came back, and what of it is an error.

use reqwest::{RequestBuilder, Response};
use serde::de::DeserializeOwned;

use super::error::{Error, ErrorDetails};
use super::send_result::wait_asked;
use super::{Client, all_of, header};
use crate::{clock, json};

/// An answer as it came, as far as it was read.
#[derive(Debug)]
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
    pub(super) end: ReadEnd,
}

/// How the reading of an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Whole,
    /// The connection ended, or the time did, before the body.
    BrokenOff,
    /// It is longer than anybody wants to read.
    TooLong,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum SendError {
    /// The token would have gone in clear to an address that is not private.
    Withheld(String),
    /// No connection was made.
    NotSent(String),
    NoReply(String),
}

impl RawResponse {
    pub(super) async fn read(mut response: Response, bytes_max: usize) -> RawResponse {
        let status = response.status().as_u16();
        let retry_after = all_of(&response, &http::header::RETRY_AFTER);
        let content_type =
            header(&response, &http::header::CONTENT_TYPE).unwrap_or_default().to_ascii_lowercase();
        let (bytes, end) = read_bounded(&mut response, bytes_max).await;
        RawResponse { status, retry_after, content_type, bytes, end }
    }

    pub(super) fn is_whole(&self) -> bool {
        self.end == ReadEnd::Whole
    }

    pub(super) fn is_html(&self) -> bool {
        let begins = self.bytes.trim_ascii_start().to_ascii_lowercase();
        self.content_type.contains("html")
            || begins.starts_with(b"<!doctype html")
            || begins.starts_with(b"<html")
    }
}

async fn read_bounded(response: &mut Response, bytes_max: usize) -> (Vec<u8>, ReadEnd) {
    let mut bytes = Vec::new();
    loop {
        match response.chunk().await {
            Ok(Some(chunk)) if bytes.len() + chunk.len() > bytes_max => {
                bytes.extend_from_slice(&chunk[..bytes_max - bytes.len()]);
                return (bytes, ReadEnd::TooLong);
            }
            Ok(Some(chunk)) => bytes.extend_from_slice(&chunk),
            Ok(None) => return (bytes, ReadEnd::Whole),
            Err(_) => return (bytes, ReadEnd::BrokenOff),
        }
    }
}

impl Client {
    /// The 2xx answer to a call; all else is an error.
    pub(super) async fn ask(
        &self,
        call: RequestBuilder,
        bytes_max: usize,
    ) -> Result<RawResponse, Error> {
        let raw = self.call(call, bytes_max).await.map_err(|no_answer| match no_answer {
            SendError::Withheld(reason) => Error::Insecure { reason },
            SendError::NotSent(reason) => Error::Unreachable { reason },
            SendError::NoReply(reason) => Error::NoResponse { reason },
        })?;
        match raw.status {
            200..=299 => Ok(raw),
            401 => Err(Error::Unauthorized { said: self.refusal(&raw).to_string() }),
            404 => Err(Error::NotFound { said: self.refusal(&raw).to_string() }),
            408 | 425 | 429 | 500.. => Err(self.later(&raw)),
            400..=499 => Err(Error::Refused { status: raw.status, refusal: self.refusal(&raw) }),
            status => Err(Error::UnexpectedResponse {
                status,
                reason: "an answer of this kind is none of savio's: is the base URL right?".into(),
            }),
        }
    }

    pub(super) fn parse<T: DeserializeOwned>(&self, raw: &RawResponse) -> Result<T, Error> {
        let status = raw.status;
        let failed = |reason: String| Error::UnexpectedResponse { status, reason };
        match raw.end {
            ReadEnd::TooLong => {
                return Err(failed(format!("it is longer than {} bytes", raw.bytes.len())));
            }
            ReadEnd::BrokenOff => return Err(failed("it broke off before its end".to_owned())),
            ReadEnd::Whole if raw.bytes.trim_ascii().is_empty() => {
                return Err(failed("it is empty".to_owned()));
            }
            ReadEnd::Whole if raw.is_html() => {
                let reason = "it is an HTML page: is the base URL right?";
                return Err(failed(reason.to_owned()));
            }
            ReadEnd::Whole => {}
        }
        json::from_slice(&raw.bytes).map_err(|error| {
            let kind = if error.is_data() { "it is not as documented" } else { "it is no JSON" };
            failed(self.presentable(&format!("{kind}: {error}")))
        })
    }

    fn later(&self, raw: &RawResponse) -> Error {
        let wait = raw.retry_after.as_deref().and_then(|text| wait_asked(text, clock::now()));
        if raw.status == 429 {
            return Error::Throttled { retry_after: wait };
        }
        Error::ServerError {
            status: raw.status,
            retry_after: wait,
            said: self.refusal(raw).to_string(),
        }
    }

    fn refusal(&self, raw: &RawResponse) -> ErrorDetails {
        if raw.is_html() {
            return ErrorDetails::text("an HTML page");
        }
        ErrorDetails::read(&self.presentable(&String::from_utf8_lossy(&raw.bytes)))
    }
}
