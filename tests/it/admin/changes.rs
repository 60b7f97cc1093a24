//! What would change with another mapping, and the versions that were in service.

use std::collections::BTreeMap;
use std::time::Duration;

use reqwest::header::CONTENT_TYPE;
use savio_relay::event::MappingDigest;
use serde_json::{Value, json};

use super::browser::{self, Caller};
use super::{MAPPING, Scene, TOKEN};
use crate::support::wait::until_async;

const PATH: &str = "/api/v1/sources/form/changes";
const COUNTS: [&str; 7] =
    ["compared", "same", "changed", "newly_ignored", "newly_dead", "newly_made", "unreadable"];

fn counts(report: &Value) -> [u64; 7] {
    let counts = COUNTS.map(|name| report[name].as_u64().unwrap());
    assert_eq!(counts[1..].iter().sum::<u64>(), counts[0], "{report}");
    counts
}

/// The mapping of the tests, which finds an address of one of two keys only.
fn losing() -> String {
    MAPPING.replace("[\"$.email\", \"$.mail\"]", "\"$.email\"")
}

#[tokio::test]
async fn lost_field_is_seen_before_the_mapping_is_saved() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    for number in 0..200 {
        let key = if number % 17 == 3 { "mail" } else { "email" };
        scene.webhook(&json!({ "text": "Slow", key: "ada@example.com" })).await;
    }

    let report = scene.post(PATH, json!({ "mapping": losing() })).await;

    assert_eq!(counts(&report), [200, 188, 12, 0, 0, 0, 0]);
    assert_eq!((&report["complete"], &report["not_compared"]), (&json!(true), &json!([])));
    assert_eq!(report["in_service"], MappingDigest::of(MAPPING).to_string());
    let events = report["events"].as_array().unwrap();
    assert_eq!((events.len(), &report["next"]), (12, &Value::Null));
    for event in events {
        assert_eq!(event["event"]["source"], "form");
        let lost = json!([{ "request": "feedback[0]", "field": "person_email",
            "was": "ada@example.com", "now": null, "linked_at_delivery": false }]);
        assert_eq!((&event["change"], &event["fields"]), (&json!("changed"), &lost));
        assert_eq!(event["before"]["requests"][0]["body"]["person_email"], "ada@example.com");
        assert_eq!(event["after"]["requests"][0]["body"], json!({ "problem": "Slow" }));
    }
    let times: Vec<&str> =
        events.iter().map(|it| it["event"]["received_at"].as_str().unwrap()).collect();
    assert!(times.is_sorted_by(|newer, older| newer >= older), "{times:?}");

    let same = scene.post(PATH, json!({ "mapping": MAPPING })).await;
    assert_eq!(counts(&same), [200, 200, 0, 0, 0, 0, 0]);
}

#[tokio::test]
async fn each_kind_of_change_is_counted_and_explained() {
    let scene = Scene::new().await;
    let [delivered, ignored, _, dead] = scene.one_of_each().await;
    let report = async |from: &str, to: &str| {
        let mapping = MAPPING.replace(from, to);
        assert_ne!(mapping, MAPPING);
        scene.post(PATH, json!({ "mapping": mapping })).await
    };

    let all = report("when = \"@.ignored != true\"\n", "").await;
    assert_eq!(counts(&all), [4, 3, 0, 0, 0, 1, 0]);
    assert_eq!(
        (&all["events"][0]["change"], &all["events"][0]["event"]["id"]),
        (&json!("newly_made"), &json!(ignored))
    );
    let reason = all["events"][0]["before"]["reason"].as_str().unwrap();
    assert_eq!(reason, "feedback[0]: `when` is false");

    let none = report("!= true", "== 'never'").await;
    assert_eq!(counts(&none), [4, 1, 0, 3, 0, 0, 0]);

    let failing = report("$.text", "$.texts").await;
    assert_eq!(counts(&failing), [4, 1, 0, 0, 3, 0, 0]);
    let reason = failing["events"][0]["after"]["reason"].as_str().unwrap();
    assert!(reason.starts_with("feedback[0].problem: "), "{reason}");

    let filtered = json!({ "mapping": MAPPING.replace("$.text", "$.texts"), "state": "dead" });
    let filtered = scene.post(PATH, filtered).await;
    assert_eq!(counts(&filtered), [1, 0, 0, 0, 1, 0, 0]);
    assert_eq!(filtered["events"][0]["event"]["id"], json!(dead));
    let newest = json!({ "mapping": MAPPING.replace("$.text", "$.texts"), "limit": 2 });
    assert_eq!(counts(&scene.post(PATH, newest).await)[0], 2);
    for (condition, value, expected) in [
        ("q", json!(delivered), 1),
        ("state", json!(["dead", "held"]), 2),
        ("contains", json!("ADA@example"), 1),
        ("contains", json!("nowhere"), 0),
        ("type", json!("other"), 0),
        ("stage", json!("savio"), 2),
        ("attempts_min", json!(1), 3),
        ("left_out", json!(true), 0),
        ("may_repeat", json!(true), 1),
        ("imported", json!(false), 4),
    ] {
        let found = scene.post(PATH, json!({ "mapping": MAPPING, condition: value })).await;
        assert_eq!(counts(&found)[0], expected, "{condition}: {found}");
    }
}

