//! Certificates of the public address, good ones and such as providers refuse.

use std::fs;
use std::sync::Arc;

use axum::body::Body;
use axum::http::Response;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, date_time_ymd};
use rustls::ServerConfig;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::super::doctor::{Deployment, Report};
use super::found;

/// An authority, and the file by which a machine trusts it.
struct Authority {
    root: CertifiedIssuer<'static, KeyPair>,
    intermediate: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    fn new(name: &str) -> Authority {
        let params = || {
            let mut params = CertificateParams::new(Vec::new()).unwrap();
            params.distinguished_name.push(rcgen::DnType::CommonName, name);
            params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
            params
        };
        let root = CertifiedIssuer::self_signed(params(), KeyPair::generate().unwrap()).unwrap();
        let mut below = params();
        let below_name = format!("{name}, intermediate");
        below.distinguished_name.push(rcgen::DnType::CommonName, below_name);
        let key = KeyPair::generate().unwrap();
        let intermediate = CertifiedIssuer::signed_by(below, key, &root).unwrap();
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("root.pem"), root.pem()).unwrap();
        Authority { root, intermediate, folder }
    }

    /// Returns a certificate for the name, that of the issuer, and its key.
    fn certificate(&self, name: &str, change: impl Fn(&mut CertificateParams)) -> Shown {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, "server");
        change(&mut params);
        let key = KeyPair::generate().unwrap();
        let own = params.signed_by(&key, &self.intermediate).unwrap();
        let chain = vec![own.der().clone(), self.intermediate.der().clone()];
        Shown { chain, key }
    }

    fn variable(&self) -> (String, String) {
        let path = self.folder.path().join("root.pem");
        ("SSL_CERT_FILE".to_owned(), path.to_str().unwrap().to_owned())
    }
}

/// What a server shows.
struct Shown {
    chain: Vec<CertificateDer<'static>>,
    key: KeyPair,
}

/// Serves https with 404 for everything, and returns its port.
async fn serve(shown: Shown) -> u16 {
    drop(rustls::crypto::ring::default_provider().install_default());
    let key = PrivateKeyDer::try_from(shown.key.serialize_der()).unwrap();
    let config = ServerConfig::builder().with_no_client_auth();
    let acceptor = TlsAcceptor::from(Arc::new(config.with_single_cert(shown.chain, key).unwrap()));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let not_found =
                    service_fn(|_| async { Response::builder().status(404).body(Body::empty()) });
                let _ =
                    http1::Builder::new().serve_connection(TokioIo::new(stream), not_found).await;
            });
        }
    });
    port
}

async fn doctor(authority: &Authority, shown: Shown) -> Report {
    let url = format!("https://localhost:{}", serve(shown).await);
    let deployment = Deployment::new(200).await;
    let (name, path) = authority.variable();
    deployment.doctor(&[("SAVIO_RELAY_SERVER__PUBLIC_URL", &url), (&name, &path)])
}

#[tokio::test(flavor = "multi_thread")]
async fn trusted_certificate_is_shown_with_its_end() {
    let authority = Authority::new("trusted");
    let certificate = authority.certificate("localhost", |it| {
        it.not_after = date_time_ymd(2099, 12, 31);
    });

    let report = doctor(&authority, certificate).await;

    report.check("ok", "the certificate is trusted, until 2099-12-31");
    report.check("ok", "the proxy answers: /healthz is not forwarded, as it should be");
    report.check("warning", "localhost leads to 127.0.0.1 here, not to a public address");
    assert_eq!(report.code, Some(0), "{:#}", report.output_json);
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_that_providers_refuse_is_wrong_with_its_reason() {
    let authority = Authority::new("trusted");
    let expired = authority.certificate("localhost", |it| {
        it.not_before = date_time_ymd(2020, 1, 1);
        it.not_after = date_time_ymd(2020, 3, 31);
    });
    let early = authority.certificate("localhost", |it| {
        it.not_before = date_time_ymd(2098, 1, 1);
        it.not_after = date_time_ymd(2099, 1, 1);
    });
    let other_name = authority.certificate("other.example.com", |_| {});
    let mut incomplete = authority.certificate("localhost", |_| {});
    incomplete.chain.truncate(1);
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let self_signed = params.self_signed(&key).unwrap();
    let self_signed = Shown { chain: vec![self_signed.der().clone()], key };
    for (shown, text) in [
        (expired, "the certificate has expired on 2020-03-31: providers refuse to send"),
        (early, "the certificate is valid from 2098-01-01 only"),
        (other_name, "the certificate is for other.example.com, not for localhost"),
        (
            incomplete,
            "the issuer of the certificate is unknown, and the proxy shows no certificate of it",
        ),
        (self_signed, "the certificate is self-signed: providers do not trust it"),
    ] {
        let report = doctor(&authority, shown).await;

        report.check("wrong", text);
        assert_eq!(found(&report, "wrong").len(), 1, "{:#}", report.output_json);
        // What lies behind the certificate is looked at nevertheless.
        report.check("ok", "the proxy answers: /healthz is not forwarded");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn certificate_of_a_private_authority_is_wrong() {
    let (authority, other) = (Authority::new("trusted"), Authority::new("other"));
    let mut shown = other.certificate("localhost", |_| {});
    shown.chain.push(other.root.der().clone());

    let report = doctor(&authority, shown).await;

    let text = "localhost: its certificate is not trusted, its issuer is unknown to this machine";
    report.check("wrong", text);
}

#[tokio::test(flavor = "multi_thread")]
async fn plain_http_at_an_https_address_is_told() {
    let deployment = Deployment::new(200).await;
    let plain = deployment.savio.address().port();
    let url = format!("https://127.0.0.1:{plain}");

    let report = deployment.doctor(&[("SAVIO_RELAY_SERVER__PUBLIC_URL", &url)]);

    report.check("warning", "it does not speak TLS, is https:// right?");
}
