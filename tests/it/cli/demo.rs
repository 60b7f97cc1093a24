//! `demo`: one line for each source, one source in full, and what a person may send to it.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::support::relay::{http, program};

fn demo(arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    program(folder.path()).arg("demo").args(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn demo_shows_a_line_for_each_source_on_one_screen() {
    let shown = stdout(&demo(&["--once"]));

    let rows: Vec<&str> = shown.lines().skip(1).take_while(|line| !line.is_empty()).collect();
    let names: Vec<&str> = rows.iter().map(|row| row.split(' ').next().unwrap()).collect();
    let mut bundled: Vec<String> = std::fs::read_dir("mappings")
        .unwrap()
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".toml").map(str::to_owned)
        })
        .collect();
    bundled.sort();
    assert_eq!(names, bundled);
    let typeform = rows.iter().find(|row| row.starts_with("typeform ")).unwrap();
    assert!(typeform.contains(" form_response "), "{typeform}");
    assert!(typeform.contains(" -> feedback: What is missing? "), "{typeform}");
    assert!(rows.iter().all(|row| row.contains(" -> ") && row.chars().count() < 80), "{shown}");
    assert!(shown.lines().count() < 45, "{shown}");
    let end = "`savio-relay init typeform` sets one up: what to paste where.\n";
    assert!(shown.ends_with(end), "{shown}");
    assert_eq!(stdout(&demo(&["--once"])), shown, "a second run shows the same");
}

#[test]
fn demo_of_one_source_shows_it_in_full() {
    let shown = stdout(&demo(&["typeform", "--once"]));

    for part in [
        "The webhook, from mappings/samples/typeform.form_response.json\nPOST http://127.0.0.1:",
        "/hooks/typeform\n",
        "typeform-signature: sha256=",
        "\"event_type\": \"form_response\"",
        "The relay's answer\n202 ",
        "The requests that its mapping makes\n",
        "Arrived in Savio's sandbox\n",
        "feedback 1\n",
    ] {
        assert_eq!(
            shown.to_lowercase().matches(&part.to_lowercase()).count(),
            1,
            "{part} in {shown}"
        );
    }
    assert!(!shown.contains("zapier"), "{shown}");
    let unknown = demo(&["typefrom", "--once"]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(String::from_utf8(unknown.stderr).unwrap().contains("did you mean 'typeform'?"));
}

#[test]
fn demo_on_a_named_address_in_use_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();

    let output = demo(&["--once", "--listen", &address]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains(&format!("{address} is in use by another program")), "{errors}");
}

/// Returns what is between the two texts.
fn between<'t>(text: &'t str, before: &str, after: &str) -> &'t str {
    let (_, rest) = text.split_once(before).unwrap_or_else(|| panic!("{before} in {text}"));
    rest.split_once(after).map_or(rest, |(found, _)| found)
}

#[tokio::test]
async fn demo_takes_what_a_person_sends_even_if_its_usual_port_is_in_use() {
    // Whether this test or another program has it, the demo cannot.
    let _taken = TcpListener::bind("127.0.0.1:8080");
    let folder = tempfile::tempdir().unwrap();
    let mut demo = program(folder.path());
    let mut demo = demo.arg("demo").stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(demo.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut shown = String::new();
    let mut errors = BufReader::new(demo.stderr.take().unwrap()).lines().map(Result::unwrap);

    let notice = errors.next().unwrap();
    for line in lines.by_ref() {
        shown += &format!("{line}\n");
        if line.contains("Ctrl-C ends the demo") {
            break;
        }
    }
    let url = format!("http://{}", between(&shown, "curl http://", " "));
    let secret = between(&shown, "X-Relay-Token: ", "'");
    let payload: Value = serde_json::from_str(between(&shown, "-d '", "'")).unwrap();
    let sent = http().post(&url).header("x-relay-token", secret).json(&payload).send();
    let status = sent.await.unwrap().status();
    let token = format!("Token {}", between(&shown, "Authorization: Token ", "'"));
    let sandbox = format!("http://{}", between(&shown, "\\\n    http://", "\n"));
    let arrived = async || {
        let call = http().get(&sandbox).header("authorization", &token).send();
        let records: Vec<Value> = call.await.unwrap().json().await.unwrap();
        records.iter().any(|record| record["problem"] == json!("Please add dark mode"))
    };
    crate::support::wait::until_async(arrived).await;
    demo.kill().and_then(|()| demo.wait()).unwrap();

    assert_eq!(notice, "127.0.0.1:8080 is in use, so the demo listens on a free port");
    assert_eq!(status, 202);
    assert!(!url.contains(":8080"), "{url}");
    assert!(shown.lines().count() < 50, "{shown}");
}
