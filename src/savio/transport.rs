//! Raw responses of the API, read within bounds, and failures to get one.

use reqwest::Response;

/// A response, as far as it was read.
#[derive(Debug)]
pub(super) struct RawResponse {
    pub(super) status: u16,
    pub(super) retry_after: Option<String>,
    pub(super) content_type: String,
    pub(super) bytes: Vec<u8>,
    pub(super) end: ReadEnd,
}

/// End of reading a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadEnd {
    Whole,
    /// The connection ended, or the time was up, before the end of the body.
    BrokenOff,
    /// The body is longer than the limit.
    TooLong,
}

/// Reason why there is no response.
#[derive(Debug)]
pub(super) enum SendError {
    /// The token would have been sent unencrypted to an address that is not private.
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
        self.content_type.contains("html") || begins_as_html(&self.bytes)
    }
}

// Error pages of proxies are often declared as text, or not at all.
pub(super) fn begins_as_html(bytes: &[u8]) -> bool {
    let begins = bytes.trim_ascii_start().to_ascii_lowercase();
    begins.starts_with(b"<!doctype html") || begins.starts_with(b"<html")
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

/// Length above which a header is ignored.
pub(super) const HEADER_BYTES_MAX: usize = 256;

/// Joins all lines of a header by commas (RFC 9110, section 5.3).
pub(super) fn all_of(response: &Response, name: &http::HeaderName) -> Option<String> {
    const LINES_MAX: usize = 8;
    let lines = response.headers().get_all(name).iter().take(LINES_MAX);
    let lines: Vec<&str> = lines.filter_map(|line| line.to_str().ok()).collect();
    let line = lines.join(", ");
    (!line.is_empty() && line.len() <= HEADER_BYTES_MAX).then_some(line)
}

pub(super) fn header(response: &Response, name: &http::HeaderName) -> Option<String> {
    let value = response.headers().get(name)?.to_str().ok()?;
    (value.len() <= HEADER_BYTES_MAX).then(|| value.to_owned())
}
