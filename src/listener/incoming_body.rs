//! The body of a request as it arrives, and discarding of its unread rest.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::Bytes;
use http::{Request, header};
use http_body_util::BodyExt as _;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::mpsc;

use super::idle_connections::ConnectionState;

/// Bytes and time for the unread rest of a body.
// Bounded, since a client could send without end to keep its connection. 64 MiB is far beyond any
// body that is accepted.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

/// A body as it arrives. Its connection becomes busy once all of it has arrived.
pub(super) struct IncomingBody {
    /// Present until this is dropped.
    body: Option<Incoming>,
    client: Arc<ConnectionState>,
    /// Whether the client sends the body, without waiting for `100 Continue`.
    is_coming: bool,
}

impl IncomingBody {
    pub(super) fn new(
        request: Request<Incoming>,
        client: Arc<ConnectionState>,
    ) -> Request<IncomingBody> {
        let is_coming = !request.headers().contains_key(header::EXPECT);
        request.map(|body| {
            if body.is_end_stream() {
                client.mark_busy();
            }
            IncomingBody { body: Some(body), client, is_coming }
        })
    }
}

impl Body for IncomingBody {
    type Data = Bytes;
    type Error = hyper::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, hyper::Error>>> {
        // Polling makes hyper send `100 Continue`, if the client waits for that.
        self.is_coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.is_end_stream() {
            self.client.mark_busy();
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.as_ref().is_none_or(Body::is_end_stream)
    }

    fn size_hint(&self) -> SizeHint {
        self.body.as_ref().map(Body::size_hint).unwrap_or_default()
    }
}

impl Drop for IncomingBody {
    fn drop(&mut self) {
        if let Some(rest) = self.body.take()
            // A client that waits for `100 Continue` sends no body after a refusal (RFC 9110,
            // 10.1.1).
            && self.is_coming
            && !rest.is_end_stream()
        {
            self.client.discard_rest(rest);
        }
    }
}

/// Reads and drops the unread bodies of a connection.
pub(super) async fn discard(mut unread: mpsc::Receiver<Incoming>) {
    // Closing a socket with unread bytes makes TCP send a reset, which destroys a response that the
    // client has not read yet. Many clients send the whole body before they look for a response.
    while let Some(mut body) = unread.recv().await {
        let _ = tokio::time::timeout(DISCARDING_MAX, discard_one(&mut body)).await;
    }
}

async fn discard_one(body: &mut Incoming) {
    let mut bytes = 0;
    while let Some(Ok(frame)) = body.frame().await {
        bytes += frame.data_ref().map_or(0, Bytes::len);
        if bytes > DISCARDED_BYTES_MAX {
            return;
        }
    }
}
