//! `/metrics` as scrapers read it: the format they ask for, and what is there from the start.

use std::collections::BTreeSet;

use reqwest::header::{ACCEPT, CONTENT_TYPE};
use serde_json::json;

use super::{Scene, TOKEN};
use crate::support::external_tool::run_tool;
use crate::support::relay::http;
use crate::support::wait::until_async;

/// Returns the content type and the text.
async fn scrape(scene: &Scene, accept: Option<&str>) -> (String, String) {
    let mut call = http().get(format!("{}/metrics", scene.relay.admin_url)).bearer_auth(TOKEN);
    if let Some(accept) = accept {
        call = call.header(ACCEPT, accept);
    }
    let answer = call.send().await.unwrap();
    assert_eq!(answer.status(), 200);
    let content_type = answer.headers()[CONTENT_TYPE].to_str().unwrap().to_owned();
    (content_type, answer.text().await.unwrap())
}

fn value(text: &str, series: &str) -> f64 {
    let line = text.lines().find_map(|line| line.strip_prefix(&format!("{series} ")));
    line.unwrap_or_else(|| panic!("{series} is not in\n{text}")).parse().unwrap()
}

#[tokio::test]
async fn format_is_the_one_that_the_scraper_prefers() {
    let scene = Scene::new().await;
    let open = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    let plain = "text/plain; version=0.0.4; charset=utf-8";

    for (accept, expected) in [
        (None, plain),
        (Some("*/*"), plain),
        (Some("application/json"), plain),
        (Some("application/openmetrics-text;q=0.4, text/plain;q=0.5"), plain),
        (Some("application/openmetrics-text;version=1.0.0,text/plain;q=0.5,*/*;q=0.1"), open),
    ] {
        let (content_type, text) = scrape(&scene, accept).await;
        assert_eq!(content_type, expected, "{accept:?}");
        assert_eq!(text.ends_with("\n# EOF\n"), expected == open, "{accept:?}");
        let counter = text.contains("# TYPE savio_relay_dead_events counter\n");
        assert_eq!(counter, expected == open, "{accept:?}: {text}");
    }
}

#[tokio::test]
async fn promtool_finds_nothing_wrong_with_the_metrics() {
    let scene = Scene::new().await;
    let at_start = scrape(&scene, None).await.1;
    scene.one_of_each().await;
    let after_events = scrape(&scene, None).await.1;

    for text in [at_start, after_events] {
        let Some(checked) = run_tool("promtool", &["check", "metrics"], &text) else { return };
        let found = [checked.stdout, checked.stderr].concat();
        assert!(checked.status.success(), "{}\n{text}", String::from_utf8_lossy(&found));
    }
}

