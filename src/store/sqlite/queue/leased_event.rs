//! Looks up the event of a claim, if the claim still holds.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::queue::Claim;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EventIdColumn, TimeColumn, token_column};

/// An event whose claim still holds, as the next step needs it.
pub(crate) struct LeasedEvent {
    pub(crate) number: i64,
    pub(crate) source: String,
    pub(crate) received_at: Timestamp,
    pub(crate) tries: i64,
    /// Whether it may have a row in `replayed`.
    pub(crate) was_replayed: bool,
    /// Whether it has a row in `suspects`.
    pub(crate) is_suspect: bool,
    /// Whether it is recorded that it waits for another event.
    pub(crate) waits: bool,
}

/// Returns the claim's event, or `ClaimLost`.
pub(crate) fn leased(connection: &Connection, claim: Claim) -> Result<LeasedEvent, SqliteError> {
    // The end of the lease is not compared with the clock: while nobody else has claimed the event,
    // a late step is still right, and refusing it would send its request twice. The lookup in
    // `suspects` costs next to nothing, since that table is almost always empty.
    let sql = "SELECT number, source, tries, replay,
                   EXISTS (SELECT 1 FROM suspects WHERE suspects.event = number),
                   waits_for IS NOT NULL, received_at
               FROM events WHERE id = ?1 AND token = ?2 AND lease_until IS NOT NULL";
    let mut query = connection.prepare_cached(sql)?;
    let event =
        query.query_row(params![EventIdColumn(claim.event), token_column(claim.token)], from_row);
    event.optional()?.ok_or(SqliteError::ClaimLost)
}

/// Reads the event from a row's first seven columns.
pub(crate) fn from_row(row: &Row<'_>) -> rusqlite::Result<LeasedEvent> {
    let TimeColumn(received_at) = row.get(6)?;
    Ok(LeasedEvent {
        number: row.get(0)?,
        source: row.get(1)?,
        received_at,
        tries: row.get(2)?,
        was_replayed: row.get(3)?,
        is_suspect: row.get(4)?,
        waits: row.get(5)?,
    })
}
