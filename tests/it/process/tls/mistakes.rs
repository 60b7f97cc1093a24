//! Mistakes in `[server.tls]` and its files: each is shown with its place and what to do, before the
//! relay starts.

use std::fs;
use std::process::Output;

use data_encoding::BASE64;
use p256::pkcs8::PrivateKeyInfoRef;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519};

use super::{Authority, BOTH, HOST, Issued, Scene, VARIABLES};
use crate::support::external_tool::run_tool;
use crate::support::relay::program;

fn run(scene: &Scene, command: &str) -> Output {
    let mut program = program(scene.folder.path());
    program.arg(command).envs(VARIABLES).env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0");
    program.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0").output().unwrap()
}

fn text(output: &Output) -> String {
    let both = [output.stdout.as_slice(), &output.stderr].concat();
    String::from_utf8(both).unwrap()
}

/// Checks that `serve` and `check` end with these texts.
#[track_caller]
fn check_refused(scene: &Scene, parts: &[&str]) {
    for command in ["serve", "check"] {
        let output = run(scene, command);
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(1), "{command}: {shown}");
        for part in parts {
            assert!(shown.contains(part), "{command}: {part} is not in {shown}");
        }
        assert!(!shown.contains("PRIVATE KEY-----\nM"), "{shown}");
    }
}

/// Checks the mistakes of a certificate file and of a key file with these contents.
#[track_caller]
fn check_files(chain: &str, key: &str, parts: &[&str]) {
    let scene = Scene::new();
    fs::write(scene.tls().join("fullchain.pem"), chain).unwrap();
    fs::write(scene.tls().join("privkey.pem"), key).unwrap();
    check_refused(&scene, parts);
}

const CERT_PLACE: &str = "relay.toml:2:8";
const KEY_PLACE: &str = "relay.toml:3:7";

#[test]
fn missing_or_unreadable_file_is_named() {
    let scene = Scene::new();
    fs::remove_file(scene.tls().join("fullchain.pem")).unwrap();
    check_refused(&scene, &[CERT_PLACE, "the file tls/fullchain.pem does not exist"]);

    let scene = Scene::new();
    fs::remove_file(scene.tls().join("privkey.pem")).unwrap();
    fs::create_dir(scene.tls().join("privkey.pem")).unwrap();
    check_refused(&scene, &[KEY_PLACE, "the file tls/privkey.pem cannot be read: it is a folder"]);

    let scene = Scene::new();
    fs::write(scene.tls().join("fullchain.pem"), "x".repeat(65 * 1024)).unwrap();
    check_refused(&scene, &[CERT_PLACE, "it is larger than 64 KiB"]);
}

#[test]
fn file_without_what_is_expected_in_it_is_explained() {
    let Issued { chain, key, .. } = Authority::new().issue(HOST);
    let Issued { key: other, .. } = Authority::new().issue(HOST);

    check_files("", &key, &[CERT_PLACE, "there is no certificate in the file tls/fullchain.pem"]);
    check_files(&chain, "", &[KEY_PLACE, "there is no private key in the file tls/privkey.pem"]);
    check_files(&key, &chain, &[CERT_PLACE, "`cert` and `key` may be exchanged"]);
    check_files(&chain, &chain, &[KEY_PLACE, "`cert` and `key` may be exchanged"]);
    let request = "-----BEGIN CERTIFICATE REQUEST-----\nAAAA\n-----END CERTIFICATE REQUEST-----\n";
    check_files(request, &key, &[CERT_PLACE, "it holds a request for a certificate"]);
    let cut = &chain[..chain.len() / 4];
    check_files(cut, &key, &[CERT_PLACE, "is damaged: a line -----END ...----- is missing"]);
    let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    check_files(nonsense, &key, &[CERT_PLACE, "the first certificate in the file"]);
    let nonsense = "-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n";
    check_files(&chain, nonsense, &[KEY_PLACE, "cannot be used", "P-256 or P-384"]);
    check_files(
        &chain,
        &other,
        &[KEY_PLACE, "does not belong to the certificate in the file tls/fullchain.pem"],
    );
}

