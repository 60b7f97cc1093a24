//! Senders without a secret can cause little work, get nothing signed and learn no details.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, Instant};

use savio_relay::clock;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::event::Headers;
use savio_relay::intake::Settings;
use savio_relay::intake::signature::SignedRequest;
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::store::RejectionFilter;
use serde_json::{Value, json};
use tokio::io::AsyncReadExt as _;

use crate::support::relay::{Relay, http};
use crate::support::server::{Request, SECRET, TestIntake, hex_hmac};
use crate::support::wait::until;

#[tokio::test]
async fn body_of_backslashes_is_refused_in_linear_time() {
    let server = TestIntake::new().await;
    let webhook = Request::new("POST", "/hooks/github")
        .header("x-hub-signature-256", &format!("sha256={:064}", 0))
        .body(&vec![b'\\'; 64 * 1024]);

    let begun = Instant::now();
    let answer = server.send(&webhook).await;

    // Linear time is milliseconds; quadratic time would be 2,000,000,000 steps.
    assert_eq!(answer.status, 401);
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
}

/// Returns a source with a public key, and the sender's header `X-Sig` for this body.
fn paired(body: &[u8]) -> (MappingFile, String) {
    let text = "secrets = [\"env:PUBLIC_KEY\"]\n\
                [signature]\nscheme = \"ecdsa-p256\"\nheader = \"X-Sig\"\nseparator = \",\"\n\
                [[feedback]]\nproblem = \"$.x\"\n";
    let document = Document { name: "paired.toml".to_owned(), text: text.to_owned() };
    let read = |environment| MappingFile::read(document.clone(), &environment);
    let signature = read([].into()).source.unwrap().signature.clone();
    let (public, private) = signature.generate_trial(&[7; 32]).unwrap();
    let headers = Headers::new();
    let request = SignedRequest { method: "POST", url: None, query: None, headers: &headers, body };
    let parts = signature.sign(&signature.signing_key(&private).unwrap(), &request, clock::now());
    let public = secrecy::ExposeSecret::expose_secret(&public).to_owned();
    (read([("PUBLIC_KEY".to_owned(), public)].into()), parts.unwrap().headers[0].1.clone())
}

#[tokio::test]
async fn health_is_answered_while_a_wrong_signature_is_diagnosed() {
    let (file, signed) = paired(&[&vec![b'x'; 30_000][..], b"\n"].concat());
    let sources = [(file.name.clone().unwrap(), file.status(clock::now()))].into();
    let server = TestIntake::with_sources(Settings::default(), sources).await;
    // Three signatures of another message before the valid one make the diagnosis take longer.
    let wrong = paired(b"other").1;
    let list = format!("{wrong},{wrong},{wrong},{signed}");
    let webhook = Request::new("POST", "/hooks/paired").header("x-sig", &list);
    let webhook = webhook.body(&vec![b'x'; 30_000]);

    let mut stream = server.begin(&webhook, 30_000).await;
    let alive = server.send(&Request::new("GET", "/healthz")).await;
    let answered_before = stream.try_read(&mut [0]);
    stream.read_to_end(&mut Vec::new()).await.unwrap();

    assert_eq!(alive.status, 200);
    assert_eq!(answered_before.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
    let rejection =
        &server.intake.rejected.latest(&RejectionFilter::of("paired".parse().unwrap()))[0];
    let hint = "right with a line end behind the body: it was cut off";
    assert_eq!(rejection.hint.as_deref(), Some(hint));
}

#[test]
fn wrong_time_is_explained_on_a_blocking_thread() {
    let mut runtime = tokio::runtime::Builder::new_current_thread();
    let runtime = runtime.max_blocking_threads(1).enable_all().build().unwrap();
    let (release, released) = std::sync::mpsc::channel::<()>();
    runtime.spawn_blocking(move || released.recv());
    runtime.block_on(async {
        let slack = ("slack", "provider = \"slack\"\nsecrets = [\"env:SECRET\"]");
        let server = TestIntake::with_files(&[slack]).await;
        let webhook = Request::new("POST", "/hooks/slack")
            .header("x-slack-signature", &format!("v0={}", hex_hmac(b"v0:1000:{}")))
            .header("x-slack-request-timestamp", "1000")
            .body(b"{}");

        let mut stream = server.begin(&webhook, 2).await;
        let alive = server.send(&Request::new("GET", "/healthz")).await;
        let answered_before = stream.try_read(&mut [0]);
        release.send(()).unwrap();
        stream.read_to_end(&mut Vec::new()).await.unwrap();

        assert_eq!(alive.status, 200);
        assert_eq!(answered_before.unwrap_err().kind(), std::io::ErrorKind::WouldBlock);
        let rejection =
            &server.intake.rejected.latest(&RejectionFilter::of("slack".parse().unwrap()))[0];
        assert!(rejection.hint.as_ref().unwrap().starts_with("right, but signed "));
    });
}

/// Creates a folder with these mapping files and a folder for the store.
fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    for inner in ["mappings", "store"] {
        fs::create_dir(folder.path().join(inner)).unwrap();
    }
    for (name, text) in files {
        write_mapping(folder.path(), name, text);
    }
    folder
}

