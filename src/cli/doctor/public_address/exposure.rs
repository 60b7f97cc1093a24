//! Whether the admin API can be reached through the public address, which nobody outside is to see.

use super::advice::{ProxyFault, advice};
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::responder::{self, Responder};
use super::way::Way;
use crate::cli::doctor::finding::Finding;

/// Paths that only the admin API has. They are asked without a token.
const PATHS: [&str; 2] = ["/api/v1/stats", "/metrics"];

/// Reports the first path that leads there.
pub(super) async fn look(way: &Way<'_>, origin: &str, findings: &mut Vec<Finding>) {
    let mut bases = vec![way.caller.base.as_str(), origin];
    // Beside the prefix of the public URL too: a proxy that forwards more than that forwards all.
    bases.dedup();
    for url in bases.iter().flat_map(|base| PATHS.map(|path| format!("{base}{path}"))) {
        let Ok(answer) = way.caller.get(&url).await else { return };
        if responder::of(&answer, None) != Responder::AdminApi {
            continue;
        }
        let kind = ProxyKind::of(way.host, &answer);
        let fault = ProxyFault::AdminExposed { admin: way.place.admin };
        let found = format!("the admin API is open to all: it answers at {url}");
        findings.push(Finding::wrong(PUBLIC, found).advice(advice(fault, kind, way.place.listen)));
        return;
    }
}
