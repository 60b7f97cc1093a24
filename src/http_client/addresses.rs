//! What kind of address a URL leads to, by its host or by what the host's name resolves to.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use tokio::net::lookup_host;
use tokio::time::timeout;

const LOOKUP_MAX: Duration = Duration::from_secs(5);

/// Returns the URL's host if it is an address.
pub fn literal_address(url: &Url) -> Option<IpAddr> {
    // `host_str` keeps the brackets of an IPv6 address, which `IpAddr` does not parse.
    let host = url.host_str().unwrap_or_default();
    host.trim_start_matches('[').trim_end_matches(']').parse().ok()
}

/// Returns the addresses of a name.
pub async fn addresses_of(host: &str, port: u16) -> io::Result<Vec<SocketAddr>> {
    let found = timeout(LOOKUP_MAX, lookup_host((host, port))).await;
    Ok(found.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))?.collect())
}

/// Returns whether the address is loopback, private (RFC 1918), unique local or link-local.
pub fn is_private(address: IpAddr) -> bool {
    // An IPv4 address that is mapped to IPv6 (`::ffff:10.0.0.1`) counts as what it is.
    match address.to_canonical() {
        IpAddr::V4(address) => is_private_v4(address) || address.is_link_local(),
        IpAddr::V6(address) => is_private_v6(address) || address.is_unicast_link_local(),
    }
}

/// Returns whether the address is link-local. Clouds answer there with the machine's credentials.
pub fn is_link_local(address: IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => address.is_link_local(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    }
}

fn is_private_v4(address: Ipv4Addr) -> bool {
    address.is_loopback() || address.is_private()
}

fn is_private_v6(address: Ipv6Addr) -> bool {
    address.is_loopback() || address.is_unique_local()
}
