//! Reads what became of the events that were received since a time.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use super::half_hours::{READ_MAX, first};
use crate::event::{SourceName, State};
use crate::store::half_hour::HalfHour;
use crate::store::monitoring::Balance;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{EnumColumn, SourceColumn, TimeColumn};

/// Balances that are read step by step. Each event is in one half hour, whatever becomes of it meanwhile, so that
/// none is missed or counted twice.
pub(super) struct BalanceReader {
    since: Timestamp,
    /// Begin of the next read; none at the end.
    next: Option<HalfHour>,
    sums: BTreeMap<String, Balance>,
}

impl BalanceReader {
    pub(super) fn new(since: Timestamp) -> BalanceReader {
        BalanceReader { since, next: Some(HalfHour::of(since)), sums: BTreeMap::new() }
    }

    pub(super) fn is_complete(&self) -> bool {
        self.next.is_none()
    }

    pub(super) fn into_balances(self) -> BTreeMap<SourceName, Balance> {
        // A name that is none cannot be asked for either.
        let named = self.sums.into_iter().filter_map(|(name, sum)| Some((name.parse().ok()?, sum)));
        named.collect()
    }

    pub(super) fn read_next(
        mut self,
        connection: &Connection,
    ) -> Result<BalanceReader, SqliteError> {
        let Some(next) = self.next else { return Ok(self) };
        // One snapshot: an event must not be counted with its half hour and by itself.
        let snapshot = connection.unchecked_transaction()?;
        let begun = HalfHour::of(self.since);
        // Of the half hour that the time is in, the events count one by one.
        let whole_from = if begun.begins_at() == self.since { begun } else { begun.plus(1) };
        if next == begun && whole_from > begun {
            self.count_received(&snapshot, whole_from.begins_at())?;
        }
        let Some(first) = first(&snapshot, next, None)? else {
            self.next = None;
            return Ok(self);
        };
        let end = first.plus(READ_MAX);
        self.add_rows(&snapshot, (first, end), whole_from)?;
        self.next = Some(end);
        Ok(self)
    }

    fn add_rows(
        &mut self,
        connection: &Connection,
        (begin, end): (HalfHour, HalfHour),
        whole_from: HalfHour,
    ) -> rusqlite::Result<()> {
        let mut query = connection.prepare_cached(ROWS)?;
        let times = [begin, end, whole_from].map(|at| TimeColumn(at.begins_at()));
        let mut rows = query.query(times)?;
        // Summed up here: SQLite would sort all rows by their source first, which takes twice as long.
        while let Some(row) = rows.next()? {
            let source = row.get_ref(0)?.as_str().map_err(rusqlite::Error::from)?;
            match self.sums.get_mut(source) {
                Some(sum) => add(sum, row)?,
                None => add(self.sums.entry(source.to_owned()).or_default(), row)?,
            }
        }
        Ok(())
    }

    /// Counts the events that were received since the time and before another one.
    fn count_received(
        &mut self,
        connection: &Connection,
        until: Timestamp,
    ) -> rusqlite::Result<()> {
        let mut query = connection.prepare_cached(RECEIVED)?;
        let mut rows = query.query(params![TimeColumn(self.since), TimeColumn(until)])?;
        while let Some(row) = rows.next()? {
            let (SourceColumn(source), EnumColumn(state)) = (row.get(0)?, row.get(1)?);
            let received: u64 = row.get(2)?;
            if received > 0 {
                self.sums.entry(source.to_string()).or_default().events.add(state, received);
            }
        }
        Ok(())
    }
}

const ROWS: &str = "
    SELECT source, at >= ?3, now_queued, now_delivered, now_ignored, now_held, now_dead, rejected,
        duplicates
    FROM half_hours WHERE at >= ?1 AND at < ?2";

// A range of an index for each source and state.
const RECEIVED: &str = "
    SELECT source, state, (
        SELECT count(*) FROM events INDEXED BY events_listed
        WHERE events.source = counts.source AND events.state = counts.state
            AND received_at >= ?1 AND received_at < ?2
    ) AS received FROM counts WHERE events > 0";

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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn balances_are_read_in_ranges_of_indexes() {
        for (sql, plan) in [
            (ROWS, "SEARCH half_hours USING PRIMARY KEY (at>? AND at<?)"),
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
