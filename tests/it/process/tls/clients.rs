//! Commands that ask the relay on this machine: they accept its certificate, and no other.

use std::process::Output;
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::{HOST, Scene, TOKEN, VARIABLES};
use crate::support::relay::{Relay, program};

/// Runs a command with the configuration of a scene against a relay.
fn run(scene: &Scene, relay: &Relay, arguments: &[&str]) -> (Option<i32>, String) {
    let mut program = program(scene.folder.path());
    let listen = |url: &str| url.split_once("://").unwrap().1.to_owned();
    program.args(arguments).envs(VARIABLES);
    program.env("SAVIO_RELAY_SERVER__LISTEN", listen(&relay.url));
    program.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", listen(&relay.admin_url));
    let Output { status, stdout, stderr } = program.output().unwrap();
    (status.code(), String::from_utf8([stdout, stderr].concat()).unwrap())
}

#[track_caller]
fn check(scene: &Scene, relay: &Relay, (arguments, code, parts): (&[&str], i32, &[&str])) {
    let (found, shown) = run(scene, relay, arguments);
    assert_eq!(found, Some(code), "{arguments:?}: {shown}");
    for part in parts {
        assert!(shown.contains(part), "{arguments:?}: {part} is not in {shown}");
    }
}

/// Writes a payload for `send`, and returns its path.
fn payload(scene: &Scene) -> String {
    let path = scene.folder.path().join("payload.json");
    std::fs::write(&path, r#"{"text":"It is slow"}"#).unwrap();
    path.to_str().unwrap().to_owned()
}

#[test]
fn commands_reach_a_relay_with_tls() {
    let scene = Scene::new();
    let relay = scene.start();

    check(&scene, &relay, (&["healthcheck"], 0, &["ready"]));
    check(&scene, &relay, (&["sources", "list"], 0, &["form"]));
    check(&scene, &relay, (&["sources", "pause", "form"], 0, &["form"]));
    check(&scene, &relay, (&["destinations", "list"], 0, &["default"]));
    check(&scene, &relay, (&["send", "form", &payload(&scene)], 0, &["202"]));
    check(&scene, &relay, (&["events", "list"], 0, &["form"]));
}

#[test]
fn another_certificate_is_not_accepted() {
    let scene = Scene::new();
    let relay = scene.start();
    let impostor = Scene::new();
    let other = "it presents another certificate than the one in tls/fullchain.pem";

    check(&impostor, &relay, (&["sources", "pause", "form"], 3, &[other, "try again in a few"]));
    check(&impostor, &relay, (&["destinations", "pause", "default"], 3, &[other]));
    check(&impostor, &relay, (&["send", "form", &payload(&impostor)], 3, &[other]));
    let (_, report) = run(&impostor, &relay, &["doctor"]);
    assert!(report.contains(other), "{report}");
    assert!(!report.contains(TOKEN), "{report}");
}

/// Starts a server that presents the certificate of the scene and has another key.
async fn thief(scene: &Scene) -> String {
    let provider = Arc::new(ring::default_provider());
    let other = PrivateKeyDer::from_pem_slice(scene.authority.issue(HOST).key.as_bytes()).unwrap();
    let key = ring::sign::any_supported_type(&other).unwrap();
    let stolen = CertifiedKey::new(vec![scene.issued.der.clone()], key);
    let config =
        ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
    let resolver = Arc::new(SingleCertAndKey::from(stolen));
    let config = config.unwrap().with_no_client_auth().with_cert_resolver(resolver);
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            assert!(acceptor.accept(stream).await.is_err(), "the client believes it");
        }
    });
    address
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn server_without_the_key_of_the_certificate_is_not_accepted() {
    let scene = Scene::new();
    let address = thief(&scene).await;
    let mut sources = program(scene.folder.path());

    sources.args(["sources", "pause", "form"]).env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", &address);
    let output = sources.envs(VARIABLES).output().unwrap();

    let shown = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{shown}");
    assert!(shown.contains("its certificate is not trusted, it is not valid"), "{shown}");
}

#[test]
fn relay_that_was_started_without_tls_has_to_be_restarted() {
    let plain = Scene::new();
    std::fs::write(plain.folder.path().join("relay.toml"), "").unwrap();
    let relay = plain.start();
    let configured = Scene::new();

    let restart = "a relay that was started before [server.tls] was written has to be restarted";
    check(&configured, &relay, (&["healthcheck"], 3, &["it does not speak TLS", restart]));
    check(&configured, &relay, (&["sources", "pause", "form"], 3, &["before [admin.tls]"]));
    check(&configured, &relay, (&["doctor"], 1, &["is not reached by [server.tls]", restart]));
    let payload = payload(&configured);
    check(&configured, &relay, (&["send", "form", &payload], 3, &["not speak TLS", restart]));
}

#[test]
fn command_without_the_certificate_is_told_that_the_relay_speaks_https() {
    let scene = Scene::new();
    let relay = scene.start();
    let plain = Scene::new();
    std::fs::write(plain.folder.path().join("relay.toml"), "").unwrap();

    check(&plain, &relay, (&["healthcheck"], 1, &["speaks https", "[server.tls]"]));
    check(&plain, &relay, (&["sources", "pause", "form"], 1, &["speaks https", "[admin.tls]"]));
    let payload = payload(&plain);
    check(&plain, &relay, (&["send", "form", &payload], 1, &["speaks https", "[server.tls]"]));
    let http = relay.url.replace("https:", "http:");
    let (code, shown) = run(&plain, &relay, &["send", "form", &payload, "--to", &http]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("write https:// in --to") && !shown.contains("log says"), "{shown}");
    let (_, report) = run(&plain, &relay, &["doctor"]);
    assert!(
        report.contains("speaks https, and this configuration has no [server.tls]"),
        "{report}"
    );
    assert!(!report.contains("another program"), "{report}");
}