#[tokio::test]
async fn every_condition_of_a_list_is_one_of_each_body_with_a_filter() {
    let scene = Scene::new().await;
    let description = scene.description().await;
    let of = |method: &str, path: &str| {
        let mut all = description.operations().into_iter();
        all.find(|it| it.method == method && it.path == path).unwrap().description
    };
    let listed = of("GET", "/api/v1/events/counts")["parameters"].clone();
    let listed = listed.as_array().unwrap().iter();
    let conditions: BTreeMap<&str, &Value> =
        listed.map(|it| (it["name"].as_str().unwrap(), &it["description"])).collect();
    assert!(conditions.contains_key("imported"), "{conditions:?}");

    // The path has the source of a comparison.
    let path = "/api/v1/sources/{name}/changes";
    for (path, others) in [("/api/v1/replay", &[][..]), (path, &["source", "destination"])] {
        let body = of("POST", path)["requestBody"]["content"]["application/json"]["schema"].clone();
        let keys = description.resolve(&body)["properties"].as_object().unwrap();
        for (condition, meaning) in conditions.iter().filter(|(it, _)| !others.contains(it)) {
            let key = keys.get(*condition).unwrap_or_else(|| panic!("{path}: {condition}"));
            // A parameter says how several values are written.
            if *condition != "state" {
                assert_eq!(&&key["description"], meaning, "{path}: {condition}");
            }
        }
    }
}

#[tokio::test]
async fn differing_events_come_in_pages() {
    let scene = Scene::new().await;
    scene.savio_answers().await;
    for number in 0..120 {
        scene.webhook(&json!({ "text": format!("Slow {number}") })).await;
    }
    let mapping = MAPPING.replace("\"$.text\"", "\"{{ payload.text | upper }}\"");
    let mut body = json!({ "mapping": mapping, "limit": 110 });
    let (mut seen, mut compared) = (Vec::new(), Vec::new());
    loop {
        let report = scene.post(PATH, body.clone()).await;
        compared.push(counts(&report)[0]);
        let events = report["events"].as_array().unwrap().clone();
        seen.extend(events.iter().map(|it| it["fields"][0]["was"].as_str().unwrap().to_owned()));
        if report["next"].is_null() {
            break;
        }
        body["after"] = report["next"].clone();
    }

    let newest: Vec<String> = (10..120).rev().map(|number| format!("Slow {number}")).collect();
    assert_eq!(seen, newest);
    assert_eq!(compared, [110, 60, 10]);
}

#[tokio::test]
async fn comparison_is_refused_with_its_reason() {
    let scene = Scene::new().await;
    let check = async |body: Value, status: u16, expected: &str| {
        let answer = scene.call("POST", PATH, Some(&body)).await;
        let reason = answer.json()["reason"].as_str().unwrap().to_owned();
        assert_eq!(answer.status, status, "{body}: {reason}");
        assert!(reason.contains(expected), "{reason}");
    };

    for limit in [0, 10_001] {
        check(json!({ "mapping": MAPPING, "limit": limit }), 400, "`limit` is from 1 to 10000")
            .await;
    }
    for after in ["x", "1-2", "1-2-x", "1-2-0", "1-2-10001", "1-2-3-4"] {
        check(json!({ "mapping": MAPPING, "after": after }), 400, "`after`").await;
    }
    check(json!({}), 400, "mapping").await;
    check(json!({ "mapping": MAPPING, "q": " " }), 400, "`q` is empty").await;
    check(json!({ "mapping": MAPPING, "source": "form" }), 400, "unknown key `source`").await;

    let answer =
        scene.post(PATH, json!({ "mapping": "provider = \"form\"\n[[feedback]]\n" })).await;
    let mistakes = answer["mistakes"].as_array().unwrap();
    assert!(!mistakes.is_empty() && mistakes[0]["line"].is_u64(), "{answer}");
}

