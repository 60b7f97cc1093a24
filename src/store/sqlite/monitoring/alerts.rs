//! What targets of alerts were sent.

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use super::issues::IssueIdColumn;
use crate::store::alert::{AlertRecord, AlertTarget, ToldIssue};
use crate::store::sqlite::rows::columns::{ShownColumn, TimeColumn};

pub(super) fn record(
    connection: &Connection,
    name: &str,
    closed_since: Timestamp,
) -> rusqlite::Result<Option<AlertRecord>> {
    let sql =
        "SELECT name, scope, first_seen, hour_began, messages FROM alert_targets WHERE name = ?1";
    let target = connection.prepare_cached(sql)?.query_row([name], |row| {
        let (ShownColumn(name), ShownColumn(scope)) = (row.get(0)?, row.get(1)?);
        let (TimeColumn(first_seen), TimeColumn(hour_began)) = (row.get(2)?, row.get(3)?);
        Ok(AlertTarget { name, scope, first_seen, hour_began, messages: row.get(4)? })
    });
    let Some(target) = target.optional()? else { return Ok(None) };
    let sql =
        "SELECT issue, is_open, at, messages FROM told_issues WHERE target = ?1 AND issue IN (
                   SELECT id FROM issues INDEXED BY issues_open WHERE closed_at IS NULL
                   UNION ALL SELECT id FROM issues INDEXED BY issues_closed WHERE closed_at >= ?2)";
    let mut query = connection.prepare_cached(sql)?;
    let rows = query.query_map(params![name, TimeColumn(closed_since)], |row| {
        let (IssueIdColumn(issue), TimeColumn(at)) = (row.get(0)?, row.get(2)?);
        Ok(ToldIssue { issue, is_open: row.get(1)?, at, messages: row.get(3)? })
    })?;
    let told = rows.collect::<rusqlite::Result<_>>()?;
    Ok(Some(AlertRecord { target, told }))
}

pub(super) fn write(connection: &Connection, record: &AlertRecord) -> rusqlite::Result<()> {
    let AlertTarget { name, scope, first_seen, hour_began, messages } = &record.target;
    let sql = "INSERT OR REPLACE INTO alert_targets (name, scope, first_seen, hour_began, messages)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let (first_seen, hour_began) = (TimeColumn(*first_seen), TimeColumn(*hour_began));
    connection
        .prepare_cached(sql)?
        .execute(params![name, scope, first_seen, hour_began, messages])?;
    let sql = "INSERT OR REPLACE INTO told_issues (issue, target, is_open, at, messages)
               VALUES (?1, ?2, ?3, ?4, ?5)";
    let mut insert = connection.prepare_cached(sql)?;
    for ToldIssue { issue, is_open, at, messages } in &record.told {
        let values = params![IssueIdColumn(*issue), name, is_open, TimeColumn(*at), messages];
        insert.execute(values)?;
    }
    Ok(())
}
