//! Accepts connections for a router, with limits on their number and on the time that a request may take to arrive.

mod bind_error;
mod incoming_body;
mod write_timeout;
mod idle_connections;
mod pulse;

use std::convert::Infallible;
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

pub use bind_error::BindError;
use idle_connections::{ConnectionState, IdleConnections};
use incoming_body::{IncomingBody, discard};
pub use pulse::Pulse;
use write_timeout::WriteTimeout;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// From the start of the connection, or the last response, to the end of the next request's headers.
    pub header_timeout: Duration,
    /// Time in which the peer must read at least a part of its responses.
    pub answer_timeout: Duration,
    /// A further connection evicts one that waits for its client: of the client with the most such connections,
    /// the one that has waited longest.
    pub connections_max: usize,
    /// Time for the requests in progress after the shutdown began.
    pub drain_timeout: Duration,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            header_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(30),
            // With headers of 64 KiB each, 32 MiB. Intake processes only 448 webhooks at a time, so
            // that connections are left for health checks.
            connections_max: 512,
            // Containers are killed 10 s after the signal, and the last traces take up to 1 s of
            // that.
            drain_timeout: Duration::from_secs(8),
        }
    }
}

const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Wait after an error of `accept`, such as too many open files, which would fail again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Listens on an address; port 0 means any free one. Returns the address with the actual port. An
/// error names the setting that chose the address.
pub async fn bind(
    address: SocketAddr,
    setting: &'static str,
) -> Result<(TcpListener, SocketAddr), BindError> {
    let failed = |error| BindError { address, setting, error };
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// A bound address, and the sign of life of the loop that accepts its connections.
#[derive(Debug)]
pub struct Listening {
    pub listener: TcpListener,
    pub pulse: Pulse,
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Listening {
        Listening { listener, pulse: Pulse::default() }
    }
}

/// Serves until `shutdown` resolves, then lets the requests under way end.
pub async fn serve(
    Listening { listener, pulse }: Listening,
    router: Router,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) {
    let slots = Arc::new(Semaphore::new(settings.connections_max));
    let idle = Arc::new(IdleConnections::default());
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    tokio::pin!(shutdown);
    loop {
        // Finished tasks stay in the set until they are joined.
        while connections.try_join_next().is_some() {}
        let (stream, peer) = tokio::select! {
            () = &mut shutdown => break,
            accepted = pulse.beating(accept(&listener)) => accepted,
        };
        // After `accept`, not before: which connection to evict does not matter until there is a
        // new one.
        // While it waits for a slot, the loop is busy and not stuck.
        let slot = tokio::select! {
            () = &mut shutdown => break,
            slot = pulse.beating(acquire_slot(&slots, &idle)) => slot,
        };
        let (client, unread) = idle.register(peer.ip().into());
        let (service, sender) = (router.clone(), Arc::clone(&client));
        let connection = http(settings.header_timeout).serve_connection(
            TokioIo::new(WriteTimeout::new(stream, settings.answer_timeout)),
            service_fn(move |request| {
                respond(service.clone(), (peer, Arc::clone(&sender)), request)
            }),
        );
        let watched = graceful.watch(connection);
        connections.spawn(async move {
            // Debug, since clients that disconnect early are no fault of the relay.
            if let Err(error) = drive(watched, &client, unread).await {
                debug!(%peer, %error, "connection ended early");
            }
            drop(slot);
        });
    }
    // Closed first, so that new connections are refused at once and not accepted and left without
    // answer.
    drop(listener);
    if tokio::time::timeout(settings.drain_timeout, graceful.shutdown()).await.is_err() {
        warn!("requests were still under way at the end of the shutdown");
    }
}

/// Runs the connection until it ends or is evicted.
async fn drive(
    connection: impl Future<Output = hyper::Result<()>>,
    client: &ConnectionState,
    unread: mpsc::Receiver<Incoming>,
) -> hyper::Result<()> {
    tokio::select! {
        ended = connection => ended,
        () = client.closed() => {
            debug!("a connection was closed to make room");
            Ok(())
        }
        // Never ends before the connection, since `client` holds the sender of the channel.
        () = discard(unread) => Ok(()),
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

async fn accept(listener: &TcpListener) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => {
                // Responses are small: waiting to fill a packet (Nagle) only delays them.
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

/// Acquires a slot, and evicts an idle connection for it if necessary.
async fn acquire_slot(slots: &Arc<Semaphore>, idle: &IdleConnections) -> OwnedSemaphorePermit {
    if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
        return slot;
    }
    // Waits in line before it evicts, so that a slot that becomes free meanwhile is used. Only idle
    // connections are evicted: if all are busy, the new one waits.
    let acquire = Arc::clone(slots).acquire_owned();
    tokio::pin!(acquire);
    let slot = tokio::select! {
        slot = &mut acquire => slot,
        () = idle.close_one() => acquire.await,
    };
    slot.expect("the semaphore is never closed")
}

async fn respond(
    router: Router,
    (peer, client): (SocketAddr, Arc<ConnectionState>),
    mut request: Request<Incoming>,
) -> Result<Response<Body>, Infallible> {
    request.extensions_mut().insert(ConnectInfo(peer));
    let request = IncomingBody::new(request, Arc::clone(&client));
    let response = router.oneshot(request.map(Body::new)).await;
    // Idle from here on, although the response is still to be written: as the youngest idle
    // connection of its client it is evicted after all others of that client.
    client.mark_idle();
    response
}
