//! What is possible here at all: handlers that verify a webhook and do nothing else, or keep its rows
//! as durably as the relay, and nothing else.

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
use tokio::sync::{mpsc, oneshot};
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
}

impl Kind {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Kind::Verify => "verify",
            Kind::Durable => "durable",
        }
    }
}

struct Row {
    id: Uuid,
    source: String,
    delivery_id: String,
    headers: String,
    body: Bytes,
    reply: oneshot::Sender<()>,
}

/// None: nothing is kept.
type Writer = Option<mpsc::Sender<Row>>;

pub(crate) fn serve(kind: Kind) -> Result<(), Failed> {
    #[expect(clippy::disallowed_methods, reason = "this program gives itself the address")]
    let address = std::env::var("LISTEN")?;
    let writer = match kind {
        Kind::Verify => None,
        Kind::Durable => Some(start_writer()?),
    };
    let router = Router::new().route("/hooks/{source}", post(take)).with_state(Arc::new(writer));
    tokio::runtime::Runtime::new()?.block_on(async {
        axum::serve(TcpListener::bind(address).await?, router).await?;
        Ok(())
    })
}

async fn take(
    State(writer): State<Arc<Writer>>,
    Place(source): Place<String>,
    headers: HeaderMap,
    body: Bytes,
) -> (StatusCode, String) {
    if !is_proven(&headers, &body) {
        return (StatusCode::UNAUTHORIZED, String::new());
    }
    let id = Uuid::now_v7();
    if let Some(writer) = &*writer {
        let (reply, kept) = oneshot::channel();
        let delivery_id =
            header(&headers, "x-github-delivery").unwrap_or(&id.to_string()).to_owned();
        let headers = as_json(&headers);
        let row = Row { id, source, delivery_id, headers, body, reply };
        if writer.send(row).await.is_err() || kept.await.is_err() {
            return (StatusCode::SERVICE_UNAVAILABLE, String::new());
        }
    }
    (StatusCode::ACCEPTED, format!("{{\"status\":\"accepted\",\"events\":[\"{id}\"]}}"))
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

fn start_writer() -> Result<mpsc::Sender<Row>, Failed> {
    let connection = Connection::open(Path::new("ceiling.db"))?;
    connection.execute_batch(SCHEMA)?;
    let (rows, mut waiting) = mpsc::channel(1024);
    thread::spawn(move || {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            commit(&connection, &batch).expect("a ceiling without a disk is none");
            for row in batch.drain(..) {
                // Who asked may be gone.
                let _ = row.reply.send(());
            }
        }
    });
    Ok(rows)
}

#[expect(clippy::disallowed_methods, reason = "it is not part of the relay, which has one clock")]
fn commit(connection: &Connection, batch: &[Row]) -> rusqlite::Result<()> {
    connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
    for row in batch {
        let now = Timestamp::now().as_microsecond();
        let sql = "INSERT INTO webhooks (source, received_at, headers, decoded, body)
                   VALUES (?1, ?2, ?3, NULL, ?4)";
        let number = connection.prepare_cached(sql)?.insert(params![
            row.source,
            now,
            row.headers,
            &row.body[..]
        ])?;
        let sql = "INSERT INTO events (id, webhook, payload_start, payload_end, source, type,
                       delivery_id, state, received_at, queued_at, due_at)
                   VALUES (?1, ?2, 0, ?3, ?4, 'event', ?5, 'queued', ?6, ?6, ?6)";
        connection.prepare_cached(sql)?.execute(params![
            &row.id.as_bytes()[..],
            number,
            row.body.len(),
            row.source,
            row.delivery_id,
            now
        ])?;
    }
    connection.prepare_cached("COMMIT")?.execute([])?;
    Ok(())
}
