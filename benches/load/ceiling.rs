//! What is possible here at all: handlers that verify a webhook and do nothing else, that also keep
//! its rows as durably as the relay, or that deliver it as well.

use std::path::Path;
use std::sync::Arc;
use std::thread;

use axum::Router;
use axum::body::Bytes;
use axum::extract::{Path as Place, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use clap::ValueEnum;
use hmac::Mac;
use jiff::Timestamp;
use rusqlite::{Connection, params};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, oneshot};
use uuid::Uuid;

use crate::Failed;
use crate::webhook::seal;

/// As many as the relay lets share a commit.
const BATCH_MAX: usize = 256;

// The columns of the relay's own rows, with the two keys without which neither ids nor repeats are
// known: none of its other indexes, checks and counts.
const SCHEMA: &str = "
    PRAGMA journal_mode = WAL;
    PRAGMA synchronous = FULL;
    PRAGMA cache_size = -16384;
    PRAGMA wal_autocheckpoint = 4000;
    CREATE TABLE webhooks (number INTEGER PRIMARY KEY, source, received_at, headers, decoded, body);
    CREATE TABLE events (number INTEGER PRIMARY KEY, id BLOB UNIQUE, webhook, payload_start,
        payload_end, source, type, delivery_id, state, received_at, queued_at, due_at);
    CREATE UNIQUE INDEX events_delivery ON events (source, delivery_id);";

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Kind {
    /// Verifies the signature.
    Verify,
    /// Verifies, and commits the rows before it answers.
    Durable,
    /// Does the same, then posts the webhook to Savio's stand-in and commits that it arrived.
    Delivered,
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Verify => "verify",
            Kind::Durable => "durable",
            Kind::Delivered => "delivered",
        }
    }
}

/// A row to write, and whom to tell that it is on disk.
struct Write {
    row: Row,
    reply: oneshot::Sender<()>,
}

enum Row {
    Accepted { id: Uuid, source: String, delivery_id: String, headers: String, body: Bytes },
    Delivered(Uuid),
}

struct Ceiling {
    /// None: nothing is kept.
    writer: Option<mpsc::Sender<Write>>,
    /// None: nothing is delivered.
    delivery: Option<Delivery>,
}

struct Delivery {
    client: reqwest::Client,
    url: String,
    /// One permit for each webhook in flight, taken before it is accepted: delivery keeps up.
    slots: Arc<Semaphore>,
}

pub(crate) fn serve(kind: Kind) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "this program gives itself the address")]
    let address = std::env::var("LISTEN")?;
    let ceiling = Ceiling {
        writer: if kind == Kind::Verify { None } else { Some(start_writer()?) },
        delivery: if kind == Kind::Delivered { Some(Delivery::new()?) } else { None },
    };
    let router = Router::new().route("/hooks/{source}", post(take)).with_state(Arc::new(ceiling));
    tokio::runtime::Runtime::new()?.block_on(async {
        axum::serve(TcpListener::bind(address).await?, router).await?;
        Ok(())
    })
}

