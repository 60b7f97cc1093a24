//! Certificates for the tests of TLS, made by an authority of their own, and clients that trust it.

use std::fs;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use jiff::tz::TimeZone;
use rcgen::{
    BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, PKCS_ECDSA_P256_SHA256,
    date_time_ymd,
};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use savio_relay::clock;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

pub(crate) const HOST: &str = "relay.example.com";

/// An authority that issues certificates.
pub(crate) struct Authority {
    issuer: Issuer<'static, KeyPair>,
    certificate: rcgen::Certificate,
}

/// A certificate with its key, both PEM.
#[derive(Clone)]
pub(crate) struct Issued {
    /// The server's own certificate.
    pub(crate) own: String,
    /// The same, and its issuer's.
    pub(crate) chain: String,
    pub(crate) key: String,
    pub(crate) der: CertificateDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "Authority of the tests");
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        let certificate = params.self_signed(&key).unwrap();
        Authority { issuer: Issuer::new(params, key), certificate }
    }

    /// Issues a certificate for this name that is valid for a long time.
    pub(crate) fn issue(&self, name: &str) -> Issued {
        self.issue_for(name, (-1, 365))
    }

    /// Issues a certificate that is valid from and until so many days from now.
    pub(crate) fn issue_for(&self, name: &str, (from, until): (i64, i64)) -> Issued {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
        self.issue_with(name, (from, until), &key)
    }

    pub(crate) fn issue_with(
        &self,
        name: &str,
        (from, until): (i64, i64),
        key: &KeyPair,
    ) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let time = |(year, month, day)| date_time_ymd(year, month, day);
        (params.not_before, params.not_after) = (time(in_days(from)), time(in_days(until)));
        let certificate = params.signed_by(key, &self.issuer).unwrap();
        let own = certificate.pem();
        let chain = format!("{own}{}", self.certificate.pem());
        Issued { own, chain, key: key.serialize_pem(), der: certificate.der().clone() }
    }

    /// Returns an HTTP client that trusts the authority and reaches `HOST` at this address.
    pub(crate) fn http(&self, address: SocketAddr) -> reqwest::Client {
        self.http_from(address, [127, 0, 0, 1].into())
    }

    /// Returns one whose requests come from this address.
    pub(crate) fn http_from(&self, address: SocketAddr, own: IpAddr) -> reqwest::Client {
        // It fails only if another test has installed it before.
        drop(rustls::crypto::ring::default_provider().install_default());
        let root = reqwest::Certificate::from_der(self.certificate.der()).unwrap();
        let client = reqwest::Client::builder().no_proxy().tls_certs_only([root]);
        let client = client.local_address(own);
        client.resolve(HOST, address).timeout(Duration::from_secs(20)).build().unwrap()
    }

    /// Returns the settings of a TLS client that trusts the authority.
    pub(crate) fn client(&self, versions: &[&'static SupportedProtocolVersion]) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.der().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth()
    }

    /// Opens a TLS connection.
    pub(crate) async fn connect(&self, address: SocketAddr) -> TlsStream<TcpStream> {
        let client = self.client(rustls::ALL_VERSIONS);
        secure(client, TcpStream::connect(address).await.unwrap()).await.unwrap()
    }
}

/// Makes the handshake of a client.
pub(crate) async fn secure(
    client: ClientConfig,
    stream: TcpStream,
) -> std::io::Result<TlsStream<TcpStream>> {
    let host = ServerName::try_from(HOST).unwrap();
    TlsConnector::from(Arc::new(client)).connect(host, stream).await
}

impl Issued {
    /// Writes both files, each at once.
    pub(crate) fn write(&self, folder: &Path) {
        replace(&folder.join("fullchain.pem"), &self.chain);
        replace(&folder.join("privkey.pem"), &self.key);
    }
}

/// Replaces a file by a new one of the same name.
pub(crate) fn replace(path: &Path, text: &str) {
    let new = path.with_extension("new");
    fs::write(&new, text).unwrap();
    fs::rename(new, path).unwrap();
}

/// Returns year, month and day so many days from now.
fn in_days(days: i64) -> (i32, u8, u8) {
    let then = clock::now() + SignedDuration::from_hours(24 * days);
    let date = then.to_zoned(TimeZone::UTC).date();
    let number = |it: i8| u8::try_from(it).unwrap();
    (date.year().into(), number(date.month()), number(date.day()))
}
