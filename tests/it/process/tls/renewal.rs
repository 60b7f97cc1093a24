//! Certificates that are replaced while the relay runs, in the ways of the usual tools.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;

use rustls::pki_types::CertificateDer;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{HOST, Scene, TOKEN, address};
use crate::support::certificate::{Issued, replace};
use crate::support::relay::Relay;
use crate::support::wait::{until, until_async};

/// Returns the certificate that a new connection gets.
async fn presented(scene: &Scene, relay: &Relay) -> CertificateDer<'static> {
    let stream = scene.authority.connect(address(relay)).await;
    let (_, session) = stream.get_ref();
    session.peer_certificates().unwrap()[0].clone().into_owned()
}

async fn is_used(scene: &Scene, relay: &Relay, issued: &Issued) {
    until_async(async || presented(scene, relay).await == issued.der).await;
}

/// Replaces a link by a new one, as certbot and Kubernetes do.
fn link(target: impl AsRef<Path>, at: &Path) {
    let new = at.with_file_name("link-to-rename");
    symlink(target, &new).unwrap();
    fs::rename(new, at).unwrap();
}

#[tokio::test]
async fn certificate_renewed_by_certbot_is_used_and_connections_stay() {
    let scene = Scene::new();
    let (live, archive) = (scene.tls(), scene.folder.path().join("archive"));
    fs::create_dir(&archive).unwrap();
    let install = |number: usize, issued: &Issued| {
        for (name, text) in [("fullchain", &issued.chain), ("privkey", &issued.key)] {
            fs::write(archive.join(format!("{name}{number}.pem")), text).unwrap();
            link(format!("../archive/{name}{number}.pem"), &live.join(format!("{name}.pem")));
        }
    };
    install(1, &scene.issued);
    let relay = scene.start();
    let mut open = scene.authority.connect(address(&relay)).await;

    let renewed = scene.authority.issue_for(HOST, (-1, 400));
    install(2, &renewed);
    is_used(&scene, &relay, &renewed).await;

    let request = b"GET /healthz HTTP/1.1\r\nhost: relay\r\nconnection: close\r\n\r\n";
    open.write_all(request).await.unwrap();
    let mut answer = String::new();
    open.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    until(|| relay.logged("server.tls: the new certificate in tls/fullchain.pem is used") == 1)
        .await;
    let log = relay.log_at_stop();
    assert!(log.contains("valid until 20") && log.contains("for relay.example.com"), "{log}");
    assert!(!log.contains("WARN"), "{log}");
}

#[tokio::test]
async fn certificate_in_a_kubernetes_volume_is_used() {
    let scene = Scene::new();
    let volume = scene.tls();
    let publish = |version: &str, issued: &Issued| {
        fs::create_dir(volume.join(version)).unwrap();
        issued.write(&volume.join(version));
        link(version, &volume.join("..data"));
    };
    publish("..2026_1", &scene.issued);
    for name in ["fullchain.pem", "privkey.pem"] {
        link(format!("..data/{name}"), &volume.join(name));
    }
    let relay = scene.start();

    let renewed = scene.authority.issue(HOST);
    publish("..2026_2", &renewed);

    is_used(&scene, &relay, &renewed).await;
    fs::remove_dir_all(volume.join("..2026_1")).unwrap();
    assert_eq!(scene.post(&relay, "It is slow").await, 202);
}

/// Returns the certificates whose files cannot be used, as the relay reports them to `doctor`.
async fn kept(scene: &Scene, relay: &Relay) -> Vec<(String, String)> {
    let admin = relay.admin_url.trim_start_matches("https://").parse().unwrap();
    let url = format!("https://{HOST}:{}/api/v1/secrets/compare", port(&relay.admin_url));
    let question = json!({ "nonce": "n".repeat(32), "secrets": [] });
    let call = scene.authority.http(admin).post(url).bearer_auth(TOKEN).json(&question);
    let answer: Value = call.send().await.unwrap().json().await.unwrap();
    let kept = answer["kept"].as_array().unwrap();
    let text = |it: &Value, key: &str| it[key].as_str().unwrap().to_owned();
    kept.iter().map(|it| (text(it, "purpose"), text(it, "reason"))).collect()
}

fn port(url: &str) -> &str {
    url.rsplit(':').next().unwrap()
}

const KEPT: &str = "server.tls: the certificate from before stays in use";

