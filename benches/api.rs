//! How long each read of the API takes while the store holds many events: 1,000,000, of which 5,000 are dead by 16
//! causes and 1,000 queued, of 50 sources in 30 days, beside as many entries of the audit, 50 versions of a mapping
//! file, 1,000 sessions and 5,000 replays. `cargo bench --bench api`, with `-- --short` on a hundredth of the events and entries. Fails if a read takes
//! over 50 ms at the 95th percentile, a series over 20 ms; searches for texts may take a second.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use savio_relay::event::{EventId, Headers, SourceName};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{Arrival, Inbox, Maintenance, NewEvent, Sqlite, Webhook, WebhookOrigin};
use serde_json::{Value, json};

const TOKEN: &str = "a token of the benchmark";
const CALLS: usize = 40;
/// Calls of one that may take a second.
const SEARCHES: usize = 5;
const EVENTS_PER_WEBHOOK: usize = 10;
const WEBHOOKS_PER_COMMIT: usize = 500;
const P95_MAX: Duration = Duration::from_millis(50);
const SERIES_P95_MAX: Duration = Duration::from_millis(20);
/// Seconds from one webhook to the next: all of them in 30 days.
const INTERVAL: i64 = 26;
const SOURCES: usize = 50;
/// Number of causes for which events are dead.
const CAUSES: usize = 16;
const REPLAYS: usize = 5_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events =
        if std::env::args().any(|argument| argument == "--short") { 10_000 } else { 1_000_000 };
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let ids = fill(folder.path(), events).await?;
    println!("{events} events written in {:.1?}", begun.elapsed());
    let mut relay = Relay::start(folder.path())?;
    relay.log_in().await?;
    relay.until_dead_have_causes().await?;
    let mut slow = Vec::new();
    println!("{:70} {:>8} {:>8} {:>8}", "call", "p50 ms", "p95 ms", "max ms");
    for call in calls(&relay, &ids).await? {
        let took = relay.measure(&call).await?;
        let at = |part: usize| took[(took.len() - 1) * part / 100];
        let [p50, p95, max] = [50, 95, 100].map(|part| at(part).as_secs_f64() * 1e3);
        let name = format!("{} {}", call.method, call.path);
        println!("{name:70} {p50:8.1} {p95:8.1} {max:8.1}");
        if call.p95_max().is_some_and(|limit| at(95) > limit) {
            slow.push(name);
        }
    }
    if slow.is_empty() { Ok(()) } else { Err(format!("over the limit: {slow:?}").into()) }
}

struct Call {
    method: &'static str,
    path: String,
    body: Option<Value>,
    /// Whether it may take a second or more.
    is_slow: bool,
}

impl Call {
    fn get(path: &str) -> Call {
        let is_search = ["q=", "contains="].iter().any(|condition| path.contains(condition));
        // It asks Savio and the relay's own address.
        let is_slow = is_search || path == "health";
        Call { method: "GET", path: path.to_owned(), body: None, is_slow }
    }

    fn p95_max(&self) -> Option<Duration> {
        let limit = if self.path.starts_with("series") { SERIES_P95_MAX } else { P95_MAX };
        (!self.is_slow).then_some(limit)
    }

    fn post(path: &str, body: Value) -> Call {
        Call { method: "POST", path: path.to_owned(), body: Some(body), is_slow: false }
    }
}

/// Conditions of a list.
const CONDITIONS: [&str; 27] = [
    "limit=500",
    "state=dead",
    "state=dead&state=held",
    "state=queued&source=form",
    "since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z",
    "may_repeat=true",
    "may_repeat=false",
    "imported=true",
    "imported=false",
    "left_out=true",
    "left_out=false",
    "stage=savio",
    "stage=time",
    "stage=mapping",
    "attempts_min=2",
    "attempts_min=3",
    "attempts_min=5",
    "type=message",
    "type=nothing",
    "type=nothing&state=dead",
    "type=message&stage=savio&attempts_min=2",
    "newer_than=0",
    "q=refused",
    "q=nowhere-to-be-found&state=dead",
    "q=nowhere-to-be-found",
    "contains=minute",
    "contains=nowhere-to-be-found",
];

