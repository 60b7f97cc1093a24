//! Checks of the URL of webhooks, of who may use the admin API, and of the limit of open files.

use std::borrow::Borrow;
use std::net::SocketAddr;

use rustix::process::{Resource, getrlimit};
use secrecy::ExposeSecret as _;

use super::finding::Finding;
use crate::admin::AdminToken;
use crate::clock;
use crate::config::Config;
use crate::mapping_file::file::MappingFile;

/// Heading of all findings about addresses.
pub(crate) const ADDRESS: &str = "address";
const ADMIN: &str = "admin API";
const OPEN_FILES: &str = "open files";

/// Open files beside the connections: the store, connections to Savio, watched files.
const FILES_BESIDE: u64 = 128;

/// Checks the URL that providers use.
pub(crate) fn public_url(config: &Config, files: &[MappingFile], findings: &mut Vec<Finding>) {
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

/// Judges a relay that listens at the address, by the reasons why it would store no webhook now.
pub(crate) fn readiness(address: SocketAddr, reasons: &[impl Borrow<str>]) -> Finding {
    if reasons.is_empty() {
        return Finding::ok(ADDRESS, format!("a relay runs on {address}, and is ready"));
    }
    let reasons = reasons.join("; ");
    Finding::wrong(ADDRESS, format!("the relay on {address} is not ready: {reasons}"))
}

/// Checks who may use the admin API, and from where.
pub(crate) fn admin_access(config: &Config, findings: &mut Vec<Finding>) {
    findings.push(admin_token(config));
    findings.extend(config.admin.doubts().into_iter().map(|it| Finding::warning(ADMIN, it)));
}

fn admin_token(config: &Config) -> Finding {
    match config.admin.token.value() {
        Ok(token) if AdminToken::is_short(token.expose_secret()) => {
            Finding::warning(ADMIN, "the admin token is short: others may guess it")
                .advice("choose a long one, such as `openssl rand -hex 32` makes")
                .command("openssl rand -hex 32")
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

/// Checks how many files a process, such as "this shell", may open.
pub(crate) fn open_files(config: &Config, process: &str, findings: &mut Vec<Finding>) {
    let connections = u64::try_from(config.listener.connections_max).unwrap_or(u64::MAX);
    let needed = connections.saturating_add(FILES_BESIDE);
    findings.push(match getrlimit(Resource::Nofile).current {
        Some(limit) if limit < needed => {
            let found = format!("{process} may open {limit} files, the relay may need {needed}");
            Finding::warning(OPEN_FILES, found).advice("raise it with `ulimit -n` or LimitNOFILE")
        }
        Some(limit) => {
            Finding::ok(OPEN_FILES, format!("{process} may open {limit}, {needed} are enough"))
        }
        None => Finding::ok(OPEN_FILES, format!("{process} may open any number")),
    });
}