#[tokio::test]
async fn certificate_without_its_key_keeps_the_pair_before() {
    let scene = Scene::new();
    let relay = scene.start();
    let (one, other) = (scene.authority.issue(HOST), scene.authority.issue(HOST));

    replace(&scene.tls().join("fullchain.pem"), &one.chain);
    until(|| relay.logged(KEPT) == 1).await;
    assert_eq!(presented(&scene, &relay).await, scene.issued.der);
    let reasons = kept(&scene, &relay).await;
    assert_eq!(
        reasons.iter().map(|(of, _)| of.as_str()).collect::<Vec<_>>(),
        ["admin.tls", "server.tls"]
    );
    assert!(reasons[0].1.contains("does not belong to the certificate"), "{reasons:?}");
    // Another one without its key is no news.
    replace(&scene.tls().join("fullchain.pem"), &other.chain);
    replace(&scene.tls().join("privkey.pem"), "nothing");
    until(|| relay.logged("there is no private key in the file tls/privkey.pem") == 2).await;
    replace(&scene.tls().join("privkey.pem"), &other.key);

    is_used(&scene, &relay, &other).await;
    until_async(async || kept(&scene, &relay).await.is_empty()).await;
    assert_eq!(scene.post(&relay, "It is slow").await, 202);
    let log = relay.log_at_stop();
    assert_eq!(log.matches(KEPT).count(), 2, "one for each reason: {log}");
}

#[tokio::test]
async fn certificate_that_is_not_valid_now_does_not_replace_a_valid_one() {
    let scene = Scene::new();
    let relay = scene.start();

    for (period, reason) in [((-90, -1), "ended on "), ((2, 90), "is not valid before ")] {
        scene.authority.issue_for(HOST, period).write(&scene.tls());
        // Of both addresses.
        until(|| {
            relay.logged(&format!("the certificate in the file tls/fullchain.pem {reason}")) == 2
        })
        .await;
        assert_eq!(presented(&scene, &relay).await, scene.issued.der);
        let reasons = kept(&scene, &relay).await;
        assert!(reasons.len() == 2 && reasons[0].1.contains(reason), "{reasons:?}");
    }
    let renewed = scene.authority.issue(HOST);
    renewed.write(&scene.tls());

    is_used(&scene, &relay, &renewed).await;
    until_async(async || kept(&scene, &relay).await.is_empty()).await;
}

#[tokio::test]
async fn relay_without_a_valid_certificate_takes_any_other() {
    let scene = Scene::new();
    scene.authority.issue_for(HOST, (-90, -1)).write(&scene.tls());
    let relay = scene.start();

    scene.authority.issue_for(HOST, (-90, -2)).write(&scene.tls());

    until(|| relay.logged("server.tls: the new certificate in tls/fullchain.pem is used") == 1)
        .await;
}

#[tokio::test]
async fn key_that_everyone_may_read_is_logged() {
    let scene = Scene::new();
    let (key, renewed) = (scene.tls().join("privkey.pem"), scene.authority.issue(HOST));
    let allow = |path: &Path, mode| {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    };
    allow(scene.folder.path(), 0o755);
    allow(&scene.tls(), 0o755);
    allow(&key, 0o644);
    let everyone = "everyone on this machine may use the private key in tls/privkey.pem";

    let relay = scene.start();
    assert!(relay.startup_output.contains(everyone), "{}", relay.startup_output);
    assert!(relay.startup_output.contains("chmod o= tls/privkey.pem"), "{}", relay.startup_output);
    fs::write(&key, &renewed.key).unwrap();
    replace(&scene.tls().join("fullchain.pem"), &renewed.chain);
    until(|| relay.logged(&format!("server.tls: {everyone}")) == 1).await;

    assert!(relay.stop().success());
    allow(&scene.tls(), 0o750);
    let relay = scene.start();
    assert!(!relay.startup_output.contains(everyone), "{}", relay.startup_output);
}

#[tokio::test]
async fn hangup_reads_the_files_and_says_what_is_wrong_each_time() {
    let scene = Scene::new();
    let relay = scene.start();

    relay.hang_up();
    fs::remove_file(scene.tls().join("privkey.pem")).unwrap();
    until(|| relay.logged(KEPT) == 1).await;
    relay.hang_up();
    until(|| relay.logged(KEPT) == 2).await;
    scene.issued.write(&scene.tls());
    relay.hang_up();

    until(|| relay.logged("server.tls: the files can be used again") == 1).await;
    assert_eq!(relay.logged("the file tls/privkey.pem does not exist"), 4, "of both addresses");
    assert_eq!(scene.post(&relay, "It is slow").await, 202);
}

#[tokio::test]
async fn file_that_cannot_be_read_for_a_moment_is_read_again() {
    let scene = Scene::new();
    let relay = scene.start();
    let renewed = scene.authority.issue(HOST);
    // The same size and inode as before: only the times of the file differ.
    fs::write(scene.tls().join("fullchain.pem"), "").unwrap();
    until(|| relay.logged(KEPT) == 1).await;

    fs::write(scene.tls().join("privkey.pem"), &renewed.key).unwrap();
    fs::write(scene.tls().join("fullchain.pem"), &renewed.chain).unwrap();

    is_used(&scene, &relay, &renewed).await;
}
