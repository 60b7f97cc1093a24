//! What a long history costs: the same load on an empty store and on one with many settled events.

use std::path::Path;
use std::time::Duration;

use rusqlite::{Connection, params};

use crate::process::Workshop;
use crate::sink::Sink;
use crate::stage::{Delivered, Load, Measured};
use crate::{Failed, Plan};

/// How many events are written in one transaction.
const CHUNK: u64 = 100_000;

const CONNECTIONS: usize = 16;

/// Time over which the events are spread; less than retention keeps them.
const AGE: Duration = Duration::from_hours(24);

// Rows as the relay leaves them for an event that became one request, with a body of 500 bytes.
// `?1` is the first number, `?2` the number after the last, `?3` the time of the oldest in
// microseconds, `?4` the time between two. A plan has no time, and names them because all statements
// are given all four.
const ROWS: [&str; 5] = [
    "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO webhooks (number, source, received_at, headers, body)
     SELECT i, 'batch', ?3 + i * ?4, '{\"content-type\":\"application/json\"}',
         CAST(printf('{\"text\":\"%0480d\"}', i) AS BLOB) FROM n",
    "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO events (number, id, webhook, payload_start, payload_end, source, type, delivery_id,
         state, received_at, queued_at, settled_at, token)
     SELECT i, randomblob(16), i, 0, 491, 'batch', 'form_response', hex(randomblob(13)), 'delivered',
         ?3 + i * ?4, ?3 + i * ?4, ?3 + i * ?4 + 1000, 1 FROM n",
    "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO plans (event, requests)
     SELECT i, printf('[{\"request\":\"feedback\",\"body\":{\"problem\":\"%0480d\"}}]', i) FROM n
     WHERE ?3 > 0 AND ?4 > 0",
    "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO requests (event, position, state, sent_at, savio_id)
     SELECT i, 0, 'done', ?3 + i * ?4, '184467' FROM n",
    "WITH RECURSIVE n (i) AS (SELECT ?1 UNION ALL SELECT i + 1 FROM n WHERE i + 1 < ?2)
     INSERT INTO attempts (event, number, position, at, outcome, status, ms, savio_id, may_repeat)
     SELECT i, 1, 0, ?3 + i * ?4, 'done', 201, 3, '184467', 0 FROM n",
];

#[derive(Debug)]
pub(crate) struct Settled {
    pub(crate) events: u64,
    pub(crate) rounds: Vec<Pair>,
}

/// One round with an empty store and one with the history, one after the other.
#[derive(Debug)]
pub(crate) struct Pair {
    pub(crate) empty: Both,
    pub(crate) full: Both,
}

#[derive(Debug)]
pub(crate) struct Both {
    pub(crate) paused: Measured,
    pub(crate) delivering: Delivered,
}

pub(crate) async fn measure(
    plan: &Plan,
    workshop: &Workshop,
    sink: &Sink,
) -> Result<Settled, Failed> {
    let history = workshop.bench()?;
    // The relay makes its tables itself.
    let relay = workshop.relay(history.path(), None, plan.in_flight)?;
    crate::start::answered(&relay).await?;
    drop(relay);
    fill(&history.path().join("relay.db"), plan.settled)?;
    let mut rounds = Vec::new();
    for round in 1..=plan.rounds {
        eprintln!("{} settled events, round {round} of {}", plan.settled, plan.rounds);
        let bench = workshop.bench()?;
        let empty = both(plan, workshop, sink, bench.path()).await?;
        let full = both(plan, workshop, sink, history.path()).await?;
        rounds.push(Pair { empty, full });
    }
    Ok(Settled { events: plan.settled, rounds })
}

async fn both(plan: &Plan, workshop: &Workshop, sink: &Sink, bench: &Path) -> Result<Both, Failed> {
    let load = Load { connections: CONNECTIONS, during: Duration::from_secs(plan.seconds) };
    // Delivering first, since a paused relay leaves a queue.
    let relay = workshop.relay(bench, Some(sink), plan.in_flight)?;
    relay.await_idle().await?;
    let delivering = load.delivered_by(&relay, sink).await?;
    drop(relay);
    let relay = workshop.relay(bench, None, plan.in_flight)?;
    relay.await_idle().await?;
    let paused = load.on(&relay).await?;
    drop(relay);
    // The queue of the paused relay is not part of the next round.
    let connection = Connection::open(bench.join("relay.db"))?;
    connection.execute_batch(
        "UPDATE events SET state = 'ignored', due_at = NULL, lease_until = NULL, settled_at = queued_at
         WHERE state = 'queued'",
    )?;
    Ok(Both { paused, delivering })
}

#[expect(clippy::disallowed_methods, reason = "it is not part of the relay, which has one clock")]
fn fill(path: &Path, events: u64) -> Result<(), Failed> {
    let oldest = jiff::Timestamp::now().as_microsecond() - i64::try_from(AGE.as_micros())?;
    let apart = i64::try_from(AGE.as_micros())? / i64::try_from(events.max(1))?;
    let connection = Connection::open(path)?;
    // It need not survive a power loss.
    connection.execute_batch("PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")?;
    let first: u64 =
        connection
            .query_row("SELECT coalesce(max(number), 0) + 1 FROM webhooks", [], |row| row.get(0))?;
    let mut at = first;
    while at < first + events {
        let end = (at + CHUNK).min(first + events);
        let transaction = connection.unchecked_transaction()?;
        for rows in ROWS {
            transaction.execute(rows, params![at, end, oldest, apart.max(1)])?;
        }
        transaction.commit()?;
        at = end;
    }
    connection.execute_batch("PRAGMA wal_checkpoint(TRUNCATE);")?;
    Ok(())
}
