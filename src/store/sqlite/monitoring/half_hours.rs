//! Reads what is counted by half hours.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::event::{SourceName, State};
use crate::store::flows::Flows;
use crate::store::half_hour::HalfHour;
use crate::store::monitoring::{Balance, SeriesRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EnumColumn, JsonColumn, SourceColumn, TimeColumn};

/// Half hours of one read: a month, which takes some milliseconds with fifty sources.
const READ_MAX: i64 = 31 * 48;

/// A series that is read step by step.
pub(super) struct SeriesReader {
    request: SeriesRequest,
    /// Begin of the next read.
    next: HalfHour,
    flows: Vec<Flows>,
}

impl SeriesReader {
    pub(super) fn new(request: SeriesRequest) -> SeriesReader {
        let half_hours = u64::try_from(request.until.since(request.since)).unwrap_or(0);
        let steps = half_hours.div_ceil(u64::from(request.step.max(1)));
        let flows = vec![Flows::default(); usize::try_from(steps).unwrap_or(0)];
        SeriesReader { next: request.since, request, flows }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.next >= self.request.until
    }

    pub(super) fn into_flows(self) -> Vec<Flows> {
        self.flows
    }

    pub(super) fn read_next(
        mut self,
        connection: &Connection,
    ) -> Result<SeriesReader, SqliteError> {
        // Years without anything are skipped.
        let Some(first) = first(connection, self.next, self.request.until)? else {
            self.next = self.request.until;
            return Ok(self);
        };
        self.next = first;
        let end = self.next.plus(READ_MAX).min(self.request.until);
        for (at, flows) in self.read(connection, end)? {
            let step = at.since(self.request.since) / i64::from(self.request.step.max(1));
            let place = usize::try_from(step).ok().and_then(|step| self.flows.get_mut(step));
            if let Some(place) = place {
                *place += flows;
            }
        }
        self.next = end;
        Ok(self)
    }

    fn read(
        &self,
        connection: &Connection,
        end: HalfHour,
    ) -> rusqlite::Result<Vec<(HalfHour, Flows)>> {
        let (since, until) = (TimeColumn(self.next.begins_at()), TimeColumn(end.begins_at()));
        match self.request.sources.as_deref() {
            None => rows(connection, ALL, params![since, until]),
            Some([source]) => rows(connection, OF_ONE, params![since, until, source.as_str()]),
            Some(sources) => rows(connection, OF_SOME, params![since, until, JsonColumn(sources)]),
        }
    }
}

const ALL: &str = "
    SELECT at, sum(accepted), sum(delivered), sum(ignored), sum(held), sum(dead), sum(rejected),
        sum(duplicates)
    FROM half_hours WHERE at >= ?1 AND at < ?2 GROUP BY at";
const OF_ONE: &str = "
    SELECT at, accepted, delivered, ignored, held, dead, rejected, duplicates
    FROM half_hours INDEXED BY half_hours_of WHERE source = ?3 AND at >= ?1 AND at < ?2";
// `+`, so that the rows are read in their order: by the index each would be looked up.
const OF_SOME: &str = "
    SELECT at, sum(accepted), sum(delivered), sum(ignored), sum(held), sum(dead), sum(rejected),
        sum(duplicates)
    FROM half_hours WHERE at >= ?1 AND at < ?2 AND +source IN (SELECT value FROM json_each(?3))
    GROUP BY at";

/// Returns the first half hour in which anything was counted.
fn first(
    connection: &Connection,
    since: HalfHour,
    until: HalfHour,
) -> rusqlite::Result<Option<HalfHour>> {
    let sql = "SELECT min(at) FROM half_hours WHERE at >= ?1 AND at < ?2";
    let times = params![TimeColumn(since.begins_at()), TimeColumn(until.begins_at())];
    let first: Option<TimeColumn> =
        connection.prepare_cached(sql)?.query_row(times, |row| row.get(0))?;
    Ok(first.map(|TimeColumn(at)| HalfHour::of(at)))
}

fn rows(
    connection: &Connection,
    sql: &str,
    parameters: impl rusqlite::Params,
) -> rusqlite::Result<Vec<(HalfHour, Flows)>> {
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(parameters, |row| {
        let TimeColumn(at) = row.get(0)?;
        let flows = Flows {
            accepted: row.get(1)?,
            delivered: row.get(2)?,
            ignored: row.get(3)?,
            held: row.get(4)?,
            dead: row.get(5)?,
            rejected: row.get(6)?,
            duplicates: row.get(7)?,
        };
        Ok((HalfHour::of(at), flows))
    })?;
    rows.collect()
}