/// Each read of the API, lists with their conditions, and calls that try something.
async fn calls(relay: &Relay, ids: &[EventId]) -> Result<Vec<Call>, Box<dyn std::error::Error>> {
    let (old, new) = (ids[0].to_string(), ids[ids.len() - 1]);
    // Explained by the mapping in service: the texts of the versions are no mappings.
    let delivered = relay.get("events?source=form&state=delivered&limit=1").await?;
    let delivered = delivered["events"][0]["id"].as_str().ok_or("no delivered event")?;
    let explained = format!("events/{delivered}/explain?mapping=current");
    let mapping =
        "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\nproblem = \"$.text\"\n";
    let mut calls: Vec<Call> = Vec::new();
    let description = relay.get("openapi.json").await?;
    let versions = relay.get("sources/form/versions").await?;
    let digest = versions["versions"][30]["digest"].as_str().ok_or("no versions")?.to_owned();
    for (path, methods) in description["paths"].as_object().ok_or("no paths")? {
        // A stream has no end: `benches/streams.py` measures it.
        let is_read = methods["get"].is_object() && path != "/api/v1/stream";
        let Some(path) = path.strip_prefix("/api/v1/").filter(|_| is_read) else { continue };
        let path = path
            .replace("events/{id}/explain", &explained)
            .replace("events/{id}", &format!("events/{old}"))
            .replace("destinations/{name}", "destinations/default")
            .replace("{name}", "form")
            .replace("replays/{id}", &format!("replays/{old}"))
            .replace("{digest}", &digest);
        relay.get(&path).await.map_err(|error| format!("{path}: {error}"))?;
        calls.push(Call::get(&path));
    }
    calls.extend(lists());
    calls.push(Call::get(&format!("events?newer_than={}", ids.len())));
    calls.push(Call::get(&format!("events/{new}?state=dead")));
    calls.push(Call::get(&format!("events/{new}?may_repeat=true")));
    calls.push(Call::post("replay", json!({ "state": "dead", "dry_run": true })));
    calls.push(Call::post("preview", json!({ "mapping": mapping, "event": new })));
    Ok(calls)
}

/// Lists and sums with their conditions, which the description does not have as values.
fn lists() -> Vec<Call> {
    let replays = ["dead/groups?source=form", "replays?limit=500", "replays?after=1-100"];
    let mut calls: Vec<Call> =
        ["../../metrics"].into_iter().chain(replays).map(Call::get).collect();
    for condition in ["limit=500", "who=person-3", "action=replay", "who=person-3&action=replay"] {
        calls.push(Call::get(&format!("audit?{condition}")));
    }
    for condition in CONDITIONS {
        calls.push(Call::get(&format!("events?{condition}")));
        if !condition.starts_with("limit") && !condition.starts_with("newer_than") {
            calls.push(Call::get(&format!("events/counts?{condition}")));
        }
    }
    let month = "since=2026-01-01T00:00:00Z&until=2026-01-31T00:00:00Z";
    for query in ["", "&step=1d", "&source=form", "&destination=default"] {
        calls.push(Call::get(&format!("series?{month}{query}")));
    }
    for since in ["2026-01-01T00:00:00Z", "2026-01-16T12:10:00Z", "2026-01-30T12:10:00Z"] {
        calls.push(Call::get(&format!("stats?since={since}")));
    }
    calls
}

async fn fill(folder: &Path, events: usize) -> Result<Vec<EventId>, Box<dyn std::error::Error>> {
    let path = folder.join("relay.db");
    let store = Sqlite::open(&Settings::new(&path))?;
    let mut ids = Vec::new();
    let webhooks: Vec<usize> = (0..events / EVENTS_PER_WEBHOOK).collect();
    for commit in webhooks.chunks(WEBHOOKS_PER_COMMIT) {
        let webhooks = commit.iter().map(|number| webhook(*number));
        let stored = store.store_all(webhooks.collect::<Result<_, _>>()?).await?;
        ids.extend(stored.into_iter().flat_map(|stored| stored.events));
    }
    settle(&path, events)?;
    add_history(&path, (events, &ids[0].to_string().replace('-', "")))?;
    store.recount().await?;
    store.close().await;
    Ok(ids)
}