#[test]
fn encrypted_key_is_explained() {
    let Issued { chain, .. } = Authority::new().issue(HOST);
    for key in [
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
        "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\nAAAA\n\
         -----END EC PRIVATE KEY-----\n",
    ] {
        check_files(&chain, key, &[KEY_PLACE, "is encrypted", "openssl pkey"]);
    }
}

#[test]
fn chain_in_the_wrong_order_is_explained() {
    let Issued { own, chain, key, .. } = Authority::new().issue(HOST);
    let reversed = chain[own.len()..].to_owned() + &own;

    check_files(&reversed, &key, &[CERT_PLACE, "are in the wrong order"]);
}

#[test]
fn binary_file_is_explained() {
    let scene = Scene::new();
    fs::write(scene.tls().join("fullchain.pem"), &*scene.issued.der).unwrap();

    check_refused(&scene, &[CERT_PLACE, "is not UTF-8", "openssl x509 -inform der"]);
}

#[test]
fn section_that_is_not_complete_is_explained() {
    let check = |section: &str, parts: &[&str]| {
        let scene = Scene::new();
        fs::write(scene.folder.path().join("relay.toml"), section).unwrap();
        check_refused(&scene, parts);
    };
    check("[server.tls]\n", &["relay.toml:1", "`cert` and `key` are missing here", "[server.tls]"]);
    check("[admin.tls]\ncert = \"a\"\n", &["relay.toml:1", "`key` is missing here", "[admin.tls]"]);
    check("[server.tls]\nkey = \"a\"\n", &["`cert` is missing here"]);
    check("[server.tls]\ncert = \"a\"\nkey = 3\n", &["relay.toml:3:7", "`key` must be a text"]);
    check("[server.tls]\ncrt = \"a\"\nkey = \"b\"\n", &["relay.toml:2:1", "did you mean `cert`?"]);
    check("[server]\ntls = true\n", &["relay.toml:2:7", "[server.tls]"]);
    check("[server.tls]\ncert = \"\"\nkey = \"b\"\n", &["relay.toml:2:8", "`cert` is empty"]);
    check("[server.tls]\ncert = \"file:a\"\nkey = \"b\"\n", &["write it without \"file:\""]);
    let content = "[server.tls]\ncert = \"a\"\nkey = '''-----BEGIN PRIVATE KEY-----\nMhunter2'''\n";
    let scene = Scene::new();
    fs::write(scene.folder.path().join("relay.toml"), content).unwrap();
    check_refused(&scene, &["`key` is the content of a file", "write the path"]);
    assert!(!text(&run(&scene, "check")).contains("hunter2"));
}

#[test]
fn credential_that_exists_only_for_the_service_is_no_mistake_elsewhere() {
    let scene = Scene::new();
    let key = "[server.tls]\ncert = \"tls/fullchain.pem\"\nkey = \"$CREDENTIALS_DIRECTORY/key\"\n";
    fs::write(scene.folder.path().join("relay.toml"), key).unwrap();

    let (checked, served) = (run(&scene, "check"), run(&scene, "serve"));

    let shown = text(&checked);
    assert_eq!(checked.status.code(), Some(0), "{shown}");
    assert!(
        shown.contains("warning: the file $CREDENTIALS_DIRECTORY/key cannot be found"),
        "{shown}"
    );
    let shown = text(&served);
    assert_eq!(served.status.code(), Some(1), "{shown}");
    assert!(shown.contains("[server.tls]: the file $CREDENTIALS_DIRECTORY/key"), "{shown}");
}

