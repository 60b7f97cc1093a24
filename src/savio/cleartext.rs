//! Refuses to send the token without TLS to addresses that are not private, since anyone on the
//! path could read it.

use std::io;
use std::net::SocketAddr;

use reqwest::Url;

use super::base_url::BaseUrl;
use crate::http_client::{addresses_of, is_private, literal_address};

const ADVICE: &str = "write https://, or set `insecure = true` for this destination";

/// Returns why the token must not be sent to the URL; none if it may.
// Not cached: a name counts as private only while it resolves to private addresses, which may
// change at any time.
pub(super) async fn refusal(base_url: &BaseUrl) -> Option<String> {
    refused(&base_url.0, addresses_of).await
}

async fn refused(
    url: &Url,
    lookup: impl AsyncFnOnce(&str, u16) -> io::Result<Vec<SocketAddr>>,
) -> Option<String> {
    if url.scheme() == "https" {
        return None;
    }
    let host = url.host_str().unwrap_or_default();
    if let Some(address) = literal_address(url) {
        let in_clear =
            || format!("{host} is no private address, and would get the token unencrypted");
        return (!is_private(address)).then(|| format!("{}: {ADVICE}", in_clear()));
    }
    // Names without a dot are known to a container's or a machine's own network, and not to the
    // internet's DNS.
    if !host.contains('.') {
        return None;
    }
    match lookup(host, url.port_or_known_default().unwrap_or(80)).await {
        // All of them, since the HTTP client chooses among the addresses by itself.
        Ok(found) if !found.is_empty() && found.iter().all(|it| is_private(it.ip())) => None,
        Ok(_) => Some(format!(
            "{host} has an address that is not private, and would get the token unencrypted: {ADVICE}"
        )),
        Err(error) => Some(format!(
            "{host} is not known to be private, since its address cannot be found ({error}), and \
             would get the token unencrypted: {ADVICE}, or wait until the name is found"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a name resolves to; nothing: it cannot be resolved.
    async fn check(url: &str, addresses: &[&str], part_of_refusal: Option<&str>) {
        let lookup = async |_: &str, port| match addresses {
            [] => Err(io::Error::other("no such name")),
            found => {
                Ok(found.iter().map(|it| SocketAddr::new(it.parse().unwrap(), port)).collect())
            }
        };
        let refusal = refused(&url.parse().unwrap(), lookup).await;
        assert_eq!(refusal.is_some(), part_of_refusal.is_some(), "{url}: {refusal:?}");
        let refusal = refusal.unwrap_or_default();
        for part in part_of_refusal.into_iter().chain(part_of_refusal.map(|_| "insecure = true")) {
            assert!(refusal.contains(part), "{url}: {refusal}");
        }
    }

    #[tokio::test]
    async fn token_is_sent_in_cleartext_to_private_addresses_only() {
        check("https://www.savio.io/", &["8.8.8.8"], None).await;
        for private in
            ["127.0.0.1", "127.8.8.8", "10.1.2.3", "172.31.0.1", "192.168.0.9", "169.254.1.1"]
        {
            check(&format!("http://{private}:9090/app/"), &[], None).await;
        }
        for private in
            ["[::1]", "[fd00::1]", "[fe80::1]", "[::ffff:10.0.0.1]", "localhost", "savio"]
        {
            check(&format!("http://{private}/"), &[], None).await;
        }
        for public in ["8.8.8.8", "172.32.0.1", "100.64.0.1", "0.0.0.0", "[2001:db8::1]"] {
            check(&format!("http://{public}/"), &[], Some("is no private address")).await;
        }
    }

    #[tokio::test]
    async fn name_is_private_if_all_its_addresses_are() {
        let url = "http://savio.example.com/app/api/";
        check(url, &["10.0.0.1", "fd00::1", "127.0.0.1"], None).await;
        check(url, &["10.0.0.1", "8.8.8.8"], Some("savio.example.com has an address")).await;
        // As before DNS works; a later try sees the addresses.
        check(url, &[], Some("cannot be found (no such name)")).await;
        check("http://savio./", &[], Some("cannot be found")).await;
    }
}
