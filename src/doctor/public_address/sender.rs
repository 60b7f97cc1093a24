//! Whether the relay tells the clients of a proxy apart, and cannot be deceived about them. Pure.

use std::net::IpAddr;

use super::advice::{ProxyFault, advice};
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::resolution::is_private;
use super::test_request::MADE_UP_ADDRESS;
use super::way::RelayAddresses;
use crate::doctor::finding::Finding;
use crate::intake::echo::EchoReport;

/// Headers by which proxies say for whom they forward.
const OF_PROXIES: [&str; 4] = ["forwarded", "via", "x-forwarded-for", "x-real-ip"];

/// Judges the sender of a webhook, as the relay sees it.
pub(super) fn judge(
    report: &EchoReport,
    kind: ProxyKind,
    place: &RelayAddresses,
) -> Option<Finding> {
    let (peer, client) = report.peer.zip(report.client)?;
    let forwards = OF_PROXIES.iter().any(|name| report.headers.contains_key(*name));
    if !forwards && place.may_be_direct {
        let found =
            format!("webhooks arrive without a proxy; the relay sees {client} as their sender");
        return Some(Finding::ok(PUBLIC, found));
    }
    if !report.headers.contains_key("x-forwarded-for") {
        let found = format!(
            "the proxy sends no X-Forwarded-For: all senders seem to be {peer}, and share its limits"
        );
        let advice = advice(ProxyFault::NoForwardedFor, kind, place.listen);
        return Some(Finding::warning(PUBLIC, found).advice(advice));
    }
    Some(if report.is_peer_trusted {
        let found = format!("the relay sees the sender {client} through the proxy {peer}");
        Finding::ok(PUBLIC, found)
    } else {
        let found = format!(
            "server.trusted_proxies does not name the proxy {peer}: all senders seem to be it, and share \
             its limits"
        );
        let advice =
            format!("set trusted_proxies = [\"{peer}\"] under [server], and restart the relay");
        Finding::warning(PUBLIC, found).advice(advice)
    })
}

/// Judges whether a sender can make up its address. `own` is the address from which the test was sent.
pub(super) fn judge_made_up(
    report: &EchoReport,
    (kind, own): (ProxyKind, Option<IpAddr>),
    place: &RelayAddresses,
) -> Option<Finding> {
    let is_believed = report.client.is_some_and(|it| it.to_string() == MADE_UP_ADDRESS);
    if !is_believed {
        return None;
    }
    let last = report.headers.get("x-forwarded-for")?.rsplit(',').next()?.trim();
    if last == MADE_UP_ADDRESS {
        let found =
            "any sender can make up its address: the proxy passes X-Forwarded-For on as it comes";
        let advice = advice(ProxyFault::SpoofedForwardedFor, kind, place.listen);
        return Some(Finding::wrong(PUBLIC, found).advice(advice));
    }
    // The proxy did append the address of this test. That is trusted too, as it is if the test comes from the
    // machine or the network of the proxy: of others it is not.
    let appended: Option<IpAddr> = last.parse().ok();
    if appended.is_some() && (appended == own || appended.is_some_and(|it| is_private(&it))) {
        return None;
    }
    let found = format!(
        "any sender can make up its address: server.trusted_proxies trusts {last}, which is no proxy"
    );
    Some(Finding::wrong(PUBLIC, found).advice("name the addresses of the proxies only"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::doctor::finding::FindingLevel;

    fn report(forwarded: Option<&str>, is_peer_trusted: bool, client: &str) -> EchoReport {
        let headers = forwarded.map(|it| ("x-forwarded-for".to_owned(), it.to_owned()));
        EchoReport {
            target: String::new(),
            http_version: String::new(),
            body_bytes: 0,
            body_digest: String::new(),
            body: None,
            headers: headers.into_iter().collect(),
            header_digests: BTreeMap::new(),
            peer: Some("127.0.0.1".parse().unwrap()),
            is_peer_trusted,
            client: Some(client.parse().unwrap()),
        }
    }

    fn place(may_be_direct: bool) -> RelayAddresses {
        RelayAddresses {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:8081".parse().unwrap(),
            admin_at_host: None,
            may_be_direct,
        }
    }

    #[test]
    fn sender_is_judged_by_its_proxy() {
        let check = |report: &EchoReport, may_be_direct, level, part: &str| {
            let found = judge(report, ProxyKind::Other, &place(may_be_direct)).unwrap();
            assert_eq!(found.level, level, "{}", found.found);
            assert!(found.found.contains(part), "{}", found.found);
        };
        let (ok, warning) = (FindingLevel::Ok, FindingLevel::Warning);
        let seen = report(Some("198.51.100.7"), true, "198.51.100.7");
        check(&seen, false, ok, "the sender 198.51.100.7 through the proxy 127.0.0.1");
        let unnamed = report(Some("198.51.100.7"), false, "127.0.0.1");
        check(&unnamed, true, warning, "does not name the proxy 127.0.0.1");
        check(&report(None, true, "127.0.0.1"), false, warning, "sends no X-Forwarded-For");
        check(&report(None, false, "198.51.100.7"), true, ok, "without a proxy");
    }

    #[test]
    fn made_up_address_that_is_believed_is_wrong() {
        let judge = |forwarded: &str, own: &str| {
            let report = report(Some(forwarded), true, MADE_UP_ADDRESS);
            let own = own.parse().ok();
            judge_made_up(&report, (ProxyKind::Other, own), &place(false)).map(|it| it.found)
        };
        let found = judge(MADE_UP_ADDRESS, "198.51.100.7").unwrap();
        assert!(found.contains("the proxy passes X-Forwarded-For on"), "{found}");
        let appended = format!("{MADE_UP_ADDRESS}, 203.0.113.9");
        let found = judge(&appended, "198.51.100.7").unwrap();
        assert!(found.contains("trusts 203.0.113.9, which is no proxy"), "{found}");
        assert_eq!(judge(&appended, "203.0.113.9"), None, "it is this machine");
        assert_eq!(judge(&format!("{MADE_UP_ADDRESS}, 127.0.0.1"), "127.0.0.1"), None);
        let replaced = report(Some("198.51.100.7"), true, "198.51.100.7");
        assert_eq!(judge_made_up(&replaced, (ProxyKind::Other, None), &place(false)), None);
    }
}
