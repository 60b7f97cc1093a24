//! `Inbox` for SQLite: stores a webhook's body once, and each of its events that is new.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rusqlite::{Connection, params};
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::timeout;

use super::database::{PENDING_KIB_MAX, Sqlite};
use super::engine::database_file::BUSY_TIMEOUT;
use super::engine::error::{SqliteError, unavailable};
use super::engine::migrations;
use super::engine::transaction::Transaction;
use super::monitoring::rejections;
use super::rows::arrivals::StoredArrival;
use super::rows::columns::{EventIdColumn, JsonColumn, Priority, TimeColumn};
use super::rows::events;
use crate::clock;
use crate::event::{EventId, SourceName, State};
use crate::store::error::{StoreError, UnavailableKind};
use crate::store::flows::Flow;
use crate::store::half_hour::HalfHour;
use crate::store::inbox::{Inbox, NewEvent, StoredEvents, Webhook, WebhookOrigin};
use crate::store::rejection::RejectionBatch;

/// Time for which an answer of `ready` is reused.
// Each probe costs a commit, and anybody may ask `/readyz`.
const READY_FOR: Duration = Duration::from_secs(1);

#[async_trait]
impl Inbox for Sqlite {
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError> {
        let permits = reserve_bytes(self, webhook.stored_bytes()).await?;
        let write = self.writer.write(move |transaction| {
            // Held by the command and not by this future, which is dropped if the sender
            // disconnects: the body is in memory until the command has run.
            let _until_written = &permits;
            store_webhook(transaction, &webhook)
        });
        let stored = write.await?;
        if stored.new_events() > 0 {
            self.notify_work();
        }
        Ok(stored)
    }

    async fn store_all(&self, webhooks: Vec<Webhook>) -> Result<Vec<StoredEvents>, StoreError> {
        let permits = reserve_bytes(self, webhooks.iter().map(Webhook::stored_bytes).sum()).await?;
        // One command, since several that wait at the same time reach the writer in any order.
        let write = self.writer.write(move |transaction| {
            let _until_written = &permits;
            webhooks.iter().map(|webhook| store_webhook(transaction, webhook)).collect()
        });
        let stored: Vec<StoredEvents> = write.await?;
        if stored.iter().any(|stored| stored.new_events() > 0) {
            self.notify_work();
        }
        Ok(stored)
    }

