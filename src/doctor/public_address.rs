//! Checks of `server.public_url` from outside-in, as a provider meets it: DNS, certificate, proxy, and test
//! webhooks of which the running relay says what arrived.

mod advice;
mod body_change;
mod call;
mod certificate;
mod changed;
mod comparison;
mod connection;
mod exposure;
mod heading;
mod not_arrived;
mod proxy_kind;
mod resolution;
mod responder;
mod sender;
mod test_request;
mod way;
mod webhooks;

use std::net::IpAddr;
use std::time::Duration;

use reqwest::Url;
use tokio::time::timeout;

use super::finding::Finding;
use crate::clock;
use crate::config::Config;
use crate::http_client::{CallFailure, TlsFault, error_chain, proxy};
use crate::listener::tls::certificate::Certificate;
use crate::mapping_file::file::MappingFile;
use call::{Answer, PublicClient, Trust};
use certificate::ShownChain;
use connection::OpenedConnection;
use heading::PUBLIC;
use proxy_kind::ProxyKind;
use responder::Responder;
use way::{Needs, RelayAddresses, Way};
pub(crate) use way::{NoKey, TestKey};

/// Checks the public address, if there is one, by test webhooks if there is a key for them. A way that
/// works takes a second or two, and longer for its largest body only.
pub(crate) async fn check(
    (config, files): (&Config, &[MappingFile]),
    issued: Result<TestKey, NoKey>,
    time_max: Duration,
    findings: &mut Vec<Finding>,
) {
    let Some(base) = config.intake.public_url.as_deref() else { return };
    let Ok(url) = base.parse::<Url>() else { return };
    let asked = ask((config, files), issued, (base, &url), findings);
    if timeout(time_max, asked).await.is_err() {
        let found =
            format!("{base} is slow: the rest was not checked after {} s", time_max.as_secs());
        let advice = "look at the proxy and the line of this machine, and run doctor again";
        findings.push(Finding::unseen(PUBLIC, found).advice(advice));
    }
}

async fn ask(
    (config, files): (&Config, &[MappingFile]),
    issued: Result<TestKey, NoKey>,
    (base, url): (&str, &Url),
    findings: &mut Vec<Finding>,
) {
    let is_running = !matches!(issued, Err(NoKey::NoRelay));
    let host = url.host_str().unwrap_or_default();
    let Some(entry) = enter((base, url), is_running, findings).await else { return };
    let (place, needs) = (RelayAddresses::of(config, url), Needs::of(files));
    let Entry { caller, own, health } = &entry;
    let way = Way { caller, host, place: &place, needs: &needs, own: *own };
    findings.extend(judge_health(health, (host, is_running)));
    exposure::look(&way, &url.origin().ascii_serialization(), findings).await;
    match issued {
        Ok(issued) => webhooks::test(&way, &issued, findings).await,
        Err(why) => findings.push(not_tested(why)),
    }
}

/// The public address, which answers.
struct Entry {
    caller: PublicClient,
    /// Address of this machine on the way; none if a proxy of the environment is on it.
    own: Option<IpAddr>,
    /// The answer to `GET /healthz`.
    health: Answer,
}

/// Connects and makes the first request; none if that does not succeed.
async fn enter(
    (base, url): (&str, &Url),
    is_running: bool,
    findings: &mut Vec<Finding>,
) -> Option<Entry> {
    let connection = if let Some(proxy) = proxy(url) {
        let found =
            format!("{base} is reached through {proxy}, so DNS and certificate are not checked");
        findings.push(Finding::ok(PUBLIC, found));
        None
    } else {
        let host = url.host_str().unwrap_or_default();
        let addresses = resolution::resolve(url, findings).await;
        Some(connection::connect((host, &addresses), is_running, findings).await?)
    };
    let own = connection.as_ref().and_then(|it| it.own);
    let health_url = format!("{base}/healthz");
    let caller = caller(base, Trust::Required, findings)?;
    let mut entry = match caller.get(&health_url).await {
        Ok(health) => Ok(Entry { caller, own, health }),
        Err(failure) => Err(failure),
    };
    if url.scheme() == "https"
        && let Some(connection) = connection
    {
        let refusal = entry
            .as_ref()
            .err()
            .filter(|it| it.tls == Some(TlsFault::Untrusted))
            .map(ToString::to_string);
        let shown = judge_certificate(connection, url, refusal.as_deref()).await;
        findings.extend(shown);
        if refusal.is_some() {
            // To find in one run what else is wrong.
            let caller = self::caller(base, Trust::Waived, findings)?;
            entry = caller.get(&health_url).await.map(|health| Entry { caller, own, health });
        }
    }
    let not_answered =
        |failure| findings.push(unanswered((base, &failure), own.is_some(), is_running));
    entry.map_err(not_answered).ok()
}

