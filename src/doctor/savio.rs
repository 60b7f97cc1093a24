//! Checks of Savio: whether each destination answers and accepts the token, and whether the clocks
//! agree.

use std::collections::BTreeSet;
use std::time::Duration;

use futures_util::future::join_all;
use jiff::Timestamp;

use super::finding::Finding;
use crate::clock;
use crate::config::{DestinationConfig, DestinationConfigs};
use crate::http_client::error_chain;
use crate::mapping_file::file::MappingFile;
use crate::savio::{Client, ProbeError, Settings};

const SAVIO: &str = "savio";
const CLOCK: &str = "clock";

/// Longest time for a response, since a person waits for it.
const TIMEOUT_MAX: Duration = Duration::from_secs(10);

/// Difference of the clocks that is a warning, and one that is wrong.
// Signatures carry times. Most providers' tolerance is five minutes; Linear's is one, and Paddle's
// SDK uses five seconds.
const CLOCK_OFF_S: u64 = 30;
const CLOCK_WRONG_S: u64 = 120;

/// The beginning of 2026, before which this version did not exist: an earlier time is wrong.
const BEGINNING: Timestamp = Timestamp::constant(1_767_225_600, 0);

/// Asks all destinations at the same time.
pub(crate) async fn destinations(
    destinations: &DestinationConfigs,
    files: &[MappingFile],
    findings: &mut Vec<Finding>,
) {
    let now = clock::now();
    let is_live =
        |file: &&MappingFile| file.source.as_ref().is_some_and(|it| it.off_reason(now).is_none());
    let used: BTreeSet<&str> = files.iter().filter(is_live).map(MappingFile::destination).collect();
    let asked = destinations.iter().map(|(name, to)| ask((name, to), used.contains(name.as_str())));
    let mut client_with_time = None;
    for ((name, to), (finding, client)) in destinations.iter().zip(join_all(asked).await) {
        findings.push(finding);
        findings.extend(exposure(name, to));
        client_with_time = client_with_time.or(client);
    }
    let theirs = match &client_with_time {
        Some(client) => client.date().await,
        None => None,
    };
    findings.push(compare(clock::now(), theirs));
}

/// Asks a destination; returns also the client if it was answered.
async fn ask((name, to): (&str, &DestinationConfig), is_used: bool) -> (Finding, Option<Client>) {
    match to.token.value() {
        Err(reason) if is_used => {
            let found = format!("{name}: {reason}, so a relay that starts now sends nothing");
            (Finding::wrong(SAVIO, found).advice("Savio shows it at Settings, API"), None)
        }
        Err(reason) => {
            let found = format!("{name}: {reason}, and no live source sends to it");
            (Finding::warning(SAVIO, found), None)
        }
        Ok(token) => {
            let timeout = to.timeout.min(TIMEOUT_MAX);
            let base_url = to.base_url.clone();
            let settings = Settings { base_url, token: token.clone(), timeout };
            probe(name, to.insecure, settings).await
        }
    }
}

/// Reports proxies and unencrypted connections, through which others can see the token.
fn exposure(name: &str, to: &DestinationConfig) -> Vec<Finding> {
    let url = &to.base_url;
    let proxy = url.proxy().map(|proxy| {
        let found = format!("{name}: requests to {url} go through the proxy {proxy}");
        if url.is_https() {
            return Finding::ok(SAVIO, found);
        }
        Finding::warning(SAVIO, format!("{found}, which sees the token"))
            .advice("use https://, or name the host in NO_PROXY if it is to be reached directly")
    });
    let in_clear = (to.insecure && !url.is_https()).then(|| {
        let found = format!("{name}: the token is sent unencrypted to {url}, as `insecure` allows");
        Finding::warning(SAVIO, found).advice("use https:// where the server can")
    });
    proxy.into_iter().chain(in_clear).collect()
}

async fn probe(name: &str, insecure: bool, settings: Settings) -> (Finding, Option<Client>) {
    let url = settings.base_url.clone();
    let client = match Client::new(settings) {
        Ok(client) => client.insecure(insecure).named(name),
        Err(error) => {
            return (Finding::wrong(SAVIO, format!("{name}: {}", error_chain(&error))), None);
        }
    };
    if let Err(reason) = client.permitted().await {
        let found = format!("{name}: {reason}");
        let advice = "nothing is sent until then, and events wait";
        return (Finding::wrong(SAVIO, found).advice(advice), None);
    }
    match client.probe().await {
        Ok(()) => {
            let found = format!("{name}: {url} answers and accepts the token");
            (Finding::ok(SAVIO, found), Some(client))
        }
        Err(ProbeError { status, reason }) => {
            // Without an answer, the reason names the URL itself.
            let found = match status {
                Some(_) => format!("{name}: asked {url} for a contact, and {reason}"),
                None => format!("{name}: {reason}"),
            };
            let finding = Finding::wrong(SAVIO, found).advice(advice(status));
            // Whoever does not answer would only be waited for once more.
            (finding, status.map(|_| client))
        }
    }
}

fn advice(status: Option<u16>) -> &'static str {
    match status {
        Some(401 | 403) => "the token is not this account's: Savio shows it at Settings, API",
        Some(500..) => "Savio has a problem; events wait until it is solved",
        Some(429) => "more is sent than Savio accepts: set `rate` for this destination",
        Some(_) => "is base_url right? it ends with /app/api/",
        None => {
            "can this machine reach it? look at base_url, DNS, firewall, proxy and CA certificates"
        }
    }
}

fn compare(ours: Timestamp, theirs: Option<Timestamp>) -> Finding {
    if ours < BEGINNING {
        let found = format!("this machine's clock says {ours}");
        return Finding::wrong(CLOCK, found).advice("set it, best by NTP");
    }
    let Some(theirs) = theirs else {
        let found =
            format!("this machine's clock says {ours:.0}; there was none to compare it with");
        return Finding::warning(CLOCK, found);
    };
    let off = ours.duration_since(theirs).as_secs();
    let side = if off > 0 { "ahead of" } else { "behind" };
    match off.unsigned_abs() {
        0..CLOCK_OFF_S => Finding::ok(CLOCK, format!("it agrees with Savio's: {ours:.0}")),
        seconds @ CLOCK_OFF_S..CLOCK_WRONG_S => {
            Finding::warning(CLOCK, format!("it is {seconds} s {side} Savio's"))
                .advice("keep it right with NTP: signatures carry times")
        }
        seconds => Finding::wrong(CLOCK, format!("it is {seconds} s {side} Savio's"))
            .advice("set it by NTP: signed times outside of a few minutes are refused"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::FindingLevel;

    #[test]
    fn clock_is_judged_by_its_difference() {
        let ours = Timestamp::from_second(1_800_000_000).unwrap();
        let check = |off: i64, level| {
            let theirs = Timestamp::from_second(1_800_000_000 - off).unwrap();
            assert_eq!(compare(ours, Some(theirs)).level, level, "{off}");
        };

        check(0, FindingLevel::Ok);
        check(-29, FindingLevel::Ok);
        check(45, FindingLevel::Warning);
        check(-600, FindingLevel::Wrong);
        assert_eq!(compare(Timestamp::UNIX_EPOCH, None).level, FindingLevel::Wrong);
    }
}
