//! Finds the events that name a person: in all that is stored of each.

use std::time::{Duration, Instant};

use rusqlite::{Connection, Row, params};

use crate::store::email_address::EmailAddress;
use crate::store::erasure::Mentions;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EnumColumn, EventIdColumn, ShownColumn};

/// Number of events that one step reads, and the time after which it ends.
// One step reads from one snapshot, which keeps the write-ahead log from being written back.
const EVENTS_MAX: usize = 1000;
const TIME_MAX: Duration = Duration::from_millis(50);

/// The webhook of the event before: the events of a batch follow each other.
#[derive(Default)]
struct LastWebhook {
    number: Option<i64>,
    /// Its text, if the address is in it.
    text: Option<Vec<u8>>,
    has_address_in_headers: bool,
}

/// Searches the events after this position for a while.
pub(super) fn find(
    connection: &Connection,
    person: &EmailAddress,
    after: u64,
) -> Result<Mentions, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let begun = Instant::now();
    let sql = "SELECT number, id, state, webhook, payload_start, payload_end,
                   reason, delivery_id, type, notes, decoding_notes, headline
               FROM events WHERE number > ?1 AND erased_at IS NULL ORDER BY number LIMIT ?2";
    let mut query = snapshot.prepare_cached(sql)?;
    let mut rows = query.query(params![after.cast_signed(), EVENTS_MAX])?;
    let (mut found, mut last, mut read) = (Mentions::default(), LastWebhook::default(), 0);
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        if names(&snapshot, row, (person, &mut last))? {
            let (EventIdColumn(id), EnumColumn(state)) = (row.get(1)?, row.get(2)?);
            found.events.push((id, state));
        }
        read += 1;
        if read == EVENTS_MAX || begun.elapsed() >= TIME_MAX {
            found.next = Some(number.cast_unsigned());
            break;
        }
    }
    Ok(found)
}

/// Returns whether anything that is stored of the event has the address.
fn names(
    connection: &Connection,
    row: &Row<'_>,
    (person, last): (&EmailAddress, &mut LastWebhook),
) -> rusqlite::Result<bool> {
    for column in 6..=11 {
        if is_in(person, row.get(column)?) {
            return Ok(true);
        }
    }
    let (number, webhook): (i64, i64) = (row.get(0)?, row.get(3)?);
    if last.number != Some(webhook) {
        *last = read_webhook(connection, webhook, person)?;
    }
    if last.has_address_in_headers {
        return Ok(true);
    }
    if let Some(text) = &last.text {
        let payload = text.get(row.get(4)?..row.get(5)?).unwrap_or_default();
        if person.is_in(&String::from_utf8_lossy(payload)) {
            return Ok(true);
        }
    }
    let sql = "SELECT requests FROM plans WHERE event = ?1
               UNION ALL SELECT detail FROM attempts WHERE event = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let mut texts = query.query([number])?;
    while let Some(text) = texts.next()? {
        if is_in(person, text.get(0)?) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn is_in(person: &EmailAddress, text: Option<ShownColumn>) -> bool {
    text.is_some_and(|ShownColumn(text)| person.is_in(&text))
}

fn read_webhook(
    connection: &Connection,
    number: i64,
    person: &EmailAddress,
) -> rusqlite::Result<LastWebhook> {
    let sql = "SELECT headers, CAST(coalesce(decoded, body) AS BLOB) FROM webhooks
               WHERE number = ?1";
    connection.prepare_cached(sql)?.query_row([number], |row| {
        let text: Vec<u8> = row.get(1)?;
        let has_address = person.is_in(&String::from_utf8_lossy(&text));
        Ok(LastWebhook {
            number: Some(number),
            text: has_address.then_some(text),
            has_address_in_headers: is_in(person, row.get(0)?),
        })
    })
}
