//! Keeps a webhook: its body once, and each event that was not there before.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, OptionalExtension, params};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::database::{Sqlite, WAITING_KIB};
use super::engine::database_file::{self, BUSY_TIMEOUT};
use super::engine::error::{SqliteError, unavailable};
use super::engine::transaction::Transaction;
use super::rows::columns::{EventIdColumn, JsonColumn, Priority, TimeColumn};
use crate::event::{EventId, SourceName, State};
use crate::store::error::{StoreError, Trouble};
use crate::store::inbox::{Inbox, NewEvent, StoredEvents, Webhook, WebhookOrigin};

/// How long an answer of `ready` holds, since asking costs a commit.
const READY_FOR: Duration = Duration::from_secs(1);

#[async_trait]
impl Inbox for Sqlite {
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError> {
        let room = reserve_bytes(self, webhook.stored_bytes()).await?;
        let write = self.writer.write(move |writing| {
            let _until_written = &room;
            keep(writing, &webhook)
        });
        let kept = write.await?;
        if kept.new_events() > 0 {
            self.arrive();
        }
        Ok(kept)
    }

    async fn store_all(&self, webhooks: Vec<Webhook>) -> Result<Vec<StoredEvents>, StoreError> {
        let room = reserve_bytes(self, webhooks.iter().map(Webhook::stored_bytes).sum()).await?;
        // One command: several that wait side by side reach the writer in any order.
        let write = self.writer.write(move |writing| {
            let _until_written = &room;
            webhooks.iter().map(|webhook| keep(writing, webhook)).collect()
        });
        let kept: Vec<StoredEvents> = write.await?;
        if kept.iter().any(|kept| kept.new_events() > 0) {
            self.arrive();
        }
        Ok(kept)
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let mut last = self.ready.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < READY_FOR
        {
            return answer.clone();
        }
        let answer = probe(self).await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }
}

/// Reserves room among the bytes that wait for the disk, until the permit is dropped.
async fn reserve_bytes(store: &Sqlite, bytes: usize) -> Result<OwnedSemaphorePermit, StoreError> {
    store.damage.check()?;
    let waiting = (WAITING_KIB - store.waiting.available_permits()) * 1024;
    store.reserve.admit(bytes, waiting)?;
    let kib = u32::try_from((bytes / 1024).min(WAITING_KIB)).unwrap_or(u32::MAX);
    let room = timeout(BUSY_TIMEOUT, Arc::clone(&store.waiting).acquire_many_owned(kib)).await;
    room.ok()
        .and_then(Result::ok)
        .ok_or_else(|| unavailable(Trouble::Busy, "too many webhooks wait for the disk"))
}

async fn probe(store: &Sqlite) -> Result<(), StoreError> {
    store.damage.check()?;
    store.reserve.admit(store.webhook_bytes_max, 0)?;
    let write = store.writer.write(|connection| Ok(database_file::touch(connection)?));
    let late = || unavailable(Trouble::Busy, format!("the disk took longer than {BUSY_TIMEOUT:?}"));
    timeout(BUSY_TIMEOUT, write).await.unwrap_or_else(|_| Err(late()))
}

fn keep(writing: &Transaction<'_>, webhook: &Webhook) -> Result<StoredEvents, SqliteError> {
    let (kept, new) = sort_out(writing, webhook)?;
    if !new.is_empty() {
        let number = insert_webhook(writing, webhook)?;
        for event in &new {
            insert_event(writing, webhook, number, event)?;
            writing.came(webhook.source.as_str(), State::Queued);
        }
    }
    Ok(kept)
}

/// The id that stands for each event, and the events that are new.
fn sort_out<'a>(
    connection: &Connection,
    webhook: &'a Webhook,
) -> rusqlite::Result<(StoredEvents, Vec<&'a NewEvent>)> {
    let mut ids = Vec::with_capacity(webhook.events.len());
    let mut repeated = Vec::new();
    let mut new = Vec::new();
    let mut firsts: HashMap<&str, EventId> = HashMap::new();
    for (position, event) in webhook.events.iter().enumerate() {
        let Some(delivery_id) = event.delivery_id.as_deref() else {
            ids.push(event.id);
            new.push(event);
            continue;
        };
        let first = match firsts.get(delivery_id) {
            Some(first) => Some(*first),
            None => seen_before(connection, &webhook.source, delivery_id)?,
        };
        match first {
            Some(_) => repeated.push(position),
            None => new.push(event),
        }
        let id = first.unwrap_or(event.id);
        firsts.insert(delivery_id, id);
        ids.push(id);
    }
    Ok((StoredEvents { events: ids, repeated }, new))
}

fn seen_before(
    connection: &Connection,
    source: &SourceName,
    delivery_id: &str,
) -> rusqlite::Result<Option<EventId>> {
    let sql = "SELECT id FROM events WHERE source = ?1 AND delivery_id = ?2";
    connection
        .prepare_cached(sql)?
        .query_row(params![source.as_str(), delivery_id], |row| row.get(0))
        .optional()
        .map(|first| first.map(|EventIdColumn(id)| id))
}

fn insert_webhook(connection: &Connection, webhook: &Webhook) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO webhooks (source, received_at, headers, decoded, body)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    connection.prepare_cached(sql)?.insert(params![
        webhook.source.as_str(),
        TimeColumn(webhook.received_at),
        JsonColumn(&webhook.headers),
        webhook.decoded,
        webhook.body,
    ])
}

fn insert_event(
    connection: &Connection,
    webhook: &Webhook,
    number: i64,
    event: &NewEvent,
) -> Result<(), SqliteError> {
    if !is_text(webhook, event) {
        let place = &event.payload;
        return Err(SqliteError::Impossible(format!(
            "no payload at {place:?} of the webhook's body"
        )));
    }
    // No number comes twice, that of an event that is forgotten included.
    let sql = "INSERT INTO events (number, id, webhook, payload_start, payload_end, source, type,
                   delivery_id, state, received_at, queued_at, waits_since, due_at, rank, decoding_notes)
               VALUES (1 + max((SELECT coalesce(max(number), 0) FROM forgotten),
                       (SELECT coalesce(max(number), 0) FROM events)),
                   ?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?8, ?8, ?9, ?10, ?11)";
    let (due_at, rank) = match webhook.origin {
        WebhookOrigin::Sent => (webhook.received_at, Priority::Live),
        WebhookOrigin::Imported { due_at } => (due_at, Priority::Imported),
    };
    connection.prepare_cached(sql)?.execute(params![
        EventIdColumn(event.id),
        number,
        event.payload.start,
        event.payload.end,
        webhook.source.as_str(),
        event.event_type,
        event.delivery_id,
        TimeColumn(webhook.received_at),
        TimeColumn(due_at),
        rank,
        JsonColumn(&webhook.notes),
    ])?;
    Ok(())
}

/// Whether the payload can be given out again as it must be.
fn is_text(webhook: &Webhook, event: &NewEvent) -> bool {
    let bytes = webhook.decoded.as_ref().map_or(webhook.body.as_slice(), String::as_bytes);
    bytes.get(event.payload.clone()).is_some_and(|payload| str::from_utf8(payload).is_ok())
}