#[test]
fn one_file_can_be_named_by_a_variable() {
    let scene = Scene::new();
    fs::write(scene.folder.path().join("relay.toml"), "server.tls.cert = \"tls/fullchain.pem\"")
        .unwrap();
    let check = |key: &str| {
        let mut program = program(scene.folder.path());
        program.arg("check").envs(VARIABLES).env("SAVIO_RELAY_SERVER__TLS__KEY", key);
        let folder = scene.tls();
        program.env("CREDENTIALS_DIRECTORY", folder).output().unwrap()
    };

    for key in ["tls/privkey.pem", "$CREDENTIALS_DIRECTORY/privkey.pem"] {
        let output = check(key);
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    }
    let shown = text(&check("nothing.pem"));
    assert!(
        shown.contains("the environment:") && shown.contains("nothing.pem does not exist"),
        "{shown}"
    );
}

#[test]
fn doubtful_certificate_is_a_warning_and_serves() {
    let check = |issued: &Issued, part: &str| {
        let scene = Scene::new();
        issued.write(&scene.tls());
        let output = run(&scene, "check");
        let shown = text(&output);
        assert_eq!(output.status.code(), Some(0), "{shown}");
        assert!(shown.contains(part) && shown.contains(CERT_PLACE), "{part} is not in {shown}");
        assert!(scene.start().stop().success());
    };
    let authority = Authority::new();

    check(&authority.issue_for(HOST, (-90, -1)), "the certificate ended on ");
    check(&authority.issue_for(HOST, (2, 90)), "the certificate is not valid before ");
    check(&authority.issue_for(HOST, (-80, 10)), "the certificate ends on ");
    let issued = authority.issue(HOST);
    let alone = Issued { chain: issued.own.clone(), ..issued };
    check(&alone, "which certbot calls fullchain.pem");
}

#[test]
fn every_usual_kind_of_key_is_read() {
    let authority = Authority::new();
    let check = |key: &KeyPair, pem: Option<&str>| {
        let mut issued = authority.issue_with(HOST, (-1, 90), key);
        if let Some(pem) = pem {
            pem.clone_into(&mut issued.key);
        }
        let scene = Scene::new();
        issued.write(&scene.tls());
        let output = run(&scene, "check");
        assert_eq!(output.status.code(), Some(0), "{}", text(&output));
    };
    check(&KeyPair::generate_for(&PKCS_ED25519).unwrap(), None);
    let ec = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    check(&ec, None);
    check(&ec, Some(&older_form(&ec, "EC PRIVATE KEY")));
    // rcgen makes no keys of RSA.
    let Some(rsa) = run_tool("openssl", &["genpkey", "-algorithm", "RSA"], "") else { return };
    let rsa = KeyPair::from_pem(&String::from_utf8(rsa.stdout).unwrap()).unwrap();
    check(&rsa, None);
    check(&rsa, Some(&older_form(&rsa, "RSA PRIVATE KEY")));
}

#[test]
fn rsa_key_of_a_size_that_cannot_be_used_is_explained() {
    let Issued { chain, .. } = Authority::new().issue(HOST);
    let arguments = ["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:1024"];
    let Some(short) = run_tool("openssl", &arguments, "") else { return };
    let short = String::from_utf8(short.stdout).unwrap();

    check_files(&chain, &short, &[KEY_PLACE, "cannot be used", "RSA with 2048 to 4096 bits"]);
}

/// Returns the key as SEC1 or PKCS#1, which lies inside of PKCS#8.
fn older_form(key: &KeyPair, label: &str) -> String {
    let whole = key.serialize_der();
    let inner = PrivateKeyInfoRef::try_from(whole.as_slice()).unwrap().private_key;
    let base64 = BASE64.encode(inner.as_bytes());
    format!("-----BEGIN {label}-----\n{base64}\n-----END {label}-----\n")
}

#[test]
fn public_url_without_tls_is_a_warning() {
    let scene = Scene::new();
    let config = format!("[server]\npublic_url = \"http://relay.example.com\"\n{BOTH}");
    fs::write(scene.folder.path().join("relay.toml"), config).unwrap();

    let shown = text(&run(&scene, "check"));

    assert!(
        shown.contains("relay.toml:2:14") && shown.contains("[server.tls] serves https"),
        "{shown}"
    );
}
