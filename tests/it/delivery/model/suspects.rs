//! Suspects in the store's file.

use std::path::Path;

use rusqlite::Connection;
use savio_relay::event::EventId;

/// Counts the suspects that match an SQL condition.
fn count(path: &Path, condition: &str) -> usize {
    let file = Connection::open(path).unwrap();
    let sql = format!(
        "SELECT count(*) FROM suspects JOIN events ON number = suspects.event WHERE {condition}"
    );
    file.query_row(&sql, [], |row| row.get(0)).unwrap()
}

/// Checks that no suspect is marked, mapped or settled, as nothing is being mapped between two
/// steps.
pub(super) fn judge(path: &Path) -> Result<(), String> {
    let is_wrong = "marked = 1 OR state <> 'queued' OR number IN (SELECT event FROM plans)
                        AND number NOT IN (SELECT event FROM replayed)";
    match count(path, is_wrong) {
        0 => Ok(()),
        wrong => Err(format!("{wrong} suspects are marked, mapped or settled")),
    }
}

pub(super) fn are_all_suspect(path: &Path, events: &[EventId]) -> Result<(), String> {
    for event in events {
        if count(path, &format!("hex(id) = upper('{}')", event.to_string().replace('-', ""))) == 0 {
            return Err(format!("event {event} was claimed at the kill, and is no suspect"));
        }
    }
    Ok(())
}

pub(super) fn there_are_none(path: &Path) -> Result<(), String> {
    match count(path, "true") {
        0 => Ok(()),
        suspects => Err(format!("{suspects} settled events are suspects")),
    }
}
