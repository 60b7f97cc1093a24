//! The table of sessions, which is small: each node reads it as a whole.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::store::operations::{SESSIONS_MAX, SESSIONS_OF_ONE_MAX};
use crate::store::session::{LoginMethod, SessionDigest, StoredSession};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, TimeColumn};

pub(super) fn add(
    transaction: &Transaction<'_>,
    session: &StoredSession,
) -> Result<(), SqliteError> {
    let StoredSession { digest, via, name, role, bound, made_at, ends_at } = session;
    purge(transaction, *made_at)?;
    // Whoever logs in again and again ends their own sessions first.
    let oldest = "DELETE FROM sessions WHERE digest IN (
            SELECT digest FROM sessions WHERE via = ?1 AND name = ?2
            ORDER BY made_at DESC, digest LIMIT -1 OFFSET ?3)";
    let kept = SESSIONS_OF_ONE_MAX.saturating_sub(1);
    transaction.prepare_cached(oldest)?.execute(params![via.as_str(), name, kept])?;
    let oldest = "DELETE FROM sessions WHERE digest IN (
            SELECT digest FROM sessions ORDER BY made_at DESC, digest LIMIT -1 OFFSET ?1)";
    let kept = SESSIONS_MAX.saturating_sub(1);
    transaction.prepare_cached(oldest)?.execute([kept])?;
    let sql = "INSERT INTO sessions (digest, via, name, role, bound, made_at, ends_at)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)";
    let times = (TimeColumn(*made_at), TimeColumn(*ends_at));
    let row = params![digest.0, via.as_str(), name, role, bound, times.0, times.1];
    transaction.prepare_cached(sql)?.execute(row)?;
    Ok(())
}

pub(super) fn current(
    connection: &Connection,
    now: Timestamp,
) -> Result<Vec<StoredSession>, SqliteError> {
    // The limit holds for a table that another program filled, too.
    let sql = "SELECT digest, via, name, role, bound, made_at, ends_at FROM sessions
               WHERE ends_at > ?1 ORDER BY made_at DESC LIMIT ?2";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params![TimeColumn(now), SESSIONS_MAX], from_row)?;
    Ok(rows.collect::<rusqlite::Result<_>>()?)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<StoredSession> {
    let EnumColumn::<LoginMethod>(via) = row.get(1)?;
    let (TimeColumn(made_at), TimeColumn(ends_at)) = (row.get(5)?, row.get(6)?);
    Ok(StoredSession {
        digest: SessionDigest(row.get(0)?),
        via,
        name: row.get(2)?,
        role: row.get(3)?,
        bound: row.get(4)?,
        made_at,
        ends_at,
    })
}

pub(super) fn end(
    transaction: &Transaction<'_>,
    digests: &[SessionDigest],
) -> Result<(), SqliteError> {
    let mut delete = transaction.prepare_cached("DELETE FROM sessions WHERE digest = ?1")?;
    for digest in digests {
        delete.execute([digest.0])?;
    }
    Ok(())
}

/// Deletes the sessions that have ended.
pub(in crate::store::sqlite) fn purge(
    transaction: &Transaction<'_>,
    now: Timestamp,
) -> Result<usize, SqliteError> {
    let sql = "DELETE FROM sessions WHERE ends_at <= ?1";
    Ok(transaction.prepare_cached(sql)?.execute([TimeColumn(now)])?)
}