async fn take(
    State(ceiling): State<Arc<Ceiling>>,
    Place(source): Place<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    if !is_proven(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let id = Uuid::now_v7();
    let slot = match &ceiling.delivery {
        Some(delivery) => Arc::clone(&delivery.slots).acquire_owned().await.ok(),
        None => None,
    };
    if ceiling.writer.is_some() {
        let delivery_id =
            header(&headers, "x-github-delivery").unwrap_or(&id.to_string()).to_owned();
        let (headers, kept) = (as_json(&headers), body.clone());
        ceiling.keep(Row::Accepted { id, source, delivery_id, headers, body: kept }).await;
    }
    if slot.is_some() {
        tokio::spawn(async move {
            ceiling.deliver(id, body).await;
            drop(slot);
        });
    }
    (StatusCode::ACCEPTED, format!("{{\"status\":\"accepted\",\"events\":[\"{id}\"]}}"))
}

impl Ceiling {
    async fn keep(&self, row: Row) {
        let Some(writer) = &self.writer else { return };
        let (reply, kept) = oneshot::channel();
        writer.send(Write { row, reply }).await.unwrap_or_else(|_| panic!("the writer ended"));
        kept.await.expect("a ceiling without a disk is none");
    }

    async fn deliver(&self, id: Uuid, body: Bytes) {
        let Some(Delivery { client, url, .. }) = &self.delivery else { return };
        let answer = client.post(url).body(body).send().await.expect("the stand-in answers");
        answer.bytes().await.expect("the stand-in answers in full");
        self.keep(Row::Delivered(id)).await;
    }
}

impl Delivery {
    #[expect(clippy::disallowed_methods, reason = "this program gives itself the address")]
    fn new() -> Result<Delivery, Failed> {
        let slots: usize = std::env::var("SLOTS")?.parse()?;
        let url = format!("http://{}/", std::env::var("SINK")?);
        // A client needs one even if it only speaks HTTP. An error means that there is one.
        drop(rustls::crypto::ring::default_provider().install_default());
        let client = reqwest::Client::builder().no_proxy().build()?;
        Ok(Delivery { client, url, slots: Arc::new(Semaphore::new(slots)) })
    }
}

fn is_proven(headers: &HeaderMap, body: &[u8]) -> bool {
    let given =
        match (header(headers, "typeform-signature"), header(headers, "x-hub-signature-256")) {
            (Some(proof), _) => proof
                .strip_prefix("sha256=")
                .and_then(|proof| data_encoding::BASE64.decode(proof.as_bytes()).ok()),
            (None, Some(proof)) => proof
                .strip_prefix("sha256=")
                .and_then(|proof| data_encoding::HEXLOWER.decode(proof.as_bytes()).ok()),
            (None, None) => None,
        };
    given.is_some_and(|given| seal(body).verify_slice(&given).is_ok())
}

fn header<'h>(headers: &'h HeaderMap, name: &str) -> Option<&'h str> {
    headers.get(name)?.to_str().ok()
}

fn as_json(headers: &HeaderMap) -> String {
    let named = headers.iter().map(|(name, value)| {
        (name.as_str().to_owned(), String::from_utf8_lossy(value.as_bytes()).into_owned().into())
    });
    serde_json::Value::Object(named.collect()).to_string()
}

fn start_writer() -> Result<mpsc::Sender<Write>, Failed> {
    let connection = Connection::open(Path::new("ceiling.db"))?;
    connection.execute_batch(SCHEMA)?;
    let (rows, mut waiting) = mpsc::channel(1024);
    thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            commit(&connection, &batch).expect("a ceiling without a disk is none");
            for write in batch.drain(..) {
                // Who asked may be gone.
                let _ = write.reply.send(());
            }
        }
    });
    Ok(rows)
}

#[expect(clippy::disallowed_methods, reason = "it is not part of the relay, which has one clock")]
fn commit(connection: &Connection, batch: &[Write]) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for Write { row, .. } in batch {
        let now = Timestamp::now().as_microsecond();
        let (id, source, delivery_id, headers, body) = match row {
            Row::Accepted { id, source, delivery_id, headers, body } => {
                (id, source, delivery_id, headers, body)
            }
            Row::Delivered(id) => {
                let sql = "UPDATE events SET state = 'delivered', due_at = NULL WHERE id = ?1";
                connection.prepare_cached(sql)?.execute([&id.as_bytes()[..]])?;
                continue;
            }
        };
        let sql = "INSERT INTO webhooks (source, received_at, headers, decoded, body)
                   VALUES (?1, ?2, ?3, NULL, ?4)";
        let number =
            connection.prepare_cached(sql)?.insert(params![source, now, headers, &body[..]])?;
        let sql = "INSERT INTO events (id, webhook, payload_start, payload_end, source, type,
                       delivery_id, state, received_at, queued_at, due_at)
                   VALUES (?1, ?2, 0, ?3, ?4, 'event', ?5, 'queued', ?6, ?6, ?6)";
        connection.prepare_cached(sql)?.execute(params![
            &id.as_bytes()[..],
            number,
            body.len(),
            source,
            delivery_id,
            now
        ])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
