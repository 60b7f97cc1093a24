//! The addresses on which the relay listens, each with its certificate if it has one.

use std::net::SocketAddr;

use super::certificates::ServedCertificate;
use super::error::RelayError;
use crate::config::{Config, TlsConfig};
use crate::listener::{self, Listening, Pulse, local_address};

/// The addresses for webhooks and for the admin API.
pub(super) struct Listeners {
    pub(super) webhooks: Listening,
    pub(super) requests: Listening,
    /// The certificates of both.
    pub(super) certificates: Vec<ServedCertificate>,
    pub(super) described: ListenerState,
}

/// Where the relay listens, and the signs of life of the loops that do.
pub(crate) struct ListenerState {
    /// Address for webhooks.
    pub(crate) address: SocketAddr,
    /// URL of the same.
    pub(crate) url: String,
    pub(crate) admin_url: String,
    /// The same as this machine reaches it.
    pub(crate) local_admin_url: String,
    /// A sentence for each certificate.
    pub(crate) certificates: Vec<String>,
    pub(super) webhook_pulse: Pulse,
    pub(super) admin_pulse: Pulse,
}

/// Reads the certificates and listens on the addresses.
pub(super) async fn bind(config: &Config) -> Result<Listeners, RelayError> {
    let (address, admin) = (config.listen, config.admin_listen);
    if address == admin && address.port() != 0 {
        return Err(RelayError::SameAddress(address));
    }
    let (webhooks, address, own) = bind_one(address, "server.listen", &config.tls).await?;
    let (requests, admin, of_admin) =
        bind_one(admin, "server.admin_listen", &config.admin.tls).await?;
    let certificates: Vec<ServedCertificate> = own.into_iter().chain(of_admin).collect();
    let described = ListenerState {
        address,
        url: format!("{}://{address}", config.tls.scheme()),
        admin_url: format!("{}://{admin}", config.admin.tls.scheme()),
        local_admin_url: format!("{}://{}", config.admin.tls.scheme(), local_address(admin)),
        certificates: certificates.iter().map(ServedCertificate::description).collect(),
        webhook_pulse: webhooks.pulse.clone(),
        admin_pulse: requests.pulse.clone(),
    };
    Ok(Listeners { webhooks, requests, certificates, described })
}

async fn bind_one(
    address: SocketAddr,
    setting: &'static str,
    tls: &TlsConfig,
) -> Result<(Listening, SocketAddr, Option<ServedCertificate>), RelayError> {
    let certificate = ServedCertificate::start(tls)?;
    let (listener, address) = listener::bind(address, setting).await?;
    let tls = certificate.as_ref().map(ServedCertificate::tls);
    Ok((Listening { listener, tls, pulse: Pulse::default() }, address, certificate))
}
