//! Checks of the machine and the network: public URL, listening addresses, open files.

use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit};
use secrecy::ExposeSecret as _;
use tokio::net::TcpListener;

use super::finding::Finding;
use crate::admin::AdminToken;
use crate::cli::healthcheck::{self, Health};
use crate::clock;
use crate::config::Config;
use crate::listener::BindError;
use crate::listener::tls::pair::{Pair, PairError};
use crate::mapping_file::file::MappingFile;
use crate::relay::admin_token::doubts;

const ADDRESS: &str = "address";
const ADMIN: &str = "admin API";
const OPEN_FILES: &str = "open files";

/// Open files beside the connections: the store, connections to Savio, watched files.
const FILES_BESIDE: u64 = 128;

/// Checks the URL that providers use.
pub(super) fn public_url(config: &Config, files: &[MappingFile], findings: &mut Vec<Finding>) {
    let now = clock::now();
    let live =
        || files.iter().flat_map(|file| &file.source).filter(|it| it.off_reason(now).is_none());
    let url = config.intake.public_url.as_deref();
    findings.push(match url {
        None => Finding::warning(ADDRESS, "server.public_url is not set").advice(
            "set it to the https address that providers see; it is shown in each source's URL",
        ),
        Some(url) if !url.starts_with("https:") => {
            Finding::warning(ADDRESS, format!("server.public_url is {url}, which is not https"))
                .advice(if config.tls.is_on() {
                    "[server.tls] serves https: write https:// before its host"
                } else {
                    "most providers send to https only: put a proxy with TLS before the relay, or \
                     give it a certificate in [server.tls]"
                })
        }
        Some(url) => Finding::ok(ADDRESS, format!("server.public_url is {url}")),
    });
    if config.has_unnamed_proxy() {
        let found = "server.public_url is https, and server.trusted_proxies names no proxy: all \
                     requests seem to come from the proxy's address";
        findings.push(Finding::warning(ADDRESS, found).advice(
            "set server.trusted_proxies to the proxy's address, so that limits tell its clients apart",
        ));
    }
    for source in live() {
        let name = &source.name;
        match url {
            None if source.signature.covers_url() => {
                let found = format!("{name}: its provider signs the URL, which is not known");
                findings.push(Finding::wrong(ADDRESS, found).advice("set server.public_url"));
            }
            None => {}
            Some(url) => {
                findings.push(Finding::ok(ADDRESS, format!("{name} is at {url}/hooks/{name}")));
            }
        }
    }
}

/// Checks that the addresses are free, or used by a relay that is ready.
pub(super) async fn listen(config: &Config, findings: &mut Vec<Finding>) {
    let (address, admin) = (config.listen, config.admin_listen);
    let taken = is_taken(address).await;
    match &taken {
        Ok(false) => {
            let found = format!("{address} is free: no relay runs there now");
            findings.push(Finding::ok(ADDRESS, found));
        }
        Ok(true) => findings.extend(occupant(config).await),
        Err(error) => findings.push(unusable(address, "server.listen", error)),
    }
    // That the admin address is used is right if a relay runs, and otherwise keeps one from
    // starting.
    findings.push(match (is_taken(admin).await, taken) {
        (Ok(false), _) => Finding::ok(ADDRESS, format!("the admin address {admin} is free")),
        (Ok(true), Ok(true)) => {
            Finding::ok(ADDRESS, format!("the admin address {admin} is in use, as is {address}"))
        }
        (Ok(true), _) => Finding::wrong(ADDRESS, format!("the admin address {admin} is in use"))
            .advice("stop the program that uses it, or choose another server.admin_listen"),
        (Err(error), _) => unusable(admin, "server.admin_listen", &error),
    });
    findings.push(admin_token(config));
    findings.extend(doubts(&config.admin).into_iter().map(|it| Finding::warning(ADMIN, it)));
}

async fn is_taken(address: SocketAddr) -> io::Result<bool> {
    match TcpListener::bind(address).await {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => Ok(true),
        Err(error) => Err(error),
    }
}

fn unusable(address: SocketAddr, setting: &'static str, error: &io::Error) -> Finding {
    let error = error.kind().into();
    Finding::wrong(ADDRESS, BindError { address, setting, error }.to_string())
}

