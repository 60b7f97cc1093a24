//! Titles of feature requests, linked to existing ones in another spelling.

use std::time::Duration;

use savio_relay::delivery::{Settings, gate};
use savio_relay::event::State;
use serde_json::{Value, json};
use wiremock::matchers::{method, path, query_param, query_param_is_missing};
use wiremock::{Mock, ResponseTemplate};

use super::{Relay, created, mappings_of, status};

const PREFER: &str = r#"
    [[feedback]]
    problem = "$.text"
    feature_request_title = { from = "$.title", existing = "prefer" }
"#;

fn titled(title: &str) -> Value {
    json!({ "text": "Please", "title": title })
}

/// A page of feature requests, with the URL of the next one.
fn list(titles: &[&str], next: Option<&str>) -> ResponseTemplate {
    let one = |(id, title): (usize, &&str)| json!({ "id": id, "title": title });
    let results: Vec<Value> = titles.iter().enumerate().map(one).collect();
    ResponseTemplate::new(200).set_body_json(json!({ "next": next, "results": results }))
}

impl Relay {
    async fn linking(mapping: &str) -> Relay {
        let relay = Relay::new().await;
        relay.delivery.replace_mappings(mappings_of(mapping));
        relay.savio_answers("/create-feedback/", &[created()]).await;
        relay
    }

    /// Gives each list once, and the last one for ever.
    async fn savio_lists(&self, lists: &[ResponseTemplate]) {
        let (last, before) = lists.split_last().unwrap();
        let mock = |list: &ResponseTemplate| {
            let here = Mock::given(method("GET")).and(path("/feature-requests/"));
            here.and(query_param_is_missing("page")).respond_with(list.clone())
        };
        for list in before {
            mock(list).up_to_n_times(1).mount(&self.savio).await;
        }
        mock(last).mount(&self.savio).await;
    }

    async fn lists_read(&self) -> usize {
        let requests = self.savio.received_requests().await.unwrap();
        requests.iter().filter(|it| it.url.path() == "/feature-requests/").count()
    }

    /// Returns the titles that Savio received, in order; null for feedback without one.
    async fn titles(&self) -> Vec<Value> {
        let requests = self.savio.received_requests().await.unwrap();
        let sent = requests.iter().filter(|it| it.url.path() == "/create-feedback/");
        sent.map(|it| it.body_json::<Value>().unwrap()["feature_request_title"].take()).collect()
    }
}

#[tokio::test]
async fn title_in_another_spelling_is_sent_as_savio_has_it() {
    let relay = Relay::linking(PREFER).await;
    relay.savio_lists(&[list(&["Export", "Dark mode (web)"], None)]).await;
    let id = relay.keep(titled("dark-mode, WEB!")).await;

    relay.deliver_all(0).await;

    assert_eq!(relay.titles().await, ["Dark mode (web)"]);
    let record = relay.record(id).await;
    assert_eq!(record.requests[0].request.body["feature_request_title"], "Dark mode (web)");
    assert!(record.notes[0].contains("`dark-mode, WEB!` is written `Dark mode (web)`"));
}

#[tokio::test]
async fn all_pages_of_feature_requests_are_read() {
    let relay = Relay::linking(PREFER).await;
    let next = format!("{}/feature-requests/?page=2", relay.savio.uri());
    relay.savio_lists(&[list(&["Export"], Some(&next))]).await;
    let second = Mock::given(path("/feature-requests/")).and(query_param("page", "2"));
    second.respond_with(list(&["Dark mode"], None)).mount(&relay.savio).await;
    relay.keep(titled("DARK MODE")).await;

    relay.deliver_all(0).await;

    assert_eq!(relay.titles().await, ["Dark mode"]);
}

#[tokio::test]
async fn unknown_title_with_only_is_left_out_and_noted() {
    let relay = Relay::linking(&PREFER.replace("prefer", "only")).await;
    relay.savio_lists(&[list(&["Export"], None)]).await;
    let id = relay.keep(titled("Dark mode")).await;

    relay.deliver_all(0).await;

    assert_eq!(relay.titles().await, [Value::Null]);
    let expected =
        "feedback[0].feature_request_title was left out: no feature request is `Dark mode`";
    assert_eq!(relay.record(id).await.notes, [expected]);
}

#[tokio::test]
async fn concurrent_new_titles_get_one_spelling() {
    let relay = Relay::linking(PREFER).await;
    relay.savio_lists(&[list(&[], None)]).await;
    for title in ["Dark mode", "dark mode", "DARK MODE."] {
        relay.keep(titled(title)).await;
    }

    for seconds in [0, 2, 4] {
        relay.deliver_all(seconds).await;
    }

    let titles = relay.titles().await;
    assert_eq!(titles.len(), 3);
    assert!(titles.iter().all(|title| *title == titles[0]), "{titles:?}");
}

