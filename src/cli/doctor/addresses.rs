//! Check of the addresses on which the relay listens, or is to listen, as another process sees them.

use std::io;
use std::net::SocketAddr;

use tokio::net::TcpListener;

use crate::cli::healthcheck::{self, Health};
use crate::config::Config;
use crate::doctor::finding::Finding;
use crate::doctor::host::{ADDRESS, readiness};
use crate::listener::BindError;
use crate::listener::tls::pair::{Pair, PairError};

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
        Health::Ready => readiness(address, &[""; 0]),
        Health::NotReady { reasons } => readiness(address, reasons),
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
