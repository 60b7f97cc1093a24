//! Keeps a webhook: its body once, and each event that was not there before.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension, params};

use super::engine::error::SqliteError;
use super::engine::transaction::Transaction;
use super::queue::leases::{IMPORTED, SENT};
use super::rows::columns::{EventIdColumn, JsonColumn, TimeColumn};
use crate::event::{EventId, SourceName, State};
use crate::store::{NewEvent, StoredEvents, Webhook, WebhookOrigin};

pub(super) fn keep(
    writing: &Transaction<'_>,
    webhook: &Webhook,
) -> Result<StoredEvents, SqliteError> {
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
        WebhookOrigin::Sent => (webhook.received_at, SENT),
        WebhookOrigin::Imported { due_at } => (due_at, IMPORTED),
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
