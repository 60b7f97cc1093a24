//! Records fields that were left out of an event's requests.

use std::collections::BTreeSet;

use rusqlite::{Connection, params};

use crate::event::Request;
use crate::store::headline::Headline;
use crate::store::sqlite::rows::columns::JsonColumn;
use crate::store::sqlite::rows::headlines;

/// Removes the fields from the request in the plan, and makes it wait to be sent. Returns the
/// number of requests changed: one, unless the position does not exist.
pub(super) fn shorten(
    connection: &Connection,
    event: i64,
    (position, left_out): (usize, &[String]),
) -> rusqlite::Result<usize> {
    add(connection, event, left_out)?;
    let sql = "SELECT requests FROM plans WHERE event = ?1";
    let JsonColumn(mut plan) =
        connection.prepare_cached(sql)?.query_row([event], |row| row.get(0))?;
    let requests: &mut Vec<Request> = &mut plan;
    if let Some(request) = requests.get_mut(position) {
        request.leave_out(left_out);
    }
    // The address of the person may be what was left out, and what was said never is.
    let said = headlines::read(connection, event)?.summary;
    let headline = Headline::of(&*requests).saying(said.as_deref());
    let sql = "UPDATE plans SET requests = ?2, headline = ?3 WHERE event = ?1";
    let values = params![event, JsonColumn(&*requests), JsonColumn(headline)];
    connection.prepare_cached(sql)?.execute(values)?;
    let sql = "UPDATE requests SET state = 'waiting', left_out = ?3
               WHERE event = ?1 AND position = ?2";
    connection.prepare_cached(sql)?.execute(params![event, position, JsonColumn(left_out)])
}

/// Adds the fields to the names that the event has.
pub(super) fn add<'f>(
    connection: &Connection,
    event: i64,
    fields: impl IntoIterator<Item = &'f String>,
) -> rusqlite::Result<()> {
    let mut fields = fields.into_iter().cloned().peekable();
    // The usual case, which reads and writes nothing.
    if fields.peek().is_none() {
        return Ok(());
    }
    let sql = "SELECT left_out FROM events WHERE number = ?1";
    let JsonColumn(mut names) =
        connection.prepare_cached(sql)?.query_row([event], |row| row.get(0))?;
    let all: &mut BTreeSet<String> = &mut names;
    all.extend(fields);
    let sql = "UPDATE events SET left_out = ?2 WHERE number = ?1";
    connection.prepare_cached(sql)?.execute(params![event, JsonColumn(&names)])?;
    Ok(())
}
