//! The causes for which events died.

use rusqlite::{Connection, OptionalExtension, params};

use super::columns::{EnumColumn, text_column};
use super::expressions::STAGE;
use crate::store::cause;
use crate::store::stopped_at::StoppedAt;

/// Number of causes; all further ones of a stage and status are one.
const CAUSES_MAX: u64 = 1_000;

/// The reason of those.
const OTHERS: &str = "other reasons";

/// Condition for dead events whose cause is known, as in the index `events_dead`.
pub(crate) const HAS_CAUSE: &str = "events.state = 'dead' AND events.cause_at = events.settled_at";

/// Condition for dead events that have none yet, as in the index `events_without_cause`.
pub(crate) const WITHOUT_CAUSE: &str =
    "events.state = 'dead' AND events.cause_at IS NOT events.settled_at";

/// Gives a dead event its cause; does nothing to any other event.
// In the commit in which it dies, and by its row, so that what an earlier program left is told in
// the same way.
pub(crate) fn assign(connection: &Connection, event: i64) -> rusqlite::Result<()> {
    let sql = format!(
        "SELECT reason, {STAGE}, (SELECT status FROM attempts WHERE attempts.event = events.number
             ORDER BY attempts.number DESC LIMIT 1)
         FROM events WHERE number = ?1 AND state = 'dead'"
    );
    let mut query = connection.prepare_cached(&sql)?;
    let dead = query.query_row([event], |row| {
        let stage: Option<EnumColumn<StoppedAt>> = row.get(1)?;
        let status: Option<u16> = row.get(2)?;
        let reason = text_column(row, 0)?.unwrap_or_default();
        Ok((reason, stage.map(|EnumColumn(stage)| stage), status))
    });
    let Some((reason, stage, status)) = dead.optional()? else { return Ok(()) };
    // A mapping that failed has no answer: the status of an attempt before is none of its own.
    let status = status.filter(|_| stage == Some(StoppedAt::Savio));
    let cause = find_or_add(connection, (stage, status), &cause::normalised(&reason))?;
    let sql = "UPDATE events SET cause = ?2, cause_at = settled_at WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([event, cause])?;
    Ok(())
}

fn find_or_add(
    connection: &Connection,
    (stage, status): (Option<StoppedAt>, Option<u16>),
    reason: &str,
) -> rusqlite::Result<i64> {
    if let Some(known) = find(connection, &cause::kind(stage, status, reason))? {
        return Ok(known);
    }
    let count: u64 = connection
        .prepare_cached("SELECT count(*) FROM causes")?
        .query_row([], |row| row.get(0))?;
    let reason = if count < CAUSES_MAX { reason } else { OTHERS };
    let kind = cause::kind(stage, status, reason);
    if let Some(known) = find(connection, &kind)? {
        return Ok(known);
    }
    let sql = "INSERT INTO causes (kind, stage, status, reason) VALUES (?1, ?2, ?3, ?4)";
    let cause = params![kind, stage.map(StoppedAt::as_str), status, reason];
    connection.prepare_cached(sql)?.insert(cause)
}

fn find(connection: &Connection, kind: &str) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT number FROM causes WHERE kind = ?1";
    connection.prepare_cached(sql)?.query_row([kind], |row| row.get(0)).optional()
}
