//! Dead events by their cause.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::event::SourceName;
use crate::store::dead_cause::{DAYS, DeadCause, DeadDay, DeadGroup, DeadGroups};
use crate::store::sqlite::rows::causes::{HAS_CAUSE, WITHOUT_CAUSE};
use crate::store::sqlite::rows::columns::{
    EnumColumn, ShownColumn, SourceColumn, TimeColumn, text_column,
};
use crate::store::stopped_at::StoppedAt;

/// Number up to which dead events without a cause are counted.
const COUNTED_MAX: u64 = 10_000;

/// Microseconds of a day of UTC.
const DAY: i64 = 24 * 3_600 * 1_000_000;

/// A row of `causes`.
#[derive(Clone)]
struct StoredCause {
    kind: String,
    stage: Option<StoppedAt>,
    status: Option<u16>,
    reason: String,
}

/// Returns the dead events by source and cause, those included that wait for their replay; none while some have no
/// cause yet.
pub(super) fn by_cause(connection: &Connection) -> rusqlite::Result<Option<Vec<DeadCause>>> {
    let snapshot = connection.unchecked_transaction()?;
    if count_without_cause(&snapshot, 1)? > 0 {
        return Ok(None);
    }
    let causes = stored(&snapshot)?;
    // Until they are sent, the cause of those that are replayed is not gone.
    let replayed = "SELECT events.cause, events.source, count(*), max(replayed.settled_at)
         FROM replayed INDEXED BY replayed_dead CROSS JOIN events ON events.number = replayed.event
         WHERE replayed.state = 'dead' AND events.cause_at = replayed.settled_at GROUP BY 1, 2";
    let mut found: BTreeMap<(i64, SourceName), DeadCause> = BTreeMap::new();
    for sql in [dead_sql().as_str(), replayed] {
        let mut query = snapshot.prepare_cached(sql)?;
        let mut rows = query.query([])?;
        while let Some(row) = rows.next()? {
            let (number, SourceColumn(source)) = (row.get(0)?, row.get(1)?);
            let (events, TimeColumn(last_at)): (u64, _) = (row.get(2)?, row.get(3)?);
            let Some(cause) = causes.get(&number) else { continue };
            let one = found.entry((number, source.clone())).or_insert_with(|| DeadCause {
                source,
                kind: cause.kind.clone(),
                stage: cause.stage,
                status: cause.status,
                reason: cause.reason.clone(),
                events: 0,
                last_at,
            });
            one.events += events;
            one.last_at = one.last_at.max(last_at);
        }
    }
    Ok(Some(found.into_values().collect()))
}