#[tokio::test]
async fn keys_that_act_at_intake_are_listed() {
    let scene = Scene::new().await;
    scene.one_of_each().await;
    let mapping = MAPPING.replace("secrets", "events = [\"message\"]\nrate = \"5/s\"\nsecrets");

    let report = scene.post(PATH, json!({ "mapping": mapping })).await;

    assert_eq!(report["not_compared"], json!(["events", "rate"]));
    assert_eq!(counts(&report), [4, 4, 0, 0, 0, 0, 0]);
}

/// A condition that takes all the work that one event may cost.
fn slow() -> String {
    let template = "{% for a in range(9999) %}{% for b in range(9999) %}{% endfor %}{% endfor %}";
    MAPPING.replace("\"$.text\"", &format!("\"{template}{{{{ payload.text }}}}\""))
}

/// Begins a slow comparison of so many events, and newer ones until it ends. Returns its status and the
/// reason, if any.
async fn ended_by_newer(
    scene: &Scene,
    (older, limit): (&Caller, usize),
    newer: &Caller,
) -> (u16, Value) {
    let post = |caller: &Caller, mapping: String| {
        let body = json!({ "mapping": mapping, "limit": limit }).to_string();
        let call = caller.request(scene, "POST", PATH).timeout(Duration::from_mins(1));
        call.header(CONTENT_TYPE, "application/json").body(body).send()
    };
    let older = tokio::spawn(post(older, slow()));
    until_async(async || {
        // The first may be ended by the other, which begins at the same time.
        post(newer, MAPPING.to_owned()).await.unwrap();
        older.is_finished()
    })
    .await;
    let answer = older.await.unwrap().unwrap();
    let status = answer.status().as_u16();
    let body: Value = answer.json().await.unwrap();
    (status, body["reason"].clone())
}

#[tokio::test]
async fn newer_comparison_of_the_same_session_or_token_ends_the_older() {
    let proxy = format!(
        "[admin.proxy_auth]\nheader = \"{}\"\nfrom = \"127.0.0.1\"\nrole = \"read\"\n",
        browser::USER
    );
    let scene = Scene::configured(&proxy, &[]).await;
    scene.savio_answers().await;
    for _ in 0..100 {
        scene.webhook(&json!({ "text": "Slow" })).await;
    }
    let callers = [
        Caller::bearer(TOKEN),
        scene.browser(TOKEN).await,
        scene.browser_by_link("read").await,
        scene.browser_of_proxy("ada").await,
    ];
    let others = [
        scene.browser(TOKEN).await,
        scene.browser(TOKEN).await,
        scene.browser_by_link("read").await,
        scene.browser_of_proxy("grace").await,
    ];

    for (caller, other) in callers.iter().zip(&others) {
        let (status, reason) = ended_by_newer(&scene, (caller, 100), caller).await;
        let expected = "a newer comparison in the same session, or with the same token, has ended \
                        this one";
        assert_eq!((status, &reason), (409, &json!(expected)));
        assert_eq!(ended_by_newer(&scene, (caller, 5), other).await, (200, Value::Null));
    }
}

#[tokio::test]
async fn versions_are_listed_with_their_texts() {
    let scene = Scene::new().await;
    let [delivered, ..] = scene.one_of_each().await;
    let digest = MappingDigest::of(MAPPING).to_string();

    let event = scene.get(&format!("/api/v1/events/{delivered}")).await;
    assert_eq!(event["mapping"]["digest"], digest);
    let listed = scene.get("/api/v1/events").await;
    assert_eq!(listed["events"][3]["mapping"], event["mapping"]);

    let versions = scene.get("/api/v1/sources/form/versions").await;
    let [version] = versions["versions"].as_array().unwrap().as_slice() else {
        panic!("{versions}");
    };
    assert_eq!((&version["digest"], &version["events"]), (&json!(digest), &json!(4)));
    assert_eq!(
        (&version["since"], &version["in_service"]),
        (&event["mapping"]["since"], &json!(true))
    );

    for path in ["sources/no/versions", "sources/form/versions/0000", "sources/form/versions/3f"] {
        assert_eq!(scene.call("GET", &format!("/api/v1/{path}"), None).await.status, 404, "{path}");
    }
}

