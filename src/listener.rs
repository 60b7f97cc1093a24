//! Accepts connections for a router, with limits on their number and on the time that a request may take to arrive.

mod bind_error;
mod connection;
mod incoming_body;
pub mod tls;
mod write_timeout;
mod idle_connections;
mod pulse;
mod streamed_body;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::warn;

pub use bind_error::BindError;
use connection::AcceptedConnection;
use idle_connections::IdleConnections;
pub use pulse::Pulse;
use tls::Tls;
pub use tls::handshake::PLAIN_HTTP_REFUSAL;

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

/// Returns the address at which this machine reaches a listener.
pub fn local_address(listen: SocketAddr) -> SocketAddr {
    // Not every system connects to 0.0.0.0 or [::], which stand for all addresses of the machine.
    let ip = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listen.port())
}

/// A bound address, and the sign of life of the loop that accepts its connections.
#[derive(Debug)]
pub struct Listening {
    pub listener: TcpListener,
    /// None for plain HTTP.
    pub tls: Option<Arc<Tls>>,
    pub pulse: Pulse,
}

impl From<TcpListener> for Listening {
    fn from(listener: TcpListener) -> Listening {
        Listening { listener, tls: None, pulse: Pulse::default() }
    }
}

/// Serves until `shutdown` resolves, then lets the requests under way end.
pub async fn serve(
    Listening { listener, tls, pulse }: Listening,
    router: Router,
    settings: Settings,
    shutdown: impl Future<Output = ()>,
) {
    let stop = CancellationToken::new();
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
        let connection = AcceptedConnection {
            router: router.clone(),
            peer,
            client,
            unread,
            header_timeout: settings.header_timeout,
            answer_timeout: settings.answer_timeout,
            watcher: graceful.watcher(),
            stop: stop.clone(),
        };
        // Two tasks, since one for both would take the memory of the larger one.
        match tls.clone() {
            None => connections.spawn(async move {
                connection.serve(stream).await;
                drop(slot);
            }),
            Some(tls) => connections.spawn(async move {
                connection.serve_tls(stream, &tls).await;
                drop(slot);
            }),
        };
    }
    // Closed first, so that new connections are refused at once and not accepted and left without
    // answer.
    drop(listener);
    stop.cancel();
    if tokio::time::timeout(settings.drain_timeout, graceful.shutdown()).await.is_err() {
        warn!("requests were still under way at the end of the shutdown");
    }
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
