//! Limits of the API against harmful requests, with and without the token.

use std::os::unix::fs::OpenOptionsExt;
use std::time::Duration;

use rustix::fs::OFlags;
use rustix::io::Errno;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use super::{Scene, TOKEN};
use crate::support::relay::memory_kib;

/// Far longer than any response takes, and shorter than a wait for ever.
const SOON: Duration = Duration::from_secs(20);

/// Sends the head of a request whose body is never finished.
async fn unfinished(scene: &Scene, token: &str) -> TcpStream {
    let address = scene.relay.admin_url.trim_start_matches("http://");
    let mut connection = TcpStream::connect(address).await.unwrap();
    let head = format!(
        "POST /api/v1/preview HTTP/1.1\r\nHost: relay\r\nAuthorization: Bearer {token}\r\n\
         Content-Type: application/json\r\nContent-Length: 12000000\r\n\r\n{{"
    );
    connection.write_all(head.as_bytes()).await.unwrap();
    connection
}

async fn status_of(connection: &mut TcpStream) -> String {
    let mut answer = [0; 12];
    timeout(SOON, connection.read_exact(&mut answer)).await.expect("an answer").unwrap();
    String::from_utf8(answer.to_vec()).unwrap()
}

#[tokio::test]
async fn request_without_the_token_is_401_before_its_body() {
    let scene = Scene::new().await;

    for _ in 0..100 {
        let mut connection = unfinished(&scene, "not the token of the test").await;
        assert_eq!(status_of(&mut connection).await, "HTTP/1.1 401");
    }
}

#[tokio::test]
async fn unfinished_bodies_do_not_block_other_requests() {
    let scene = Scene::new().await;
    let mut answers = tokio::task::JoinSet::new();
    for _ in 0..100 {
        let mut connection = unfinished(&scene, TOKEN).await;
        answers.spawn(async move { status_of(&mut connection).await });
    }

    // A few bodies have a slot; the others are refused after a short wait.
    let first = answers.join_next().await.unwrap().unwrap();
    assert_eq!(first, "HTTP/1.1 503");
    let stats = timeout(SOON, scene.get("/api/v1/stats")).await.expect("no wait");
    assert!(stats.is_object(), "{stats}");
}

fn mapping(secret: &str, problem: &str) -> String {
    format!(
        "provider = \"form\"\nsecrets = [\"{secret}\"]\n[[feedback]]\nproblem = '''{problem}'''\n"
    )
}

async fn preview(scene: &Scene, mapping: &str) -> Value {
    let order = json!({ "mapping": mapping, "payload": { "text": "Slow" } });
    timeout(SOON, scene.post("/api/v1/preview", order)).await.expect("an answer")
}

// A device without an end would take all memory, and a pipe that nobody writes to would block a
// thread for ever.
#[tokio::test]
async fn preview_opens_no_file_of_the_mapping() {
    let scene = Scene::new().await;
    let pipe = scene.folder.path().join("pipe");
    let made = std::process::Command::new("mkfifo").arg(&pipe).status().unwrap();
    assert!(made.success());

    for file in ["/dev/zero", pipe.to_str().unwrap(), "/nowhere"] {
        let mapped = preview(&scene, &mapping(&format!("file:{file}"), "{{ payload.text }}")).await;
        assert_eq!(mapped["requests"][0]["body"], json!({ "problem": "Slow" }), "{file}");
    }
    // Opening a pipe for writing without waiting fails if no process has opened it for reading.
    let flags = i32::try_from(OFlags::NONBLOCK.bits()).unwrap();
    let opened = std::fs::OpenOptions::new().write(true).custom_flags(flags).open(&pipe);
    assert_eq!(opened.unwrap_err().raw_os_error(), Some(Errno::NXIO.raw_os_error()));
}

#[tokio::test]
async fn hostile_mapping_in_a_preview_does_not_stop_the_relay() {
    let scene = Scene::new().await;
    let long = |link: &str| format!("{{{{ a{} }}}}", link.repeat(60_000 / link.len()));
    let elif = format!("{{% if a %}}{}{{% endif %}}", "{% elif a %}".repeat(4_000));

    for problem in [long("~a"), long("|trim"), long(".a"), long("()"), elif] {
        let answer = preview(&scene, &mapping("env:S", &problem)).await;
        let message = answer["mistakes"][0]["message"].as_str().unwrap();
        assert!(message.starts_with("the template goes too deep"), "{message}");
    }
    for problem in [
        "{% set n = namespace(x=1) %}{% set n.x = n %}{{ n | string }}",
        "{{ payload | tojson(1000000000) }}",
        "{% set b = ([1] * 100000000) ~ '' %}x",
    ] {
        let answer = preview(&scene, &mapping("env:S", problem)).await;
        assert!(answer["reason"].is_string(), "{problem}: {answer}");
    }
    let peak = memory_kib(&scene.relay, "VmHWM:");
    assert!(peak < 400 * 1024, "{peak} KiB");
}
