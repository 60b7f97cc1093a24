//! The way of webhooks: from the public address to the relay that runs with this configuration.

use std::net::{IpAddr, SocketAddr};

use reqwest::Url;

use super::call::PublicClient;
use crate::clock;
use crate::config::Config;
use crate::intake::echo::EchoKey;
use crate::mapping_file::file::MappingFile;

/// Where the relay listens.
#[derive(Debug)]
pub(super) struct RelayAddresses {
    pub(super) listen: SocketAddr,
    pub(super) admin: SocketAddr,
    /// URL of the admin API at the public host, if it listens beyond this machine.
    pub(super) admin_at_host: Option<String>,
    /// Whether the public address may be the relay itself, without a proxy.
    pub(super) may_be_direct: bool,
}

/// What the live sources need of a proxy.
#[derive(Debug, Default)]
pub(super) struct Needs {
    /// Names of the live sources: a proxy may forward nothing else.
    pub(super) names: Vec<String>,
    /// Headers with signatures and tokens.
    pub(super) credentials: Vec<String>,
    /// A source whose provider signs the URL.
    pub(super) url_signer: Option<String>,
}

/// A way to test.
pub(super) struct Way<'w> {
    pub(super) caller: &'w PublicClient,
    pub(super) host: &'w str,
    pub(super) place: &'w RelayAddresses,
    pub(super) needs: &'w Needs,
    /// Address of this machine on the way to the proxy.
    pub(super) own: Option<IpAddr>,
}

/// A key of the running relay for test webhooks.
#[derive(Debug)]
pub(crate) struct TestKey {
    pub(crate) key: EchoKey,
    pub(crate) body_bytes_max: usize,
}

/// Why there is no key.
#[derive(Debug)]
pub(crate) enum NoKey {
    /// No relay runs here, or it cannot be found. That is reported with the addresses.
    NoRelay,
    /// The relay that runs does not know echoes.
    OlderRelay,
    /// The reason.
    Failed(String),
}

impl RelayAddresses {
    pub(super) fn of(config: &Config, url: &Url) -> RelayAddresses {
        let (listen, admin) = (config.listen, config.admin_listen);
        let is_own_port = url.port_or_known_default() == Some(listen.port());
        let host = url.host_str().filter(|_| !admin.ip().is_loopback());
        let scheme = config.admin.tls.scheme();
        RelayAddresses {
            listen,
            admin,
            admin_at_host: host.map(|host| format!("{scheme}://{host}:{}", admin.port())),
            may_be_direct: is_own_port && url.scheme() == config.tls.scheme(),
        }
    }
}

impl Needs {
    pub(super) fn of(files: &[MappingFile]) -> Needs {
        let now = clock::now();
        let sources = files.iter().filter_map(|file| file.source.as_ref());
        let mut needs = Needs::default();
        for source in sources.filter(|it| it.off_reason(now).is_none()) {
            needs.names.push(source.name.to_string());
            let headers = source.signature.credential_headers();
            needs.credentials.extend(headers.iter().map(|it| it.to_ascii_lowercase()));
            if source.signature.covers_url() {
                needs.url_signer.get_or_insert(source.name.to_string());
            }
        }
        needs.credentials.sort_unstable();
        needs.credentials.dedup();
        needs
    }
}
