//! A response whose length is not known beforehand, such as a stream of events. Until it ends, its
//! connection is not idle, however little it sends.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use axum::body::{Body as AxumBody, Bytes};
use hyper::body::{Body, Frame};

use super::idle_connections::ConnectionState;

pub(super) struct StreamedBody {
    body: AxumBody,
    client: Arc<ConnectionState>,
}

impl StreamedBody {
    pub(super) fn new(body: AxumBody, client: Arc<ConnectionState>) -> StreamedBody {
        client.mark_streaming();
        StreamedBody { body, client }
    }
}

impl Body for StreamedBody {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut self.body).poll_frame(context)
    }
}

impl Drop for StreamedBody {
    fn drop(&mut self) {
        // The next request is the client's turn.
        self.client.mark_idle();
    }
}