#[tokio::test]
async fn time_series_exist_with_zero_before_their_first_event() {
    let scene = Scene::new().await;
    // The first scrape has to show them: an increase is only seen of what was there before.
    let (_, before) = scrape(&scene, None).await;

    scene.one_of_each().await;

    let (_, after) = scrape(&scene, None).await;
    let counters = |text: &str| -> BTreeSet<String> {
        let samples = text.lines().filter(|line| !line.starts_with('#'));
        let series = samples.filter_map(|line| line.rsplit_once(' ')).map(|(series, _)| series);
        series.filter(|it| it.contains("_total")).map(str::to_owned).collect()
    };
    let new: Vec<String> = counters(&after).difference(&counters(&before)).cloned().collect();
    // Statuses beside 202 and the names of fields are not known before.
    let late = ["savio_relay_webhooks_total", "savio_relay_fields_left_out_total"];
    let unexpected = new.iter().filter(|it| !late.iter().any(|late| it.starts_with(late)));
    assert_eq!(unexpected.collect::<Vec<_>>(), Vec::<&String>::new());
    for series in [
        r#"savio_relay_dead_events_total{source="form"}"#,
        r#"savio_relay_rejected_total{source="form",reason="signature wrong"}"#,
        r#"savio_relay_webhooks_total{source="form",status="202"}"#,
        r#"savio_relay_attempts_total{destination="default",outcome="paused"}"#,
        r#"savio_relay_reloads_total{result="rejected"}"#,
    ] {
        assert!(value(&before, series).abs() < f64::EPSILON, "{series}");
    }
    assert!(!before.contains(r#"dead_events_total{source="off"}"#), "{before}");
}

#[tokio::test]
async fn dead_events_are_counted_again_after_a_replay() {
    let scene = Scene::new().await;
    let [_, _, _, dead] = scene.one_of_each().await;
    let counted = async || {
        value(&scrape(&scene, None).await.1, "savio_relay_dead_events_total{source=\"form\"}")
    };
    assert!((counted().await - 1.0).abs() < f64::EPSILON);

    scene.post(&format!("/api/v1/events/{dead}/replay"), json!({})).await;

    until_async(async || counted().await > 1.5).await;
    assert_eq!(scene.get(&format!("/api/v1/events/{dead}")).await["state"], "dead");
}

#[tokio::test]
async fn build_process_and_disk_are_described() {
    let scene = Scene::new().await;

    let (_, text) = scrape(&scene, None).await;

    let build =
        format!("savio_relay_build_info{{version=\"{}\",commit=\"", env!("CARGO_PKG_VERSION"));
    assert!(text.lines().any(|line| line.starts_with(&build) && line.ends_with(" 1")), "{text}");
    let fds = std::fs::read_dir(format!("/proc/{}/fd", scene.relay.id())).unwrap().count();
    let open = value(&text, "process_open_fds");
    assert!((open - f64::from(u32::try_from(fds).unwrap())).abs() < 8.0, "{open}, {fds}");
    assert!(value(&text, "process_max_fds") >= open);
    assert!(value(&text, "process_cpu_seconds_total") > 0.0);
    assert!(value(&text, "process_resident_memory_bytes") > 1e6);
    assert!(value(&text, "process_virtual_memory_bytes") > 1e6);
    let started = value(&text, "process_start_time_seconds");
    let now = f64::from(u32::try_from(savio_relay::clock::now().as_second()).unwrap());
    assert!((-2.0..600.0).contains(&(now - started)), "{started}");
    assert!(
        value(&text, "savio_relay_disk_free_bytes")
            > value(&text, "savio_relay_disk_reserve_bytes")
    );
}

#[tokio::test]
async fn rejected_and_applied_reloads_are_counted() {
    let scene = Scene::new().await;
    let file = scene.folder.path().join("mappings/form.toml");
    let mapping = std::fs::read_to_string(&file).unwrap();
    let count = async |result: &str| {
        value(
            &scrape(&scene, None).await.1,
            &format!("savio_relay_reloads_total{{result=\"{result}\"}}"),
        )
    };
    let is_in_use =
        async || value(&scrape(&scene, None).await.1, "savio_relay_last_reload_successful");
    assert!(is_in_use().await > 0.5);

    std::fs::write(&file, "provider = 7\n").unwrap();
    until_async(async || count("rejected").await > 0.5).await;
    assert!(is_in_use().await < 0.5);

    std::fs::write(scene.folder.path().join("mappings/off.toml"), &mapping).unwrap();
    std::fs::write(&file, mapping.clone() + "\n").unwrap();
    until_async(async || count("applied").await > 0.5).await;
    until_async(async || is_in_use().await > 0.5).await;
}

#[tokio::test]
async fn metrics_have_counters_and_gauges() {
    let scene = Scene::new().await;
    scene.one_of_each().await;
    scene.call("POST", "/api/v1/destinations/default/pause", None).await;

    let text = String::from_utf8(scene.call("GET", "/metrics", None).await.body).unwrap();

    for line in [
        r#"savio_relay_webhooks_total{source="form",status="202"} 4"#,
        r#"savio_relay_events{source="form",state="dead"} 1"#,
        r#"savio_relay_events{source="off",state="queued"} 0"#,
        r#"savio_relay_oldest_queued_seconds{source="form"} 0"#,
        r#"savio_relay_attempts_total{destination="default",outcome="refused"} 1"#,
        r#"savio_relay_destination_paused{destination="default"} 1"#,
        r#"savio_relay_secret_matched_total{source="form",secret="0"} 4"#,
    ] {
        assert!(text.lines().any(|it| it == line), "{line} in {text}");
    }
    assert!(text.contains("savio_relay_commit_seconds_count"), "{text}");
}
