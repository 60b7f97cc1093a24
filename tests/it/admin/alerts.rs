//! Messages about issues, on the program with stand-ins for Slack and for worse.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use wiremock::matchers::{body_partial_json, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use super::issues::open;
use super::{Scene, TOKEN};
use crate::support::relay::{Relay, memory_kib, program};
use crate::support::wait::until_async;

pub(super) const OPS: &str = "[admin]\npublic_url = \"https://relay.example.com\"\n\
                   [[alerts]]\nname = \"ops\"\nurl = \"env:SLACK\"\nclose_after = \"1s\"\n";

/// Returns a server that accepts all messages.
pub(super) async fn slack() -> MockServer {
    let slack = MockServer::start().await;
    let accepted = ResponseTemplate::new(200).set_body_string("ok");
    Mock::given(method("POST")).respond_with(accepted).mount(&slack).await;
    slack
}

pub(super) async fn messages(slack: &MockServer) -> Vec<Value> {
    let received = slack.received_requests().await.unwrap();
    received.iter().map(|request| request.body_json().unwrap()).collect()
}

pub(super) async fn until_messages(slack: &MockServer, count: usize) -> Vec<Value> {
    until_async(async || messages(slack).await.len() >= count).await;
    messages(slack).await
}

impl Scene {
    /// Starts the relay again, with the same store.
    fn restarted_with(self, config: &str, variables: &[(&str, &str)]) -> Scene {
        let Scene { folder, savio, relay } = self;
        relay.stop();
        std::fs::write(folder.path().join("relay.toml"), config).unwrap();
        let base_url = format!("{}/app/api/", savio.uri());
        let own = [
            ("FORM_SECRET", "secret"),
            ("SAVIO_API_TOKEN", "token"),
            ("ADMIN_TOKEN", TOKEN),
            ("SAVIO_RELAY_SHIPPED_MAPPINGS", "false"),
            ("SAVIO_RELAY_SAVIO__BASE_URL", base_url.as_str()),
        ];
        let relay = Relay::start(folder.path(), &[&own, variables].concat());
        Scene { folder, savio, relay }
    }
}

