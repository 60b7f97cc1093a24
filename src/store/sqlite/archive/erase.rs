//! Erases what events say: payloads, headers, requests, and the details of attempts. Their lines and
//! counts stay.

use std::ops::Range;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::event::{EventId, State};
use crate::store::audit::AuditAction;
use crate::store::email_address::EmailAddress;
use crate::store::erasure::{ErasureOutcome, ErasureRequest};
use crate::store::sqlite::engine::error::SqliteError;
use crate::store::sqlite::engine::transaction::Transaction;
use crate::store::sqlite::operations::audit;
use crate::store::sqlite::rows::columns::{EnumColumn, EventIdColumn, TimeColumn};
use crate::store::sqlite::rows::previous_state;

/// Limits of one commit: events, and bytes of webhooks after which it ends.
// Webhooks wait for a commit, and the ids of its events are in one entry of the audit.
const EVENTS_MAX: usize = 50;
const BYTES_MAX: usize = 4 * 1024 * 1024;

/// An event that may be erased.
struct ErasableEvent {
    number: i64,
    webhook: i64,
}

/// Erases the first events of the request, as many as fit into one commit.
pub(super) fn erase(
    transaction: &Transaction<'_>,
    request: &ErasureRequest,
) -> Result<Vec<(EventId, ErasureOutcome)>, SqliteError> {
    let (mut outcomes, mut erased, mut bytes) = (Vec::new(), Vec::new(), 0);
    for id in request.ids.iter().take(EVENTS_MAX) {
        if bytes > BYTES_MAX {
            break;
        }
        let outcome = match candidate(transaction, *id)? {
            Err(outcome) => outcome,
            Ok(candidate) => {
                bytes += erase_one(transaction, &candidate, request)?;
                erased.push(id.to_string());
                ErasureOutcome::Erased
            }
        };
        outcomes.push((*id, outcome));
    }
    if !erased.is_empty() {
        // A replay that has ended searches no more, and its text may be the person's. One that an
        // earlier release ended has it still; one that runs forgets it at its end.
        let sql = "UPDATE replays SET text = NULL, filter = NULL
                   WHERE ended AND (text IS NOT NULL OR filter IS NOT NULL)";
        transaction.execute(sql, [])?;
        let on = if request.person.is_some() { "one person" } else { "events" };
        let entry = request.by.did(AuditAction::Erase, request.at).on(on);
        let entry = entry.count(erased.len() as u64).detail(&erased.join(" "));
        audit::insert(transaction, &entry)?;
    }
    Ok(outcomes)
}

/// Returns the event, or why it is not erased.
fn candidate(
    connection: &Connection,
    id: EventId,
) -> Result<Result<ErasableEvent, ErasureOutcome>, SqliteError> {
    let sql = "SELECT number, webhook, state, erased_at FROM events WHERE id = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let found = query.query_row([EventIdColumn(id)], |row| {
        let EnumColumn(state) = row.get(2)?;
        let erased_at: Option<TimeColumn> = row.get(3)?;
        let candidate = ErasableEvent { number: row.get(0)?, webhook: row.get(1)? };
        Ok((candidate, state, erased_at.map(|TimeColumn(at)| at)))
    });
    let found: Option<(ErasableEvent, State, Option<Timestamp>)> = found.optional()?;
    Ok(match found {
        None => Err(ErasureOutcome::NotFound),
        Some((_, _, Some(at))) => Err(ErasureOutcome::ErasedBefore(at)),
        Some((_, state @ (State::Queued | State::Held), None)) => {
            Err(ErasureOutcome::NotSettled(state))
        }
        Some((candidate, State::Delivered | State::Ignored | State::Dead, None)) => Ok(candidate),
    })
}

