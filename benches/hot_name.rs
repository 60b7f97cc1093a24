//! What events that name the same cost: each other, and the events beside them.
//!
//! `cargo bench --bench hot_name`, and with `-- --short` in a few seconds.

#![expect(clippy::unwrap_used, reason = "a benchmark stops at what it did not expect")]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use savio_relay::clock;
use savio_relay::delivery::{Delivery, Destination, MappingInService, Mappings, Settings};
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::{self, TomlTable};
use savio_relay::event::EventId;
use savio_relay::mapping::Mapping;
use savio_relay::savio::{self, Client};
use savio_relay::store::sqlite::{self, Sqlite};
use savio_relay::store::{Arrival, Inbox, MappingText, NewEvent, Store, Webhook, WebhookOrigin};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio::time::sleep;

const MAPPING: &str = r#"
    [[company]]
    internal_id = "$.account"
    name = "$.company"

    [[contact]]
    internal_id = "$.user"
    name = "person {{ payload.user }}"
    company_internal_id = "$.account"

    [[feedback]]
    when = "{{ payload.text }}"
    problem = "$.text"
    person_email = "$.email"
    company_name = "$.company"
    feature_request_title = "$.title"
    tags = ["$.tag"]
"#;

/// How long Savio takes for an answer.
const LATENCY: Duration = Duration::from_millis(20);

/// How many events that concern one company are due at once.
const DUE_AT_ONCE: usize = 400;

/// As many customers are imported, each with one of so many companies.
const CUSTOMERS: usize = 500;
const COMPANIES: usize = 5;

/// How many requests are in flight at most.
const IN_FLIGHT: usize = 8;

/// Their upserts go one by one: they may take this much of Savio's own time, and so much more.
const UPSERTS_FACTOR: f64 = 1.2;
const UPSERTS_MORE: Duration = Duration::from_secs(2);

/// How many webhooks are kept at the same time.
const KEPT_AT_ONCE: usize = 256;

#[derive(Clone, Copy)]
struct Size {
    others: usize,
    hot: usize,
}

/// What the events beside the others are.
#[derive(Clone, Copy)]
enum Beside {
    Nobody,
    /// Feedback on one new feature request, which Savio takes.
    OneTitle,
    /// The same, and the first of them never gets an answer: a place in flight is lost.
    OneTitleUnanswered,
    /// One event that never gets an answer.
    OneUnanswered,
    /// Feedback on a new feature request each.
    ManyTitles,
    /// Upserts of one company.
    OneId,
    /// Upserts of a company each.
    ManyIds,
}

#[tokio::main]
async fn main() {
    let is_short = std::env::args().any(|argument| argument == "--short");
    let size =
        if is_short { Size { others: 400, hot: 800 } } else { Size { others: 2_000, hot: 10_000 } };
    for latency in [0, 20, 100] {
        of_one_company(Duration::from_millis(latency)).await;
    }
    customers().await;
    beside_others(size).await;
}

/// Prints how long customers take that are imported together with their companies.
async fn customers() {
    let customer = |number: usize| json!({ "user": number, "account": number % COMPANIES, "company": number % COMPANIES });
    let took = seconds((0..CUSTOMERS).map(customer).collect(), LATENCY).await;
    // Two requests for each of them.
    let waves = f64::from(u32::try_from(2 * CUSTOMERS / IN_FLIGHT).unwrap());
    let limit = UPSERTS_FACTOR * waves * LATENCY.as_secs_f64() + UPSERTS_MORE.as_secs_f64();
    let ratio = took / limit;
    println!(
        "{CUSTOMERS} customers of {COMPANIES} companies, savio answers in {LATENCY:?}: {took:.2} s, limit {limit:.2} s, ratio {ratio:.2}"
    );
}

/// Prints how long events that concern one company take, and how long they may.
async fn of_one_company(latency: Duration) {
    let upserts = (0..DUE_AT_ONCE).map(|number| upsert(&format!("Acme {number}"))).collect();
    let took = seconds(upserts, latency).await;
    let savio = latency.as_secs_f64() * f64::from(u32::try_from(DUE_AT_ONCE).unwrap());
    let limit = UPSERTS_FACTOR * savio + UPSERTS_MORE.as_secs_f64();
    let ratio = took / limit;
    println!(
        "{DUE_AT_ONCE} upserts of one company, savio answers in {latency:?}: {took:.2} s, limit {limit:.2} s, ratio {ratio:.2}"
    );
    let different = (0..DUE_AT_ONCE).map(|number| naming(number, &format!("Company {number}")));
    let base = seconds(different.collect(), latency).await;
    let same = (0..DUE_AT_ONCE).map(|number| naming(number, "Acme")).collect();
    let took = seconds(same, latency).await;
    let ratio = took / base;
    println!(
        "{DUE_AT_ONCE} that name one company, savio answers in {latency:?}: {took:.2} s, as many different ones {base:.2} s, ratio {ratio:.2}"
    );
}

