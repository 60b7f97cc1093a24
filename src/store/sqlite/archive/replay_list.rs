//! Replays as people see them: the progress of one, and the list.

use rusqlite::{Connection, OptionalExtension, Row, params};

use crate::store::replay::{
    ListedReplay, ReplayCursor, ReplayId, ReplayPage, ReplayProgress, ReplayResults,
};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::rows::columns::{ShownColumn, TimeColumn};

const LIMIT_MAX: usize = 500;

/// Condition for a replay that has anything left to find, to restore or to deliver; that of its index.
const RUNNING: &str = "(ended = 0 OR waiting > 0 \
    OR followed > given_back + delivered + dead + ignored + held)";

const COLUMNS: &str = "replays.number, id, begun_at, matched, replayed, waiting, given_back, \
    canceled_at, ended = 0, followed, delivered, dead, ignored, held";

pub(crate) fn progress(
    connection: &Connection,
    id: ReplayId,
) -> Result<Option<ReplayProgress>, SqliteError> {
    let sql = format!("SELECT {COLUMNS} FROM replays WHERE id = ?1");
    let mut query = connection.prepare_cached(&sql)?;
    Ok(query.query_row([id.as_bytes()], progress_from_row).optional()?)
}

fn progress_from_row(row: &Row<'_>) -> rusqlite::Result<ReplayProgress> {
    let TimeColumn(begun_at) = row.get(2)?;
    let canceled_at: Option<TimeColumn> = row.get(7)?;
    let (replayed, given_back): (u64, u64) = (row.get(4)?, row.get(6)?);
    let followed: u64 = row.get(9)?;
    let (delivered, dead, ignored, held): (u64, u64, u64, u64) =
        (row.get(10)?, row.get(11)?, row.get(12)?, row.get(13)?);
    let queued = followed.saturating_sub(given_back + delivered + dead + ignored + held);
    let results = ReplayResults { delivered, dead, ignored, held, queued };
    Ok(ReplayProgress {
        id: ReplayId::from_bytes(row.get(1)?),
        begun_at,
        matched: row.get(3)?,
        replayed,
        waiting: row.get(5)?,
        given_back,
        canceled_at: canceled_at.map(|TimeColumn(canceled_at)| canceled_at),
        has_more: row.get(8)?,
        results: (followed == replayed).then_some(results),
    })
}

fn list_sql(is_running: bool) -> String {
    // Those that have ended are almost all, and in the order of the table.
    let (index, condition) = if is_running {
        ("INDEXED BY replays_running", RUNNING.to_owned())
    } else {
        ("NOT INDEXED", format!("NOT {RUNNING}"))
    };
    format!(
        "SELECT {COLUMNS}, audit.who, audit.target FROM replays {index}
             LEFT JOIN audit ON audit.number = replays.audit
         WHERE {condition} AND replays.number < ?1 ORDER BY replays.number DESC LIMIT ?2"
    )
}

pub(crate) fn list(
    connection: &Connection,
    limit: usize,
    after: Option<ReplayCursor>,
) -> Result<ReplayPage, SqliteError> {
    // One snapshot: one that ends between the two reads would be in neither.
    let snapshot = connection.unchecked_transaction()?;
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut found: Vec<(ReplayCursor, ListedReplay)> = Vec::new();
    for is_running in [true, false] {
        let before = match after {
            Some(after) if after.is_running == is_running => after.number,
            // The page before ended behind all that run.
            Some(ReplayCursor { is_running: false, .. }) => continue,
            Some(_) | None => i64::MAX,
        };
        let mut query = snapshot.prepare_cached(&list_sql(is_running))?;
        // One more than the page shows whether there is a next page.
        let rows = query.query_map(params![before, limit + 1 - found.len()], |row| {
            let (by, which): (Option<ShownColumn>, Option<ShownColumn>) =
                (row.get(14)?, row.get(15)?);
            let progress = progress_from_row(row)?;
            let (by, which) = (by.map(|ShownColumn(by)| by), which.map(|ShownColumn(it)| it));
            let cursor = ReplayCursor { is_running, number: row.get(0)? };
            Ok((cursor, ListedReplay { progress, by, which }))
        })?;
        for row in rows {
            found.push(row?);
        }
    }
    let has_more = found.len() > limit;
    found.truncate(limit);
    let next = found.last().map(|(cursor, _)| *cursor).filter(|_| has_more);
    Ok(ReplayPage { replays: found.into_iter().map(|(_, replay)| replay).collect(), next })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn page_reads_no_replay_before_it() {
        for is_running in [true, false] {
            let plan = query_plan(&list_sql(is_running));

            assert!(!plan.iter().any(|step| step.contains("TEMP B-TREE")), "{plan:?}");
            assert!(plan[0].starts_with("SEARCH replays"), "{plan:?}");
            assert_eq!(is_running, plan[0].contains("replays_running"), "{plan:?}");
        }
    }
}