/// Erases the event, and returns how many bytes of its webhook were rewritten.
fn erase_one(
    transaction: &Transaction<'_>,
    ErasableEvent { number, webhook }: &ErasableEvent,
    request: &ErasureRequest,
) -> Result<usize, SqliteError> {
    // The order of receipt, the state and the times stay, so that all counts stay right. The
    // reason may quote the payload or Savio's answer to it.
    let sql = "UPDATE events SET erased_at = ?2, reason = 'its data was erased', notes = '[]',
                   decoding_notes = '[]', headline = NULL, payload_start = 0, payload_end = 0
               WHERE number = ?1";
    transaction.prepare_cached(sql)?.execute(params![number, TimeColumn(request.at)])?;
    transaction.entry_changed(*number);
    if let Some(person) = &request.person {
        forget_names(transaction, *number, person)?;
    }
    for sql in [
        "DELETE FROM plans WHERE event = ?1",
        "DELETE FROM suspects WHERE event = ?1",
        "UPDATE attempts SET detail = NULL, savio_id = NULL WHERE event = ?1",
    ] {
        transaction.prepare_cached(sql)?.execute([number])?;
    }
    previous_state::delete(transaction, *number)?;
    erase_webhook(transaction, *webhook)
}

/// Forgets the delivery id and the type if they hold the person's address.
// Otherwise they stay: without its delivery id, a webhook that is sent again would be a new event.
fn forget_names(
    connection: &Connection,
    number: i64,
    person: &EmailAddress,
) -> rusqlite::Result<()> {
    for column in ["delivery_id", "type"] {
        let sql = format!("SELECT coalesce({column}, '') FROM events WHERE number = ?1");
        let name: String =
            connection.prepare_cached(&sql)?.query_row([number], |row| row.get(0))?;
        if person.is_in(&name) {
            let sql = format!("UPDATE events SET {column} = NULL WHERE number = ?1");
            connection.prepare_cached(&sql)?.execute([number])?;
        }
    }
    Ok(())
}

/// Erases all of the webhook but the payloads of its other events, and returns its size.
fn erase_webhook(connection: &Connection, webhook: i64) -> Result<usize, SqliteError> {
    let sql = "SELECT payload_start, payload_end FROM events
               WHERE webhook = ?1 AND erased_at IS NULL";
    let mut query = connection.prepare_cached(sql)?;
    let others = query.query_map([webhook], |row| Ok(row.get(0)?..row.get(1)?))?;
    let others: Vec<Range<usize>> = others.collect::<rusqlite::Result<_>>()?;
    let sql = "SELECT CAST(decoded AS BLOB), body FROM webhooks WHERE number = ?1";
    let mut query = connection.prepare_cached(sql)?;
    let (decoded, body): (Option<Vec<u8>>, Vec<u8>) =
        query.query_row([webhook], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let bytes = decoded.as_ref().map_or(0, Vec::len) + body.len();
    if others.is_empty() {
        let sql = "UPDATE webhooks SET headers = '{}', decoded = NULL, body = x'', arrival = NULL
                   WHERE number = ?1";
        connection.prepare_cached(sql)?.execute([webhook])?;
        return Ok(bytes);
    }
    // Blanks of the same length, so that the ranges of the others stay right. What is around the
    // payloads goes as well: it may be of the person, and no event needs it.
    if let Some(decoded) = decoded {
        let decoded = String::from_utf8(blanked(&decoded, &others)).map_err(|_| {
            SqliteError::Impossible("a payload does not begin and end at characters".to_owned())
        })?;
        // The body has it in another form, such as compressed, of which no part can be blanked.
        let sql = "UPDATE webhooks SET decoded = ?2, body = x'' WHERE number = ?1";
        connection.prepare_cached(sql)?.execute(params![webhook, decoded])?;
    } else {
        let sql = "UPDATE webhooks SET body = ?2 WHERE number = ?1";
        connection.prepare_cached(sql)?.execute(params![webhook, blanked(&body, &others)])?;
    }
    Ok(bytes)
}

/// Returns the text with blanks outside of the ranges.
fn blanked(text: &[u8], kept: &[Range<usize>]) -> Vec<u8> {
    let mut blanked = vec![b' '; text.len()];
    for range in kept {
        if let (Some(to), Some(from)) = (blanked.get_mut(range.clone()), text.get(range.clone())) {
            to.copy_from_slice(from);
        }
    }
    blanked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_payloads_of_others_are_kept() {
        let text = r#"{"team":"x","list":[{"a":1},{"b":2},{"c":3}]}"#;
        let b = text.find(r#"{"b""#).unwrap();
        let kept = vec![b..b + 7, 1000..2000];

        let left = blanked(text.as_bytes(), &kept);

        let left = String::from_utf8(left).unwrap();
        assert_eq!((left.len(), left.trim(), left.find('{')), (text.len(), r#"{"b":2}"#, Some(b)));
    }
}
