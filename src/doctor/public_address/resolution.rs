//! DNS: whether the name of the public address is found, and whether it leads to addresses that providers reach.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use reqwest::Url;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::heading::PUBLIC;
use crate::doctor::finding::Finding;

const TIME_MAX: Duration = Duration::from_secs(5);

/// Addresses of a name that are tested. Round-robin DNS may give dozens.
const ADDRESSES_MAX: usize = 4;

/// Returns the addresses of the URL's host; none if there are none.
pub(super) async fn resolve(url: &Url, findings: &mut Vec<Finding>) -> Vec<SocketAddr> {
    let host = url.host_str().unwrap_or_default();
    let port = url.port_or_known_default().unwrap_or_default();
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let mut found: Vec<SocketAddr> = match timeout(TIME_MAX, lookup_host((bare, port))).await {
        Ok(Ok(addresses)) => addresses.collect(),
        Ok(Err(error)) => {
            findings.push(not_found(host, &error.to_string()));
            return Vec::new();
        }
        Err(_) => {
            findings.push(no_answer(host));
            return Vec::new();
        }
    };
    found.sort_unstable();
    found.dedup();
    found.truncate(ADDRESSES_MAX);
    findings.extend(reach(host, &found));
    found
}

// The kind of the error is no more exact than its text, which is that of getaddrinfo.
fn not_found(host: &str, error: &str) -> Finding {
    // EAI_AGAIN: no name server answered.
    if error.contains("emporary failure") {
        return no_answer(host);
    }
    Finding::wrong(PUBLIC, format!("the name {host} is not found in DNS")).advice(
        "create an A or AAAA record for it, with the address of the proxy; a new one may take minutes",
    )
}

fn no_answer(host: &str) -> Finding {
    let found = format!("the name {host} cannot be looked up: DNS does not answer this machine");
    Finding::unseen(PUBLIC, found).advice("look at /etc/resolv.conf, or run doctor where DNS works")
}

/// Judges whether providers reach the addresses.
fn reach(host: &str, addresses: &[SocketAddr]) -> Option<Finding> {
    let list = |of: &dyn Fn(&IpAddr) -> bool| {
        let those = addresses.iter().map(SocketAddr::ip).filter(|it| of(it));
        those.map(|it| it.to_string()).collect::<Vec<_>>().join(", ")
    };
    let (inner, all) = (list(&is_private), list(&|_| true));
    let is_literal = host.trim_start_matches('[').trim_end_matches(']') == all;
    if inner.is_empty() {
        return (!is_literal).then(|| Finding::ok(PUBLIC, format!("{host} leads to {all}")));
    }
    let found = match (is_literal, inner == all) {
        (true, _) => format!("{host} is no public address: providers cannot reach it"),
        (false, true) => {
            format!(
                "{host} leads to {inner} here, not to a public address: providers cannot reach that"
            )
        }
        (false, false) => format!(
            "{host} leads to {all}, of which {inner} is not public: some providers will try that one"
        ),
    };
    // Debian gives a machine's own name the address 127.0.1.1 in that file.
    let advice = if !is_literal && addresses.iter().any(|it| it.ip().is_loopback()) {
        "right if /etc/hosts of this machine gives it its own name; else correct the record in DNS"
    } else {
        "right if the DNS of this network has an answer of its own; else correct the record"
    };
    Some(Finding::warning(PUBLIC, found).advice(advice))
}

/// Returns whether the address can only be reached from this machine or its network.
pub(super) fn is_private(address: &IpAddr) -> bool {
    match address.to_canonical() {
        IpAddr::V4(address) => {
            // 100.64.0.0/10 is shared by the customers of a network (RFC 6598), and used by Tailscale.
            let [first, second, ..] = address.octets();
            let is_shared = first == 100 && (64..128).contains(&second);
            address.is_loopback()
                || address.is_private()
                || address.is_link_local()
                || address.is_unspecified()
                || is_shared
        }
        IpAddr::V6(address) => {
            address.is_loopback()
                || address.is_unique_local()
                || address.is_unicast_link_local()
                || address.is_unspecified()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::FindingLevel;

    #[test]
    fn private_addresses_are_warned_about() {
        let check = |host: &str, addresses: &[&str], expected: Option<(FindingLevel, &str)>| {
            let addresses: Vec<SocketAddr> =
                addresses.iter().map(|it| SocketAddr::new(it.parse().unwrap(), 443)).collect();
            let found = reach(host, &addresses);
            assert_eq!(found.as_ref().map(|it| it.level), expected.map(|(level, _)| level));
            if let Some((found, (_, text))) = found.zip(expected) {
                assert!(found.found.contains(text), "{}", found.found);
            }
        };
        let (ok, warning) = (FindingLevel::Ok, FindingLevel::Warning);
        check("relay.example.com", &["203.0.113.7"], Some((ok, "leads to 203.0.113.7")));
        check("203.0.113.7", &["203.0.113.7"], None);
        check("[2001:db8::1]", &["2001:db8::1"], None);
        check("10.0.0.1", &["10.0.0.1"], Some((warning, "10.0.0.1 is no public address")));
        for inner in ["127.0.0.1", "192.168.1.1", "100.100.1.1", "::1", "fd00::1", "fe80::1"] {
            check("relay.example.com", &[inner], Some((warning, "not to a public address")));
        }
        let mixed = ["10.0.0.1", "203.0.113.7"];
        check("relay.example.com", &mixed, Some((warning, "of which 10.0.0.1 is not public")));
    }

    #[test]
    fn own_name_of_a_machine_may_be_from_its_file_of_hosts() {
        let is_file_named = |host: &str, address: &str| {
            let found = reach(host, &[SocketAddr::new(address.parse().unwrap(), 443)]);
            found.unwrap().advice.unwrap().contains("/etc/hosts")
        };
        assert!(is_file_named("relay.example.com", "127.0.1.1"));
        assert!(!is_file_named("relay.example.com", "192.168.1.1"));
        assert!(!is_file_named("127.0.0.1", "127.0.0.1"), "it is no name");
    }

    #[test]
    fn name_that_is_not_found_is_told_from_dns_without_an_answer() {
        let level = |error: &str| not_found("relay.example.com", error).level;

        assert_eq!(level("failed to lookup: Name or service not known"), FindingLevel::Wrong);
        assert_eq!(level("failed to lookup: Temporary failure"), FindingLevel::Unseen);
    }
}
