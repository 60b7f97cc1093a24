//! The audit: its entries, pages of them, and their removal after a year.

use jiff::Timestamp;
use rusqlite::{Connection, Row, params};

use crate::store::audit::{
    AuditAction, AuditEntry, AuditFilter, AuditNames, AuditPage, NewAuditEntry,
};
use crate::store::filter::{Cursor, PageRequest};
use crate::store::sqlite::rows::columns::{ShownColumn, TimeColumn};

const LIMIT_MAX: usize = 500;

/// Number of entries that one step deletes: one commit, for which webhooks wait.
const PURGED_MAX: usize = 500;

/// Number of people and of actions that are named as filters.
const NAMES_MAX: usize = 200;

/// Records an action, and returns the number of its entry.
pub(crate) fn insert(connection: &Connection, entry: &NewAuditEntry) -> rusqlite::Result<i64> {
    let sql = "INSERT INTO audit
                   (at, who, via, action, target, count, detail, digest_before, digest_after)
               VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";
    connection.prepare_cached(sql)?.insert(params![
        TimeColumn(entry.at),
        entry.by.who,
        entry.by.via.as_str(),
        entry.action.as_str(),
        entry.on,
        entry.count,
        entry.detail,
        entry.digest_before,
        entry.digest_after,
    ])
}

pub(super) fn list(
    connection: &Connection,
    filter: &AuditFilter,
    page: PageRequest,
) -> rusqlite::Result<AuditPage> {
    let limit = page.limit.clamp(1, LIMIT_MAX);
    let from = filter.since.map_or(i64::MIN, Timestamp::as_microsecond);
    let to = filter.until.map_or(i64::MAX, |until| until.as_microsecond() - 1);
    let (after, number) =
        page.after.map_or((i64::MAX, 0), |it| (it.received_at.as_microsecond(), it.number));
    let mut query = connection.prepare_cached(&list_sql(filter))?;
    let rows = query.query_map(
        params![
            from,
            to.min(after),
            after,
            number,
            filter.who,
            filter.action.map(AuditAction::as_str),
            // One more than the page shows whether there is a next page.
            limit + 1,
        ],
        entry_from_row,
    )?;
    let mut found: Vec<(Cursor, AuditEntry)> = rows.collect::<rusqlite::Result<_>>()?;
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|(cursor, _)| *cursor).filter(|_| has_more);
    Ok(AuditPage { entries: found.into_iter().map(|(_, entry)| entry).collect(), next })
}

fn list_sql(filter: &AuditFilter) -> String {
    let (index, condition) = match (&filter.who, filter.action) {
        (None, None) => ("audit_listed", "?5 IS NULL AND ?6 IS NULL"),
        (Some(_), None) => ("audit_of_person", "who = ?5 AND ?6 IS NULL"),
        (None, Some(_)) => ("audit_of_action", "?5 IS NULL AND action = ?6"),
        (Some(_), Some(_)) => ("audit_of_person_and_action", "who = ?5 AND action = ?6"),
    };
    // SQLite has no statistics of the table, and would sort or scan it with another index. The
    // position is compared by `<>` and `OR`, which leaves the range of `at` to the index.
    format!(
        "SELECT at, number, who, via, action, target, count, detail, digest_before, digest_after
         FROM audit INDEXED BY {index}
         WHERE {condition} AND at BETWEEN ?1 AND ?2 AND (at <> ?3 OR number < ?4)
         ORDER BY at DESC, number DESC LIMIT ?7"
    )
}

fn entry_from_row(row: &Row<'_>) -> rusqlite::Result<(Cursor, AuditEntry)> {
    // Text that is not UTF-8, as after damage, would fail the whole page for one entry.
    let text = |column| row.get(column).map(|ShownColumn(text)| text);
    let optional = |column| -> rusqlite::Result<Option<String>> {
        let text: Option<ShownColumn> = row.get(column)?;
        Ok(text.map(|ShownColumn(text)| text))
    };
    let TimeColumn(at) = row.get(0)?;
    let entry = AuditEntry {
        at,
        who: text(2)?,
        via: text(3)?,
        action: text(4)?,
        on: optional(5)?,
        count: row.get(6)?,
        detail: optional(7)?,
        digest_before: optional(8)?,
        digest_after: optional(9)?,
    };
    Ok((Cursor { received_at: at, number: row.get(1)? }, entry))
}

/// Returns whether there are entries from before this time.
pub(crate) fn has_expired(connection: &Connection, before: Timestamp) -> rusqlite::Result<bool> {
    let sql = "SELECT 1 FROM audit INDEXED BY audit_listed WHERE at < ?1";
    connection.prepare_cached(sql)?.exists([TimeColumn(before)])
}

/// Deletes entries from before this time, and returns whether there are more.
pub(crate) fn purge(connection: &Connection, before: Timestamp) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM audit WHERE number IN
                   (SELECT number FROM audit INDEXED BY audit_listed WHERE at < ?1 LIMIT ?2)";
    let deleted =
        connection.prepare_cached(sql)?.execute(params![TimeColumn(before), PURGED_MAX])?;
    Ok(deleted == PURGED_MAX)
}

pub(super) fn names(connection: &Connection) -> rusqlite::Result<AuditNames> {
    Ok(AuditNames {
        people: distinct(connection, "who", "audit_of_person")?,
        actions: distinct(connection, "action", "audit_of_action")?,
    })
}

/// Returns the values of a column, by one search in its index for each.
// `SELECT DISTINCT` would read all of the index.
fn distinct(connection: &Connection, column: &str, index: &str) -> rusqlite::Result<Vec<String>> {
    let mut query = connection.prepare_cached(&next_sql(column, index))?;
    let mut names: Vec<String> = Vec::new();
    while names.len() < NAMES_MAX {
        let last = names.last().map_or("", String::as_str);
        let next: Option<String> = query.query_row([last], |row| row.get(0))?;
        let Some(next) = next else { break };
        names.push(next);
    }
    Ok(names)
}

fn next_sql(column: &str, index: &str) -> String {
    format!("SELECT min({column}) FROM audit INDEXED BY {index} WHERE {column} > ?1")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn page_is_found_by_an_index_with_each_filter() {
        let (who, action) = (Some("mia".to_owned()), Some(AuditAction::Replay));
        for (who, action, step) in [
            (None, None, "audit_listed (at>? AND at<?)"),
            (who.clone(), None, "audit_of_person (who=? AND at>? AND at<?)"),
            (None, action, "audit_of_action (action=? AND at>? AND at<?)"),
            (who, action, "audit_of_person_and_action (who=? AND action=? AND at>? AND at<?)"),
        ] {
            let filter = AuditFilter { who, action, ..AuditFilter::default() };
            assert_eq!(
                query_plan(&list_sql(&filter)),
                [format!("SEARCH audit USING INDEX {step}")]
            );
        }
    }

    #[test]
    fn name_is_found_by_one_search_in_an_index() {
        for (column, index) in [("who", "audit_of_person"), ("action", "audit_of_action")] {
            let step = format!("SEARCH audit USING COVERING INDEX {index} ({column}>?)");
            assert_eq!(query_plan(&next_sql(column, index)), [step]);
        }
    }
}
