//! One connection: its requests go to the router, until it ends or another takes its place.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::{Body as _, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;
use tower::ServiceExt;
use tracing::debug;

use super::idle_connections::ConnectionState;
use super::incoming_body::{IncomingBody, discard};
use super::streamed_body::StreamedBody;
use super::tls::Tls;
use super::tls::handshake::{SecureStream, shake_hands};
use super::write_timeout::WriteTimeout;

const HEADER_BYTES_MAX: usize = 64 * 1024;

/// Time in which a client has to read the end of its stream when the relay stops.
// Other responses get the time for the shutdown. Whoever streams may have stopped reading long ago.
const STREAM_END_TIME: Duration = Duration::from_millis(500);

/// A connection that was accepted and has a slot.
pub(super) struct AcceptedConnection {
    pub(super) router: Router,
    pub(super) peer: SocketAddr,
    pub(super) client: Arc<ConnectionState>,
    pub(super) unread: mpsc::Receiver<Incoming>,
    pub(super) header_timeout: Duration,
    pub(super) answer_timeout: Duration,
    /// Ends it after the request in progress.
    pub(super) watcher: Watcher,
    /// Cancelled when the relay stops.
    pub(super) stop: CancellationToken,
}

impl AcceptedConnection {
    /// Serves a connection without TLS until it ends.
    pub(super) async fn serve(self, stream: TcpStream) {
        let stream = WriteTimeout::new(stream, self.answer_timeout);
        self.serve_http(stream).await;
    }

    /// Serves a connection with TLS. Handshake and first request have to arrive within the time for
    /// the headers; a stop ends it at once until then.
    pub(super) async fn serve_tls(self, stream: TcpStream, tls: &Tls) {
        let begun = Instant::now();
        let Some(stream) = self.secure(stream, tls).await else { return };
        let (peer, client) = (self.peer, Arc::clone(&self.client));
        let left = self.header_timeout.saturating_sub(begun.elapsed());
        tokio::select! {
            () = self.serve_http(stream) => {}
            () = asked_nothing_for(left, &client) => {
                debug!(%peer, "no request arrived in time after the TLS handshake");
            }
        }
    }

    /// Makes the handshake, during which the connection counts as idle.
    async fn secure(&self, stream: TcpStream, tls: &Tls) -> Option<SecureStream> {
        let peer = self.peer;
        let handshake = shake_hands(stream, tls.config(), self.answer_timeout);
        // Debug in each case: whoever can reach the port could fill the log.
        tokio::select! {
            made = timeout(self.header_timeout, handshake) => match made {
                Ok(Ok(stream)) => return Some(stream),
                Ok(Err(error)) => debug!(%peer, "connection ended early: {error}"),
                Err(_) => debug!(%peer, "connection ended early: no TLS handshake in time"),
            },
            () = self.client.closed() => debug!(%peer, "a connection was closed to make room"),
            () = self.stop.cancelled() => {}
        }
        None
    }

    async fn serve_http<S>(self, stream: S)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let AcceptedConnection { router, peer, client, unread, header_timeout, .. } = self;
        let (watcher, stop) = (self.watcher, self.stop);
        let sender = Arc::clone(&client);
        let connection = http(header_timeout).serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                respond(router.clone(), (peer, Arc::clone(&sender)), request)
            }),
        );
        // Debug, since clients that disconnect early are no fault of the relay.
        if let Err(error) = drive(watcher.watch(connection), &client, (unread, stop)).await {
            debug!(%peer, %error, "connection ended early");
        }
    }
}

/// Runs the connection until it ends or is evicted.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    client: &ConnectionState,
    (unread, stop): (mpsc::Receiver<Incoming>, CancellationToken),
) -> hyper::Result<()> {
    tokio::select! {
        ended = connection => ended,
        () = client.closed() => {
            debug!("a connection was closed to make room");
            Ok(())
        }
        () = streams_after(stop, client) => {
            debug!("a connection was closed whose client reads its stream too slowly");
            Ok(())
        }
        // Never ends before the connection, since `client` holds the sender of the channel.
        () = discard(unread) => Ok(()),
    }
}

/// Resolves some time after the stop if the connection is still streaming then; otherwise never. The stream
/// itself has ended long before, but its client does not read the end.
async fn streams_after(stop: CancellationToken, client: &ConnectionState) {
    stop.cancelled().await;
    sleep(STREAM_END_TIME).await;
    if !client.is_streaming() {
        std::future::pending::<()>().await;
    }
}

/// Resolves after this time if no request has arrived by then; otherwise never.
async fn asked_nothing_for(time: Duration, client: &ConnectionState) {
    sleep(time).await;
    if client.has_asked() {
        std::future::pending::<()>().await;
    }
}

fn http(header_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // A client may close its side after the request, as `nc` does, and still gets the response.
        .half_close(true)
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
}

async fn respond(
    router: Router,
    (peer, client): (SocketAddr, Arc<ConnectionState>),
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    client.mark_asked();
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = IncomingBody::new(request, Arc::clone(&client));
    let response = router.oneshot(request.map(Body::new)).await?;
    // Its length is not known beforehand: the relay has more to send, and the client waits for it.
    if response.body().size_hint().exact().is_none() {
        return Ok(response.map(|body| Body::new(StreamedBody::new(body, client))));
    }
    // Idle from here on, although the response is still to be written: as the youngest idle
    // connection of its client it is evicted after all others of that client.
    client.mark_idle();
    Ok(response)
}