fn webhook(number: usize) -> Result<Webhook, Box<dyn std::error::Error>> {
    let received_at = Timestamp::from_second(1_767_225_600 + i64::try_from(number)? * INTERVAL)?;
    let text = format!(
        r#"{{"text":"The export {number} takes a minute and then times out: {}","email":"ada@example.com"}}"#,
        "we wait ".repeat(20),
    );
    let body = [text.as_str(); EVENTS_PER_WEBHOOK].join(",");
    let event = |index: usize| NewEvent {
        id: EventId::new(received_at),
        event_type: Some("message".to_owned()),
        delivery_id: None,
        payload: index * (text.len() + 1)..index * (text.len() + 1) + text.len(),
    };
    let events = (0..EVENTS_PER_WEBHOOK).map(event).collect();
    let headers = Headers::from([("content-type".to_owned(), "application/json".to_owned())]);
    // Most are of one source, as the reads of a source expect; the others fill a row in each half hour.
    let other = format!("source-{}", number / 2 % (SOURCES - 1));
    let source = if number.is_multiple_of(2) { "form" } else { other.as_str() };
    let source: SourceName = source.parse()?;
    Ok(Webhook {
        source,
        received_at,
        headers,
        body: body.into_bytes(),
        decoded: None,
        notes: Vec::new(),
        events,
        origin: WebhookOrigin::Sent,
        arrival: Arrival::default(),
    })
}

/// Settles all events but the newest ones, as delivery would: one of 200 as dead, and of these one of 100 after five
/// attempts. Written at once, since a million steps would take an hour.
fn settle(path: &Path, events: usize) -> Result<(), Box<dyn std::error::Error>> {
    let file = rusqlite::Connection::open(path)?;
    let settled = events - events / 1000;
    file.execute_batch(&format!(
        r#"BEGIN;
        UPDATE events SET state = CASE number % 200 WHEN 0 THEN 'dead' ELSE 'delivered' END,
            reason = CASE number % 200 WHEN 0 THEN 'Savio returned 400: {{"field_' || char(97 + number / 200 % {CAUSES})
                || '": ["This field is wrong."]}}' END,
            settled_at = received_at, due_at = NULL
            WHERE number <= {settled};
        INSERT INTO plans (event, requests, headline)
            SELECT number, '[{{"request":"feedback","body":{{"problem":"The export takes a minute and then times out",'
                    || '"person_email":"ada@example.com"}}}}]',
                '{{"summary":"The export ' || number || ' takes a minute","who":"ada@example.com","company":null}}'
            FROM events WHERE number <= {settled};
        INSERT INTO requests (event, position, state, may_repeat)
            SELECT number, 0, CASE state WHEN 'dead' THEN 'refused' ELSE 'done' END, number % 5000 = 0
            FROM events WHERE number <= {settled};
        INSERT INTO attempts (event, number, position, at, outcome, status, ms, may_repeat)
            SELECT number, 1, 0, received_at, CASE state WHEN 'dead' THEN 'refused' ELSE 'done' END, 201, 40, 0
            FROM events WHERE number <= {settled};
        INSERT INTO attempts (event, number, position, at, outcome, ms, may_repeat)
            SELECT events.number, again.column1, 0, received_at + 1000000, 'retry', 40, 0
            FROM events JOIN (VALUES (2), (3), (4), (5)) AS again WHERE events.number % 20000 = 0
                AND events.number <= {settled};
        COMMIT;"#
    ))?;
    Ok(())
}

/// Writes what people leave behind in a year of much use: an action of one of 20 people every half minute, a mapping file
/// that was changed 50 times, a thousand browsers, and a replay.
fn add_history(
    path: &Path,
    (entries, replay): (usize, &str),
) -> Result<(), Box<dyn std::error::Error>> {
    let file = rusqlite::Connection::open(path)?;
    file.execute_batch(&format!(
        r#"BEGIN;
        WITH RECURSIVE entry (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM entry WHERE number < {entries})
        INSERT INTO audit (at, who, via, action, target, count)
            SELECT (unixepoch() - number * 30) * 1000000, 'person-' || number % 20, 'session',
                CASE number % 3 WHEN 0 THEN 'replay' ELSE 'release' END, 'source form', 1 FROM entry;
        WITH RECURSIVE version (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM version WHERE number < 50)
        INSERT INTO mapping_versions (number, source, digest, since)
            SELECT number, 'form', randomblob(32), unixepoch() * 1000000 - 50 + number FROM version;
        INSERT INTO mapping_texts (digest, text)
            SELECT digest, 'provider = "form"' || char(10) || hex(zeroblob(2000)) FROM mapping_versions;
        UPDATE events SET mapping = 1 + number % 50 WHERE source = 'form' AND state <> 'queued';
        WITH RECURSIVE session (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM session WHERE number < 999)
        INSERT INTO sessions (digest, via, name, bound, made_at, ends_at)
            SELECT randomblob(32), 'proxy', 'person-' || number, randomblob(32), unixepoch() * 1000000,
                (unixepoch() + 36000) * 1000000 FROM session;
        INSERT INTO replays (id, ids, up_to, every, begun_at, ended)
            VALUES (x'{replay}', '[]', 1, 0, unixepoch() * 1000000, 1);
        WITH RECURSIVE replay (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM replay WHERE number < {REPLAYS})
        INSERT INTO replays (id, ids, up_to, every, begun_at, ended, audit, matched, replayed, followed, delivered)
            SELECT randomblob(16), '[]', 1, 0, unixepoch() * 1000000, 1, number, 40, 40, 40, 40 - (number % 1000 = 0)
            FROM replay;
        COMMIT;"#
    ))?;
    Ok(())
}