#[tokio::test]
async fn created_title_is_known_without_another_list() {
    let relay = Relay::linking(
        &(PREFER.replace("prefer", "only")
            + r#"
        [[feedback]]
        when = "@.new"
        problem = "$.text"
        feature_request_title = "$.new"
    "#),
    )
    .await;
    relay.savio_lists(&[list(&[], None)]).await;
    relay.keep(json!({ "text": "Please", "title": "Nothing", "new": "Dark mode" })).await;
    relay.deliver_all(0).await;

    relay.keep(titled("dark mode")).await;
    relay.deliver_all(5).await;

    assert_eq!(relay.titles().await, [Value::Null, json!("Dark mode"), json!("Dark mode")]);
    assert_eq!(relay.lists_read().await, 1);
}

#[tokio::test]
async fn title_created_in_savio_is_found_after_thirty_seconds() {
    let relay = Relay::linking(PREFER).await;
    relay.savio_lists(&[list(&[], None), list(&["Dark mode"], None)]).await;
    relay.keep(titled("Export")).await;
    relay.deliver_all(0).await;

    relay.keep(titled("dark mode")).await;
    relay.deliver_all(31).await;

    assert_eq!(relay.titles().await, ["Export", "Dark mode"]);
}

#[tokio::test]
async fn event_waits_while_the_list_fails() {
    let relay = Relay::linking(PREFER).await;
    relay.savio_lists(&[status(503), status(403), list(&["Dark mode"], None)]).await;
    let id = relay.keep(titled("dark mode")).await;

    relay.deliver_all(0).await;
    let waiting = relay.record(id).await;
    relay.deliver_all(35).await;
    assert_eq!(relay.titles().await, [] as [Value; 0]);
    relay.deliver_all(70).await;

    assert_eq!((waiting.state, waiting.attempts.len()), (State::Queued, 0));
    let reason = waiting.reason.unwrap();
    assert!(reason.starts_with("the feature requests cannot be listed: "), "{reason}");
    assert_eq!(relay.titles().await, ["Dark mode"]);
}

#[tokio::test]
async fn many_events_share_one_list() {
    let relay = Relay::linking(PREFER).await;
    let slow = list(&["Dark mode"], None).set_delay(Duration::from_millis(50));
    relay.savio_lists(&[slow]).await;
    for _ in 0..20 {
        relay.keep(titled("dark mode")).await;
    }

    for seconds in [0, 2, 4, 6] {
        relay.deliver_all(seconds).await;
    }

    assert_eq!(relay.titles().await, ["Dark mode"; 20]);
    assert_eq!(relay.lists_read().await, 1);
}

#[tokio::test]
async fn retry_keeps_the_title_that_was_found() {
    let relay = Relay::new().await;
    relay.delivery.replace_mappings(mappings_of(PREFER));
    relay.savio_answers("/create-feedback/", &[status(503), created()]).await;
    relay.savio_lists(&[list(&["Dark mode"], None), list(&[], None)]).await;
    relay.keep(titled("dark mode")).await;

    relay.deliver_all(0).await;
    relay.deliver_all(700).await;

    assert_eq!(relay.titles().await, ["Dark mode", "Dark mode"]);
}

/// Mounts three pages of which the last has the title "Dark mode".
async fn savio_lists_three_pages(relay: &Relay) {
    let page = |number: u32| format!("{}/feature-requests/?page={number}", relay.savio.uri());
    relay.savio_lists(&[list(&["Export"], Some(&page(2)))]).await;
    let third = page(3);
    for (number, list) in
        [("2", list(&["Import"], Some(&third))), ("3", list(&["Dark mode"], None))]
    {
        let page = Mock::given(path("/feature-requests/")).and(query_param("page", number));
        page.respond_with(list).mount(&relay.savio).await;
    }
}

#[tokio::test]
async fn pages_are_kept_while_the_rate_delays_the_next() {
    let gate = gate::Settings { rate: Some("1/m".parse().unwrap()), ..gate::Settings::default() };
    let relay = Relay::with(Settings { gate, ..Settings::default() }).await;
    relay.delivery.replace_mappings(mappings_of(PREFER));
    relay.savio_answers("/create-feedback/", &[created()]).await;
    savio_lists_three_pages(&relay).await;
    relay.keep(titled("dark mode")).await;

    for minutes in 0..5 {
        relay.deliver_all(61 * minutes).await;
    }

    assert_eq!((relay.lists_read().await, relay.titles().await), (3, vec!["Dark mode".into()]));
}

/// Returns how often a page was read when the third page fails once and is due again after these seconds.
async fn pages_read_after_a_failure(seconds: i64) -> usize {
    let relay = Relay::linking(PREFER).await;
    let failing = Mock::given(path("/feature-requests/")).and(query_param("page", "3"));
    failing.respond_with(status(503)).up_to_n_times(1).mount(&relay.savio).await;
    savio_lists_three_pages(&relay).await;
    relay.keep(titled("dark mode")).await;

    relay.deliver_all(0).await;
    relay.deliver_all(seconds).await;

    assert_eq!(relay.titles().await, ["Dark mode"]);
    relay.lists_read().await
}

#[tokio::test]
async fn pages_are_kept_while_savio_fails_for_a_time() {
    assert_eq!(pages_read_after_a_failure(35).await, 4);
}

#[tokio::test]
async fn pages_that_are_old_are_read_again() {
    assert_eq!(pages_read_after_a_failure(601).await, 6);
}
