//! `[server.tls]` and `[admin.tls]`: the relay serves https itself.

mod clients;
mod limits;
mod mistakes;
mod renewal;

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;

use http::StatusCode;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::support::certificate::{Authority, HOST, Issued, secure};
use crate::support::relay::{FORM_MAPPING, Relay, SECRET};
use crate::support::wait::until;

const BOTH: &str = "[server.tls]\ncert = \"tls/fullchain.pem\"\nkey = \"tls/privkey.pem\"\n\
    [admin.tls]\ncert = \"tls/fullchain.pem\"\nkey = \"tls/privkey.pem\"\n";

const TOKEN: &str = "an admin token of the tests";

const VARIABLES: [(&str, &str); 3] =
    [("FORM_SECRET", SECRET), ("ADMIN_TOKEN", TOKEN), ("SAVIO_RELAY_LOG__LEVEL", "debug")];

/// A folder with a source, a certificate, and both addresses with TLS.
struct Scene {
    folder: TempDir,
    authority: Authority,
    issued: Issued,
}

impl Scene {
    fn new() -> Scene {
        let authority = Authority::new();
        let issued = authority.issue(HOST);
        let scene = Scene { folder: tempfile::tempdir().unwrap(), authority, issued };
        // As the folders of certbot: nobody else may use the keys.
        fs::set_permissions(scene.folder.path(), fs::Permissions::from_mode(0o700)).unwrap();
        fs::create_dir(scene.folder.path().join("mappings")).unwrap();
        fs::write(scene.folder.path().join("mappings/form.toml"), FORM_MAPPING).unwrap();
        fs::create_dir(scene.tls()).unwrap();
        scene.issued.write(&scene.tls());
        fs::write(scene.folder.path().join("relay.toml"), BOTH).unwrap();
        scene
    }

    /// Returns the folder of the certificate.
    fn tls(&self) -> PathBuf {
        self.folder.path().join("tls")
    }

    fn start(&self) -> Relay {
        Relay::start(self.folder.path(), &VARIABLES)
    }

    fn start_with(&self, others: &[(&str, &str)]) -> Relay {
        Relay::start(self.folder.path(), &[&VARIABLES, others].concat())
    }

    async fn post(&self, relay: &Relay, text: &str) -> StatusCode {
        post(&self.authority.http(address(relay)), relay, text).await
    }
}

/// Returns the address for webhooks.
fn address(relay: &Relay) -> SocketAddr {
    relay.url.trim_start_matches("https://").parse().expect("it serves https")
}

async fn post(http: &reqwest::Client, relay: &Relay, text: &str) -> StatusCode {
    let url = format!("https://{HOST}:{}/hooks/form", address(relay).port());
    let call = http.post(url).header("x-relay-token", SECRET);
    let call = call.header("content-type", "application/json");
    call.body(format!(r#"{{"text":"{text}"}}"#)).send().await.unwrap().status()
}

#[tokio::test]
async fn webhook_is_accepted_over_https() {
    let scene = Scene::new();
    let relay = scene.start();

    assert_eq!(scene.post(&relay, "It is slow").await, 202);

    let admin =
        scene.authority.http(relay.admin_url.trim_start_matches("https://").parse().unwrap());
    let port = relay.admin_url.rsplit(':').next().unwrap();
    let metrics = admin.get(format!("https://{HOST}:{port}/metrics")).bearer_auth(TOKEN).send();
    let metrics = metrics.await.unwrap().text().await.unwrap();
    for listener in ["server", "admin"] {
        let series = format!(
            "savio_relay_tls_certificate_end_timestamp_seconds{{listener=\"{listener}\"}} 1"
        );
        assert!(metrics.contains(&series), "{series} is not in {metrics}");
    }
    let output = &relay.startup_output;
    for part in [
        "the certificate of server.tls is valid until ",
        "the certificate of admin.tls is valid until ",
        "for relay.example.com",
        &format!("form  live  https://{}/hooks/form", address(&relay)),
        "the API is at https://",
    ] {
        assert!(output.contains(part), "{part} is not in {output}");
    }
}

#[tokio::test]
async fn tls_1_2_and_1_3_are_served_and_only_http_1_1() {
    let scene = Scene::new();
    let relay = scene.start();
    for version in [&rustls::version::TLS12, &rustls::version::TLS13] {
        let mut client = scene.authority.client(&[version]);
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        let stream = TcpStream::connect(address(&relay)).await.unwrap();
        let mut stream = secure(client, stream).await.unwrap();
        let (_, session) = stream.get_ref();
        assert_eq!(session.protocol_version(), Some(version.version));
        assert_eq!(session.alpn_protocol(), Some(&b"http/1.1"[..]));
        stream.write_all(b"GET /healthz HTTP/1.1\r\nhost: relay\r\n\r\n").await.unwrap();
        let mut status = [0; 12];
        stream.read_exact(&mut status).await.unwrap();
        assert_eq!(&status, b"HTTP/1.1 200");
    }

    let mut only_h2 = scene.authority.client(rustls::ALL_VERSIONS);
    only_h2.alpn_protocols = vec![b"h2".to_vec()];
    let stream = TcpStream::connect(address(&relay)).await.unwrap();
    assert!(secure(only_h2, stream).await.is_err());
}

#[tokio::test]
async fn client_without_tls_is_told_to_use_https() {
    let scene = Scene::new();
    let relay = scene.start();
    let mut plain = TcpStream::connect(address(&relay)).await.unwrap();
    let body = "x".repeat(20_000);
    let request =
        format!("POST /hooks/form HTTP/1.1\r\nhost: a\r\ncontent-length: 20000\r\n\r\n{body}");
    plain.write_all(request.as_bytes()).await.unwrap();

    let mut answer = String::new();
    plain.read_to_string(&mut answer).await.unwrap();

    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nthis is an https address: write https:// before its host"));
    until(|| relay.logged("the client speaks http, and this is an https address") == 1).await;
    let log = relay.log_at_stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn failed_handshakes_are_logged_for_debugging_only() {
    let scene = Scene::new();
    let relay = scene.start();
    // A client that does not trust the certificate, one that sends nonsense, and one that leaves.
    let stranger = Authority::new().client(rustls::ALL_VERSIONS);
    let stream = TcpStream::connect(address(&relay)).await.unwrap();
    assert!(secure(stranger, stream).await.is_err());
    let mut nonsense = TcpStream::connect(address(&relay)).await.unwrap();
    nonsense.write_all(&[0x16, 0x03, 0x01, 0xff, 0xff, 0x00]).await.unwrap();
    drop(nonsense);
    drop(TcpStream::connect(address(&relay)).await.unwrap());

    assert_eq!(scene.post(&relay, "It is slow").await, 202);

    until(|| relay.logged("the TLS handshake failed") == 3).await;
    let log = relay.log_at_stop();
    assert!(!log.contains("WARN") && !log.contains("ERROR"), "{log}");
}

#[tokio::test]
async fn key_is_in_no_output() {
    let scene = Scene::new();
    let relay = scene.start_with(&[("SAVIO_RELAY_LOG__LEVEL", "trace")]);
    assert_eq!(scene.post(&relay, "It is slow").await, 202);

    let output = relay.startup_output.clone() + &relay.log_at_stop();

    assert!(output.contains("accepted a webhook"), "{output}");
    for line in scene.issued.key.lines().filter(|line| !line.starts_with("-----")) {
        assert!(!output.contains(line.trim()));
    }
}
