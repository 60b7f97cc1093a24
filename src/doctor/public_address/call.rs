//! HTTP calls of the public address as a provider makes them: without following redirects, each on a connection
//! of its own.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use http::HeaderMap;
use hyper::body::{Bytes, Frame};
use reqwest::redirect::Policy;
use reqwest::{Body, Client, RequestBuilder, Url};

use super::test_request::TestRequest;
use crate::http_client::{CallFailure, USER_AGENT, is_loopback};

/// Longest time for an answer, about that of most providers.
const TIME_MAX: Duration = Duration::from_secs(10);

/// Bytes that are read of an answer. A page of a proxy is told by its beginning.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Bytes of one chunk where a body is sent without its length.
const CHUNK_BYTES: usize = 64;

pub(super) struct PublicClient {
    http: Client,
    /// Without a final slash.
    pub(super) base: String,
}

/// Whether a certificate that is not trusted is accepted.
// Only after it was reported, to find what else is wrong. What is sent is of no use to others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Trust {
    Required,
    Waived,
}

/// An answer, whoever gave it.
#[derive(Debug, Clone, Default)]
pub(super) struct Answer {
    pub(super) status: u16,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl Answer {
    /// Returns a header; an empty text if it is absent or not text.
    pub(super) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|it| it.to_str().ok()).unwrap_or_default()
    }
}

impl PublicClient {
    /// Fails if this machine has no certificates of authorities.
    pub(super) fn new(base: &str, trust: Trust) -> Result<PublicClient, reqwest::Error> {
        // It fails only if a provider is installed already, which will do as well.
        drop(rustls::crypto::ring::default_provider().install_default());
        let mut client = Client::builder()
            .user_agent(format!("{USER_AGENT} (doctor)"))
            // Providers follow none, or lose the body on the way.
            .redirect(Policy::none())
            // A connection that was closed meanwhile would be a fault of this test.
            .pool_max_idle_per_host(0)
            .timeout(TIME_MAX)
            .tls_danger_accept_invalid_certs(trust == Trust::Waived);
        if !base.starts_with("https:") {
            client = client.tls_certs_only([]);
        }
        if base.parse().is_ok_and(|url| is_loopback(&url)) {
            client = client.no_proxy();
        }
        Ok(PublicClient { http: client.build()?, base: base.to_owned() })
    }

    /// Gets a URL below the public address, or beside it.
    pub(super) async fn get(&self, url: &str) -> Result<Answer, CallFailure> {
        self.send(self.http.get(url), url).await
    }

    /// Posts a test to this last segment of a path.
    pub(super) async fn post(
        &self,
        segment: &str,
        test: &TestRequest,
    ) -> Result<Answer, CallFailure> {
        let url = format!("{}{}", self.base, test.target(segment));
        let mut request = self.http.post(&url).timeout(test.time_max.unwrap_or(TIME_MAX));
        for (name, value) in &test.headers {
            request = request.header(name, value);
        }
        let body = Bytes::from(test.body.clone());
        let body = if test.is_chunked { Body::wrap(Chunked(body)) } else { Body::from(body) };
        self.send(request.body(body), &url).await
    }

    async fn send(&self, request: RequestBuilder, url: &str) -> Result<Answer, CallFailure> {
        let failed = |error: reqwest::Error| {
            let fallback = || "http://invalid.invalid".parse::<Url>().expect("it is a URL");
            CallFailure::of(error, &url.parse().unwrap_or_else(|_| fallback()))
        };
        let mut response = request.send().await.map_err(failed)?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        let mut body = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(failed)? {
            body.extend_from_slice(&chunk);
            if body.len() > ANSWER_BYTES_MAX {
                break;
            }
        }
        Ok(Answer { status, headers, body })
    }
}

/// A body that is sent by `Transfer-Encoding: chunked`, since its length is not known before.
struct Chunked(Bytes);

impl hyper::body::Body for Chunked {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let length = self.0.len().min(CHUNK_BYTES);
        let chunk = self.0.split_to(length);
        Poll::Ready((length > 0).then(|| Ok(Frame::data(chunk))))
    }
}