    async fn count_webhooks(
        &self,
        webhooks: BTreeMap<(SourceName, HalfHour), u64>,
    ) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        let count = move |transaction: &Transaction<'_>| {
            for ((source, at), webhooks) in &webhooks {
                let webhooks = i64::try_from(*webhooks).unwrap_or(i64::MAX);
                transaction.happened(source.as_str(), at.begins_at(), (Flow::Webhook, webhooks));
            }
            Ok(())
        };
        self.writer.write(count).await
    }

    async fn write_rejections(&self, batch: RejectionBatch) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| rejections::write(transaction, &batch)).await
    }

    async fn ready(&self) -> Result<(), StoreError> {
        // Held over the probe: those who ask meanwhile get its result.
        let mut last = self.readiness.lock().await;
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

/// Reserves memory for bodies that wait for their commit, until the permits are dropped.
pub(super) async fn reserve_bytes(
    store: &Sqlite,
    bytes: usize,
) -> Result<OwnedSemaphorePermit, StoreError> {
    store.damage.check()?;
    // Before the memory: a full disk is answered at once, however many webhooks wait.
    let waiting = (PENDING_KIB_MAX - store.pending_bodies.available_permits()) * 1024;
    store.reserve.admit(bytes, waiting)?;
    let kib = u32::try_from((bytes / 1024).min(PENDING_KIB_MAX)).unwrap_or(u32::MAX);
    let permits =
        timeout(BUSY_TIMEOUT, Arc::clone(&store.pending_bodies).acquire_many_owned(kib)).await;
    permits
        .ok()
        .and_then(Result::ok)
        .ok_or_else(|| unavailable(UnavailableKind::Busy, "too many webhooks wait for the disk"))
}

async fn probe(store: &Sqlite) -> Result<(), StoreError> {
    store.damage.check()?;
    store.reserve.admit(store.webhook_bytes_max, 0)?;
    // A real commit, since only that shows that the disk, the lock and the writer work.
    let write = store.writer.write(|connection| Ok(migrations::touch(connection)?));
    let timed_out = || {
        unavailable(UnavailableKind::Busy, format!("the disk took longer than {BUSY_TIMEOUT:?}"))
    };
    timeout(BUSY_TIMEOUT, write).await.unwrap_or_else(|_| Err(timed_out()))
}

pub(super) fn store_webhook(
    transaction: &Transaction<'_>,
    webhook: &Webhook,
) -> Result<StoredEvents, SqliteError> {
    let (stored, new) = deduplicate(transaction, webhook)?;
    let (source, at) = (webhook.source.as_str(), webhook.received_at);
    if !new.is_empty() {
        let number = insert_webhook(transaction, webhook)?;
        for event in &new {
            let event = insert_event(transaction, webhook, number, event)?;
            transaction.entry_changed(event);
            transaction.count_added(source, at, State::Queued);
            transaction.happened(source, at, (Flow::Accepted, 1));
        }
    }
    match webhook.origin {
        WebhookOrigin::Sent => {
            let repeated = i64::try_from(stored.repeated.len()).unwrap_or(i64::MAX);
            transaction.happened(source, at, (Flow::Duplicate, repeated));
            transaction.happened(source, at, (Flow::Webhook, 1));
        }
        WebhookOrigin::Made | WebhookOrigin::Imported { .. } => {}
    }
    Ok(stored)
}

/// Returns the id of each event, which for a repeat is that of the first delivery, and the new
/// events.
fn deduplicate<'a>(
    connection: &Connection,
    webhook: &'a Webhook,
) -> rusqlite::Result<(StoredEvents, Vec<&'a NewEvent>)> {
    let mut ids = Vec::with_capacity(webhook.events.len());
    let mut repeated = Vec::new();
    let mut new = Vec::new();
    // Repeats within the webhook: the first one is not in the database yet.
    let mut first_ids: HashMap<&str, EventId> = HashMap::new();
    for (position, event) in webhook.events.iter().enumerate() {
        let Some(delivery_id) = event.delivery_id.as_deref() else {
            ids.push(event.id);
            new.push(event);
            continue;
        };
        let first = match first_ids.get(delivery_id) {
            Some(first) => Some(*first),
            None => events::first_delivery(connection, &webhook.source, delivery_id)?,
        };
        match first {
            Some(_) => repeated.push(position),
            None => new.push(event),
        }
        let id = first.unwrap_or(event.id);
        first_ids.insert(delivery_id, id);
        ids.push(id);
    }
    Ok((StoredEvents { events: ids, repeated }, new))
}

fn insert_webhook(connection: &Connection, webhook: &Webhook) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO webhooks (source, received_at, headers, decoded, body, arrival)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let took = clock::now().duration_since(webhook.received_at).as_millis();
    let arrival = StoredArrival::of(&webhook.arrival, u64::try_from(took).unwrap_or(0));
    connection.prepare_cached(sql)?.insert(params![
        webhook.source.as_str(),
        TimeColumn(webhook.received_at),
        JsonColumn(&webhook.headers),
        webhook.decoded,
        webhook.body,
        JsonColumn(arrival),
    ])
}

fn insert_event(
    connection: &Connection,
    webhook: &Webhook,
    number: i64,
    event: &NewEvent,
) -> Result<i64, SqliteError> {
    if !has_text_payload(webhook, event) {
        let range = &event.payload;
        return Err(SqliteError::Impossible(format!(
            "no payload at {range:?} of the webhook's body"
        )));
    }
    // SQLite would reuse the number of a purged newest event. Cursors, replays and the order of
    // upserts rely on numbers that only grow.
    let sql = "INSERT INTO events (number, id, webhook, payload_start, payload_end, source, type,
                   delivery_id, state, received_at, queued_at, waits_since, due_at, rank, decoding_notes)
               VALUES (1 + max((SELECT coalesce(max(number), 0) FROM forgotten),
                       (SELECT coalesce(max(number), 0) FROM events)),
                   ?1, ?2, ?3, ?4, ?5, ?6, ?7, 'queued', ?8, ?8, ?8, ?9, ?10, ?11)";
    let (due_at, rank) = match webhook.origin {
        WebhookOrigin::Sent | WebhookOrigin::Made => (webhook.received_at, Priority::Live),
        WebhookOrigin::Imported { due_at } => (due_at, Priority::Imported),
    };
    let number = connection.prepare_cached(sql)?.insert(params![
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
    Ok(number)
}

fn has_text_payload(webhook: &Webhook, event: &NewEvent) -> bool {
    // The range is cut out by SQL at a claim: one that is not text would make the event unreadable
    // after the webhook was accepted.
    let bytes = webhook.decoded.as_ref().map_or(webhook.body.as_slice(), String::as_bytes);
    bytes.get(event.payload.clone()).is_some_and(|payload| str::from_utf8(payload).is_ok())
}