fn upsert(name: &str) -> Value {
    json!({ "account": "6", "company": name })
}

fn naming(number: usize, company: &str) -> Value {
    json!({ "text": "other", "email": format!("{number}@example.com"), "company": company })
}

/// How long Savio and the relay take for these events, with eight in flight.
async fn seconds(payloads: Vec<Value>, latency: Duration) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let settings = sqlite::Settings::new(folder.path().join("relay.db"));
    let store = Arc::new(Sqlite::open(&settings).unwrap());
    let requests = |payload: &Value| if payload.get("user").is_some() { 2 } else { 1 };
    let count = payloads.iter().map(requests).sum();
    for payload in payloads {
        store.store(webhook(&payload)).await.unwrap();
    }
    let savio = Savio::start(false, latency, (Counted::All, count)).await;
    run(relay(store, &savio.url), &savio).await
}

async fn beside_others(size: Size) {
    let Size { others, hot } = size;
    println!(
        "{others} others beside {hot} hot ones, {IN_FLIGHT} in flight, savio answers in {LATENCY:?}"
    );
    let alone = throughput(Beside::Nobody, size).await;
    println!("alone: {alone:.0} others/s");
    for (what, beside, without) in [
        ("one new title, never answered", Beside::OneTitleUnanswered, Beside::OneUnanswered),
        ("one new title, taken", Beside::OneTitle, Beside::ManyTitles),
        ("one internal_id", Beside::OneId, Beside::Nobody),
        ("one internal_id, to many of them", Beside::OneId, Beside::ManyIds),
    ] {
        let hot = throughput(beside, size).await;
        let base = match without {
            Beside::Nobody => alone,
            same_load => throughput(same_load, size).await,
        };
        let ratio = hot / base;
        println!("{what}: {hot:.0} others/s, without it {base:.0}, ratio {ratio:.3}");
    }
}

/// How many of the others reach Savio in a second, until all of them have.
async fn throughput(beside: Beside, size: Size) -> f64 {
    let folder = tempfile::tempdir().unwrap();
    let settings = sqlite::Settings::new(folder.path().join("relay.db"));
    let store = Arc::new(Sqlite::open(&settings).unwrap());
    fill(&store, beside, size).await;
    let is_silent = matches!(beside, Beside::OneTitleUnanswered | Beside::OneUnanswered);
    let savio = Savio::start(is_silent, LATENCY, (Counted::Others, size.others)).await;
    let seconds = run(relay(store, &savio.url), &savio).await;
    f64::from(u32::try_from(size.others).unwrap()) / seconds
}

/// How many seconds it takes until all that are counted have come.
async fn run(delivery: Arc<Delivery>, savio: &Savio) -> f64 {
    let (stop, stopped) = oneshot::channel::<()>();
    let start = Instant::now();
    let mut running = JoinSet::new();
    running.spawn(delivery.run(async { drop(stopped.await) }));
    savio.all_came.notified().await;
    let seconds = start.elapsed().as_secs_f64();
    stop.send(()).unwrap();
    running.join_all().await;
    seconds
}

fn relay(store: Arc<dyn Store>, url: &str) -> Arc<Delivery> {
    let (base_url, timeout) = (url.parse().unwrap(), Duration::from_mins(5));
    let client = Client::new(savio::Settings { base_url, token: "T".into(), timeout }).unwrap();
    let destination =
        Destination { name: "default".to_owned(), client: Ok(client), max_in_flight: IN_FLIGHT };
    let shutdown_timeout = Duration::from_millis(100);
    let settings = Settings { shutdown_timeout, ..Settings::default() };
    let delivery = Delivery::new(store, destination, settings);
    let document = Document { name: "form.toml".to_owned(), text: MAPPING.to_owned() };
    let mut mistakes = Vec::new();
    let root = table::parse(&document, &mut mistakes);
    let mapping = Mapping::compile(&mut TomlTable::root(&document, &root), None, &mut mistakes);
    assert_eq!(mistakes, []);
    let text = Arc::new(MappingText::new(MAPPING, clock::now()));
    let mapping = MappingInService { mapping: Arc::new(mapping), text };
    delivery.replace_mappings(Mappings::from([("form".parse().unwrap(), mapping)]));
    Arc::new(delivery)
}

