//! The echo that the test webhooks need: only whoever has a key of the admin API is answered.

use serde_json::Value;

use super::Scene;
use crate::support::relay::http;
use crate::support::server::{Request, TestIntake};
use savio_relay::intake::Settings;
use savio_relay::intake::echo::{EchoReport, REQUESTS_MAX};
use savio_relay::store::RejectionFilter;
use std::time::Instant;

#[tokio::test]
async fn stranger_gets_what_an_unknown_source_gets() {
    let intake = TestIntake::new().await;
    let unknown = intake.send(&Request::new("POST", "/hooks/unknown").body(b"{}")).await;
    let key = intake.intake.echoes.issue(Instant::now());
    let used = key.segment(0);
    let own = intake.send(&Request::new("POST", &format!("/hooks/{used}")).body(b"{}")).await;
    assert_eq!(own.status, 200, "{}", own.text);

    let mut forged = key.segment(1);
    forged.replace_range(5..6, if &forged[5..6] == "0" { "1" } else { "0" });
    for segment in ["~", "~echo", "~00", used.as_str(), &forged, &key.segment(REQUESTS_MAX)] {
        let request = Request::new("POST", &format!("/hooks/{segment}")).body(b"{}");
        let answer = intake.send(&request).await;
        let without_date = |head: &str| {
            head.lines()
                .filter(|it| !it.starts_with("date:"))
                .map(str::to_owned)
                .collect::<Vec<_>>()
        };
        assert_eq!(answer.text, unknown.text, "{segment}");
        assert_eq!(without_date(&answer.head), without_date(&unknown.head), "{segment}");
    }
    let get = intake.send(&Request::new("GET", &format!("/hooks/{}", key.segment(2)))).await;
    assert_eq!(get.status, 404);
}

#[tokio::test]
async fn echo_tells_what_arrived_and_leaves_nothing_behind() {
    let intake = TestIntake::new().await;
    // The duration of commits, whose order of lines is random, has nothing to do with it.
    let counted = || -> Vec<String> {
        let metrics = intake.metrics();
        let lines = metrics.lines().filter(|it| it.contains("webhooks") || it.contains("events"));
        lines.map(str::to_owned).collect()
    };
    let before = counted();
    let key = intake.intake.echoes.issue(Instant::now());
    let target = format!("/x/hooks/{}?a=%2f", key.segment(0));
    let request = Request::new("POST", &target).header("x-secret", "hunter2").body(b"{ }\n");

    let answer = intake.send(&request).await;

    let signature = answer.head.lines().find_map(|it| it.strip_prefix("x-relay-echo: ")).unwrap();
    assert!(key.has_signed(answer.text.as_bytes(), signature));
    let report: EchoReport = serde_json::from_str(&answer.text).unwrap();
    assert_eq!((report.target, report.body_bytes), (target, 4));
    assert_eq!(report.body_digest, EchoReport::digest(b"{ }\n"));
    assert_eq!(report.header_digests["x-secret"], EchoReport::digest(b"hunter2"));
    assert_eq!(report.headers["host"], "relay");
    assert!(!answer.text.contains("hunter2"), "of most headers only a digest");
    assert_eq!(report.client, Some("127.0.0.1".parse().unwrap()));
    assert_eq!(counted(), before);
    assert_eq!(intake.intake.rejected.latest(&RejectionFilter::of("form".parse().unwrap())), []);
}

#[tokio::test]
async fn echo_keeps_to_the_limits_of_webhooks() {
    let settings = Settings { body_bytes_max: 1000, ..Settings::default() };
    let intake = TestIntake::with(settings).await;
    let key = intake.intake.echoes.issue(Instant::now());
    let request = |number, bytes: usize| {
        let body = vec![b' '; bytes];
        Request::new("POST", &format!("/hooks/{}", key.segment(number))).body(&body)
    };

    assert_eq!(intake.send(&request(0, 1000)).await.status, 200);
    let too_large = intake.send(&request(1, 1001)).await;
    assert_eq!((too_large.status, &too_large.body["error"]), (413, &Value::from("too large")));
}

#[tokio::test]
async fn no_webhook_is_processed_beyond_the_limit_for_an_echo() {
    let settings = Settings { requests_max: 0, ..Settings::default() };
    let intake = TestIntake::with(settings).await;
    let key = intake.intake.echoes.issue(Instant::now());

    let answer =
        intake.send(&Request::new("POST", &format!("/{}", key.segment(0))).body(b"")).await;

    assert_eq!(answer.status, 503, "{}", answer.text);
}

#[tokio::test]
async fn key_of_the_admin_api_opens_the_echo() {
    let scene = Scene::with(&[]).await;
    let url = format!("{}/api/v1/echo-keys", scene.relay.admin_url);
    let issued = http().post(&url).bearer_auth("long-enough-to-be-safe").send().await.unwrap();

    assert_eq!(issued.headers()["cache-control"], "no-store");
    let issued: Value = serde_json::from_str(&issued.text().await.unwrap()).unwrap();
    assert_eq!(issued["body_bytes_max"], 5 * 1024 * 1024);
    assert_eq!(http().post(&url).send().await.unwrap().status(), 401);
    let log = scene.relay.log_at_stop();
    assert!(log.contains("POST /api/v1/echo-keys token=admin.token"), "{log}");
    assert!(!log.contains(issued["key"].as_str().unwrap()), "{log}");
}