fn write_mapping(folder: &Path, name: &str, text: &str) {
    let text = format!("{text}\n[[feedback]]\nproblem = \"$.x\"\n");
    fs::write(folder.join(format!("mappings/{name}.toml")), text).unwrap();
}

fn start(folder: &Path, variables: &[(&str, &str)]) -> Relay {
    let store = [("SAVIO_RELAY_STORE__URL", "sqlite:store/relay.db"), ("SECRET", SECRET)];
    Relay::start(folder, &[&store[..], variables].concat())
}

async fn get(url: &str) -> Value {
    http().get(url).send().await.unwrap().json().await.unwrap()
}

#[tokio::test]
async fn response_of_a_source_that_is_off_names_no_setting() {
    let folder = folder(&[
        ("unset", "provider = \"form\"\nsecrets = [\"env:NOBODY_SET_IT\"]"),
        ("absent", "provider = \"form\"\nsecrets = [\"file:nowhere/secret.txt\"]"),
    ]);
    let relay = start(folder.path(), &[]);

    for (name, reason) in [("unset", "NOBODY_SET_IT"), ("absent", "nowhere/secret.txt")] {
        let answer = http().post(format!("{}/hooks/{name}", relay.url)).send().await.unwrap();
        let text = answer.text().await.unwrap();

        assert_eq!(text, r#"{"error":"source off","reason":"the source is off"}"#);
        until(|| relay.log().lines().any(|it| it.contains("refused") && it.contains(reason))).await;
    }
}

#[tokio::test]
async fn readyz_names_the_kind_of_error_and_no_path() {
    let folder = folder(&[("form", "provider = \"form\"\nsecrets = [\"env:SECRET\"]")]);
    let relay = start(folder.path(), &[]);
    let ready = format!("{}/readyz", relay.url);
    assert_eq!(get(&ready).await["status"], "ready");

    fs::rename(folder.path().join("store"), folder.path().join("elsewhere")).unwrap();
    let mut answer = get(&ready).await;
    while answer["status"] == "ready" {
        answer = get(&ready).await;
    }
    get(&ready).await;

    assert_eq!(answer["status"], "not ready");
    let reasons = json!(["the store is not available: its file cannot be used"]);
    assert_eq!(answer["reasons"], reasons, "{answer}");
    until(|| relay.logged("not ready: ") > 0).await;
    assert!(relay.log().contains("store/relay.db"), "{}", relay.log());
    fs::rename(folder.path().join("elsewhere"), folder.path().join("store")).unwrap();
    while get(&ready).await["status"] != "ready" {}
    until(|| relay.logged("ready again") > 0).await;
    // Once for each change, whatever the number of probes.
    assert_eq!((relay.logged("not ready: "), relay.logged("ready again")), (1, 1));
}

const SECRET_FROM_PROVIDER: &str = "provider = \"asana\"\nsecrets = [\"file:brought.txt\"]";

/// Returns the file with the addresses of sources that wait for their secret.
fn setup_address(folder: &Path) -> String {
    let path = folder.join("store/setup-addresses");
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    fs::read_to_string(path).unwrap()
}

#[tokio::test]
async fn setup_code_is_in_a_private_file_and_not_logged() {
    for format in ["text", "json"] {
        let folder = folder(&[("waiting", SECRET_FROM_PROVIDER)]);
        let relay = start(folder.path(), &[("SAVIO_RELAY_LOG__FORMAT", format)]);
        let first = setup_address(folder.path());
        write_mapping(folder.path(), "later", &SECRET_FROM_PROVIDER.replace("brought", "other"));
        until(|| setup_address(folder.path()).lines().count() == 2).await;
        until(|| relay.logged("applied mapping files") > 0).await;

        assert!(first.starts_with("waiting http://127.0.0.1:"), "{first}");
        assert!(setup_address(folder.path()).contains(&first), "the code stays the same");
        let code = first.trim().split_once("setup=").unwrap().1;
        let output = format!("{}{}", relay.startup_output, relay.log());
        assert!(!output.contains(code) && !output.contains("setup="), "{output}");
        assert!(output.contains("store/setup-addresses"), "{output}");

        let url = first.trim().split_once(' ').unwrap().1;
        let greeting = http().post(url).header("x-hook-secret", SECRET);
        assert_eq!(greeting.send().await.unwrap().status(), 200);
    }
}

#[tokio::test]
async fn token_of_the_url_is_redacted_in_every_encoding() {
    let server = TestIntake::new().await;
    let encoded: Vec<String> = SECRET.bytes().map(|byte| format!("%{byte:02x}")).collect();
    let (encoded, upper) = (encoded.concat(), encoded.concat().to_uppercase());
    let base64 = data_encoding::BASE64.encode(format!("relay:{SECRET}").as_bytes());
    let webhook = Request::new("POST", &format!("/hooks/form?token={SECRET}"))
        .header("content-type", "application/json")
        .header("referer", &format!("https://relay.test/hooks/form?token={encoded}"))
        .header("x-forwarded-uri", &format!("/hooks/form?a=b&token={upper}&c=d"))
        .header("x-original-url", &format!("/login?to={}", encoded.replace('%', "%25")))
        .header("x-original-credentials", &format!("Basic {base64}"))
        .header("x-request", &format!("{{\"url\":\"\\/hooks?token=\\u0061{}\"}}", &SECRET[1..]))
        .header("x-harmless", "100% a+b \\u0061")
        .body(b"{}");

    let answer = server.send(&webhook).await;

    let id = answer.events()[0].parse().unwrap();
    let headers = savio_relay::store::Archive::event(&*server.store, id)
        .await
        .unwrap()
        .unwrap()
        .event
        .headers;
    for name in
        ["referer", "x-forwarded-uri", "x-original-url", "x-original-credentials", "x-request"]
    {
        assert_eq!(headers[name], "*", "{name}");
    }
    assert_eq!(headers["x-harmless"], "100% a+b \\u0061");
}

/// X's challenge-response check, as a user would write it.
const CRC: &str = "provider = \"github\"\nsecrets = [\"env:SECRET\"]\n\
                   [[handshake]]\nmethod = \"GET\"\nhas = [\"query:crc_token\"]\n\
                   json = { response_token = \"sha256={hmac:query:crc_token}\" }\n";

#[tokio::test]
async fn unsigned_handshake_signs_no_webhook() {
    let server = TestIntake::with_files(&[("crc", CRC)]).await;
    let ask = |token: &str| Request::new("GET", &format!("/hooks/crc?crc_token={token}"));

    let (right, long) = ("A-z_0~9.=".repeat(28), "a".repeat(257));
    let forged = ["%7B%22x%22:%22spam%22%7D", "a%26b", "a+b", "a%2Fb", "a:b", "%C3%A9", "", &long];
    for text in forged {
        let answer = server.send(&ask(text)).await;
        assert_eq!((answer.status, answer.text.contains("sha256")), (405, false), "{text}");
    }
    let answer = server.send(&ask(&right)).await;
    let signed = format!("sha256={}", hex_hmac(right.as_bytes()));
    assert_eq!(answer.body["response_token"].as_str(), Some(&*signed));
}

#[tokio::test]
async fn handshake_limit_of_one_client_affects_no_other() {
    let server = TestIntake::with_files(&[("crc", CRC)]).await;
    let ask = |client: &str| {
        Request::new("GET", "/hooks/crc?crc_token=a").header("x-forwarded-for", client)
    };

    server.send_until(&ask("2001:db8::1"), 200).await;
    server.send_until(&ask("2001:db8::2"), 429).await;

    assert_eq!(server.send(&ask("2001:db8:0:1::1")).await.status, 200);
    assert_eq!(server.send(&ask("203.0.113.9")).await.status, 200);
}
