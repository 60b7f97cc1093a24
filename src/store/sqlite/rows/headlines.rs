//! Reads the headline of an event.

use rusqlite::{Connection, OptionalExtension, params};
use serde::de::DeserializeOwned;

use super::columns::ShownColumn;
use crate::event::Request;
use crate::store::headline::Headline;

/// Size up to which the requests that an older program wrote are read for their headline.
// A page of 500 such events should not read gigabytes.
const REQUESTS_BYTES_MAX: usize = 64 * 1024;

/// Returns the event's headline, which is empty before the event is mapped. Without a plan, it is that of a
/// mapping that failed.
pub(crate) fn read(connection: &Connection, event: i64) -> rusqlite::Result<Headline> {
    let sql = "SELECT CASE WHEN plans.event IS NULL THEN events.headline ELSE plans.headline END,
                   CASE WHEN plans.headline IS NULL AND octet_length(requests) <= ?2 THEN requests END
               FROM events LEFT JOIN plans ON plans.event = events.number WHERE events.number = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let plan = query.query_row(params![event, REQUESTS_BYTES_MAX], |row| {
        let (headline, requests): (Option<ShownColumn>, Option<ShownColumn>) =
            (row.get(0)?, row.get(1)?);
        let requests = || parsed(requests).map(|it: Vec<Request>| Headline::of(&it));
        Ok(parsed(headline).or_else(requests))
    });
    Ok(plan.optional()?.flatten().unwrap_or_default())
}

// Invalid JSON must not hide the other events of a page; the event's own page notes it.
fn parsed<T: DeserializeOwned>(column: Option<ShownColumn>) -> Option<T> {
    column.and_then(|ShownColumn(json)| serde_json::from_str(&json).ok())
}