/// Returns the digests of the versions, newest first, and who put each into service.
async fn versions(scene: &Scene) -> Vec<(String, Option<String>)> {
    let listed = scene.get("/api/v1/sources/form/versions").await;
    let versions = listed["versions"].as_array().unwrap().iter();
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned);
    versions.map(|it| (text(&it["digest"]).unwrap(), text(&it["by"]))).collect()
}

/// Saves a mapping on top of the text with this digest.
async fn save(scene: &Scene, token: &str, (before, mapping): (&str, &str)) {
    let path = "/api/v1/sources/form/mapping";
    let request = ("PUT", path, Some(before));
    let saved = scene.call_if(token, request, Some(&json!({ "mapping": mapping }))).await;
    assert_eq!(saved.status, 200, "{saved:?}");
}

#[tokio::test]
async fn change_is_seen_before_it_is_saved_named_by_the_next_event_and_taken_back() {
    let editor = "a token of the editor";
    let config = "[[admin.tokens]]\nname = \"mia\"\ntoken = \"env:MIA\"\nrole = \"edit\"\n";
    let scene = Scene::configured(config, &[("MIA", editor)]).await;
    scene.savio_answers().await;
    let [old, new] = [MAPPING, &losing()].map(|text| MappingDigest::of(text).to_string());
    let off = scene.folder.path().join("mappings/off.toml");
    std::fs::write(off, "provider = \"typeform\"\nsecrets = [\"env:NONE\"]\n").unwrap();
    for number in 0..200 {
        let key = if number % 17 == 3 { "mail" } else { "email" };
        scene.webhook(&json!({ "text": "Slow", key: "ada@example.com" })).await;
    }

    // It is seen before it is saved, and saved all the same.
    let report = scene.post(PATH, json!({ "mapping": losing() })).await;
    assert_eq!(counts(&report), [200, 188, 12, 0, 0, 0, 0]);
    assert_eq!(versions(&scene).await, [(old.clone(), None)]);
    save(&scene, editor, (&format!("\"{old}\""), &losing())).await;
    let id = scene.webhook(&json!({ "text": "Slow", "mail": "ada@example.com" })).await;
    let event = scene.until(&id, "delivered").await;
    assert_eq!(event["mapping"]["digest"], new);
    assert_eq!(event["requests"][0]["body"], json!({ "problem": "Slow" }));
    let by = |name: &str| Some(name.to_owned());
    assert_eq!(versions(&scene).await, [(new.clone(), by("mia")), (old.clone(), None)]);

    // The text of before is taken back from the history, byte for byte.
    let before = scene.get(&format!("/api/v1/sources/form/versions/{}", &old[..4])).await;
    assert_eq!((before["text"].as_str(), &before["in_service"]), (Some(MAPPING), &json!(false)));
    save(&scene, TOKEN, (&format!("\"{new}\""), before["text"].as_str().unwrap())).await;
    let path = scene.folder.path().join("mappings/form.toml");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), MAPPING);
    let id = scene.webhook(&json!({ "text": "Slow", "mail": "ada@example.com" })).await;
    let event = scene.until(&id, "delivered").await;
    assert_eq!(event["mapping"]["digest"], old);
    assert_eq!(event["requests"][0]["body"]["person_email"], "ada@example.com");

    // What somebody writes to the file has no name.
    std::fs::write(&path, losing()).unwrap();
    until_async(async || versions(&scene).await.len() == 4).await;
    let expected = [
        (new.clone(), None),
        (old.clone(), by("admin.token")),
        (new.clone(), by("mia")),
        (old.clone(), None),
    ];
    assert_eq!(versions(&scene).await, expected);
    let page = scene.get("/api/v1/sources/form/versions?limit=1").await;
    assert_eq!(page["versions"][0]["in_service"], true);
    let next = page["next"].as_str().unwrap();
    let rest = scene.get(&format!("/api/v1/sources/form/versions?after={next}")).await;
    assert_eq!(rest["versions"].as_array().unwrap().len(), 3);
}