/// Finds out whether a relay listens on the address, or another program.
async fn occupant(config: &Config) -> Vec<Finding> {
    let address = config.listen;
    match healthcheck::ask_local(config).await {
        Ok(health) => {
            let other = other_certificate(config).await;
            [running(address, &health)].into_iter().chain(other).collect()
        }
        // It may be a relay that was started with another configuration.
        Err(error) if config.tls.is_on() => {
            let found = format!("what runs on {address} is not reached by [server.tls]: {error}");
            let advice = "if it is another program, stop that, or choose another server.listen";
            vec![Finding::wrong(ADDRESS, found).advice(advice)]
        }
        Err(error) => {
            let found = format!("{address} is in use by another program: {error}");
            let advice = "stop that program, or choose another server.listen";
            vec![Finding::wrong(ADDRESS, found).advice(advice)]
        }
    }
}

fn running(address: SocketAddr, health: &Health) -> Finding {
    match health {
        Health::Ready => Finding::ok(ADDRESS, format!("a relay runs on {address}, and is ready")),
        Health::NotReady { reasons } => {
            let reasons = reasons.join("; ");
            Finding::wrong(ADDRESS, format!("the relay on {address} is not ready: {reasons}"))
        }
        Health::SpeaksHttps { .. } => {
            let found = format!(
                "the relay on {address} speaks https, and this configuration has no [server.tls]"
            );
            Finding::wrong(ADDRESS, found).advice(
                "name the configuration of that relay with --config; if [server.tls] was taken out \
                 of it on purpose, restart the relay",
            )
        }
    }
}

/// Returns why the running relay has another certificate than its files, or would not start with
/// them.
// Whatever the fault is, the relay works until somebody restarts it.
async fn other_certificate(config: &Config) -> Option<Finding> {
    let files = config.tls.files()?;
    let fault = files.ok().and_then(|files| Pair::read(&files).err());
    let (found, advice) = if let Some(PairError { what, .. }) = fault {
        let found = format!("the running relay keeps the certificate from before: {what}");
        (found, "correct the files of [server.tls]")
    } else {
        healthcheck::ask_by_certificate(config).await.err()?;
        let file = config.tls.certificate()?.ok()?;
        let file = file.display();
        let found =
            format!("a relay answers, but it presents another certificate than the one in {file}");
        let advice = "if that file was replaced just now, try again in a few seconds; else the log of \
            the relay says why it does not use it";
        (found, advice)
    };
    let advice =
        format!("{advice}. Do not restart the relay before `savio-relay check` finds no mistake");
    Some(Finding::wrong(ADDRESS, found).advice(advice))
}

fn admin_token(config: &Config) -> Finding {
    match config.admin.token.value() {
        Ok(token) if AdminToken::is_short(token.expose_secret()) => {
            Finding::warning(ADMIN, "the admin token is short: others may guess it")
                .advice("choose a long one, such as `openssl rand -hex 32` makes")
        }
        Ok(_) if !config.admin_listen.ip().is_loopback() && !config.admin.tls.is_on() => {
            let found = format!("{} is reachable from other machines", config.admin_listen);
            Finding::warning(ADMIN, found).advice(
                "give it a certificate in [admin.tls], or put a proxy with TLS before it: the admin \
                 token is sent over it",
            )
        }
        Ok(_) => Finding::ok(ADMIN, "the admin token is found"),
        Err(reason) => {
            Finding::ok(ADMIN, format!("{reason}: each start of `serve` makes a new admin token"))
        }
    }
}

pub(super) fn open_files(config: &Config, findings: &mut Vec<Finding>) {
    let connections = u64::try_from(config.listener.connections_max).unwrap_or(u64::MAX);
    let needed = connections.saturating_add(FILES_BESIDE);
    findings.push(match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => {
            let found = format!("this shell may open {limit} files, the relay may need {needed}");
            Finding::warning(OPEN_FILES, found).advice("raise it with `ulimit -n` or LimitNOFILE")
        }
        Some(limit) => {
            Finding::ok(OPEN_FILES, format!("this shell may open {limit}, {needed} are enough"))
        }
        None => Finding::ok(OPEN_FILES, "this shell may open any number"),
    });
}