/// The others among the hot ones, evenly.
async fn fill(store: &Arc<Sqlite>, beside: Beside, size: Size) {
    let mut tasks = JoinSet::new();
    for number in 0..size.others {
        let from = number * size.hot / size.others;
        let until = (number + 1) * size.hot / size.others;
        let hot = (from..until).filter_map(|number| payload(beside, number));
        let other =
            json!({ "text": "other", "tag": "form", "email": format!("{number}@example.com") });
        for payload in hot.chain([other]) {
            let store = store.clone();
            tasks.spawn(async move { store.store(webhook(&payload)).await.unwrap() });
            if tasks.len() >= KEPT_AT_ONCE {
                tasks.join_next().await.unwrap().unwrap();
            }
        }
    }
    tasks.join_all().await;
}

fn payload(beside: Beside, number: usize) -> Option<Value> {
    let titled = |title: &str| Some(json!({ "text": "hot", "title": title }));
    let company = |id: &str| Some(json!({ "account": id, "company": id }));
    match beside {
        Beside::Nobody => None,
        Beside::OneTitle | Beside::OneTitleUnanswered => titled("Dark mode"),
        Beside::OneUnanswered => (number == 0).then(|| titled("Dark mode")).flatten(),
        Beside::ManyTitles => titled(&format!("Mode {number}")),
        Beside::OneId => company("6"),
        Beside::ManyIds => company(&number.to_string()),
    }
}

fn webhook(payload: &Value) -> Webhook {
    let (received_at, body) = (clock::now(), payload.to_string().into_bytes());
    let (id, payload) = (EventId::new(received_at), 0..body.len());
    Webhook {
        source: "form".parse().unwrap(),
        received_at,
        headers: [("content-type".to_owned(), "application/json".to_owned())].into(),
        body,
        decoded: None,
        notes: Vec::new(),
        events: vec![NewEvent { id, event_type: None, delivery_id: None, payload }],
        origin: WebhookOrigin::Sent,
        arrival: Arrival::default(),
    }
}

/// Which requests are waited for.
#[derive(Clone, Copy, PartialEq)]
enum Counted {
    All,
    Others,
}

/// Answers 201 after a while, and counts.
struct Savio {
    url: String,
    all_came: Arc<Notify>,
    _tasks: JoinSet<()>,
}

#[derive(Clone)]
struct Desk {
    leaves_hot_unanswered: bool,
    latency: Duration,
    counted: Counted,
    left: Arc<AtomicUsize>,
    all_came: Arc<Notify>,
}

impl Savio {
    async fn start(
        leaves_hot_unanswered: bool,
        latency: Duration,
        (counted, count): (Counted, usize),
    ) -> Savio {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (left, all_came) = (Arc::new(AtomicUsize::new(count)), Arc::new(Notify::new()));
        let came = all_came.clone();
        let desk = Desk { leaves_hot_unanswered, latency, counted, left, all_came: came };
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                stream.set_nodelay(true).unwrap();
                connections.spawn(serve(stream, desk.clone()));
            }
        });
        Savio { url, all_came, _tasks: tasks }
    }
}

async fn serve(stream: TcpStream, desk: Desk) {
    let mut stream = BufReader::new(stream);
    while let Some(body) = read(&mut stream).await {
        let is_hot = body.get("problem").is_none_or(|problem| problem == "hot");
        if is_hot && desk.leaves_hot_unanswered {
            std::future::pending::<()>().await;
        }
        let is_counted = desk.counted == Counted::All || !is_hot;
        if !desk.latency.is_zero() {
            sleep(desk.latency).await;
        }
        if is_counted && desk.left.fetch_sub(1, Ordering::SeqCst) == 1 {
            desk.all_came.notify_one();
        }
        let answer = b"HTTP/1.1 201 Created\r\nContent-Length: 8\r\n\r\n{\"id\":1}";
        if stream.write_all(answer).await.is_err() {
            return;
        }
    }
}

/// The body of the next request.
async fn read(stream: &mut BufReader<TcpStream>) -> Option<Value> {
    let mut length = 0;
    loop {
        let mut line = String::new();
        stream.read_line(&mut line).await.ok().filter(|bytes| *bytes > 0)?;
        match line.trim().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().unwrap();
            }
            None if line.trim().is_empty() => break,
            Some(_) | None => {}
        }
    }
    let mut body = vec![0; length];
    stream.read_exact(&mut body).await.ok()?;
    serde_json::from_slice(&body).ok()
}
