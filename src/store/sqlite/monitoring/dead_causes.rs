//! Dead events by their cause.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::event::SourceName;
use crate::store::cause;
use crate::store::dead_cause::DeadCause;
use crate::store::sqlite::rows::columns::{EnumColumn, SourceColumn, TimeColumn, text_column};
use crate::store::sqlite::rows::expressions::STAGE;
use crate::store::stopped_at::StoppedAt;

/// Number of dead events of a source that are looked at, the last ones.
const LOOKED_AT_MAX: usize = 1_000;

/// One dead event.
struct DeadEvent {
    reason: String,
    died_at: Timestamp,
    stage: Option<StoppedAt>,
    status: Option<u16>,
}

pub(super) fn by_cause(connection: &Connection) -> rusqlite::Result<Vec<DeadCause>> {
    let sql = "SELECT source FROM counts WHERE state = 'dead' AND events > 0
               UNION SELECT source FROM replayed JOIN events ON events.number = event
               WHERE replayed.state = 'dead' ORDER BY 1";
    let mut query = connection.prepare_cached(sql)?;
    let sources = query.query_map([], |row| row.get(0))?;
    let mut causes = Vec::new();
    for source in sources {
        let SourceColumn(source) = source?;
        let events = dead_events(connection, &source)?;
        causes.extend(grouped(&source, events));
    }
    Ok(causes)
}

pub(super) fn counts(connection: &Connection) -> rusqlite::Result<Vec<(SourceName, u64)>> {
    let sql =
        "SELECT source, events FROM counts WHERE state = 'dead' AND events > 0 ORDER BY source";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map([], |row| {
        let SourceColumn(source) = row.get(0)?;
        Ok((source, row.get(1)?))
    })?;
    rows.collect()
}

fn grouped(source: &SourceName, events: Vec<DeadEvent>) -> Vec<DeadCause> {
    let mut causes: BTreeMap<String, DeadCause> = BTreeMap::new();
    for DeadEvent { reason, died_at, stage, status } in events {
        let reason = cause::normalised(&reason);
        let kind = cause::kind(stage, status, &reason);
        let cause = causes.entry(kind.clone()).or_insert_with(|| DeadCause {
            source: source.clone(),
            kind,
            stage,
            status,
            reason,
            events: 0,
            last_at: died_at,
        });
        cause.events += 1;
        cause.last_at = cause.last_at.max(died_at);
    }
    causes.into_values().collect()
}

fn dead_events(connection: &Connection, source: &SourceName) -> rusqlite::Result<Vec<DeadEvent>> {
    let status = "(SELECT status FROM attempts WHERE attempts.event = events.number
                       ORDER BY attempts.number DESC LIMIT 1)";
    // Those that are dead, and those that wait for their replay: until they are sent, the cause is
    // not gone.
    let dead = format!(
        "SELECT reason, settled_at, {STAGE}, {status} FROM events INDEXED BY events_listed
         WHERE source = ?1 AND state = 'dead' ORDER BY received_at DESC LIMIT ?2"
    );
    let replayed = format!(
        "SELECT replayed.reason, replayed.settled_at, {stage}, {status}
         FROM replayed JOIN events ON events.number = replayed.event
         WHERE replayed.state = 'dead' AND events.source = ?1 LIMIT ?2",
        // Before the replay.
        stage = STAGE
            .replace("events.state", "replayed.state")
            .replace("events.queued_at", "replayed.queued_at")
    );
    let mut events = Vec::new();
    for sql in [dead, replayed] {
        let mut query = connection.prepare_cached(&sql)?;
        let rows = query.query_map(params![source.as_str(), LOOKED_AT_MAX], from_row)?;
        for event in rows {
            events.extend(event?);
        }
    }
    Ok(events)
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<Option<DeadEvent>> {
    let (died_at, stage): (Option<TimeColumn>, Option<EnumColumn<StoppedAt>>) =
        (row.get(1)?, row.get(2)?);
    let Some(TimeColumn(died_at)) = died_at else { return Ok(None) };
    let stage = stage.map(|EnumColumn(stage)| stage);
    let status: Option<u16> = row.get(3)?;
    // A mapping that failed has no answer: the status of an attempt before is none of its own.
    let status = status.filter(|_| stage == Some(StoppedAt::Savio));
    Ok(Some(DeadEvent { reason: text_column(row, 0)?.unwrap_or_default(), died_at, stage, status }))
}
