//! How long each call of the API takes while the store holds many events: 100,000, of which 1,000 are
//! dead and 1,000 queued. `cargo bench --bench api`, with `-- --short` on a tenth of them.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use savio_relay::event::{EventId, Headers, SourceName, State};
use savio_relay::store::sqlite::Settings;
use savio_relay::store::{
    ClaimRequest, Inbox, NewEvent, NextStep, Progress, Queue, Sqlite, Webhook, WebhookOrigin,
};
use serde_json::{Value, json};

const TOKEN: &str = "a token of the benchmark";
const CALLS: usize = 40;
const WEBHOOK: usize = 1_000;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let events =
        if std::env::args().any(|argument| argument == "--short") { 10_000 } else { 100_000 };
    let folder = tempfile::tempdir()?;
    let begun = Instant::now();
    let ids = fill(folder.path(), events).await?;
    println!("{events} events written in {:.1?}", begun.elapsed());
    let relay = Relay::start(folder.path())?;

    println!("{:58} {:>8} {:>8} {:>8}", "call", "p50 ms", "p95 ms", "max ms");
    for (method, path, body) in calls(&ids) {
        let mut took = Vec::new();
        for _ in 0..CALLS {
            took.push(relay.call(method, &path, body.as_ref()).await?);
        }
        took.sort_unstable();
        let at = |part: usize| took[(CALLS - 1) * part / 100].as_secs_f64() * 1e3;
        println!("{:58} {:8.1} {:8.1} {:8.1}", format!("{method} {path}"), at(50), at(95), at(100));
    }
    Ok(())
}

/// Each call that looks, and those that change nothing.
fn calls(ids: &[EventId]) -> Vec<(&'static str, String, Option<Value>)> {
    let (old, new) = (ids[0], ids[ids.len() - 1]);
    let mapping =
        "provider = \"form\"\nsecrets = [\"env:S\"]\n[[feedback]]\nproblem = \"$.text\"\n";
    let mut calls: Vec<(&str, String, Option<Value>)> = [
        "events".to_owned(),
        "events?limit=500".to_owned(),
        "events?state=dead".to_owned(),
        "events?state=queued&source=form".to_owned(),
        "events?since=2026-01-01T00:00:00Z&until=2026-01-02T00:00:00Z".to_owned(),
        "events?q=refused".to_owned(),
        "events?q=nowhere-to-be-found&state=dead".to_owned(),
        format!("events/{old}"),
        format!("events/{new}/body"),
        "sources".to_owned(),
        "destinations".to_owned(),
        "rejected".to_owned(),
        "stats".to_owned(),
        "openapi.json".to_owned(),
    ]
    .into_iter()
    .map(|path| ("GET", path, None))
    .collect();
    calls.push(("POST", "replay".to_owned(), Some(json!({ "state": "dead", "dry_run": true }))));
    calls.push(("POST", "preview".to_owned(), Some(json!({ "mapping": mapping, "event": new }))));
    calls
}

async fn fill(folder: &Path, events: usize) -> Result<Vec<EventId>, Box<dyn std::error::Error>> {
    let store = Sqlite::open(&Settings::new(folder.join("relay.db")))?;
    let mut ids = Vec::new();
    for number in 0..events / WEBHOOK {
        let second = i64::try_from(number)? * 600;
        ids.extend(
            store.store(webhook(Timestamp::from_second(1_767_225_600 + second)?)).await?.events,
        );
    }
    let settled = [(State::Dead, events / 100), (State::Delivered, events * 98 / 100)];
    for (state, count) in settled {
        settle(&store, state, count).await?;
    }
    store.close().await;
    Ok(ids)
}

fn webhook(received_at: Timestamp) -> Webhook {
    let text =
        r#"{"text":"The export takes a minute and then times out","email":"ada@example.com"}"#;
    let body = vec![text; WEBHOOK].join(",");
    let event = |index: usize| NewEvent {
        id: EventId::new(received_at),
        event_type: Some("message".to_owned()),
        delivery_id: None,
        payload: index * (text.len() + 1)..index * (text.len() + 1) + text.len(),
    };
    let events = (0..WEBHOOK).map(event).collect();
    let headers = Headers::from([("content-type".to_owned(), "application/json".to_owned())]);
    let (source, origin) = (form(), WebhookOrigin::Sent);
    Webhook {
        source,
        received_at,
        headers,
        body: body.into_bytes(),
        decoded: None,
        notes: Vec::new(),
        events,
        origin,
    }
}

fn form() -> SourceName {
    "form".parse().expect("it is a name")
}

async fn settle(
    store: &Sqlite,
    state: State,
    count: usize,
) -> Result<(), Box<dyn std::error::Error>> {
    let now = Timestamp::from_second(1_800_000_000)?;
    let wanted = || ClaimRequest {
        sources: vec![form()],
        slots: 250,
        bytes_max: usize::MAX,
        now,
        lease: Duration::from_mins(1),
    };
    for _ in 0..count / 250 {
        let claimed = store.claim(wanted()).await?;
        let settling = claimed.into_iter().map(|one| {
            let reason = (state == State::Dead).then(|| "savio refused it: 400".to_owned());
            let next = NextStep::Settle { state, reason, at: now };
            store.advance(one.claim, Progress::to(next))
        });
        for settled in futures(settling).await {
            settled?;
        }
    }
    Ok(())
}

/// All at once, so that they share commits.
async fn futures<F: Future>(all: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut waiting: Vec<_> = all.map(Box::pin).map(Some).collect();
    let mut done: Vec<Option<F::Output>> = waiting.iter().map(|_| None).collect();
    std::future::poll_fn(|context| {
        for (future, output) in waiting.iter_mut().zip(&mut done) {
            let polled = future.as_mut().map(|future| future.as_mut().poll(context));
            if let Some(std::task::Poll::Ready(ready)) = polled {
                (*future, *output) = (None, Some(ready));
            }
        }
        let is_open = waiting.iter().any(Option::is_some);
        if is_open { std::task::Poll::Pending } else { std::task::Poll::Ready(()) }
    })
    .await;
    done.into_iter().flatten().collect()
}

struct Relay {
    child: Child,
    api: String,
    http: reqwest::Client,
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
        Ok(Relay { child, api, http })
    }

    async fn call(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Duration, Box<dyn std::error::Error>> {
        let mut call = self.http.request(method.parse()?, format!("{}{path}", self.api));
        if let Some(body) = body {
            call = call.json(body);
        }
        let begun = Instant::now();
        let answer = call.bearer_auth(TOKEN).send().await?.error_for_status()?;
        answer.bytes().await?;
        Ok(begun.elapsed())
    }
}

impl Drop for Relay {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
