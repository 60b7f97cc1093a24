//! Fields that were left out of an event's requests.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use super::advance::there_is;
use super::failure::Failure;
use super::row::Json;
use crate::event::Request;
use crate::store::Shorter;

/// From now on the request is sent without the fields, and waits for that.
pub(super) fn shorten(
    connection: &Connection,
    event: i64,
    Shorter { position, left_out }: &Shorter,
) -> Result<(), Failure> {
    let sql = "SELECT requests FROM plans WHERE event = ?1";
    let Json(mut plan) = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0))?;
    let requests: &mut Vec<Request> = &mut plan;
    if let Some(request) = requests.get_mut(*position) {
        request.leave_out(left_out);
    }
    let sql = "UPDATE plans SET requests = ?2 WHERE event = ?1";
    connection.prepare_cached(sql)?.execute(params![event, Json(&plan)])?;
    let sql = "UPDATE requests SET state = 'waiting', left_out = ?3
               WHERE event = ?1 AND position = ?2";
    let changed =
        connection.prepare_cached(sql)?.execute(params![event, position, Json(left_out)])?;
    there_is(changed, *position)?;
    add(connection, event, left_out)
}

/// Adds to the names that the event has.
pub(super) fn add<'f>(
    connection: &Connection,
    event: i64,
    fields: impl IntoIterator<Item = &'f String>,
) -> Result<(), Failure> {
    let mut fields = fields.into_iter().cloned().peekable();
    if fields.peek().is_none() {
        return Ok(());
    }
    let sql = "SELECT left_out FROM events WHERE number = ?1";
    let Json(mut names) = connection.prepare_cached(sql)?.query_row([event], |row| row.get(0))?;
    let all: &mut BTreeSet<String> = &mut names;
    all.extend(fields);
    let sql = "UPDATE events SET left_out = ?2 WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, Json(&names)])?;
    Ok(())
}