#[tokio::test]
async fn issue_is_told_once_when_it_opens_and_once_when_it_closes() {
    let slack = slack().await;
    let url = format!("{}/services/x", slack.uri());
    let scene = Scene::configured(OPS, &[("SLACK", &url)]).await;
    scene.savio_answers().await;

    let dead = scene.webhook(&json!({ "text": "refuse" })).await;
    let told = until_messages(&slack, 1).await;
    let text = told[0]["text"].as_str().unwrap();
    let issue = open(&scene, "dead", 1).await.remove(0)["id"].as_str().unwrap().to_owned();
    assert!(text.starts_with("Savio refused 1 event from form.\nMap the value"), "{text}");
    assert!(text.ends_with(&format!("\nhttps://relay.example.com/issues#{issue}")), "{text}");
    let held = scene.webhook(&json!({ "text": "hang" })).await;
    let told = until_messages(&slack, 2).await;
    let text = told[1]["text"].as_str().unwrap();
    assert!(text.starts_with("1 event from form waits for your decision."), "{text}");

    // The end of a muted issue is quiet.
    let issue = open(&scene, "held", 1).await.remove(0)["id"].as_str().unwrap().to_owned();
    scene.post(&format!("/api/v1/issues/{issue}/mute"), json!({ "until": null })).await;
    scene.post(&format!("/api/v1/events/{held}/release"), json!({ "arrived": true })).await;
    open(&scene, "held", 0).await;

    let scene = scene.restarted_with(OPS, &[("SLACK", &url)]);
    open(&scene, "dead", 1).await;
    scene.savio.reset().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(created).mount(&scene.savio).await;
    scene.post(&format!("/api/v1/events/{dead}/replay"), json!({})).await;

    let told = until_messages(&slack, 3).await;
    let text = told[2]["text"].as_str().unwrap();
    assert!(text.starts_with("Closed after "), "{text}");
    assert!(text.contains("Savio refused 1 event from form. None of them is dead"), "{text}");
    let metrics = scene.call("GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let line = r#"savio_relay_alerts_total{alerts="ops",result="sent"} 1"#;
    assert!(metrics.lines().any(|it| it == line), "only that one since the start:\n{metrics}");
    assert_eq!(messages(&slack).await.len(), 3);
}

#[tokio::test]
async fn issues_of_before_are_one_message() {
    let slack = slack().await;
    let scene = Scene::new().await;
    scene.one_of_each().await;
    open(&scene, "dead", 1).await;
    open(&scene, "held", 1).await;

    let config = OPS.to_owned() + "format = \"json\"\n";
    let scene = scene.restarted_with(&config, &[("SLACK", &slack.uri())]);

    let told = until_messages(&slack, 1).await.remove(0);
    assert_eq!(told["text"], "2 issues opened: 1 dead, 1 held.");
    assert_eq!((&told["message"], &told["kind"]), (&json!("summary"), &Value::Null));
    assert_eq!(told["url"], "https://relay.example.com/issues");
    let metrics = scene.call("GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let line = r#"savio_relay_alerts_total{alerts="ops",result="failed"} 0"#;
    assert!(metrics.lines().any(|it| it == line), "{metrics}");
}

/// Starts a relay whose alerts cannot be sent: three, and `ops`, which this server refuses.
async fn with_unusable(slack: &MockServer) -> Scene {
    let refused = ResponseTemplate::new(404).set_body_string("no_service\n");
    Mock::given(method("POST")).respond_with(refused).mount(slack).await;
    let config = OPS.to_owned()
        + "[[alerts]]\nname = \"gone\"\nurl = \"env:GONE\"\n\
           [[alerts]]\nname = \"unset\"\nurl = \"env:UNSET\"\n\
           [[alerts]]\nname = \"link-local\"\nurl = \"env:LINK_LOCAL\"\n";
    // A port of the first 1024 is never given to another test.
    let gone = "http://127.0.0.1:1/hunter2".to_owned();
    let link_local = "http://169.254.169.254/hunter2";
    let variables = [("SLACK", slack.uri()), ("GONE", gone), ("LINK_LOCAL", link_local.to_owned())];
    let variables = variables.each_ref().map(|(name, value)| (*name, value.as_str()));
    Scene::configured(&config, &variables).await
}

#[tokio::test]
async fn test_of_alerts_shows_what_each_answered() {
    let slack = MockServer::start().await;
    let scene = with_unusable(&slack).await;
    let warning = "alerts unset: nothing is sent: the environment variable UNSET is not set";
    assert!(scene.relay.startup_output.contains(warning), "{}", scene.relay.startup_output);

    let tested = scene.post("/api/v1/alerts/test", json!({})).await;

    let link_local = "169.254.169.254 is a link-local address, to which nothing is sent";
    let expected = [
        ("ops", Some(404), Some("no_service"), None),
        ("gone", None, None, Some("connection refused")),
        ("unset", None, None, Some("the environment variable UNSET is not set")),
        ("link-local", None, None, Some(link_local)),
    ];
    let expected = expected.map(|(name, status, answer, reason)| {
        json!({
            "name": name, "accepted": false, "status": status, "answer": answer, "reason": reason,
        })
    });
    assert_eq!(tested["alerts"], json!(expected));
    let sent = messages(&slack).await.remove(0);
    let text =
        "This is a test of the alerts ops. Nothing is wrong.\nhttps://relay.example.com/issues";
    assert_eq!(sent, json!({ "text": text }));
    let one = scene.post("/api/v1/alerts/test", json!({ "name": "gone" })).await;
    assert_eq!(one["alerts"].as_array().unwrap().len(), 1);
    assert!(!scene.relay.log().contains("hunter2"));
}

#[tokio::test]
async fn command_tests_alerts_through_the_running_relay() {
    let slack = MockServer::start().await;
    let scene = with_unusable(&slack).await;
    let run = |arguments: &[&str]| {
        let address = scene.relay.admin_url.trim_start_matches("http://");
        let mut command = program(scene.folder.path());
        command.args(["alerts", "test"]).args(arguments).env("ADMIN_TOKEN", TOKEN);
        let output = command.env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", address).output().unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        (output.status.code(), text(&output.stdout), text(&output.stderr))
    };

    let (code, printed, error) = run(&["gone"]);
    assert_eq!((code, printed.as_str()), (Some(3), "gone: failed: connection refused\n"));
    assert_eq!(error, "savio-relay: 1 of 1 tests were not accepted\n");
    let (_, printed, _) = run(&[]);
    assert!(printed.starts_with("ops: refused (404): no_service\n"), "{printed}");
    let unknown = run(&["nobody"]);
    assert_eq!(unknown.0, Some(1));
    assert_eq!(unknown.2, "savio-relay: there are no alerts with the name nobody\n");
    slack.reset().await;
    let accepted = ResponseTemplate::new(200).set_body_string("ok");
    Mock::given(method("POST")).respond_with(accepted).mount(&slack).await;
    assert_eq!(run(&["ops"]), (Some(0), "ops: accepted (200): ok\n".to_owned(), String::new()));
}

#[tokio::test]
async fn heartbeat_calls_while_the_relay_is_ready() {
    let service = MockServer::start().await;
    Mock::given(method("GET")).respond_with(ResponseTemplate::new(200)).mount(&service).await;
    let config = "[heartbeat]\nurl = \"env:PING\"\nevery = \"1s\"\n";
    let scene = Scene::configured(config, &[("PING", &service.uri())]).await;

    until_async(async || service.received_requests().await.unwrap().len() >= 2).await;

    let metrics = scene.call("GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let beats = metrics.lines().find_map(|line| {
        line.strip_prefix(r#"savio_relay_heartbeats_total{result="sent"} "#)?.parse::<u32>().ok()
    });
    assert!(beats.is_some_and(|it| it >= 1), "{metrics}");
}

#[tokio::test]
async fn address_in_a_file_is_read_again_at_a_hangup() {
    let (first, second) = (slack().await, slack().await);
    let config = "[[alerts]]\nname = \"ops\"\nurl = \"file:hook\"\n";
    let scene = Scene::new().await;
    std::fs::write(scene.folder.path().join("hook"), first.uri()).unwrap();
    let holding =
        [("SAVIO_RELAY_SAVIO__TIMEOUT", "500ms"), ("SAVIO_RELAY_SAVIO__UNANSWERED", "hold")];
    let scene = scene.restarted_with(config, &holding);
    scene.savio_answers().await;
    scene.webhook(&json!({ "text": "refuse" })).await;
    let told = until_messages(&first, 1).await.len();

    std::fs::write(scene.folder.path().join("hook"), second.uri()).unwrap();
    scene.relay.hang_up();
    let used = "alerts ops: the new value of the file hook is used";
    until_async(async || scene.relay.logged(used) > 0).await;
    hold_one(&scene).await;

    until_messages(&second, 1).await;
    assert_eq!(messages(&first).await.len(), told);
    assert_eq!(scene.relay.logged(&second.uri()), 0, "an address may be a secret");
}

/// Has an event held that may have arrived.
async fn hold_one(scene: &Scene) {
    scene.webhook(&json!({ "text": "hang" })).await;
    open(scene, "held", 1).await;
}

#[tokio::test]
async fn message_that_is_refused_three_times_is_given_up() {
    let slack = MockServer::start().await;
    let refused = ResponseTemplate::new(404).set_body_string("no_service\n");
    Mock::given(method("POST")).respond_with(refused).mount(&slack).await;
    let scene = Scene::configured(OPS, &[("SLACK", &slack.uri())]).await;
    scene.savio_answers().await;
    scene.webhook(&json!({ "text": "refuse" })).await;

    let given_up = "alerts ops: a message was given up: it answered 404";
    until_async(async || scene.relay.logged(given_up) > 0).await;

    let tries = messages(&slack).await.len();
    assert_eq!((tries, scene.relay.logged(given_up)), (3, 1));
    let again = "alerts ops: a message failed: it answered 404; it is sent again";
    assert_eq!(scene.relay.logged(again), 1, "not at each try");
    let metrics = scene.call("GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let line = r#"savio_relay_alerts_total{alerts="ops",result="failed"} 3"#;
    assert!(metrics.lines().any(|it| it == line), "{metrics}");
}

/// A relay whose Savio refuses some feedback, each with a reason of its own.
async fn with_causes(config: &str, variables: &[(&str, &str)]) -> Scene {
    let scene = Scene::configured(config, variables).await;
    for cause in CAUSES {
        let refused = ResponseTemplate::new(400).set_body_string(format!("No {cause} here."));
        Mock::given(method("POST"))
            .and(body_partial_json(json!({ "problem": cause })))
            .respond_with(refused)
            .mount(&scene.savio)
            .await;
    }
    let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    Mock::given(method("POST")).respond_with(created).mount(&scene.savio).await;
    scene
}

const CAUSES: [&str; 8] =
    ["apples", "bananas", "cherries", "dates", "figs", "grapes", "lemons", "melons"];

/// Sends webhooks, and returns the time until they were accepted and until they were delivered.
async fn deliver(scene: &Scene, count: usize) -> (Duration, Duration) {
    let (began, mut ids) = (Instant::now(), Vec::new());
    for _ in 0..count {
        ids.push(scene.webhook(&json!({ "text": "fine" })).await);
    }
    let accepted = began.elapsed();
    for id in &ids {
        scene.until(id, "delivered").await;
    }
    (accepted, began.elapsed())
}

/// Targets that do not work, each in its own way.
struct BrokenTargets {
    urls: [(&'static str, String); 4],
    _servers: [MockServer; 2],
    hanging: JoinHandle<()>,
}

impl BrokenTargets {
    async fn start() -> BrokenTargets {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let hangs = format!("http://{}/", listener.local_addr().unwrap());
        let hanging = tokio::spawn(async move {
            let mut connections = Vec::new();
            loop {
                connections.push(listener.accept().await.unwrap());
            }
        });
        let (failing, slow) = (MockServer::start().await, MockServer::start().await);
        Mock::given(method("POST")).respond_with(ResponseTemplate::new(500)).mount(&failing).await;
        let late = ResponseTemplate::new(200).set_delay(Duration::from_secs(8));
        Mock::given(method("POST")).respond_with(late).mount(&slow).await;
        let gone = "http://127.0.0.1:1/".to_owned();
        let urls =
            [("hangs", hangs), ("fails", failing.uri()), ("slow", slow.uri()), ("gone", gone)];
        BrokenTargets { urls, _servers: [failing, slow], hanging }
    }

    async fn relay(&self) -> Scene {
        let table = |(name, _): &(&str, String)| {
            format!("[[alerts]]\nname = \"{name}\"\nurl = \"env:{name}\"")
        };
        let config = self.urls.each_ref().map(table).join("\n");
        with_causes(&config, &self.urls.each_ref().map(|(name, url)| (*name, url.as_str()))).await
    }
}

impl Drop for BrokenTargets {
    fn drop(&mut self) {
        self.hanging.abort();
    }
}

/// Returns whether a message to these alerts failed.
async fn has_failed(scene: &Scene, name: &str) -> bool {
    let metrics = scene.call("GET", "/metrics", None).await;
    let metrics = String::from_utf8(metrics.body).unwrap();
    let line = format!(r#"savio_relay_alerts_total{{alerts="{name}",result="failed"}} "#);
    metrics.lines().any(|it| it.strip_prefix(&line).is_some_and(|count| count != "0"))
}

#[tokio::test]
async fn target_that_does_not_work_delays_nothing_and_keeps_nothing() {
    let targets = BrokenTargets::start().await;
    let (without, with) = (with_causes("", &[]).await, targets.relay().await);
    for scene in [&without, &with] {
        for cause in CAUSES {
            scene.webhook(&json!({ "text": cause })).await;
        }
        open(scene, "dead", CAUSES.len()).await;
    }
    for name in ["hangs", "fails", "gone"] {
        until_async(async || has_failed(&with, name).await).await;
    }

    // Both in turn, since the machine is not always as fast.
    let (mut times, mut memory) = ([(Duration::ZERO, Duration::ZERO); 2], Vec::new());
    for _ in 0..10 {
        for (scene, times) in [&without, &with].into_iter().zip(&mut times) {
            let (accepted, delivered) = deliver(scene, 20).await;
            *times = (times.0 + accepted, times.1 + delivered);
        }
        memory.push(memory_kib(&with.relay, "VmRSS:"));
    }

    let ratio = |one: Duration, other: Duration| one.as_secs_f64() / other.as_secs_f64();
    let intake = ratio(times[1].0, times[0].0);
    let delivery = ratio(times[1].1, times[0].1);
    println!("with broken alerts: intake {intake:.2}, delivery {delivery:.2}, {memory:?} KiB");
    assert!(intake < 1.5 && delivery < 1.5, "intake {intake}, delivery {delivery}");
    let grown = memory[9].saturating_sub(memory[2]);
    assert!(grown < 8 * 1024, "{memory:?} KiB");
    // A stop does not wait for the target that hangs.
    let began = Instant::now();
    with.relay.stop();
    assert!(began.elapsed() < Duration::from_secs(8), "{:?}", began.elapsed());
}
