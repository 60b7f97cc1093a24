//! Stores edited copies of events.

use rusqlite::{OptionalExtension, params};

use crate::event::EventId;
use crate::store::audit::AuditAction;
use crate::store::copy::{CopyOutcome, CopyRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::inbox;
use crate::store::sqlite::operations::audit;
use crate::store::sqlite::rows::columns::EventIdColumn;

pub(super) fn copy(
    transaction: &Transaction<'_>,
    request: &CopyRequest,
) -> Result<CopyOutcome, SqliteError> {
    let CopyRequest { original, webhook, by } = request;
    let sql = "SELECT erased_at IS NOT NULL FROM events WHERE id = ?1";
    let mut query = transaction.prepare_cached(sql)?;
    let is_erased: Option<bool> =
        query.query_row([EventIdColumn(*original)], |row| row.get(0)).optional()?;
    match is_erased {
        None => return Ok(CopyOutcome::NotFound),
        Some(true) => return Ok(CopyOutcome::Erased),
        Some(false) => {}
    }
    let stored: Option<EventId> =
        inbox::store_webhook(transaction, webhook)?.events.first().copied();
    let Some(id) = stored else {
        return Err(SqliteError::Impossible("a copy without an event".to_owned()));
    };
    let sql = "UPDATE events SET copy_of = ?2 WHERE id = ?1";
    let copied = params![EventIdColumn(id), EventIdColumn(*original)];
    transaction.prepare_cached(sql)?.execute(copied)?;
    let entry = by.did(AuditAction::Copy, webhook.received_at).on(&format!("event {original}"));
    audit::insert(transaction, &entry.count(1).detail(&format!("as event {id}")))?;
    Ok(CopyOutcome::Stored(id))
}
