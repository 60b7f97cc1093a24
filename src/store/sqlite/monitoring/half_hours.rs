//! Reads what is counted by half hours.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::event::SourceName;
use crate::store::flows::Flows;
use crate::store::half_hour::HalfHour;
use crate::store::monitoring::SeriesRequest;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{JsonColumn, SourceColumn, TimeColumn};

/// Half hours of one read: a month, which takes some milliseconds with fifty sources.
pub(super) const READ_MAX: i64 = 31 * 48;

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
        let Some(first) = first(connection, self.next, Some(self.request.until))? else {
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
pub(super) fn first(
    connection: &Connection,
    since: HalfHour,
    until: Option<HalfHour>,
) -> rusqlite::Result<Option<HalfHour>> {
    let sql = "SELECT min(at) FROM half_hours WHERE at >= ?1 AND at < ?2";
    let until = until.map_or(i64::MAX, |until| until.begins_at().as_microsecond());
    let times = params![TimeColumn(since.begins_at()), until];
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
        ] {
            let steps = query_plan(sql);

            assert!(steps.iter().any(|step| step == plan), "{steps:?}");
            assert!(!steps.iter().any(|step| step.contains("B-TREE")), "{steps:?}");
        }
    }
}
