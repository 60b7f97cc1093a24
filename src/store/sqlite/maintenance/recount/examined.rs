//! Compares the counts of one source with its events.

use std::collections::BTreeMap;

use rusqlite::{Connection, params};

use crate::event::State;
use crate::store::half_hour::HalfHour;
use crate::store::maintenance::Recounted;
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{EnumColumn, TimeColumn};

/// Differences between a source's counts and its events.
#[derive(Debug)]
pub(super) struct ExaminedSource {
    pub(super) wrong: WrongCounts,
    /// Half hours in which more events were received than were counted.
    pub(super) short: Vec<HalfHour>,
}

/// By how much counts differ.
#[derive(Debug, Default)]
pub(super) struct WrongCounts {
    states: Vec<(State, i64)>,
    half_hours: Vec<(HalfHour, Vec<(State, i64)>)>,
}

impl WrongCounts {
    pub(super) fn numbers(&self) -> Recounted {
        Recounted { counts: self.states.len(), half_hours: self.half_hours.len() }
    }

    /// Returns parts of at most so many half hours; none if nothing is wrong.
    pub(super) fn into_parts(mut self, half_hours: usize) -> Vec<WrongCounts> {
        let mut parts = Vec::new();
        while !self.states.is_empty() || !self.half_hours.is_empty() {
            let rest = self.half_hours.split_off(half_hours.min(self.half_hours.len()));
            let rest = WrongCounts { states: Vec::new(), half_hours: rest };
            parts.push(std::mem::replace(&mut self, rest));
        }
        parts
    }

    pub(super) fn correct(&self, transaction: &Transaction<'_>, source: &str) {
        for (state, by) in &self.states {
            transaction.correct_count(source, *state, *by);
        }
        for (at, states) in &self.half_hours {
            for change in states {
                transaction.correct_half_hour(source, *at, *change);
            }
        }
    }
}

/// Returns the first source after this name that has events or counts.
pub(super) fn next_source(
    connection: &Connection,
    after: &str,
) -> Result<Option<String>, SqliteError> {
    // The first entry of an index each.
    let sql = "SELECT min(source) FROM (
                   SELECT min(source) AS source FROM events INDEXED BY events_listed WHERE source > ?1
                   UNION ALL SELECT min(source) FROM counts WHERE source > ?1
                   UNION ALL SELECT min(source) FROM half_hours INDEXED BY half_hours_of
                       WHERE source > ?1)";
    Ok(connection.prepare_cached(sql)?.query_row([after], |row| row.get(0))?)
}

pub(super) fn examine(
    connection: &Connection,
    source: &str,
) -> Result<ExaminedSource, SqliteError> {
    // Counts and events of one moment.
    let snapshot = connection.unchecked_transaction()?;
    let mut differences = Differences::default();
    differences.add_events(&snapshot, source)?;
    differences.subtract_counts(&snapshot, source)?;
    let short = differences.subtract_half_hours(&snapshot, source)?;
    Ok(ExaminedSource { wrong: differences.wrong(), short })
}

/// Numbers of events by state, without those that are counted.
#[derive(Debug, Default)]
struct Differences {
    states: BTreeMap<&'static str, (State, i64)>,
    half_hours: BTreeMap<HalfHour, BTreeMap<&'static str, (State, i64)>>,
}

fn add(to: &mut BTreeMap<&'static str, (State, i64)>, state: State, by: i64) {
    to.entry(state.as_str()).or_insert((state, 0)).1 += by;
}

impl Differences {
    fn add_events(&mut self, connection: &Connection, source: &str) -> Result<(), SqliteError> {
        // In the order of the index, so that those of a half hour come together, and are summed up here:
        // SQLite does not know that they do, and would sort them all.
        let sql = "SELECT received_at FROM events INDEXED BY events_listed
                   WHERE source = ?1 AND state = ?2 ORDER BY received_at";
        let mut query = connection.prepare_cached(sql)?;
        for state in State::ALL {
            let mut rows = query.query(params![source, state.as_str()])?;
            let mut run: Option<(HalfHour, i64)> = None;
            while let Some(row) = rows.next()? {
                let TimeColumn(received_at) = row.get(0)?;
                let at = HalfHour::of(received_at);
                match &mut run {
                    Some((of, events)) if *of == at => *events += 1,
                    _ => self.add_run(state, run.replace((at, 1))),
                }
            }
            self.add_run(state, run);
        }
        Ok(())
    }

    fn add_run(&mut self, state: State, run: Option<(HalfHour, i64)>) {
        if let Some((at, events)) = run {
            add(&mut self.states, state, events);
            add(self.half_hours.entry(at).or_default(), state, events);
        }
    }

    fn subtract_counts(
        &mut self,
        connection: &Connection,
        source: &str,
    ) -> Result<(), SqliteError> {
        let sql = "SELECT state, events FROM counts WHERE source = ?1";
        let mut query = connection.prepare_cached(sql)?;
        let mut rows = query.query([source])?;
        while let Some(row) = rows.next()? {
            let EnumColumn(state) = row.get(0)?;
            add(&mut self.states, state, -row.get::<_, i64>(1)?);
        }
        Ok(())
    }

    /// Returns the half hours in which fewer events were counted as accepted than there are.
    fn subtract_half_hours(
        &mut self,
        connection: &Connection,
        source: &str,
    ) -> Result<Vec<HalfHour>, SqliteError> {
        let mut received: BTreeMap<HalfHour, i64> = BTreeMap::new();
        for (at, states) in &self.half_hours {
            received.insert(*at, states.values().map(|(_, events)| events).sum());
        }
        let sql = "SELECT at, accepted, now_queued, now_delivered, now_ignored, now_held, now_dead
                   FROM half_hours INDEXED BY half_hours_of WHERE source = ?1";
        let mut query = connection.prepare_cached(sql)?;
        let mut rows = query.query(params![source])?;
        while let Some(row) = rows.next()? {
            let TimeColumn(at) = row.get(0)?;
            let (at, accepted): (_, i64) = (HalfHour::of(at), row.get(1)?);
            if received.get(&at).is_some_and(|received| *received <= accepted) {
                received.remove(&at);
            }
            for (column, state) in (2..).zip(State::ALL) {
                let events: i64 = row.get(column)?;
                if events != 0 {
                    add(self.half_hours.entry(at).or_default(), state, -events);
                }
            }
        }
        Ok(received.into_keys().collect())
    }

    fn wrong(self) -> WrongCounts {
        let wrong = |states: BTreeMap<_, (State, i64)>| {
            let wrong: Vec<_> = states.into_values().filter(|(_, by)| *by != 0).collect();
            wrong
        };
        let half_hours = self.half_hours.into_iter().map(|(at, states)| (at, wrong(states)));
        let half_hours = half_hours.filter(|(_, states)| !states.is_empty()).collect();
        WrongCounts { states: wrong(self.states), half_hours }
    }
}
