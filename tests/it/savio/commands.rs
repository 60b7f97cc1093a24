//! The commands `savio-relay savio ...`, run against a sandbox.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Output, Stdio};

use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use wiremock::matchers::{body_string_contains, method};
use wiremock::{Mock, MockServer, ResponseTemplate};

use crate::support::relay::program;

const TOKEN: &str = "s3cret-token";

/// A running `sandbox`; killed when it goes out of scope.
struct Sandbox {
    child: Child,
    url: String,
    folder: tempfile::TempDir,
}

impl Sandbox {
    fn start(arguments: &[&str]) -> Sandbox {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("seed.json"), SEED).unwrap();
        let mut child = program(folder.path())
            .args(["sandbox", "--listen", "127.0.0.1:0", "--token", TOKEN, "--seed", "seed.json"])
            .args(arguments)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.as_mut().unwrap()).lines();
        let first = lines.next().unwrap().unwrap();
        let url = first.split_once("http://").unwrap().1.to_owned();
        Sandbox { child, url: format!("http://{url}"), folder }
    }

    fn savio(&self, arguments: &[&str]) -> Command {
        let mut command = program(self.folder.path());
        command.arg("savio").args(arguments).env("SAVIO_API_TOKEN", TOKEN);
        command.env("SAVIO_RELAY_SAVIO__BASE_URL", &self.url);
        command
    }

    fn run(&self, arguments: &[&str]) -> (i32, String, String) {
        read(self.savio(arguments).output().unwrap())
    }

    /// Runs a command with this on standard input.
    fn feed(&self, arguments: &[&str], input: &str) -> (i32, String, String) {
        let mut command = self.savio(arguments);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        // The write fails if the command stops before it has read everything.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        read(child.wait_with_output().unwrap())
    }

    fn json(&self, arguments: &[&str]) -> Value {
        let (status, shown, errors) = self.run(arguments);
        assert_eq!(status, 0, "{errors}");
        serde_json::from_str(&shown).unwrap()
    }
}

impl Drop for Sandbox {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn read(output: Output) -> (i32, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

const SEED: &str = r#"{ "feature_requests": [
    { "title": "Weekly export", "state": "PLANNED", "tags": ["red"], "MRR": 12.5 },
    { "title": "Dark mode", "state": "SHIPPED", "product": "mobile" }
] }"#;

