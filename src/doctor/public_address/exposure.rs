//! Whether the admin API can be reached through the public address, which nobody outside is to see.

use std::time::Duration;

use tokio::time::timeout;

use super::advice::{ProxyFault, advice};
use super::call::{Answer, PublicClient, Trust};
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::responder::{self, Responder};
use super::way::Way;
use crate::doctor::finding::Finding;

/// Paths that only the admin API has, below usual prefixes too. They are asked without a token.
const PATHS: [&str; 5] = [
    "/api/v1/stats",
    "/metrics",
    "/admin/api/v1/stats",
    "/relay/api/v1/stats",
    "/savio-relay/api/v1/stats",
];

/// Longest time for the port of the admin API: a firewall that closes it seldom answers.
const PORT_TIME_MAX: Duration = Duration::from_secs(3);

/// Reports the first path that leads there, and the port of its own.
pub(super) async fn look(way: &Way<'_>, origin: &str, findings: &mut Vec<Finding>) {
    findings.extend(through_proxy(way, origin).await);
    if let Some(url) = &way.place.admin_at_host {
        findings.extend(at_own_port(url).await);
    }
}

async fn through_proxy(way: &Way<'_>, origin: &str) -> Option<Finding> {
    let mut bases = vec![way.caller.base.as_str(), origin];
    // Beside the prefix of the public URL too: a proxy that forwards more than that forwards all.
    bases.dedup();
    for url in bases.iter().flat_map(|base| PATHS.map(|path| format!("{base}{path}"))) {
        let answer = way.caller.get(&url).await.ok()?;
        if !is_admin(&answer) {
            continue;
        }
        let kind = ProxyKind::of(way.host, &answer);
        let fault = ProxyFault::AdminExposed { admin: way.place.admin };
        let found = format!("the admin API is open to all: it answers at {url}");
        return Some(Finding::wrong(PUBLIC, found).advice(advice(fault, kind, way.place.listen)));
    }
    None
}

async fn at_own_port(url: &str) -> Option<Finding> {
    let caller = PublicClient::new(url, Trust::Waived).ok()?;
    let url = format!("{url}{}", PATHS[0]);
    let answer = timeout(PORT_TIME_MAX, caller.get(&url)).await.ok()?.ok()?;
    is_admin(&answer).then(|| {
        // Firewalls let a machine reach itself.
        let found = format!("the admin API answers this machine at {url}; a firewall has to keep others out");
        Finding::warning(PUBLIC, found).advice(
            "let it listen on 127.0.0.1 (server.admin_listen; of a container, publish it as 127.0.0.1:PORT:PORT), or \
             see from another network that this URL is closed",
        )
    })
}

fn is_admin(answer: &Answer) -> bool {
    responder::of(answer, None) == Responder::AdminApi
}