#[test]
fn address_instead_of_the_configuration_is_advised_against_with_tls() {
    let scene = Scene::new();
    let mut params = CertificateParams::new(vec![HOST.to_owned()]).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let key = KeyPair::generate().unwrap();
    let own = params.self_signed(&key).unwrap();
    let check_named = |relay: &Relay, reason: &str| {
        let (url, payload) = (relay.url.as_str(), payload(&scene));
        let out = |option| format!("leave {option} out to call the relay of the configuration");
        let healthcheck = ["healthcheck", "--url", url];
        check(&scene, relay, (&healthcheck, 3, &[reason, &out("--url")]));
        check(
            &scene,
            relay,
            (&["send", "form", &payload, "--to", url], 3, &[reason, &out("--to")]),
        );
    };

    check_named(&scene.start(), "its issuer is unknown to this machine");
    std::fs::write(scene.tls().join("fullchain.pem"), own.pem()).unwrap();
    std::fs::write(scene.tls().join("privkey.pem"), key.serialize_pem()).unwrap();
    check_named(&scene.start(), "it is self-signed");
}

#[test]
fn certificate_that_cannot_be_read_here_is_named() {
    let scene = Scene::new();
    let relay = scene.start();
    std::fs::remove_file(scene.tls().join("fullchain.pem")).unwrap();

    let unread = ["[admin.tls]", "the file tls/fullchain.pem does not exist"];
    check(&scene, &relay, (&["sources", "pause", "form"], 3, &unread));
}

#[test]
fn relay_whose_renewed_certificate_cannot_be_used_is_healthy() {
    let scene = Scene::new();
    let relay = scene.start();

    scene.authority.issue_for(HOST, (-80, 10)).write(&scene.tls());
    std::fs::write(scene.tls().join("privkey.pem"), "nothing").unwrap();
    check(&scene, &relay, (&["healthcheck"], 0, &["ready"]));
    std::fs::write(scene.tls().join("fullchain.pem"), "nothing").unwrap();
    check(&scene, &relay, (&["healthcheck"], 0, &["ready"]));
}

#[test]
fn doctor_advises_no_restart_with_files_that_cannot_be_used() {
    let scene = Scene::new();
    let relay = scene.start();
    let check_report = |reason: &str| {
        let (code, report) = run(&scene, &relay, &["doctor"]);
        assert_eq!(code, Some(1), "{report}");
        for part in ["and is ready", reason, "Do not restart the relay before"] {
            assert!(report.contains(part), "{part} is not in {report}");
        }
        assert!(!report.contains("restart it") && !report.contains("another program"), "{report}");
    };
    let write = |name, text: &str| std::fs::write(scene.tls().join(name), text).unwrap();

    write("fullchain.pem", &scene.authority.issue(HOST).chain);
    check_report("keeps the certificate from before: the private key in the file");
    write("fullchain.pem", &scene.issued.chain[..100]);
    check_report("keeps the certificate from before: the file tls/fullchain.pem is damaged");
    write("fullchain.pem", &scene.issued.chain);
    write("privkey.pem", "nothing");
    check_report("keeps the certificate from before: there is no private key in the file");
    scene.authority.issue_for(HOST, (-90, -1)).write(&scene.tls());
    check_report("presents another certificate than the one in tls/fullchain.pem");
}

#[test]
fn commands_do_not_read_the_key() {
    let scene = Scene::new();
    let relay = scene.start();
    std::fs::remove_file(scene.tls().join("privkey.pem")).unwrap();

    check(&scene, &relay, (&["healthcheck"], 0, &["ready"]));
    check(&scene, &relay, (&["sources", "list"], 0, &["form"]));
}

#[test]
fn doctor_names_the_certificate_and_its_faults() {
    let scene = Scene::new();
    let relay = scene.start_with(&[]);
    let doctor = |url: &str| {
        let config = format!("server.public_url = \"{url}\"\n{}", super::BOTH);
        std::fs::write(scene.folder.path().join("relay.toml"), config).unwrap();
        run(&scene, &relay, &["doctor"]).1
    };

    let report = doctor("https://relay.example.com");
    let named = "the certificate of server.tls is for relay.example.com, valid until 20";
    assert!(report.contains(named) && report.contains("and is ready"), "{report}");
    assert!(!report.contains("trusted_proxies"), "{report}");
    let report = doctor("https://other.example.com");
    assert!(
        report.contains("other.example.com, the host of server.public_url, is not among"),
        "{report}"
    );
    let report = doctor("http://relay.example.com");
    assert!(report.contains("[server.tls] serves https"), "{report}");

    scene.authority.issue_for(HOST, (-80, 10)).write(&scene.tls());
    let report = doctor("https://relay.example.com");
    assert!(report.contains("the certificate ends on "), "{report}");
    std::fs::write(scene.tls().join("privkey.pem"), "nothing").unwrap();
    let report = doctor("https://relay.example.com");
    assert!(report.contains("there is no private key in the file"), "{report}");
}
