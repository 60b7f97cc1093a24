//! Rejected webhooks in the store.

use std::borrow::Cow;
use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, params};
use serde_json::{Value, json};

use crate::event::SourceName;
use crate::store::filter::{Cursor, PageRequest};
use crate::store::flows::Flow;
use crate::store::rejection::{
    REJECTIONS_OF_SOURCE_MAX, RejectionBatch, RejectionFilter, RejectionPage, RejectionRecord,
};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::rows::columns::{
    JsonColumn, ShownColumn, SourceColumn, TimeColumn, text_column,
};

/// Name of the stored state that has the id of the last batch.
const LAST_BATCH: &str = "rejections";

/// Number of rows that one step deletes: one commit, for which webhooks wait.
const PURGED_MAX: usize = 500;

pub(in crate::store::sqlite) fn write(
    transaction: &Transaction<'_>,
    batch: &RejectionBatch,
) -> Result<(), SqliteError> {
    for record in &batch.records {
        put(transaction, record)?;
    }
    let sources: BTreeSet<&SourceName> = batch.records.iter().map(|it| &it.source).collect();
    for source in sources {
        trim(transaction, source)?;
    }
    // The counts add up, unlike the records: those of a batch that was committed, and reported as
    // failed all the same, are there already.
    if is_counted(transaction, batch)? {
        return Ok(());
    }
    for ((source, at), rejected) in &batch.counts {
        let rejected = i64::try_from(*rejected).unwrap_or(i64::MAX);
        transaction.happened(source.as_str(), at.begins_at(), (Flow::Rejected, rejected));
    }
    Ok(())
}

fn put(connection: &Connection, record: &RejectionRecord) -> rusqlite::Result<()> {
    let sql = "INSERT INTO rejections
                   (source, first_at, at, status, error, reason, hint, client, bytes, headers, count)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11)
               ON CONFLICT (source, first_at, error, hint, client)
               DO UPDATE SET at = excluded.at, count = excluded.count";
    connection.prepare_cached(sql)?.execute(params![
        record.source.as_str(),
        TimeColumn(record.first_at),
        TimeColumn(record.at),
        record.status,
        record.error,
        record.reason,
        record.hint.as_deref().unwrap_or_default(),
        record.client.map(|client| client.to_string()).unwrap_or_default(),
        record.bytes,
        JsonColumn(&record.headers),
        record.count,
    ])?;
    Ok(())
}

/// Deletes the oldest rows of a source that are too many.
fn trim(connection: &Connection, source: &SourceName) -> rusqlite::Result<()> {
    let sql = "DELETE FROM rejections WHERE number IN (
                   SELECT number FROM rejections INDEXED BY rejections_of WHERE source = ?1
                   ORDER BY at DESC, number DESC LIMIT ?2 OFFSET ?3)";
    let excess = params![source.as_str(), PURGED_MAX, REJECTIONS_OF_SOURCE_MAX];
    connection.prepare_cached(sql)?.execute(excess)?;
    Ok(())
}

/// Returns whether the counts of the batch are written, and remembers it as the last one.
fn is_counted(connection: &Connection, batch: &RejectionBatch) -> rusqlite::Result<bool> {
    let id = json!(batch.id.to_string());
    let sql = "SELECT state FROM gates WHERE name = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let last: Option<JsonColumn<Value>> =
        query.query_row([LAST_BATCH], |row| row.get(0)).optional()?;
    if last.is_some_and(|JsonColumn(last)| last == id) {
        return Ok(true);
    }
    let sql = "INSERT INTO gates (name, state) VALUES (?1, ?2)
               ON CONFLICT (name) DO UPDATE SET state = excluded.state";
    connection.prepare_cached(sql)?.execute(params![LAST_BATCH, JsonColumn(id)])?;
    Ok(false)
}

pub(super) fn list(
    connection: &Connection,
    filter: &RejectionFilter,
    page: PageRequest,
) -> rusqlite::Result<RejectionPage> {
    let limit = page.limit.clamp(1, REJECTIONS_OF_SOURCE_MAX);
    let from = filter.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let (after, number) =
        page.after.map_or((i64::MAX, 0), |it| (it.received_at.as_microsecond(), it.number));
    let mut query = connection.prepare_cached(&list_sql(filter))?;
    let source = filter.source.as_ref().map(SourceName::as_str);
    // One more than the page shows whether there is a next page.
    let rows = query.query_map(params![source, from, after, number, limit + 1], from_row)?;
    let mut found: Vec<(Cursor, RejectionRecord)> = rows.collect::<rusqlite::Result<_>>()?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|(cursor, _)| *cursor).filter(|_| has_more);
    Ok(RejectionPage { rejected: found.into_iter().map(|(_, record)| record).collect(), next })
}

fn list_sql(filter: &RejectionFilter) -> String {
    let (index, condition) = match filter.source {
        None => ("rejections_listed", "?1 IS NULL"),
        Some(_) => ("rejections_of", "source = ?1"),
    };
    format!(
        "SELECT at, number, source, first_at, status, error, reason, hint, client, bytes, headers, count
         FROM rejections INDEXED BY {index}
         WHERE {condition} AND at BETWEEN ?2 AND ?3 AND (at <> ?3 OR number < ?4)
         ORDER BY at DESC, number DESC LIMIT ?5"
    )
}

fn from_row(row: &Row<'_>) -> rusqlite::Result<(Cursor, RejectionRecord)> {
    let (TimeColumn(at), SourceColumn(source)) = (row.get(0)?, row.get(2)?);
    let (TimeColumn(first_at), JsonColumn(headers)) = (row.get(3)?, row.get(10)?);
    let (ShownColumn(error), ShownColumn(reason)) = (row.get(5)?, row.get(6)?);
    let record = RejectionRecord {
        source,
        at,
        first_at,
        count: row.get(11)?,
        status: row.get(4)?,
        error: Cow::Owned(error),
        reason,
        hint: text_column(row, 7)?.filter(|hint| !hint.is_empty()),
        client: text_column(row, 8)?.and_then(|client| client.parse().ok()),
        bytes: row.get(9)?,
        headers,
    };
    Ok((Cursor { received_at: at, number: row.get(1)? }, record))
}

/// Returns whether there are rows from before this time.
pub(in crate::store::sqlite) fn has_expired(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM rejections INDEXED BY rejections_listed WHERE at < ?1";
    connection.prepare_cached(sql)?.exists([TimeColumn(before)])
}

/// Deletes some rows from before this time.
pub(in crate::store::sqlite) fn purge(
    connection: &Connection,
    before: Timestamp,
) -> rusqlite::Result<()> {
    let sql = "DELETE FROM rejections WHERE number IN (
                   SELECT number FROM rejections INDEXED BY rejections_listed
                   WHERE at < ?1 LIMIT ?2)";
    connection.prepare_cached(sql)?.execute(params![TimeColumn(before), PURGED_MAX])?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn page_is_found_by_an_index_with_each_filter() {
        let of_source =
            RejectionFilter { source: "form".parse().ok(), ..RejectionFilter::default() };
        for (filter, index) in [
            (RejectionFilter::default(), "rejections_listed (at>? AND at<?)"),
            (of_source, "rejections_of (source=? AND at>? AND at<?)"),
        ] {
            let step = format!("SEARCH rejections USING INDEX {index}");
            assert_eq!(query_plan(&list_sql(&filter)), [step]);
        }
    }
}
