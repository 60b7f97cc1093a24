//! What happened when, and what became of what was received since a time.

use serde_json::{Value, json};

use super::Scene;

/// Sums up one kind of what happened.
fn sum(series: &Value, kind: &str) -> u64 {
    series["steps"].as_array().unwrap().iter().map(|step| step[kind].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn series_and_balance_add_up() {
    let scene = Scene::new().await;
    scene.one_of_each().await;

    let series = scene.get("/api/v1/series").await;

    assert_eq!(series["step_seconds"], 1_800);
    // The half hour that `since` is in begins before it.
    let steps = series["steps"].as_array().unwrap();
    assert!((48..=49).contains(&steps.len()), "{}", steps.len());
    for (kind, times) in [
        ("accepted", 4),
        ("delivered", 1),
        ("ignored", 1),
        ("held", 1),
        ("dead", 1),
        ("rejected", 0),
        ("duplicates", 0),
    ] {
        assert_eq!(sum(&series, kind), times, "{kind}");
    }
    let begin = steps[0]["at"].as_str().unwrap();
    let balance = scene.get(&format!("/api/v1/stats?since={begin}")).await;
    let counts = json!({ "queued": 0, "delivered": 1, "ignored": 1, "held": 1, "dead": 1 });
    assert_eq!((&balance["events"], &balance["rejected"]), (&counts, &json!(0)));
    let form = json!({
        "queued": 0, "delivered": 1, "ignored": 1, "held": 1, "dead": 1,
        "rejected": 0, "duplicates": 0,
    });
    assert_eq!(balance["sources"], json!({ "form": form }));
    let day = scene.get("/api/v1/stats?since=24h").await;
    assert_eq!(day["sources"], balance["sources"]);
    let later = scene.get("/api/v1/stats?since=2100-01-01T00:00:00Z").await;
    assert_eq!((&later["sources"], &later["events"]["dead"]), (&json!({}), &json!(0)));
}

#[tokio::test]
async fn series_is_of_a_source_or_a_destination() {
    let scene = Scene::new().await;
    scene.one_of_each().await;

    let accepted =
        async |query: &str| sum(&scene.get(&format!("/api/v1/series?{query}")).await, "accepted");

    assert_eq!(accepted("source=form").await, 4);
    assert_eq!(accepted("source=off").await, 0);
    assert_eq!(accepted("destination=default").await, 4);
    assert_eq!(accepted("destination=default&source=form&step=1d").await, 4);
    assert_eq!(accepted("until=2020-01-01T00:00:00Z").await, 0);
    let answer = scene.call("GET", "/api/v1/series?destination=none", None).await;
    assert_eq!(answer.status, 404);
}

#[tokio::test]
async fn steps_begin_at_the_half_hour_of_since() {
    let scene = Scene::new().await;

    let range = "since=2026-11-01T17:40:00Z&until=2026-11-02T05:30:00Z&step=6h";
    let series = scene.get(&format!("/api/v1/series?{range}")).await;

    let steps = series["steps"].as_array().unwrap();
    let begins: Vec<&Value> = steps.iter().map(|step| &step["at"]).collect();
    assert_eq!(begins, ["2026-11-01T17:30:00Z", "2026-11-01T23:30:00Z"]);
    assert_eq!(series["step_seconds"], 21_600);
}

#[tokio::test]
async fn series_of_an_odd_or_too_fine_step_is_400() {
    let scene = Scene::new().await;
    for (query, expected) in [
        ("step=45m", "half an hour or a multiple"),
        ("step=1s", "half an hour or a multiple"),
        ("step=0s", "half an hour or a multiple"),
        ("step=fast", "half an hour or a multiple"),
        ("step=-30m", "half an hour or a multiple"),
        ("step=99999999999h", "half an hour or a multiple"),
        ("since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z", "not before"),
        ("since=2026-01-01T00:00:00Z&until=2026-03-01T00:00:00Z", "a `step` of 60m or more"),
        ("source=Not%20a%20name", "`source`"),
    ] {
        let answer = scene.call("GET", &format!("/api/v1/series?{query}"), None).await;
        let body = String::from_utf8_lossy(&answer.body).into_owned();
        assert_eq!(answer.status, 400, "{query}: {body}");
        assert!(body.contains(expected), "{query}: {body}");
    }
    let month = "since=2026-01-01T00:00:00Z&until=2026-01-31T00:00:00Z";
    let series = scene.get(&format!("/api/v1/series?{month}")).await;
    assert_eq!(series["steps"].as_array().unwrap().len(), 1_440);
}
