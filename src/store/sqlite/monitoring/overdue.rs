//! Events that wait: for their first try, or for a person.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::event::SourceName;
use crate::store::monitoring::{HeldEvents, OverdueSource};
use crate::store::sqlite::rows::columns::{SourceColumn, TimeColumn};

/// Number of events at which one look at a source ends.
const LOOKED_AT_MAX: i64 = 500;

// The index of what is due, in its order, so that neither imports nor what was tried a moment ago is
// read. Each failed try, and each wait for the gate, sets `due_at` anew: for an event that was never
// tried it is at most as long ago as `queued_at`.
const OVERDUE: &str = "
    SELECT count(*), min(queued_at), (SELECT count(*) FROM (
        SELECT 1 FROM events INDEXED BY events_due
        WHERE source = ?1 AND rank = 0 AND state = 'queued' AND lease_until IS NULL LIMIT ?3))
    FROM (
        SELECT number, queued_at FROM events INDEXED BY events_due
        WHERE source = ?1 AND rank = 0 AND state = 'queued' AND lease_until IS NULL
        ORDER BY due_at LIMIT ?3
    ) AS oldest
    WHERE queued_at < ?2
        AND NOT EXISTS (SELECT 1 FROM replayed WHERE replayed.event = oldest.number)
        AND NOT EXISTS (
            SELECT 1 FROM attempts WHERE attempts.event = oldest.number AND at >= oldest.queued_at)";

// Those that are claimed and not tried: they wait for the lock of a record or for a slot. They are few,
// of all sources together.
const CLAIMED: &str = "
    SELECT source, queued_at FROM events INDEXED BY events_leased
    WHERE lease_until IS NOT NULL AND rank = 0 AND state = 'queued' AND queued_at < ?1
        AND NOT EXISTS (SELECT 1 FROM replayed WHERE replayed.event = events.number)
        AND NOT EXISTS (
            SELECT 1 FROM attempts WHERE attempts.event = events.number AND at >= events.queued_at)
    LIMIT ?2";

pub(super) fn overdue(
    connection: &Connection,
    sources: &[SourceName],
    queued_before: Timestamp,
) -> rusqlite::Result<Vec<OverdueSource>> {
    let mut claimed = claimed(connection, sources, queued_before)?;
    let mut query = connection.prepare_cached(OVERDUE)?;
    let mut found = Vec::new();
    for source in sources {
        let read = |row: &rusqlite::Row<'_>| {
            let oldest: Option<TimeColumn> = row.get(1)?;
            Ok((row.get::<_, u64>(0)?, oldest, row.get::<_, i64>(2)?))
        };
        let row = params![source.as_str(), TimeColumn(queued_before), LOOKED_AT_MAX];
        let (events, oldest, looked_at) = query.query_row(row, read)?;
        let waiting = oldest.map(|TimeColumn(oldest)| OverdueSource {
            source: source.clone(),
            events,
            at_least: looked_at == LOOKED_AT_MAX,
            oldest,
        });
        found.extend(match (waiting, claimed.remove(source)) {
            (Some(waiting), Some(claimed)) => Some(OverdueSource {
                source: source.clone(),
                events: waiting.events.saturating_add(claimed.events),
                at_least: waiting.at_least || claimed.at_least,
                oldest: waiting.oldest.min(claimed.oldest),
            }),
            (waiting, claimed) => waiting.or(claimed),
        });
    }
    Ok(found)
}

fn claimed(
    connection: &Connection,
    sources: &[SourceName],
    queued_before: Timestamp,
) -> rusqlite::Result<BTreeMap<SourceName, OverdueSource>> {
    let mut query = connection.prepare_cached(CLAIMED)?;
    let mut rows = query.query(params![TimeColumn(queued_before), LOOKED_AT_MAX])?;
    let mut claimed: BTreeMap<SourceName, OverdueSource> = BTreeMap::new();
    let mut count = 0;
    while let Some(row) = rows.next()? {
        let (SourceColumn(source), TimeColumn(queued_at)) = (row.get(0)?, row.get(1)?);
        count += 1;
        if !sources.contains(&source) {
            continue;
        }
        let of_source = claimed.entry(source).or_insert_with_key(|source| OverdueSource {
            source: source.clone(),
            events: 0,
            at_least: false,
            oldest: queued_at,
        });
        of_source.events += 1;
        of_source.oldest = of_source.oldest.min(queued_at);
    }
    if count == LOOKED_AT_MAX {
        for of_source in claimed.values_mut() {
            of_source.at_least = true;
        }
    }
    Ok(claimed)
}

pub(super) fn held(connection: &Connection) -> rusqlite::Result<Vec<HeldEvents>> {
    let sql =
        "SELECT source, events FROM counts WHERE state = 'held' AND events > 0 ORDER BY source";
    let newest = "SELECT max(received_at) FROM events INDEXED BY events_listed
                  WHERE source = ?1 AND state = 'held'";
    let (mut query, mut newest) =
        (connection.prepare_cached(sql)?, connection.prepare_cached(newest)?);
    let counts = query.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?;
    let mut held = Vec::new();
    for count in counts {
        let (SourceColumn(source), events) = count?;
        let at: Option<Option<TimeColumn>> =
            newest.query_row([source.as_str()], |row| row.get(0)).optional()?;
        // None if a count is wrong, which the recount at the start corrects.
        held.extend(at.flatten().map(|TimeColumn(newest)| HeldEvents { source, events, newest }));
    }
    Ok(held)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn overdue_events_are_found_in_the_index_of_what_is_due() {
        let claimed = query_plan(CLAIMED);
        let leased = "SEARCH events USING INDEX events_leased (lease_until>?)";
        assert!(claimed.iter().any(|it| it == leased), "{claimed:?}");

        let steps = query_plan(OVERDUE);

        let lookup = "SEARCH events USING INDEX events_due (source=? AND rank=?)";
        assert!(steps.iter().any(|it| it == lookup), "{steps:?}");
        assert!(!steps.iter().any(|it| it.starts_with("SCAN events")), "{steps:?}");
    }
}
