//! The address of the client, through trusted proxies.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, Ordering};

use axum::extract::ConnectInfo;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName};
use ipnet::IpNet;
use tracing::warn;

use crate::rate::client_key::ClientKey;

// A text would be parsed anew for each request, three times.
static FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// A network such as `10.0.0.0/8`; a single address is a network too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network(IpNet);

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a network is an address, or one with the length of its prefix, such as 10.0.0.0/8")]
pub struct InvalidNetwork;

impl fmt::Display for Network {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl FromStr for Network {
    type Err = InvalidNetwork;

    fn from_str(text: &str) -> Result<Network, InvalidNetwork> {
        let address = || text.parse().map(|address: IpAddr| address.into());
        text.parse().or_else(|_| address()).map(Network).map_err(|_| InvalidNetwork)
    }
}

impl Network {
    /// Returns whether all addresses of a kind are in it.
    pub fn has_all_addresses(&self) -> bool {
        self.0.prefix_len() == 0
    }

    /// Returns whether it is one address.
    pub fn is_single(&self) -> bool {
        self.0.prefix_len() == self.0.max_prefix_len()
    }

    /// Returns whether it is one address of this machine.
    pub fn is_single_loopback(&self) -> bool {
        self.is_single() && self.0.addr().is_loopback()
    }

    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address)
    }
}

/// Whoever opened the connection of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Peer {
    pub(super) address: IpAddr,
    /// Whether it is a trusted proxy.
    pub(super) is_trusted: bool,
    /// The client for which it forwards; the peer itself if it is no trusted proxy.
    pub(super) client: IpAddr,
}

/// Determines the client of each request.
#[derive(Debug)]
pub(super) struct Clients {
    trusted: Vec<Network>,
    /// Whether a proxy that is not among these was seen and logged.
    has_warned_of_proxy: AtomicBool,
}

impl Clients {
    pub(super) fn new(trusted: Vec<Network>) -> Clients {
        Clients { trusted, has_warned_of_proxy: AtomicBool::new(false) }
    }

    /// Returns the client's address; none if the listener does not report the peer's.
    pub(super) fn address(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        Some(address(peer.ip(), &parts.headers, &self.trusted))
    }

    /// Returns the peer; none if the listener does not report it.
    pub(super) fn peer(&self, parts: &Parts) -> Option<Peer> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let address = peer.ip().to_canonical();
        let is_trusted = self.trusted.iter().any(|network| network.contains(address));
        Some(Peer { address, is_trusted, client: self.address(parts)? })
    }

    /// Returns the client that limits count the request for; none for a proxy whose clients are not known.
    pub(super) fn key(&self, parts: &Parts) -> Option<ClientKey> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        match sender(peer.ip(), &parts.headers, &self.trusted) {
            Sender::Client(address) => Some(address.into()),
            Sender::TrustedProxy => None,
            Sender::UnknownProxy(address) => {
                // Once for the process, not for each proxy: a log line for each request would be a
                // flood.
                if !self.has_warned_of_proxy.swap(true, Ordering::Relaxed) {
                    warn!(
                        proxy = %address,
                        "{address} is a proxy that server.trusted_proxies does not name: its clients are not \
                         told apart; set trusted_proxies = [\"{address}\"]"
                    );
                }
                None
            }
        }
    }
}

/// The sender that limits for one client count a request for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sender {
    Client(IpAddr),
    /// A trusted proxy that did not name its client.
    TrustedProxy,
    /// A peer that forwards for others and is not configured as trusted.
    UnknownProxy(IpAddr),
}

