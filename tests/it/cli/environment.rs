//! Settings and secrets in environment variables: what is misspelled is named, what is meant is used.

use std::fs;
use std::path::Path;
use std::process::Output;

use serde_json::json;
use wiremock::matchers::{header, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::{Relay, http, program};
use crate::support::wait::until_async;

fn run(folder: &Path, arguments: &[&str], variables: &[(&str, &str)]) -> (Option<i32>, String) {
    let mut command = program(folder);
    let output: Output = command.args(arguments).envs(variables.iter().copied()).output().unwrap();
    let shown = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(shown).unwrap())
}

#[test]
fn misspelled_setting_ends_each_command_with_the_name_to_write() {
    let folder = tempfile::tempdir().unwrap();
    for (variable, meant) in [
        ("SAVIO_RELAY_SERVER_LISTEN", "SAVIO_RELAY_SERVER__LISTEN"),
        ("SAVIO_RELAY_SEVER__LISTEN", "SAVIO_RELAY_SERVER__LISTEN"),
        ("SAVIO_RELAY_DESTINATIONS_EU_TOKEN", "SAVIO_RELAY_DESTINATIONS__EU__TOKEN"),
    ] {
        for command in ["serve", "check", "doctor", "events list"] {
            let arguments: Vec<&str> = command.split(' ').collect();
            let (code, shown) = run(folder.path(), &arguments, &[(variable, "hunter2")]);
            assert_eq!(code, Some(1), "{command}: {shown}");
            for part in [format!("{variable} is not a setting"), format!("write {meant}")] {
                assert!(shown.contains(&part), "{part} in {shown}");
            }
            assert!(!shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn variable_of_an_orchestrator_or_of_a_mapping_file_is_no_setting() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("mappings")).unwrap();
    let mapping = "provider = \"form\"\nsecrets = [\"env:SAVIO_RELAY_SERVER__LISTN\"]\n\
                   [[feedback]]\nproblem = \"$.text\"\n";
    fs::write(folder.path().join("mappings/form.toml"), mapping).unwrap();
    let named = ("SAVIO_RELAY_SERVER__LISTN", "a secret");
    let kubernetes = ("SAVIO_RELAY_PORT_8080_TCP_ADDR", "10.0.0.1");
    let unknown = ("SAVIO_RELAY_IMAGE", "hunter2");

    let (code, shown) = run(folder.path(), &["check"], &[named, kubernetes, unknown]);

    assert_eq!(code, Some(0), "{shown}");
    assert!(shown.contains("warning: SAVIO_RELAY_IMAGE is not a setting"), "{shown}");
    for part in ["LISTN", "8080", "hunter2"] {
        assert!(!shown.contains(part), "{part} in {shown}");
    }
}

#[tokio::test]
async fn token_with_a_line_end_is_used_without_it() {
    let savio = MockServer::start().await;
    let created = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    let with_token = header("authorization", "Token t0k");
    Mock::given(method("POST")).and(with_token).respond_with(created).mount(&savio).await;
    for line_end in ["\n", "\r\n"] {
        let folder = tempfile::tempdir().unwrap();
        let [token, admin, secret] =
            ["t0k", "a long admin token", "form secret"].map(|it| format!("{it}{line_end}"));
        let base_url = format!("{}/", savio.uri());
        let variables = [
            ("SAVIO_API_TOKEN", token.as_str()),
            ("ADMIN_TOKEN", &admin),
            ("FORM_SECRET", &secret),
            ("SAVIO_RELAY_SAVIO__BASE_URL", &base_url),
        ];
        let relay = Relay::start(folder.path(), &variables);

        let webhook = http().post(format!("{}/hooks/form", relay.url));
        let webhook = webhook.header("x-relay-token", "form secret");
        let sent = webhook.json(&json!({ "text": "Slow" })).send().await.unwrap();

        assert_eq!(sent.status(), 202);
        let stats = format!("{}/api/v1/events?state=delivered", relay.admin_url);
        until_async(async || {
            let call = http().get(&stats).bearer_auth("a long admin token").send().await.unwrap();
            call.text().await.unwrap().contains("delivered")
        })
        .await;
    }
}

#[test]
fn unusable_token_ends_serve_with_the_name_of_its_place() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "hunter2\nhunter3\n").unwrap();
    let file = ("SAVIO_RELAY_SAVIO__TOKEN", "file:token");
    for (variable, place) in [
        (("SAVIO_API_TOKEN", "hunter2\nhunter3"), "SAVIO_API_TOKEN has a line break inside"),
        (("ADMIN_TOKEN", "hunter2\u{7}"), "ADMIN_TOKEN has a control character inside"),
        (file, "the file token has a line break inside"),
    ] {
        for command in ["serve", "check", "doctor"] {
            let (code, shown) = run(folder.path(), &[command], &[variable]);
            assert_eq!(code, Some(1), "{command}: {shown}");
            assert!(shown.contains(place) && !shown.contains("hunter"), "{command}: {shown}");
        }
    }
}

#[test]
fn doubtful_secret_is_warned_about_by_the_name_of_its_place() {
    let folder = tempfile::tempdir().unwrap();
    for (value, why) in [
        ("x", "is a single character"),
        ("...", "looks like a placeholder"),
        ("your-hunter2-token", "looks like a placeholder"),
        ("<hunter2>", "looks like a placeholder"),
        ("\"hunter2\"", "is in quotation marks"),
    ] {
        for variable in ["SAVIO_API_TOKEN", "ADMIN_TOKEN", "FORM_SECRET"] {
            let warning = format!("{variable} {why}");
            for command in ["check", "doctor"] {
                let (_, shown) = run(folder.path(), &[command], &[(variable, value)]);
                assert!(shown.contains(&warning), "{command}: {warning} in {shown}");
                assert!(!shown.contains("hunter2"), "{command}: {shown}");
            }
            let relay = Relay::start(folder.path(), &[(variable, value)]);
            let shown = relay.startup_output.clone() + &relay.log();
            assert!(shown.contains(&warning) && !shown.contains("hunter2"), "{shown}");
        }
    }
}

#[test]
fn list_is_set_by_a_variable() {
    let folder = tempfile::tempdir().unwrap();
    let variable = "SAVIO_RELAY_SERVER__TRUSTED_PROXIES";
    let (code, shown) = run(folder.path(), &["check"], &[(variable, "127.0.0.1, 10.0.0.0/8")]);
    assert_eq!(code, Some(0), "{shown}");

    let (code, shown) = run(folder.path(), &["check"], &[(variable, "127.0.0.1,10.0.0.0/99")]);
    assert_eq!(code, Some(1), "{shown}");
    assert!(shown.contains("`10.0.0.0/99` is not a network"), "{shown}");
}

#[test]
fn network_of_all_addresses_is_warned_about() {
    let folder = tempfile::tempdir().unwrap();
    let variable = "SAVIO_RELAY_SERVER__TRUSTED_PROXIES";
    for all in ["0.0.0.0/0", "::/0"] {
        let (code, shown) = run(folder.path(), &["check"], &[(variable, all)]);
        assert_eq!(code, Some(0), "{shown}");
        assert!(shown.contains(&format!("`{all}` trusts everyone as a proxy")), "{shown}");
    }
}
