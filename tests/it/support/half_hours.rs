//! Compares what is counted by half hours with the events of a store.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::Connection;
use savio_relay::event::State;

/// What happened in all half hours of all sources.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Totals {
    pub(crate) accepted: i64,
    /// Events that became delivered, ignored, held or dead.
    pub(crate) settled: i64,
    pub(crate) duplicates: i64,
    pub(crate) webhooks: i64,
    /// Events that are stored and not settled.
    pub(crate) queued: i64,
}

/// All that happened, by source and half hour.
pub(crate) type Happened = BTreeMap<(String, i64), Vec<i64>>;

/// Begin of the half hour that a time in microseconds is in.
const BEGIN: &str = "time - ((time % 1800000000) + 1800000000) % 1800000000";

/// Differences between the balances and the events: there may be none.
fn balances() -> String {
    let counted = State::ALL.map(|state| {
        let state = state.as_str();
        format!("UNION ALL SELECT source, at, '{state}', -now_{state} FROM half_hours")
    });
    let begin = BEGIN.replace("time", "received_at");
    format!(
        "SELECT source || ' ' || state, at, sum(n) FROM (
             SELECT source, {begin} AS at, state, 1 AS n FROM events {})
         GROUP BY source, at, state HAVING sum(n) <> 0",
        counted.join(" ")
    )
}

/// Half hours in which less is counted than the events show.
fn shown(column: &str, time: &str, condition: &str) -> String {
    let begin = BEGIN.replace("time", time);
    format!(
        "SELECT source || ' {column}', at, sum(n) FROM (
             SELECT source, {begin} AS at, 1 AS n FROM events WHERE {condition}
             UNION ALL SELECT source, at, -{column} FROM half_hours)
         GROUP BY source, at HAVING sum(n) > 0"
    )
}

/// Checks that the balances are those of the events, and that no event happened without being counted.
/// Returns the totals.
pub(crate) fn check(path: &Path) -> Result<Totals, String> {
    let store = Connection::open(path).unwrap();
    // One moment, while others may write.
    let store = store.unchecked_transaction().unwrap();
    let settled = |state| shown(state, "settled_at", &format!("state = '{state}'"));
    for sql in [
        balances(),
        shown("accepted", "received_at", "true"),
        settled("delivered"),
        settled("ignored"),
        settled("dead"),
    ] {
        let mut query = store.prepare(&sql).unwrap();
        let wrong = query.query_map([], |row| {
            let (what, at, by): (String, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
            Ok(format!("{what} of {at} by {by}"))
        });
        let wrong: Vec<String> = wrong.unwrap().map(Result::unwrap).collect();
        if !wrong.is_empty() {
            return Err(format!("counted by half hours is less or more: {wrong:?}"));
        }
    }
    let sql =
        "SELECT coalesce(sum(accepted), 0), coalesce(sum(delivered + ignored + held + dead), 0),
                   coalesce(sum(duplicates), 0), coalesce(sum(webhooks), 0),
                   coalesce(sum(now_queued), 0)
               FROM half_hours";
    let totals = store.query_row(sql, [], |row| {
        Ok(Totals {
            accepted: row.get(0)?,
            settled: row.get(1)?,
            duplicates: row.get(2)?,
            webhooks: row.get(3)?,
            queued: row.get(4)?,
        })
    });
    Ok(totals.unwrap())
}

pub(crate) fn happened(path: &Path) -> Happened {
    let store = Connection::open(path).unwrap();
    let sql = "SELECT source, at, accepted, delivered, ignored, held, dead, rejected, duplicates,
                   webhooks FROM half_hours";
    let mut query = store.prepare(sql).unwrap();
    let rows = query.query_map([], |row| {
        let flows =
            (2..10).map(|column| row.get(column)).collect::<rusqlite::Result<Vec<i64>>>()?;
        Ok(((row.get(0)?, row.get(1)?), flows))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

/// Returns whether nothing that happened before is gone.
pub(crate) fn only_grew(before: &Happened, after: &Happened) -> bool {
    before.iter().all(|(place, flows)| {
        let now = after.get(place);
        now.is_some_and(|now| flows.iter().zip(now).all(|(before, now)| before <= now))
    })
}