/// Returns what became of the events that were received since a time.
pub(super) fn balances(
    connection: &Connection,
    since: Timestamp,
) -> Result<BTreeMap<SourceName, Balance>, SqliteError> {
    // One snapshot: an event must not be counted with its half hour and by itself.
    let snapshot = connection.unchecked_transaction()?;
    let begun = HalfHour::of(since);
    let mut balances = BTreeMap::new();
    // The half hour that the time is in counts as a whole for what is only counted, and its events one by
    // one.
    let is_whole = begun.begins_at() == since;
    let first = if is_whole { begun } else { begun.plus(1) };
    read_balances(&snapshot, &mut balances, (begun, first))?;
    if !is_whole {
        count_received(&snapshot, &mut balances, (since, first.begins_at()))?;
    }
    Ok(balances)
}

const BALANCES: &str = "
    SELECT source, at >= ?2, now_queued, now_delivered, now_ignored, now_held, now_dead, rejected,
        duplicates
    FROM half_hours WHERE at >= ?1";

fn read_balances(
    connection: &Connection,
    balances: &mut BTreeMap<SourceName, Balance>,
    (begun, first): (HalfHour, HalfHour),
) -> rusqlite::Result<()> {
    let mut query = connection.prepare_cached(BALANCES)?;
    let times = params![TimeColumn(begun.begins_at()), TimeColumn(first.begins_at())];
    let mut rows = query.query(times)?;
    // Summed up here: SQLite would sort all rows by their source first, which takes twice as long.
    let mut sums: BTreeMap<String, Balance> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let source = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
        match sums.get_mut(source) {
            Some(sum) => add(sum, row)?,
            None => add(sums.entry(source.to_owned()).or_default(), row)?,
        }
    }
    for (source, sum) in sums {
        if let Ok(source) = source.parse() {
            balances.insert(source, sum);
        }
    }
    Ok(())
}

fn add(sum: &mut Balance, row: &Row<'_>) -> rusqlite::Result<()> {
    if row.get(1)? {
        for (column, state) in (2..).zip(State::ALL) {
            // Below 0 where an older program stored the events, until they are counted anew.
            let events: i64 = row.get(column)?;
            sum.events.add(state, u64::try_from(events).unwrap_or(0));
        }
    }
    sum.rejected += row.get::<_, u64>(7)?;
    sum.duplicates += row.get::<_, u64>(8)?;
    Ok(())
}

// A range of an index for each source and state.
const RECEIVED: &str = "
    SELECT source, state, (
        SELECT count(*) FROM events INDEXED BY events_listed
        WHERE events.source = counts.source AND events.state = counts.state
            AND received_at >= ?1 AND received_at < ?2
    ) AS received FROM counts WHERE events > 0";

fn count_received(
    connection: &Connection,
    balances: &mut BTreeMap<SourceName, Balance>,
    (since, until): (Timestamp, Timestamp),
) -> rusqlite::Result<()> {
    let mut query = connection.prepare_cached(RECEIVED)?;
    let mut rows = query.query(params![TimeColumn(since), TimeColumn(until)])?;
    while let Some(row) = rows.next()? {
        let (SourceColumn(source), EnumColumn(state)) = (row.get(0)?, row.get(1)?);
        let received: u64 = row.get(2)?;
        if received > 0 {
            balances.entry(source).or_default().events.add(state, received);
        }
    }
    Ok(())
}

pub(super) fn webhooks(
    connection: &Connection,
    since: HalfHour,
) -> Result<BTreeMap<SourceName, Vec<(HalfHour, u64)>>, SqliteError> {
    let sql = "SELECT source, at, webhooks FROM half_hours WHERE at >= ?1 AND webhooks > 0
               ORDER BY at";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([TimeColumn(since.begins_at())])?;
    let mut webhooks: BTreeMap<SourceName, Vec<(HalfHour, u64)>> = BTreeMap::new();
    while let Some(row) = rows.next()? {
        let (SourceColumn(source), TimeColumn(at)) = (row.get(0)?, row.get(1)?);
        webhooks.entry(source).or_default().push((HalfHour::of(at), row.get(2)?));
    }
    Ok(webhooks)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn half_hours_are_read_in_a_range_of_one_index() {
        for (sql, plan) in [
            (ALL, "SEARCH half_hours USING PRIMARY KEY (at>? AND at<?)"),
            (OF_ONE, "SEARCH half_hours USING INDEX half_hours_of (source=? AND at>? AND at<?)"),
            (OF_SOME, "SEARCH half_hours USING PRIMARY KEY (at>? AND at<?)"),
            (BALANCES, "SEARCH half_hours USING PRIMARY KEY (at>?)"),
            (
                RECEIVED,
                "SEARCH events USING COVERING INDEX events_listed (source=? AND state=? AND \
                 received_at>? AND received_at<?)",
            ),
        ] {
            let steps = query_plan(sql);

            assert!(steps.iter().any(|step| step == plan), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{steps:?}");
        }
    }
}