fn sender(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> Sender {
    let address = address(peer, headers, trusted);
    if trusted.iter().any(|network| network.contains(address)) {
        return Sender::TrustedProxy;
    }
    let is_peer = address == peer.to_canonical();
    // Only a local peer: anybody on the internet could send the header to escape the limits.
    if is_peer && is_local(address) && headers.contains_key(&FORWARDED_FOR) {
        // Its header cannot be believed. But if all its requests counted for one client, any of its
        // clients could use up the limits of the others, so no limit for one client applies.
        return Sender::UnknownProxy(address);
    }
    Sender::Client(address)
}

/// Returns whether the address is this machine's or in a private network, where proxies run.
fn is_local(address: IpAddr) -> bool {
    match address {
        IpAddr::V4(address) => {
            address.is_loopback() || address.is_private() || address.is_link_local()
        }
        IpAddr::V6(address) => {
            address.is_loopback() || address.is_unique_local() || address.is_unicast_link_local()
        }
    }
}

/// Returns the rightmost address in `X-Forwarded-For` that is not a trusted proxy's, or the peer's.
fn address(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address| trusted.iter().any(|network| network.contains(address));
    // An IPv4 peer of a dual-stack socket is `::ffff:a.b.c.d`, which no IPv4 network contains.
    let mut client = peer.to_canonical();
    // From the right: each proxy appends its peer, and what is left of a trusted one's entry may be
    // made up by the client. Header lines count as one list, in order (RFC 9110, 5.3).
    for written in headers.get_all(&FORWARDED_FOR).iter().rev() {
        for hop in written.to_str().unwrap_or_default().rsplit(',') {
            if !is_trusted(client) {
                return client;
            }
            // `unknown` or garbage hides all that is left of it.
            let Some(before) = parse_hop(hop.trim()) else {
                return client;
            };
            client = before.to_canonical();
        }
    }
    client
}

/// Parses an address, with or without brackets and port.
fn parse_hop(hop: &str) -> Option<IpAddr> {
    // Some proxies, such as Azure's gateways, append the port.
    let bare = hop.strip_prefix('[').and_then(|hop| hop.strip_suffix(']')).unwrap_or(hop);
    let with_port = || hop.parse::<SocketAddr>().map(|address| address.ip());
    bare.parse().or_else(|_| with_port()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(peer: &str, forwarded: &[&str], expected: &str) {
        let trusted: Vec<Network> =
            ["10.0.0.0/8", "fd00::/8", "::1"].iter().map(|it| it.parse().unwrap()).collect();
        let mut headers = HeaderMap::new();
        for written in forwarded {
            headers.append("x-forwarded-for", written.parse().unwrap());
        }
        let found = address(peer.parse().unwrap(), &headers, &trusted);
        assert_eq!(found, expected.parse::<IpAddr>().unwrap());
    }

    #[test]
    fn last_untrusted_hop_is_the_client() {
        check("10.0.0.1", &["1.1.1.1, 2.2.2.2, 10.9.9.9"], "2.2.2.2");
        check("::1", &["9.9.9.9", "3.3.3.3:80,  [fd00::1]:443"], "3.3.3.3");
        check("::ffff:10.0.0.1", &["2001:db8::1"], "2001:db8::1");
        check("10.0.0.1", &["10.0.0.2"], "10.0.0.2");
    }

    #[test]
    fn header_of_an_untrusted_peer_is_ignored() {
        check("8.8.8.8", &["1.1.1.1"], "8.8.8.8");
        check("10.0.0.1", &["1.1.1.1, unknown"], "10.0.0.1");
        check("10.0.0.1", &[], "10.0.0.1");
    }

    #[test]
    fn only_local_peers_that_forward_are_proxies() {
        let trusted = ["10.0.0.0/8".parse().unwrap()];
        let check = |peer: &str, forwarded: Option<&str>, expected: Sender| {
            let mut headers = HeaderMap::new();
            if let Some(written) = forwarded {
                headers.append("x-forwarded-for", written.parse().unwrap());
            }
            assert_eq!(sender(peer.parse().unwrap(), &headers, &trusted), expected, "{peer}");
        };
        let client = |address: &str| Sender::Client(address.parse().unwrap());
        let unknown = |address: &str| Sender::UnknownProxy(address.parse().unwrap());

        check("10.0.0.1", Some("1.1.1.1"), client("1.1.1.1"));
        check("10.0.0.1", Some("unknown"), Sender::TrustedProxy);
        check("10.0.0.1", None, Sender::TrustedProxy);
        check("127.0.0.1", Some("1.1.1.1"), unknown("127.0.0.1"));
        check("172.18.0.2", Some("1.1.1.1"), unknown("172.18.0.2"));
        check("::ffff:192.168.0.2", Some("1.1.1.1"), unknown("192.168.0.2"));
        check("fd00::1", Some("1.1.1.1"), unknown("fd00::1"));
        check("127.0.0.1", None, client("127.0.0.1"));
        check("8.8.8.8", Some("1.1.1.1"), client("8.8.8.8"));
        check("2001:db8::1", Some("1.1.1.1"), client("2001:db8::1"));
    }

    #[test]
    fn network_is_an_address_and_a_prefix() {
        let all: Network = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains("9.9.9.9".parse().unwrap()));
        assert!(!all.contains("::1".parse().unwrap()));
        for bad in ["", "10.0.0.0/33", "10.0.0/8", "::/129", "a/8", "::1/x"] {
            assert_eq!(bad.parse::<Network>(), Err(InvalidNetwork), "{bad}");
        }
    }
}
