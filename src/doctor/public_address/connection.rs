//! The connection to the public address: whether each of its addresses accepts one, and which certificates
//! are shown there.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::heading::PUBLIC;
use super::resolution::is_private;
use crate::doctor::finding::Finding;
use crate::http_client::expecting_any;

const TIME_MAX: Duration = Duration::from_secs(4);

/// A connection that was accepted.
#[derive(Debug)]
pub(super) struct OpenedConnection {
    stream: TcpStream,
    /// Address of this machine on the way.
    pub(super) own: Option<IpAddr>,
}

/// Connects to each of the addresses of the host, and returns one that was accepted.
pub(super) async fn connect(
    (host, addresses): (&str, &[SocketAddr]),
    is_running: bool,
    findings: &mut Vec<Finding>,
) -> Option<OpenedConnection> {
    let (mut first, mut failed) = (None, Vec::new());
    for address in addresses {
        match timeout(TIME_MAX, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => {
                let own = stream.local_addr().map(|it| it.ip()).ok();
                first.get_or_insert(OpenedConnection { stream, own });
            }
            Ok(Err(error)) => failed.push((*address, Some(error.kind()))),
            Err(_) => failed.push((*address, None)),
        }
    }
    // A machine without IPv6 says nothing about an address of that kind.
    let has_no_route = |kind: Option<io::ErrorKind>| {
        matches!(kind, Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable))
    };
    if first.is_some() {
        failed.retain(|(address, kind)| !(address.is_ipv6() && has_no_route(*kind)));
    }
    if let Some((address, kind)) = failed.first() {
        findings.push(not_reached((host, *address), *kind, (is_running, first.is_some())));
    }
    first
}

fn not_reached(
    (host, address): (&str, SocketAddr),
    kind: Option<io::ErrorKind>,
    (is_running, is_another_reached): (bool, bool),
) -> Finding {
    let reason = match kind {
        Some(io::ErrorKind::ConnectionRefused) => "connection refused",
        Some(io::ErrorKind::NetworkUnreachable | io::ErrorKind::HostUnreachable) => {
            "this machine has no route to it"
        }
        Some(_) => "the connection failed",
        None => "no connection in 4 s",
    };
    let found = format!("{address} cannot be reached from here: {reason}");
    if is_another_reached {
        return Finding::warning(PUBLIC, found).advice(
            "the name has other addresses that work: remove this one from DNS, or let the proxy listen on it",
        );
    }
    let is_own_name = host != "localhost" && !is_address(host) && address.ip().is_loopback();
    if is_own_name {
        // Debian gives a machine's own name the address 127.0.1.1: no provider is led there.
        let make = if is_running { Finding::unseen } else { Finding::warning };
        return make(PUBLIC, found).advice(format!(
            "/etc/hosts of this machine gives {host} this address: write the proxy's there, or run doctor elsewhere"
        ));
    }
    if is_private(&address.ip()) {
        // Before the first start, the relay itself may be what is to listen there.
        let make = if is_running { Finding::wrong } else { Finding::warning };
        return make(PUBLIC, found).advice("start the proxy, or let it listen on this address");
    }
    // Many routers do not lead a connection from inside to their own public address back inside.
    Finding::unseen(PUBLIC, found).advice(
        "firewalls and routers often block this way from inside only: from another network, `curl -i` \
         of this address with /hooks/x has to show 404 and \"no such source\"",
    )
}

/// Returns whether a URL's host is an address, and not a name.
fn is_address(host: &str) -> bool {
    host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>().is_ok()
}

impl OpenedConnection {
    /// Returns the certificates that the server shows for this host, its own first. Whether they are trusted is
    /// not asked here; an error means that there is no TLS.
    pub(super) async fn certificates(
        self,
        host: &str,
    ) -> Result<Vec<CertificateDer<'static>>, NoHandshake> {
        let host = host.trim_start_matches('[').trim_end_matches(']').to_owned();
        let name = ServerName::try_from(host).map_err(|_| NoHandshake)?;
        let connected = TlsConnector::from(Arc::new(expecting_any())).connect(name, self.stream);
        let stream = timeout(TIME_MAX, connected).await;
        let stream = stream.map_err(|_| NoHandshake)?.map_err(|_| NoHandshake)?;
        let (_, session) = stream.get_ref();
        Ok(session.peer_certificates().unwrap_or_default().to_vec())
    }
}

/// There was no TLS handshake.
#[derive(Debug)]
pub(super) struct NoHandshake;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::FindingLevel;

    #[test]
    fn address_that_is_not_reached_is_judged_by_where_it_is() {
        let check = |host: &str, address: &str, (is_running, is_another_reached), expected| {
            let address = address.parse().unwrap();
            let refused = Some(io::ErrorKind::ConnectionRefused);
            let found = not_reached((host, address), refused, (is_running, is_another_reached));
            assert_eq!(found.level, expected, "{host} {address}");
        };
        let name = "relay.example.com";
        check("127.0.0.1", "127.0.0.1:443", (true, false), FindingLevel::Wrong);
        check("127.0.0.1", "127.0.0.1:443", (false, false), FindingLevel::Warning);
        check("[::1]", "[::1]:443", (true, false), FindingLevel::Wrong);
        check("localhost", "127.0.0.1:443", (true, false), FindingLevel::Wrong);
        check(name, "127.0.1.1:443", (true, false), FindingLevel::Unseen);
        check(name, "127.0.1.1:443", (false, false), FindingLevel::Warning);
        check(name, "192.168.1.1:443", (true, false), FindingLevel::Wrong);
        check(name, "203.0.113.7:443", (true, false), FindingLevel::Unseen);
        check(name, "203.0.113.7:443", (true, true), FindingLevel::Warning);
    }
}
