//! Which requests show that a sender sends: its verified webhooks, also those that are ignored or repeated, and
//! none that a person makes.

use std::fs;

use http::StatusCode;
use serde_json::json;

use super::kill::{MAPPING, send};
use crate::support::half_hours;
use crate::support::relay::{Relay, SECRET, http, program, typeform_signature};

#[tokio::test]
async fn ignored_and_repeated_webhooks_are_signs_of_their_sender() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mappings")).unwrap();
    // In the order of the file: what belongs to the source is above its tables.
    let mapping = MAPPING.replace("\n[[feedback]]", "events = [\"form_response\"]\n\n[[feedback]]");
    fs::write(folder.path().join("mappings/survey.toml"), mapping).unwrap();
    let relay = Relay::start(folder.path(), &[("TYPEFORM_SECRET", SECRET)]);
    let (client, url) = (http(), &relay.url);
    let ignored = json!({ "event_id": "x", "event_type": "another" }).to_string();
    let post = |signature: String, agent: &str| {
        let webhook = client.post(format!("{url}/hooks/survey")).body(ignored.clone());
        let webhook = webhook.header("content-type", "application/json");
        webhook.header("typeform-signature", signature).header("user-agent", agent).send()
    };

    for status in [StatusCode::ACCEPTED, StatusCode::OK] {
        assert_eq!(send(&client, url, "once").await.unwrap().status(), status);
    }
    let right = typeform_signature(ignored.as_bytes());
    for (signature, agent, status) in [
        (right.clone(), "a form", StatusCode::OK),
        (right, "savio-relay/0.1.0", StatusCode::OK),
        (typeform_signature(b"another"), "a form", StatusCode::UNAUTHORIZED),
    ] {
        assert_eq!(post(signature, agent).await.unwrap().status(), status);
    }
    fs::write(folder.path().join("own.json"), ignored.replace("another", "form_response")).unwrap();
    let mut by_hand = program(folder.path());
    by_hand.args(["send", "survey", "own.json", "--to", url]).env("TYPEFORM_SECRET", SECRET);
    assert!(by_hand.output().unwrap().status.success());
    assert!(relay.stop().success());

    let totals = half_hours::check(&folder.path().join("relay.db")).unwrap();
    assert_eq!((totals.accepted, totals.duplicates, totals.webhooks), (2, 1, 3));
}
