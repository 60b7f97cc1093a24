//! The half hours in which the relay ran.

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::store::monitoring::LiveSources;
use crate::store::sqlite::rows::columns::{JsonColumn, TimeColumn};

pub(super) fn since(
    connection: &Connection,
    since: Timestamp,
) -> rusqlite::Result<Vec<LiveSources>> {
    let sql = "SELECT at, sources FROM live_half_hours WHERE at >= ?1 ORDER BY at";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map([TimeColumn(since)], |row| {
        let (TimeColumn(at), JsonColumn(sources)) = (row.get(0)?, row.get(1)?);
        Ok(LiveSources { at, sources })
    })?;
    rows.collect()
}

pub(super) fn write(
    connection: &Connection,
    live: &LiveSources,
    kept_since: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "INSERT INTO live_half_hours (at, sources) VALUES (?1, ?2)
               ON CONFLICT (at) DO UPDATE SET sources = excluded.sources";
    let live = params![TimeColumn(live.at), JsonColumn(&live.sources)];
    connection.prepare_cached(sql)?.execute(live)?;
    let sql = "DELETE FROM live_half_hours WHERE at < ?1";
    connection.prepare_cached(sql)?.execute([TimeColumn(kept_since)])?;
    Ok(())
}