fn words(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

fn contacts(count: usize) -> String {
    let line = |number: usize| json!({ "internal_id": number, "name": format!("Ada {number}") });
    (1..=count).map(|number| line(number).to_string() + "\n").collect()
}

#[test]
fn feedback_is_created_from_flags() {
    let savio = Sandbox::start(&[]);

    let (status, shown, _) = savio.run(&words(
        "feedback create --problem Slow --person-email ada@example.com --tag red --tag blue \
         --feature-request-title Exports",
    ));

    assert_eq!((status, shown.as_str()), (0, "feedback 1 is created\n"));
    assert_eq!(savio.json(&["feature-requests", "get", "3", "--json"])["Feedback"], json!(1));
    let found = savio.json(&["contacts", "list", "--search", "ada@", "--json"]);
    assert_eq!(found["results"][0]["email"], json!("ada@example.com"));
}

#[test]
fn feature_requests_are_printed_as_a_table_or_json() {
    let savio = Sandbox::start(&[]);

    let (_, table, _) = savio.run(&["feature-requests", "list", "--state", "PLANNED"]);
    let found = savio.json(&["feature-requests", "list", "--product", "mobile", "--json"]);
    let (_, one, _) = savio.run(&["feature-requests", "get", "1"]);

    assert!(table.starts_with("id  title          state    product  tags  feedback\n"), "{table}");
    assert!(table.contains("Weekly export  Planned") && !table.contains("Dark mode"), "{table}");
    assert_eq!(found["results"][0]["title"], json!("Dark mode"));
    assert!(one.contains("MRR") && one.contains("12.5"), "{one}");
}

#[test]
fn all_pages_are_listed_on_request() {
    let savio = Sandbox::start(&[]);
    savio.feed(&["contacts", "upsert", "-"], &contacts(30));

    let first = savio.json(&["contacts", "list", "--json"]);
    let all = savio.json(&["contacts", "list", "--all", "--ordering=-name", "--json"]);
    let (_, table, errors) = savio.run(&["contacts", "list"]);

    assert_eq!((first["results"].as_array().unwrap().len(), &first["count"]), (25, &json!(30)));
    assert!(first["next"].is_string() && all["next"].is_null());
    assert_eq!(all["results"].as_array().unwrap().len(), 30);
    assert_eq!(all["results"][0]["name"], json!("Ada 9"));
    assert_eq!((table.lines().count(), errors.as_str()), (26, "25 of 30; --all shows the rest\n"));
}

/// Runs a command on a terminal and returns what is visible at the end: a line that is rewritten
/// replaces the old one.
#[cfg(target_os = "linux")]
fn on_terminal(command: &Command) -> String {
    let called = std::iter::once(command.get_program()).chain(command.get_args());
    let called: Vec<_> = called.map(|word| format!("'{}'", word.display())).collect();
    let variables = command.get_envs().filter_map(|(name, value)| Some((name, value?)));
    let mut script = Command::new("script");
    script.args(["-qec", &called.join(" "), "/dev/null"]).envs(variables).stdin(Stdio::null());
    if let Some(folder) = command.get_current_dir() {
        script.current_dir(folder);
    }
    let (status, shown, _) = read(script.output().unwrap());
    assert_eq!(status, 0, "{shown}");
    let kept = |line: &str| line.rsplit("\r\u{1b}[K").next().unwrap_or_default().to_owned();
    shown.replace("\r\n", "\n").split('\n').map(kept).collect::<Vec<_>>().join("\n")
}

#[cfg(target_os = "linux")]
#[test]
fn progress_bar_does_not_erase_json_rows() {
    let savio = Sandbox::start(&[]);
    savio.feed(&["contacts", "upsert", "-"], &contacts(30));
    savio.run(&["companies", "upsert", "--internal-id", "6", "--name", "Acme"]);

    for (kind, rows) in [("contacts", 30), ("companies", 1), ("feature-requests", 2)] {
        let shown = on_terminal(&savio.savio(&[kind, "list", "--all", "--json"]));
        let listed: Value = serde_json::from_str(&shown).unwrap_or_else(|error| {
            panic!("{kind}: {error} in {shown:?}");
        });
        assert_eq!(listed["results"].as_array().unwrap().len(), rows, "{kind}");
    }
}

#[test]
fn no_command_sends_nul() {
    let savio = Sandbox::start(&[]);
    let line = r#"{"internal_id":"7\u0000","name":"A\u0000da","filterable_attributes":{"pl\u0000an":"p\u0000ro"}}"#;
    for things in ["contacts", "companies"] {
        let (status, shown, errors) = savio.feed(&[things, "upsert", "-"], line);
        assert_eq!(status, 0, "{things}: {shown} {errors}");
        let kept = savio.run(&[things, "list", "--json"]).1.replace([' ', '\n'], "");
        for expected in [r#""internal_id":"7""#, r#""name":"Ada""#, r#""plan":"pro""#] {
            assert!(kept.contains(expected), "{things}: {kept}");
        }
        let one =
            [things, "upsert", "--internal-id", "8", "--name", "Bob", "--filterable-attribute"];
        let kept = savio.json(&[one.as_slice(), &["plan=\"p\\u0000ro\"", "--json"]].concat());
        assert!(kept.to_string().contains(r#""plan":"pro""#), "{kept}");
    }
}

#[test]
fn attributes_of_one_contact_keep_their_types() {
    let savio = Sandbox::start(&[]);
    savio.run(&["companies", "upsert", "--internal-id", "6", "--name", "Acme"]);

    let kept = savio.json(&words(
        "contacts upsert --internal-id 7 --name Ada --company-internal-id 6 --json \
         --filterable-attribute mrr=49.5 --filterable-attribute vip=true",
    ));

    assert_eq!(kept["filterable_attributes"], json!({ "mrr": 49.5, "vip": true }));
    assert_eq!(kept["company_name"], json!("Acme"));
}

#[test]
fn hundreds_of_contacts_arrive_despite_faults() {
    let savio = Sandbox::start(&["--fail", "500:0.1", "--fail", "429:0.05", "--fault-seed", "7"]);
    let calm = ["--give-up-after", "10m"];

    let command = [&["contacts", "upsert", "-"], &calm[..]].concat();
    let (status, shown, errors) = savio.feed(&command, &contacts(300));

    assert_eq!((status, shown.as_str()), (0, "contacts at savio: 300\n"), "{errors}");
    let found = savio.json(&["contacts", "list", "--all", "--json"]);
    assert_eq!(found["results"].as_array().unwrap().len(), 300);
}

#[test]
fn last_line_of_an_internal_id_wins() {
    let savio = Sandbox::start(&["--fail", "503:0.3", "--fault-seed", "1"]);
    let named = |number| json!({ "internal_id": "6", "name": format!("N {number}") });
    let line = |number| named(number).to_string() + "\n";
    let input: String = (1..=20).map(line).collect();

    let (status, _, errors) = savio.feed(&["companies", "upsert", "-"], &input);

    assert_eq!(status, 0, "{errors}");
    let found = savio.json(&["companies", "list", "--json", "--all"]);
    assert_eq!((&found["count"], &found["results"][0]["name"]), (&json!(1), &json!("N 20")));
}

#[test]
fn the_last_line_of_an_address_wins() {
    let savio = Sandbox::start(&["--fail", "503:0.3", "--fault-seed", "1"]);
    let line = |number| {
        let name = format!("N {number}");
        json!({ "internal_id": number, "name": name, "email": "ada@example.com" }).to_string()
    };
    let input: Vec<String> = (1..=20).map(line).collect();

    let (status, _, errors) = savio.feed(&["contacts", "upsert", "-"], &input.join("\n"));

    assert_eq!(status, 0, "{errors}");
    let found = savio.json(&["contacts", "list", "--json", "--all"]);
    assert_eq!((&found["count"], &found["results"][0]["name"]), (&json!(1), &json!("N 20")));
}

/// A server that takes every contact but those with this in their body, and gives all searches an empty page. What a run
/// of contacts with the internal ids 1 to 3 says of it.
async fn run_against(
    part: &str,
    answer: ResponseTemplate,
    options: &[&str],
) -> (i32, String, String) {
    let savio = MockServer::start().await;
    let taken = ResponseTemplate::new(201).set_body_json(json!({ "id": 7 }));
    let page = ResponseTemplate::new(200).set_body_json(json!({ "results": [] }));
    Mock::given(method("POST"))
        .and(body_string_contains(part))
        .respond_with(answer)
        .mount(&savio)
        .await;
    Mock::given(method("POST")).respond_with(taken).mount(&savio).await;
    Mock::given(method("GET")).respond_with(page).mount(&savio).await;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("three.ndjson"), contacts(3)).unwrap();
    let mut command = program(folder.path());
    command.args(["savio", "contacts", "upsert", "three.ndjson", "--base-url", &savio.uri()]);
    command.args(options).env("SAVIO_API_TOKEN", TOKEN);
    read(spawn_blocking(move || command.output().unwrap()).await.unwrap())
}

#[tokio::test]
async fn line_that_is_turned_down_though_the_token_works_stops_no_other() {
    let missing = ResponseTemplate::new(404).set_body_json(json!({ "detail": "Not found." }));

    let (status, shown, errors) = run_against("Ada 2", missing, &["--max-in-flight", "1"]).await;

    assert_eq!((status, shown.as_str()), (1, "contacts at savio: 2, refused: 1\n"), "{errors}");
    assert_eq!(errors, "line 2: Savio has no such thing (404): Not found.\n");
}

#[tokio::test]
async fn upsert_that_savio_takes_without_a_word_is_done() {
    let (status, shown, errors) = run_against("Ada 2", ResponseTemplate::new(204), &[]).await;

    assert_eq!((status, shown.as_str()), (0, "contacts at savio: 3\n"), "{errors}");
}

#[tokio::test]
async fn wait_that_savio_asks_for_beyond_the_limit_stops_the_run() {
    let later = ResponseTemplate::new(429).insert_header("retry-after", "600");

    let (status, shown, errors) = run_against("Ada 2", later, &["--max-in-flight", "1"]).await;

    assert_eq!((status, shown.as_str()), (3, "contacts at savio: 1\n"), "{errors}");
    let expected = "Savio asks for fewer requests (429), again in 600 s; fix that and run it again";
    assert!(errors.contains(expected), "{errors}");
}

#[tokio::test]
async fn page_of_another_server_stops_the_run() {
    let page = ResponseTemplate::new(200).set_body_raw("<html>Sign in</html>", "text/html");

    let (status, shown, errors) = run_against("Ada 1", page, &["--max-in-flight", "1"]).await;

    assert_eq!((status, shown.as_str()), (3, "contacts at savio: 0\n"), "{errors}");
    assert!(errors.contains("(200) is not as Savio's") && errors.contains("base URL"), "{errors}");
}

#[test]
fn invalid_lines_are_reported_and_the_others_sent() {
    let savio = Sandbox::start(&[]);
    let input = "{\"internal_id\": 1, \"name\": \"Ada\"}\n\nno JSON\n\
                 {\"internal_id\": 2, \"name\": \"Bea\", \"emial\": \"b@example.com\"}\n\
                 {\"internal_id\": 3, \"name\": \"Cid\", \"email\": \"nobody\"}\n";

    let (status, shown, errors) = savio.feed(&["contacts", "upsert", "-"], input);

    assert_eq!((status, shown.as_str()), (1, "contacts at savio: 1, refused: 3\n"));
    let lines: Vec<&str> = errors.lines().collect();
    assert!(lines.iter().any(|line| line.starts_with("line 3: expected")), "{errors}");
    assert!(errors.contains("line 4: unknown field `emial`"), "{errors}");
    assert!(errors.contains("line 5: Savio refused it (400): email: Enter a valid"), "{errors}");
}

#[test]
fn half_of_an_emoji_does_not_cost_the_line() {
    let savio = Sandbox::start(&[]);
    let line = "{\"internal_id\": 1, \"name\": \"cut \\ud83d\"}\r";

    for things in ["contacts", "companies"] {
        let (status, _, errors) = savio.feed(&[things, "upsert", "-"], line);

        assert_eq!(status, 0, "{errors}");
        let kept = savio.json(&[things, "list", "--json"]);
        assert_eq!(kept["results"][0]["name"], json!("cut \u{fffd}"));
    }
}

#[test]
fn each_line_has_a_json_result() {
    let savio = Sandbox::start(&[]);
    let input = "{\"internal_id\": 1, \"name\": \"Acme\"}\n{\"internal_id\": 2, \"name\": \" \"}\n";

    let (status, shown, _) = savio.feed(&["companies", "upsert", "-", "--json"], input);

    let mut results: Vec<Value> =
        shown.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    results.sort_by_key(|result| result["line"].as_u64());
    assert_eq!((status, &results[0]), (1, &json!({ "line": 1, "id": 1 })));
    assert_eq!(results[1]["error"]["status"], json!(400));
    assert_eq!(results[1]["error"]["fields"]["name"], json!(["This field may not be blank."]));
}

/// Checks the exit code and the error of a command.
fn check_end(savio: &Sandbox, arguments: &[&str], (status, expected): (i32, &str)) {
    let (ended, _, errors) = savio.run(arguments);
    assert_eq!(ended, status, "{arguments:?}: {errors}");
    assert!(errors.contains(expected), "{arguments:?}: {errors}");
}

#[test]
fn exit_code_depends_on_the_error() {
    let savio = Sandbox::start(&[]);
    let check = |line: &str, expected| check_end(&savio, &words(line), expected);

    check("feature-requests get 99", (1, "(404): Not found."));
    check("contacts upsert --internal-id 7 --name Ada --email x", (1, "email: Enter a valid"));
    check("feedback create", (2, "--problem"));
    check("contacts upsert --name Ada", (2, "--internal-id"));
    check("contacts upsert - --name Ada", (2, "cannot be used with"));
    check("contacts upsert --internal-id 7 --name Ada --rate 1/s", (2, "are for a FILE"));
    check("contacts upsert missing.ndjson", (1, "missing.ndjson: No such file"));
    check("contacts list --token-env NOBODY", (1, "NOBODY is not set"));
    check("contacts list --base-url nowhere", (2, "this is not a URL"));
    check("contacts list --destination eu", (1, "there are: default"));
    check("feature-requests get 1 --base-url http://127.0.0.1:1/", (3, "cannot be reached"));
}

#[test]
fn wrong_token_stops_a_long_run_at_once() {
    let savio = Sandbox::start(&[]);
    let mut command = savio.savio(&["contacts", "upsert", "many.ndjson", "--token-env", "WRONG"]);
    std::fs::write(savio.folder.path().join("many.ndjson"), contacts(500)).unwrap();

    let (status, shown, errors) = read(command.env("WRONG", "wrong-token").output().unwrap());

    assert_eq!((status, shown.as_str()), (1, "contacts at savio: 0\n"));
    assert!(errors.contains("Savio rejected the token (401)"), "{errors}");
    assert!(!errors.contains("wrong-token"));
}

#[test]
fn unreachable_savio_fails_the_run() {
    let savio = Sandbox::start(&["--fail", "503:1"]);
    let command = ["contacts", "upsert", "-", "--give-up-after", "1s"];

    let (status, shown, errors) = savio.feed(&command, &contacts(50));

    assert_eq!((status, shown.as_str()), (3, "contacts at savio: 0\n"));
    assert!(errors.contains("Savio returned a server error (503)"), "{errors}");
    assert!(errors.contains("run it again"), "{errors}");
}

#[test]
fn interrupted_run_says_so_and_can_be_repeated() {
    let savio = Sandbox::start(&[]);
    let mut command = savio.savio(&["contacts", "upsert", "-", "--json"]);
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut input = child.stdin.take().unwrap();
    input.write_all(contacts(1).as_bytes()).unwrap();
    let mut first = String::new();
    BufReader::new(child.stdout.as_mut().unwrap()).read_line(&mut first).unwrap();

    Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();

    let (status, _, errors) = read(child.wait_with_output().unwrap());
    assert_eq!((status, first.as_str()), (3, "{\"line\":1,\"id\":1}\n"));
    assert!(errors.contains("interrupted before the end; run it again"), "{errors}");
    drop(input);
}

#[test]
fn json_array_for_an_object_is_refused_by_every_command() {
    let savio = Sandbox::start(&[]);
    let lines = "[\"77\",\"Name\",{}]\n[\"78\",\"Name\"]\n[]\n";
    for things in ["contacts", "companies"] {
        let (status, _, errors) = savio.feed(&[things, "upsert", "-"], lines);
        assert_eq!(status, 1, "{errors}");
        assert_eq!(errors.matches("a JSON object is expected").count(), 3, "{errors}");
        assert_eq!(savio.json(&[things, "list", "--json"])["count"], 0);
    }

    let folder = savio.folder.path();
    for seed in ["[]", "[[],[],[],[]]"] {
        std::fs::write(folder.join("list.json"), seed).unwrap();
        let arguments = ["sandbox", "--listen", "127.0.0.1:0", "--seed", "list.json"];
        let (status, _, errors) = read(program(folder).args(arguments).output().unwrap());
        assert_eq!(status, 1, "{errors}");
        assert!(errors.contains("a JSON object is expected"), "{errors}");
    }

    let mapping = "provider = \"form\"\nsecrets = [\"env:X\"]\n[[feedback]]\nproblem = \"$.text\"\n\
                   [[test]]\npayload = \"payload.json\"\nexpect = \"expect.json\"\n";
    std::fs::write(folder.join("one.toml"), mapping).unwrap();
    std::fs::write(folder.join("payload.json"), r#"{"text": "Slow"}"#).unwrap();
    std::fs::write(folder.join("expect.json"), r#"[["feedback", {"problem": "Slow"}]]"#).unwrap();
    let (status, shown, errors) =
        read(program(folder).args(["check", "one.toml"]).output().unwrap());
    assert_eq!(status, 1, "{errors}");
    assert!((shown + &errors).contains("a JSON object is expected"), "{errors}");
}

#[test]
fn mistakes_of_a_seed_are_shown_in_place() {
    let folder = tempfile::tempdir().unwrap();
    let seed = "{\"feature_requests\": [\n  {\"title\": \"A\", \"stat\": \"PLANNED\"},\n  {}\n]}\n";
    std::fs::write(folder.path().join("seed.json"), seed).unwrap();

    let mut command = program(folder.path());
    command.args(["sandbox", "--listen", "127.0.0.1:0", "--seed", "seed.json"]);
    let (status, _, errors) = read(command.output().unwrap());

    assert_eq!(status, 1);
    for part in ["seed.json:2:18", "did you mean `state`?", "seed.json:3:3", "`title`: This field"]
    {
        assert!(errors.contains(part), "{part} in {errors}");
    }
}