struct Relay {
    child: Child,
    api: String,
    http: reqwest::Client,
    /// That of a browser that is logged in.
    session: String,
}

impl Relay {
    fn start(folder: &Path) -> Result<Relay, Box<dyn std::error::Error>> {
        std::fs::create_dir_all(folder.join("mappings"))?;
        let mapping = "provider = \"form\"\nsecrets = [\"env:FORM_SECRET\"]\n\n[[feedback]]\nproblem = \"$.text\"\n";
        std::fs::write(folder.join("mappings/form.toml"), mapping)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_savio-relay"))
            .arg("serve")
            .current_dir(folder)
            .env_clear()
            .env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0")
            .env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
            .env("SAVIO_RELAY_STORE__RETENTION", "3650d")
            .env("FORM_SECRET", "secret")
            .env("ADMIN_TOKEN", TOKEN)
            .stderr(Stdio::piped())
            .spawn()?;
        let stderr = child.stderr.take().ok_or("no stderr")?;
        let mut lines = BufReader::new(stderr).lines();
        let said =
            lines.by_ref().map_while(Result::ok).find(|line| line.contains("the API is at "));
        let said = said.ok_or("the relay did not start")?;
        let api = said.split_once("the API is at ").ok_or("no address")?.1.trim().to_owned();
        std::thread::spawn(move || lines.for_each(drop));
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only([]).build()?;
        Ok(Relay { child, api, http, session: String::new() })
    }

    async fn log_in(&mut self) -> Result<(), Box<dyn std::error::Error>> {
        let body = json!({ "token": TOKEN });
        let login = self.http.post(self.address("../../login")).json(&body).send().await?;
        let cookie = login.error_for_status()?.headers()["set-cookie"].to_str()?.to_owned();
        cookie.split(';').next().ok_or("no cookie")?.clone_into(&mut self.session);
        Ok(())
    }

    /// Returns how long each of some calls took, the shortest first.
    async fn measure(&self, call: &Call) -> Result<Vec<Duration>, Box<dyn std::error::Error>> {
        let mut took = Vec::new();
        for _ in 0..if call.is_slow { SEARCHES } else { CALLS } {
            let mut request = self.http.request(call.method.parse()?, self.address(&call.path));
            if let Some(body) = &call.body {
                request = request.json(body);
            }
            let begun = Instant::now();
            // As a browser, which has to be looked up.
            let request = if call.method == "GET" {
                request.header("cookie", &self.session)
            } else {
                request.bearer_auth(TOKEN)
            };
            let answer = request.send().await?.error_for_status()?;
            answer.bytes().await?;
            took.push(begun.elapsed());
        }
        took.sort_unstable();
        Ok(took)
    }

    /// Waits until maintenance has given each dead event its cause: the file was not written by the program.
    async fn until_dead_have_causes(&self) -> Result<(), reqwest::Error> {
        while self.get("dead/groups").await?["without_cause"] != 0 {
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        Ok(())
    }

    async fn get(&self, path: &str) -> Result<Value, reqwest::Error> {
        let answer = self.http.get(self.address(path)).bearer_auth(TOKEN).send().await?;
        let answer = answer.error_for_status()?.bytes().await?;
        Ok(serde_json::from_slice(&answer).unwrap_or_default())
    }

    fn address(&self, path: &str) -> String {
        format!("{}{path}", self.api)
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