fn dead_sql() -> String {
    format!(
        "SELECT cause, source, count(*), max(settled_at) FROM events INDEXED BY events_dead
         WHERE {HAS_CAUSE} GROUP BY cause, source"
    )
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

/// What is found of a cause.
#[derive(Default)]
struct DeadOfCause {
    events: u64,
    sources: BTreeSet<SourceName>,
    first_at: Option<Timestamp>,
    /// The last one, and its source.
    last: Option<(Timestamp, SourceName)>,
    days: [u64; DAYS],
}

pub(super) fn groups(
    connection: &Connection,
    (source, since): (Option<&SourceName>, Option<Timestamp>),
    now: Timestamp,
) -> rusqlite::Result<DeadGroups> {
    let snapshot = connection.unchecked_transaction()?;
    let causes = stored(&snapshot)?;
    let mut found: BTreeMap<i64, DeadOfCause> = BTreeMap::new();
    let mut query = snapshot.prepare_cached(&group_sql())?;
    let since = since.map_or(i64::MIN, Timestamp::as_microsecond);
    let mut rows = query.query(params![source.map(SourceName::as_str), since])?;
    while let Some(row) = rows.next()? {
        let (SourceColumn(source), TimeColumn(at)) = (row.get(1)?, row.get(2)?);
        found.entry(row.get(0)?).or_default().add(source, at, now);
    }
    let mut groups = Vec::new();
    for (number, found) in found {
        let Some(cause) = causes.get(&number) else { continue };
        groups.extend(found.group(&snapshot, (number, cause), now)?);
    }
    groups.sort_by_key(|group| std::cmp::Reverse((group.events, group.last)));
    let without_cause = count_without_cause(&snapshot, COUNTED_MAX)?;
    Ok(DeadGroups { groups, without_cause })
}

fn group_sql() -> String {
    format!(
        "SELECT cause, source, settled_at FROM events INDEXED BY events_dead
         WHERE {HAS_CAUSE} AND (?1 IS NULL OR source = ?1) AND settled_at >= ?2"
    )
}

impl DeadOfCause {
    fn add(&mut self, source: SourceName, at: Timestamp, now: Timestamp) {
        self.events += 1;
        let ago = day(now) - day(at);
        if let Some(count) = usize::try_from(ago).ok().and_then(|ago| self.days.get_mut(ago)) {
            *count += 1;
        }
        self.first_at = Some(self.first_at.map_or(at, |first| first.min(at)));
        if self.last.as_ref().is_none_or(|(last, _)| at > *last) {
            self.last = Some((at, source.clone()));
        }
        if !self.sources.contains(&source) {
            self.sources.insert(source);
        }
    }

    fn group(
        self,
        connection: &Connection,
        (number, cause): (i64, &StoredCause),
        now: Timestamp,
    ) -> rusqlite::Result<Option<DeadGroup>> {
        let (Some(first), Some((last, source))) = (self.first_at, self.last) else {
            return Ok(None);
        };
        // From an event that is still there: what is erased must not stay anywhere else.
        let sql = format!(
            "SELECT reason FROM events INDEXED BY events_dead
             WHERE {HAS_CAUSE} AND cause = ?1 AND source = ?2 AND settled_at = ?3 LIMIT 1"
        );
        let example = params![number, source.as_str(), TimeColumn(last)];
        let example =
            connection.prepare_cached(&sql)?.query_row(example, |row| text_column(row, 0));
        let begin = |ago: usize| (day(now) - i64::try_from(ago).unwrap_or(0)).saturating_mul(DAY);
        let days = (0..DAYS).rev().filter_map(|ago| {
            let at = Timestamp::from_microsecond(begin(ago)).ok()?;
            Some(DeadDay { at, events: self.days[ago] })
        });
        Ok(Some(DeadGroup {
            kind: cause.kind.clone(),
            stage: cause.stage,
            status: cause.status,
            reason: example?.unwrap_or_else(|| cause.reason.clone()),
            events: self.events,
            sources: self.sources.into_iter().collect(),
            first,
            last,
            days: days.collect(),
        }))
    }
}

fn day(at: Timestamp) -> i64 {
    at.as_microsecond().div_euclid(DAY)
}

fn stored(connection: &Connection) -> rusqlite::Result<BTreeMap<i64, StoredCause>> {
    let sql = "SELECT number, kind, stage, status, reason FROM causes";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map([], cause_from_row)?;
    rows.collect()
}

fn cause_from_row(row: &Row<'_>) -> rusqlite::Result<(i64, StoredCause)> {
    let (ShownColumn(kind), ShownColumn(reason)) = (row.get(1)?, row.get(4)?);
    let stage: Option<EnumColumn<StoppedAt>> = row.get(2)?;
    let stage = stage.map(|EnumColumn(stage)| stage);
    Ok((row.get(0)?, StoredCause { kind, stage, status: row.get(3)?, reason }))
}

fn count_without_cause(connection: &Connection, limit: u64) -> rusqlite::Result<u64> {
    let sql = format!(
        "SELECT count(*) FROM (SELECT 1 FROM events INDEXED BY events_without_cause
             WHERE {WITHOUT_CAUSE} LIMIT ?1)"
    );
    connection.prepare_cached(&sql)?.query_row([limit], |row| row.get(0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn dead_events_are_read_from_their_index_alone() {
        for sql in [dead_sql(), group_sql()] {
            let steps = query_plan(&sql);

            assert!(steps[0].contains("USING COVERING INDEX events_dead"), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{steps:?}");
        }
    }
}
