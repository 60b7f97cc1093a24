//! Repeats: a dry run counts what an import would leave out.

use serde_json::{Value, json};

use super::{counts, folder, post};
use crate::support::relay::Relay;
use crate::support::wait::until;

const ROWS: &str = "message\none\none\ntwo\n";

fn new_and_repeated(counted: &Value) -> (u64, u64) {
    (counted["events"].as_u64().unwrap(), counted["repeats"].as_u64().unwrap())
}

#[test]
fn dry_run_counts_repeats_as_the_import_does() {
    let folder = folder("old.csv", ROWS);
    let run = |options: &[&str]| {
        let options = [&["form", "old.csv"], options].concat();
        new_and_repeated(&counts(folder.path(), &options, 0))
    };

    let before = run(&["--dry-run"]);
    let has_store = folder.path().join("relay.db").exists();
    let imported = run(&[]);
    let after = run(&["--dry-run"]);

    assert_eq!((before, imported, after), ((2, 1), (2, 1), (0, 3)));
    assert!(!has_store, "a dry run creates no store");
    assert_eq!(run(&["--dry-run", "--again"]), (3, 0));
    let more = format!("{ROWS}three\ntwo\n");
    std::fs::write(folder.path().join("old.csv"), more).unwrap();
    assert_eq!((run(&["--dry-run"]), run(&[])), ((1, 4), (1, 4)));
}

#[test]
fn dry_run_counts_only_the_requests_that_would_be_sent() {
    let folder = folder("old.csv", ROWS);

    let before = counts(folder.path(), &["form", "old.csv", "--dry-run"], 0);
    let imported = counts(folder.path(), &["form", "old.csv"], 0);
    let after = counts(folder.path(), &["form", "old.csv", "--dry-run"], 0);

    for counted in [before, imported] {
        assert_eq!(counted["requests"], json!({ "feedback": 2 }));
    }
    assert_eq!(after["requests"], json!({}));
}

// Rows without an id are compared by their content, those with one by the id.
#[test]
fn dry_run_recognises_repeats_by_the_id_of_the_provider() {
    let rows = "#,Idea?,Response Type\nr1,One,completed\nr1,Another,completed\nr2,Two,completed\n";
    let folder = folder("results.csv", rows);

    let counted = counts(folder.path(), &["typeform", "results.csv", "--dry-run"], 0);

    assert_eq!(new_and_repeated(&counted), (2, 1));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn dry_run_asks_the_store_of_a_running_relay() {
    let folder =
        folder("old.ndjson", "{\"id\":\"7\",\"message\":\"One\"}\n{\"message\":\"Two\"}\n");
    let variables = [("FORM_SECRET", "secret"), ("ADMIN_TOKEN", "a token of the test")];
    let relay = Relay::start(folder.path(), &variables);
    let dry_run =
        || new_and_repeated(&counts(folder.path(), &["form", "old.ndjson", "--dry-run"], 0));
    assert_eq!(dry_run(), (2, 0));

    counts(folder.path(), &["form", "old.ndjson"], 0);
    let repeated = dry_run();
    post(&relay, "It still takes webhooks").await;

    assert_eq!(repeated, (0, 2));
    until(|| super::events(folder.path()).len() == 3).await;
}
