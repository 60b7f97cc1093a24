//! Lists and single events as people and programs ask for them.

use serde_json::{Value, json};

use super::{Scene, TOKEN};
use crate::support::relay::http;

fn ids(page: &Value) -> Vec<&str> {
    page["events"].as_array().unwrap().iter().map(|event| event["id"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn several_states_are_listed_counted_and_replayed() {
    let scene = Scene::new().await;
    let [delivered, ignored, held, dead] = scene.one_of_each().await;

    for parameters in ["state=held&state=dead", "state=held,dead", "state=dead&q=-&state=held"] {
        let page = scene.get(&format!("/api/v1/events?{parameters}")).await;
        assert_eq!(ids(&page), [&dead, &held], "{parameters}");
    }
    let page = scene.get("/api/v1/events?stage=mapping").await;
    assert_eq!(ids(&page), [&ignored]);
    let page = scene.get("/api/v1/events?q=ada@example&contains=SLOW").await;
    assert_eq!(ids(&page), [&delivered]);
    assert_eq!(page["events"][0]["summary"], "Slow");
    let newest = page["newest"].as_u64().unwrap();
    let page = scene.get(&format!("/api/v1/events?newer_than={}", newest - 1)).await;
    assert_eq!(ids(&page), [&dead]);
    let counts = scene.get("/api/v1/events/counts?state=held,dead&imported=false").await;
    let expected = json!({ "queued": 0, "delivered": 0, "ignored": 0, "held": 1, "dead": 1 });
    assert_eq!(counts, json!({ "events": expected, "at_least": false }));
    let filter = json!({ "state": ["held", "dead"], "attempts_min": 1, "dry_run": true });
    assert_eq!(scene.post("/api/v1/replay", filter).await["matched"], 2);
    for wrong in ["state=lost", "state=dead,", "attempts_min=0", "stage=door", "source=a&source=b"]
    {
        let answer = scene.call("GET", &format!("/api/v1/events?{wrong}"), None).await;
        assert_eq!(answer.status, 400, "{wrong}");
    }
}

#[tokio::test]
async fn dead_event_says_what_the_rest_of_its_mapping_gives() {
    let scene = Scene::new().await.without_mistakes().await;
    // The mapping fails, since a list is no text.
    let payload = json!({ "text": { "wrong": 1 }, "email": "ada@example.com" });
    let id = scene.webhook(&payload).await;

    let event = scene.until(&id, "dead").await;

    assert_eq!((&event["stage"], &event["who"]), (&json!("mapping"), &json!("ada@example.com")));
    assert_eq!((&event["summary"], &event["requests"]), (&Value::Null, &json!([])));
    let page = scene.get("/api/v1/events?state=dead&q=ada@example").await;
    assert_eq!(ids(&page), [&id]);
    assert_eq!(page["events"][0]["who"], "ada@example.com");

    // Mapped by a text that works, it says all; erased, nothing.
    let mapping = super::MAPPING.replace("$.text", "{{ payload.text.wrong }}");
    let put = ("PUT", "/api/v1/sources/form/mapping", Some("*"));
    let saved = scene.call_if(TOKEN, put, Some(&json!({ "mapping": mapping }))).await;
    assert_eq!(saved.status, 200, "{saved:?}");
    scene.savio_answers().await;
    scene.post(&format!("/api/v1/events/{id}/replay"), json!({})).await;
    let event = scene.until(&id, "delivered").await;
    assert_eq!((&event["summary"], &event["who"]), (&json!("1"), &json!("ada@example.com")));
    scene.post(&format!("/api/v1/events/{id}/erase"), json!({})).await;
    let event = scene.get(&format!("/api/v1/events/{id}")).await;
    assert_eq!((&event["summary"], &event["who"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn erased_dead_event_says_nothing() {
    let scene = Scene::new().await;
    let id = scene.webhook(&json!({ "text": [[]], "email": "ada@example.com" })).await;
    scene.until(&id, "dead").await;

    scene.post(&format!("/api/v1/events/{id}/erase"), json!({})).await;

    let event = scene.get(&format!("/api/v1/events/{id}")).await;
    assert_eq!(event["who"], Value::Null);
    assert_eq!(ids(&scene.get("/api/v1/events?q=ada@example").await), [""; 0]);
}

#[tokio::test]
async fn event_says_how_its_webhook_arrived() {
    let scene = Scene::new().await;
    let [delivered, _, held, _] = scene.one_of_each().await;

    let event = scene.get(&format!("/api/v1/events/{delivered}")).await;
    let bytes = json!({ "text": "Slow", "email": "ada@example.com" }).to_string().len();
    let received =
        json!({ "client": "127.0.0.1", "bytes": bytes, "content_type": "application/json" });
    assert_eq!(event["received"], received);
    let secret = json!({ "position": 0, "location": "env:FORM_SECRET" });
    let verified = json!({ "scheme": "token", "header": "x-relay-token", "secret": secret });
    assert_eq!(event["verified"], verified);
    assert_eq!(event["answered"]["status"], 202);
    assert!(event["answered"]["ms"].as_u64().unwrap() < 60_000);
    assert_eq!(event["history"][0]["request"], 0);
    assert_eq!(event["history"][0]["wait_ms"], Value::Null);
    let event = scene.get(&format!("/api/v1/events/{held}")).await;
    assert_eq!((&event["stage"], &event["may_repeat"]), (&json!("savio"), &json!(true)));
}

#[tokio::test]
async fn events_beside_one_are_those_of_the_same_filter() {
    let scene = Scene::new().await;
    let [delivered, ignored, held, dead] = scene.one_of_each().await;

    let beside = async |id: &str, filter: &str| {
        let event = scene.get(&format!("/api/v1/events/{id}{filter}")).await;
        let of = |key: &str| event[key].as_str().map(str::to_owned);
        (of("newer"), of("older"))
    };
    assert_eq!(beside(&held, "").await, (Some(dead.clone()), Some(ignored)));
    assert_eq!(beside(&dead, "").await, (None, Some(held.clone())));
    assert_eq!(beside(&delivered, "").await.1, None);
    let filter = "?state=dead&state=delivered";
    assert_eq!(beside(&held, filter).await, (Some(dead), Some(delivered)));
    assert_eq!(beside(&held, "?q=nowhere").await, (None, None));
}

#[tokio::test]
async fn list_is_a_table_for_whoever_accepts_csv() {
    let scene = Scene::new().await;
    let [_, _, held, dead] = scene.one_of_each().await;

    let ask = async |path: &str| {
        let call = http().get(format!("{}{path}", scene.relay.admin_url)).bearer_auth(TOKEN);
        let answer = call.header("accept", "text/csv").send().await.unwrap();
        let header =
            |name: &str| answer.headers().get(name).map(|it| it.to_str().unwrap().to_owned());
        let (link, kind) = (header("link"), header("content-type"));
        assert_eq!(kind.as_deref(), Some("text/csv; charset=utf-8; header=present"));
        (answer.text().await.unwrap(), link)
    };
    let (first, link) = ask("/api/v1/events?state=dead&state=held&limit=1").await;
    let link = link.unwrap();
    let (next, rest) = link.strip_prefix('<').unwrap().split_once('>').unwrap();
    assert_eq!(rest, "; rel=\"next\"");
    let (second, link) = ask(next).await;

    assert!(
        first.starts_with("id,received_at,source,type,state,stage,summary,who,company,reason,")
    );
    let row = |table: &str| table.lines().nth(1).unwrap().to_owned();
    assert!(
        row(&first).starts_with(&dead) && row(&first).contains(",dead,savio,refuse,"),
        "{first}"
    );
    assert!(row(&second).starts_with(&held), "{second}");
    assert_eq!((first.lines().count(), second.lines().count(), link), (2, 2, None));
}
