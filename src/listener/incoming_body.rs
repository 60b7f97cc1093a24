//! A request's body as it arrives, and what becomes of the part that nobody wanted.

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

/// Of a body that nobody wanted.
const DISCARDED_BYTES_MAX: usize = 64 * 1024 * 1024;
const DISCARDING_MAX: Duration = Duration::from_secs(5);

/// A body as it arrives; its client waits no longer once it is all there.
pub(super) struct IncomingBody {
    /// There until this is dropped.
    body: Option<Incoming>,
    client: Arc<ConnectionState>,
    /// Whether the client sends it without being told to go on.
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
                client.leave();
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
        self.is_coming = true;
        let Some(body) = &mut self.body else { return Poll::Ready(None) };
        let frame = Pin::new(body).poll_frame(context);
        if matches!(frame, Poll::Ready(None)) || self.is_end_stream() {
            self.client.leave();
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
            && self.is_coming
            && !rest.is_end_stream()
        {
            self.client.give_up(rest);
        }
    }
}

/// Takes what nobody wanted of a connection's bodies and throws it away: a connection that is closed on
/// bytes that were not read takes the answer with it, and many clients send all before they look.
pub(super) async fn discard(mut unwanted: mpsc::Receiver<Incoming>) {
    while let Some(mut body) = unwanted.recv().await {
        // One that takes longer is cut off.
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
