//! HTTP clients of commands, and a listener of the relay on this machine as they reach it: its URL, and
//! a client that knows its certificate.

use std::net::SocketAddr;
use std::time::Duration;

use reqwest::{Client, ClientBuilder, Url};

use super::error::CommandError;
use super::input::local_address;
use crate::config::TlsConfig;
use crate::http_client::{
    CallFailure, TlsFault, USER_AGENT, error_chain, expecting, expecting_any, is_loopback,
};
use crate::listener::tls::pair::read_certificate;

/// Longest time for a response, unless a call sets its own.
const TIMEOUT: Duration = Duration::from_mins(1);

pub(super) struct LocalListener {
    pub(super) url: Url,
    /// The section with its certificate, such as `server.tls`; none without TLS.
    section: Option<&'static str>,
    /// An error says why it cannot be called.
    client: Result<Client, String>,
}

impl LocalListener {
    /// Finds it, to be asked for no more than its health: without a secret, and whatever its
    /// certificate is. None if its address leaves the port open.
    // A relay whose renewed certificate cannot be used goes on with the one before. It is healthy, and
    // a restart, which an orchestrator makes of unhealthy ones, would end it.
    pub(super) fn for_health(listen: SocketAddr, tls: &TlsConfig) -> Option<LocalListener> {
        let client = |url: &Url| {
            if tls.is_on() { client_with(expecting_any()) } else { client(url.as_str()) }
        };
        let url = url_of(listen, tls)?;
        let client = client(&url).map_err(|error| error.to_string());
        Some(LocalListener { url, section: tls.is_on().then_some(tls.section), client })
    }

    /// Finds it; none if its address leaves the port open.
    pub(super) fn of(listen: SocketAddr, tls: &TlsConfig) -> Option<LocalListener> {
        let url = url_of(listen, tls)?;
        let client = match tls.certificate() {
            None => client(url.as_str()).map_err(|error| error.to_string()),
            Some(path) => path.map_err(|error| error.to_string()).and_then(|path| {
                let certificate = read_certificate(&path).map_err(|error| error.to_string())?;
                let expected = expecting(certificate.der().clone(), path);
                client_with(expected).map_err(|error| error.to_string())
            }),
        };
        // Without its certificate nobody knows whether it is the relay that answers.
        let client = client.map_err(|reason| {
            if tls.is_on() {
                format!("its certificate cannot be read here ([{}]): {reason}", tls.section)
            } else {
                reason
            }
        });
        Some(LocalListener { url, section: tls.is_on().then_some(tls.section), client })
    }

    pub(super) fn client(&self) -> Result<&Client, &str> {
        self.client.as_ref().map_err(String::as_str)
    }

    /// Explains why a call got no answer.
    pub(super) fn explain(&self, failure: &CallFailure) -> String {
        match (self.section, failure.tls) {
            (Some(section), Some(TlsFault::NotSpoken)) => format!(
                "{failure}; a relay that was started before [{section}] was written has to be \
                 restarted, once `savio-relay check` finds no mistake"
            ),
            (Some(_), Some(TlsFault::OtherCertificate)) => format!(
                "{failure}. If that file was replaced just now, try again in a few seconds; else the \
                 log of the relay says why it does not use it"
            ),
            (Some(_), Some(TlsFault::Untrusted) | None) | (None, _) => failure.to_string(),
        }
    }
}

fn url_of(listen: SocketAddr, tls: &TlsConfig) -> Option<Url> {
    let local = local_address(listen)?;
    Some(format!("{}://{local}", tls.scheme()).parse().expect("an address makes a URL"))
}

/// Explains why a call of a URL that a person named with this option got no answer.
pub(super) fn explain_named(failure: &CallFailure, url: &Url, option: &str) -> String {
    if failure.tls == Some(TlsFault::Untrusted) && is_loopback(url) {
        return format!(
            "{failure}; a certificate is for a name and not for this machine's own address, so leave \
             {option} out to call the relay of the configuration"
        );
    }
    failure.to_string()
}

/// Returns the mistake of calling a relay with TLS without it, at a URL that this option can name.
pub(super) fn https_expected(url: &str, option: &str) -> CommandError {
    CommandError::InvalidInput(format!(
        "{url} speaks https: write https:// in {option}, or [server.tls] into the configuration"
    ))
}

/// Returns a client for a URL that a person names.
pub(super) fn client(url: &str) -> Result<Client, CommandError> {
    // It fails only if a provider is installed already, which will do as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut client = client_builder();
    if !url.starts_with("https:") {
        // The relay on this machine is not reached through a proxy of the environment. TLS is not
        // used, so a machine without CA certificates will do.
        client = client.no_proxy().tls_certs_only([]);
    }
    client.build().map_err(|error| CommandError::Failed(error_chain(&error)))
}

/// Returns a client for the relay on this machine, with settings for its certificate.
fn client_with(tls: rustls::ClientConfig) -> Result<Client, CommandError> {
    let client = client_builder().no_proxy().tls_backend_preconfigured(tls);
    client.build().map_err(|error| CommandError::Failed(error_chain(&error)))
}

fn client_builder() -> ClientBuilder {
    Client::builder().user_agent(USER_AGENT).timeout(TIMEOUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::secret::Environment;

    #[test]
    fn wildcard_address_is_reached_by_loopback() {
        let (config, _) = Config::read(None, &Environment::new()).unwrap();
        let check = |listen: &str, url: &str| {
            let listener = LocalListener::of(listen.parse().unwrap(), &config.tls).unwrap();
            assert_eq!(listener.url.as_str(), url);
        };

        check("0.0.0.0:8080", "http://127.0.0.1:8080/");
        check("[::]:80", "http://[::1]/");
        check("192.0.2.7:9000", "http://192.0.2.7:9000/");
        assert!(LocalListener::of("127.0.0.1:0".parse().unwrap(), &config.tls).is_none());
    }
}