fn caller(base: &str, trust: Trust, findings: &mut Vec<Finding>) -> Option<PublicClient> {
    let failed = |error: reqwest::Error| {
        let found = format!("no request can be made to {base}: {}", error_chain(&error));
        let advice =
            "install the certificates of authorities (on Debian the package ca-certificates)";
        findings.push(Finding::unseen(PUBLIC, found).advice(advice));
    };
    PublicClient::new(base, trust).map_err(failed).ok()
}

async fn judge_certificate(
    connection: OpenedConnection,
    url: &Url,
    refusal: Option<&str>,
) -> Option<Finding> {
    let host = url.host_str().unwrap_or_default();
    // Without a handshake, the first request says why.
    let shown = connection.certificates(host).await.ok()?;
    let Some(own) = Certificate::parse(&shown) else {
        let found = "the certificate cannot be read: it is not one as RFC 5280 defines it";
        return Some(Finding::wrong(PUBLIC, found).advice("let the proxy have another one"));
    };
    let chain = ShownChain { own: &own, length: shown.len() };
    Some(certificate::judge(&chain, refusal, (host, clock::now())))
}

fn unanswered(
    (base, failure): (&str, &CallFailure),
    is_connected: bool,
    is_running: bool,
) -> Finding {
    if !is_connected {
        let found = format!("{base} cannot be reached from here: {failure}");
        let advice = "name its host in NO_PROXY if this machine reaches it directly, or run doctor elsewhere";
        return Finding::unseen(PUBLIC, found).advice(advice);
    }
    let found = format!("{base} accepts connections and does not answer: {failure}");
    // Before the first start of the relay there may be nothing that could answer.
    let make = if is_running { Finding::wrong } else { Finding::warning };
    make(PUBLIC, found).advice("look at the proxy's log; is server.public_url right?")
}

/// Reports how far `GET /healthz` came. It does not have to: only `/hooks/` is to be forwarded.
fn judge_health(health: &Answer, (host, is_running): (&str, bool)) -> Option<Finding> {
    let status = health.status;
    let proxy = ProxyKind::of(host, health).as_str();
    match responder::of(health, None) {
        Responder::RelayHealth => {
            Some(Finding::ok(PUBLIC, "a relay answers GET /healthz at the public address"))
        }
        Responder::NotFound | Responder::OtherRelay => Some(Finding::ok(
            PUBLIC,
            format!("{proxy} answers: /healthz is not forwarded, as it should be"),
        )),
        // With a relay, the test webhooks say what is wrong.
        _ if is_running => None,
        _ => Some(Finding::ok(PUBLIC, format!("{proxy} answers: GET /healthz is {status}"))),
    }
}

fn not_tested(why: NoKey) -> Finding {
    match why {
        NoKey::NoRelay => {
            let found = "what arrives of a webhook was not tested, since no relay runs here";
            Finding::warning(PUBLIC, found).advice("start it, and run doctor again beside it")
        }
        NoKey::OlderRelay => {
            let found =
                "what arrives of a webhook was not tested: the relay that runs is an older version";
            Finding::unseen(PUBLIC, found).advice("restart it with this version")
        }
        NoKey::Failed(reason) => {
            let found = format!("what arrives of a webhook was not tested: {reason}");
            Finding::unseen(PUBLIC, found)
        }
    }
}
