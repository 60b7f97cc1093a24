//! Checks of the machine and the network: public URL, listening addresses, open files.

use std::io;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit};
use tokio::net::TcpListener;

use super::finding::Finding;
use crate::admin::AdminToken;
use crate::cli::healthcheck::{self, Health};
use crate::clock;
use crate::config::Config;
use crate::listener::BindError;
use crate::mapping_file::file::MappingFile;
use crate::relay::admin_token::doubts;

const ADDRESS: &str = "address";
const ADMIN: &str = "looking in";
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
    findings.push(match &taken {
        Ok(false) => Finding::ok(ADDRESS, format!("{address} is free: no relay runs there now")),
        Ok(true) => occupant(config).await,
        Err(error) => unusable(address, "server.listen", error),
    });
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
async fn occupant(config: &Config) -> Finding {
    let address = config.listen;
    let health = healthcheck::ask_local(config).await;
    match health {
        Ok(Health::Ready) => {
            Finding::ok(ADDRESS, format!("a relay runs on {address}, and is ready"))
        }
        Ok(Health::NotReady { reasons }) => {
            let reasons = reasons.join("; ");
            Finding::wrong(ADDRESS, format!("the relay on {address} is not ready: {reasons}"))
        }
        // It may be a relay that was started with another configuration, or before a renewal.
        Err(error) if config.tls.is_on() => {
            let found = format!("what runs on {address} is not reached by [server.tls]: {error}");
            Finding::wrong(ADDRESS, found).advice(
                "if it is another program, stop that, or choose another server.listen; else restart \
                 the relay",
            )
        }
        Err(error) => {
            Finding::wrong(ADDRESS, format!("{address} is in use by another program: {error}"))
                .advice("stop that program, or choose another server.listen")
        }
    }
}

fn admin_token(config: &Config) -> Finding {
    match config.admin.token.value() {
        Ok(token) if AdminToken::is_short(token) => {
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
