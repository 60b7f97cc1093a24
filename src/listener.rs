//! Accepts connections for a router, bounded in number and in how long a request may take to arrive.

mod incoming_body;
mod write_timeout;
mod idle_connections;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;
use tower::ServiceExt;
use tracing::{debug, warn};

use idle_connections::{ConnectionState, IdleConnections};
use incoming_body::{IncomingBody, discard};
use write_timeout::WriteTimeout;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the connection, or the last answer, to the end of the next request's headers.
    pub header_timeout: Duration,
    /// For the peer to take up a part of its answers.
    pub answer_timeout: Duration,
    /// A further one takes the place of one whose client has yet to send: of the client that has most of
    /// these, the one that has waited longest.
    pub connections_max: usize,
    /// After the shutdown began, for the requests that are under way.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            connections_max: 512,
            drain_timeout: Duration::from_secs(8),
        }
    }
}

const HEADER_BYTES_MAX: usize = 64 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// An address on which the relay cannot listen.
#[derive(Debug, thiserror::Error)]
#[error("cannot listen on {address}: {error}")]
pub struct BindError {
    address: SocketAddr,
    error: io::Error,
}

/// Listens on an address; port 0 means any free one. Returns the address with the port that was given.
pub async fn bind(address: SocketAddr) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |error| BindError { address, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// Serves until `shutdown` resolves, then lets the requests under way end.
pub async fn serve(
    listener: TcpListener,
    router: Router,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let waiting = Arc::new(IdleConnections::default());
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        while connections.try_join_next().is_some() {}
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener) => accepted,
        };
        let slot = tokio::select! {
            () = &mut shutdown => break,
            slot = slot(&slots, &waiting) => slot,
        };
        let (client, unwanted) = waiting.enter(peer.ip().into());
        let (service, sender) = (router.clone(), Arc::clone(&client));
        let connection = http(settings.header_timeout).serve_connection(
            TokioIo::new(WriteTimeout::new(stream, settings.answer_timeout)),
            service_fn(move |request| {
                answer(service.clone(), (peer, Arc::clone(&sender)), request)
            }),
        );
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = attend(watched, &client, unwanted).await {
                debug!(%peer, %error, "connection ended early");
            }
            drop(slot);
        });
    }
    drop(listener);
    if tokio::time::timeout(settings.drain_timeout, graceful.shutdown()).await.is_err() {
        warn!("requests were still under way at the end of the shutdown");
    }
}

/// Until the connection ends, or has to make room.
async fn attend(
    connection: impl Future<Output = hyper::Result<()>>,
    client: &ConnectionState,
    unwanted: mpsc::Receiver<Incoming>,
) -> hyper::Result<()> {
    tokio::select! {
        ended = connection => ended,
        () = client.closed() => {
            debug!("a connection was closed to make room");
            Ok(())
        }
        // It goes on for as long as the client is there.
        () = discard(unwanted) => Ok(()),
    }
}

fn http(header_timeout: Duration) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        // Who has sent all may close that side, as `nc` does, and still gets the answer.
        .half_close(true)
        .header_read_timeout(header_timeout)
        .max_buf_size(HEADER_BYTES_MAX);
    builder
}

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Answers are small: waiting to fill a packet only delays them.
                let _ = stream.set_nodelay(true);
                return (stream, peer);
            }
            Err(error) => {
                warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// Whoever opens connections and says nothing keeps nobody else out.
async fn slot(slots: &Arc<Semaphore>, waiting: &IdleConnections) -> OwnedSemaphorePermit {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return slot;
    }
    let acquire = Arc::clone(slots).acquire_owned();
    tokio::pin!(acquire);
    let slot = tokio::select! {
        slot = &mut acquire => slot,
        () = waiting.close_one() => acquire.await,
    };
    slot.expect("the semaphore is never closed")
}

async fn answer(
    router: Router,
    (peer, client): (SocketAddr, Arc<ConnectionState>),
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = IncomingBody::new(request, Arc::clone(&client));
    let answered = router.oneshot(request.map(Body::new)).await;
    client.wait();
    answered
}
