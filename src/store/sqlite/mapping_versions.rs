//! Versions of mapping files in SQLite: records the texts that go into service and the events that
//! are mapped by them, reads the history of a source, and prunes what nobody needs.

use std::collections::BTreeSet;
use std::time::Duration;

use rusqlite::{Connection, OptionalExtension, Row, params};

use super::engine::error::SqliteError;
use super::engine::transaction::Transaction;
use super::queue::leased_event::LeasedEvent;
use super::rows::columns::{DigestColumn, ShownColumn, SourceColumn, TimeColumn};
use crate::event::{DigestPrefix, MappingDigest, SourceName};
use crate::store::mapping_version::{
    FoundVersion, MappingHistory, MappingHistoryEntry, MappingText, MappingTexts, MappingVersion,
    VERSIONS_KEPT, VersionCursor,
};

/// Number of events after which a count ends with "at least".
// 50 versions are counted within some ten milliseconds: an event takes 40 ns.
const COUNTED_MAX: u64 = 5_000;

/// Number of versions that one step of pruning removes.
const PRUNED_MAX: usize = 100;

/// Returns the texts that are not the newest version of their source.
pub(super) fn unrecorded(
    connection: &Connection,
    mut texts: MappingTexts,
) -> Result<MappingTexts, SqliteError> {
    let sql = "SELECT source, digest FROM mapping_versions
               WHERE number IN (SELECT max(number) FROM mapping_versions GROUP BY source)";
    let mut query = connection.prepare_cached(sql)?;
    let mut rows = query.query([])?;
    while let Some(row) = rows.next()? {
        let (SourceColumn(source), DigestColumn(digest)) = (row.get(0)?, row.get(1)?);
        if texts.get(&source).is_some_and(|text| text.digest == digest) {
            texts.remove(&source);
        }
    }
    Ok(texts)
}

/// Records that these texts are in service from now on. One that already is the newest version of
/// its source, as after a restart, is no new version.
pub(super) fn put_in_service(
    transaction: &Transaction<'_>,
    texts: &MappingTexts,
) -> Result<(), SqliteError> {
    for (source, text) in texts {
        // Again, since a step of delivery may have recorded it meanwhile.
        if newest_digest(transaction, source)? != Some(text.digest) {
            insert(transaction, source.as_str(), text)?;
        }
    }
    Ok(())
}

const IN_USE: &str = "SELECT number FROM mapping_versions WHERE digest = ?1 AND source = ?2
    ORDER BY number DESC LIMIT 1";

/// Records that the event was mapped by this text.
pub(super) fn record_use(
    connection: &Connection,
    event: &LeasedEvent,
    text: &MappingText,
) -> rusqlite::Result<()> {
    let mut query = connection.prepare_cached(IN_USE)?;
    let found = query.query_row(params![DigestColumn(text.digest), event.source], number);
    // It is there, unless the store could not be written when the text went into service.
    let version = match found.optional()? {
        Some(version) => version,
        None => insert(connection, &event.source, text)?,
    };
    let sql = "UPDATE events SET mapping = ?2 WHERE number = ?1";
    connection.prepare_cached(sql)?.execute([event.number, version])?;
    Ok(())
}

fn insert(connection: &Connection, source: &str, text: &MappingText) -> rusqlite::Result<i64> {
    let digest = DigestColumn(text.digest);
    let sql = "INSERT OR IGNORE INTO mapping_texts (digest, text) VALUES (?1, ?2)";
    connection.prepare_cached(sql)?.execute(params![digest, text.text])?;
    let sql = "INSERT INTO mapping_versions (source, digest, since) VALUES (?1, ?2, ?3)";
    let version = params![source, digest, TimeColumn(text.since)];
    connection.prepare_cached(sql)?.insert(version)
}

fn newest_digest(
    connection: &Connection,
    source: &SourceName,
) -> rusqlite::Result<Option<MappingDigest>> {
    let sql = "SELECT digest FROM mapping_versions WHERE source = ?1 ORDER BY number DESC LIMIT 1";
    let mut query = connection.prepare_cached(sql)?;
    let newest = query.query_row([source.as_str()], |row| row.get(0)).optional()?;
    Ok(newest.map(|DigestColumn(digest)| digest))
}

fn newest_number(connection: &Connection, source: &SourceName) -> rusqlite::Result<Option<i64>> {
    let sql = "SELECT max(number) FROM mapping_versions WHERE source = ?1";
    connection.prepare_cached(sql)?.query_row([source.as_str()], |row| row.get(0))
}

/// Time before a text went into service in which somebody ordered that, at most: changes wait for each
/// other, and the relay waits for the store.
const ORDERED_WITHIN: Duration = Duration::from_mins(2);

// The entry of the audit has the time of the order, and is found by it: nothing is sorted, and two minutes
// of the audit are few entries. Each counts for the first version that followed it: the same text may be
// written to the file soon after.
const HISTORY: &str = "SELECT number, digest, since,
        (SELECT count(*) FROM (SELECT 1 FROM events WHERE mapping = mapping_versions.number LIMIT ?4)),
        (SELECT who FROM audit INDEXED BY audit_listed
            WHERE at BETWEEN mapping_versions.since - ?5 AND mapping_versions.since
                AND target = 'source ' || mapping_versions.source
                AND digest_after = lower(hex(mapping_versions.digest))
                AND NOT EXISTS (SELECT 1 FROM mapping_versions AS earlier
                    WHERE earlier.digest = mapping_versions.digest AND earlier.source = mapping_versions.source
                        AND earlier.number < mapping_versions.number AND earlier.since >= at)
            ORDER BY at DESC LIMIT 1)
    FROM mapping_versions WHERE source = ?1 AND number < ?2
    ORDER BY number DESC LIMIT ?3";

pub(super) fn history(
    connection: &Connection,
    source: &SourceName,
    (limit, after): (usize, Option<VersionCursor>),
) -> Result<MappingHistory, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let newest = newest_number(&snapshot, source)?;
    let before = after.map_or(i64::MAX, |VersionCursor(number)| number);
    let mut query = snapshot.prepare_cached(HISTORY)?;
    let within = i64::try_from(ORDERED_WITHIN.as_micros()).unwrap_or(i64::MAX);
    let limits = (limit + 1, COUNTED_MAX + 1);
    let mut rows = query.query(params![source.as_str(), before, limits.0, limits.1, within])?;
    let mut history = MappingHistory { versions: Vec::new(), next: None };
    let mut last = before;
    while let Some(row) = rows.next()? {
        if history.versions.len() == limit {
            history.next = Some(VersionCursor(last));
            break;
        }
        last = number(row)?;
        let counted: u64 = row.get(3)?;
        let by: Option<ShownColumn> = row.get(4)?;
        history.versions.push(MappingHistoryEntry {
            version: version(row, 1)?,
            events: counted.min(COUNTED_MAX),
            at_least: counted > COUNTED_MAX,
            by: by.map(|ShownColumn(name)| name),
            is_newest: newest == Some(last),
        });
    }
    Ok(history)
}

// Without the name of the index, SQLite would sort all versions of the source.
const BEGINNING_WITH: &str = "SELECT max(number), digest, since
    FROM mapping_versions INDEXED BY mapping_versions_with
    WHERE source = ?1 AND digest BETWEEN ?2 AND ?3 GROUP BY digest LIMIT 2";

/// Finds the text of the source whose digest begins so.
pub(super) fn find(
    connection: &Connection,
    source: &SourceName,
    prefix: &DigestPrefix,
) -> Result<FoundVersion, SqliteError> {
    let snapshot = connection.unchecked_transaction()?;
    let [first, last] = prefix.range().map(DigestColumn);
    let mut query = snapshot.prepare_cached(BEGINNING_WITH)?;
    let found = query.query_map(params![source.as_str(), first, last], |row| {
        Ok((number(row)?, version(row, 1)?))
    })?;
    let found: Vec<(i64, MappingVersion)> = found.collect::<rusqlite::Result<_>>()?;
    let (number, version) = match found[..] {
        [] => return Ok(FoundVersion::None),
        [one] => one,
        [..] => return Ok(FoundVersion::Several),
    };
    let sql = "SELECT text FROM mapping_texts WHERE digest = ?1";
    let mut query = snapshot.prepare_cached(sql)?;
    let text = query.query_row([DigestColumn(version.digest)], |row| row.get(0))?;
    let is_newest = newest_number(&snapshot, source)? == Some(number);
    Ok(FoundVersion::One { version, text, is_newest })
}

/// Reads the version by which an event was mapped from two columns of a row.
pub(super) fn version_of(row: &Row<'_>, column: usize) -> rusqlite::Result<Option<MappingVersion>> {
    let digest: Option<DigestColumn> = row.get(column)?;
    digest.map(|_| version(row, column)).transpose()
}

fn version(row: &Row<'_>, column: usize) -> rusqlite::Result<MappingVersion> {
    let (DigestColumn(digest), TimeColumn(since)) = (row.get(column)?, row.get(column + 1)?);
    Ok(MappingVersion { digest, since })
}

fn number(row: &Row<'_>) -> rusqlite::Result<i64> {
    row.get(0)
}

// Reads all versions, of which there are few beside those that events name.
const UNUSED: &str = "SELECT number FROM mapping_versions AS version
    WHERE number < (SELECT number FROM mapping_versions WHERE source = version.source
                    ORDER BY number DESC LIMIT 1 OFFSET ?1)
        AND NOT EXISTS (SELECT 1 FROM events WHERE mapping = version.number)
    LIMIT ?2";

/// Returns versions that no event names and that are not among the last ones of their source.
pub(super) fn unused(connection: &Connection) -> Result<Vec<i64>, SqliteError> {
    let mut query = connection.prepare_cached(UNUSED)?;
    let unused = query.query_map([VERSIONS_KEPT - 1, PRUNED_MAX], number)?;
    Ok(unused.collect::<rusqlite::Result<_>>()?)
}

/// Removes these versions, unless an event names them by now, and the texts that they were the last
/// to have.
pub(super) fn remove(transaction: &Transaction<'_>, versions: &[i64]) -> Result<(), SqliteError> {
    let sql = "DELETE FROM mapping_versions WHERE number = ?1
                   AND NOT EXISTS (SELECT 1 FROM events WHERE mapping = ?1) RETURNING digest";
    let mut delete = transaction.prepare_cached(sql)?;
    let mut digests = BTreeSet::new();
    for version in versions {
        let removed = delete.query_row([version], |row| row.get(0)).optional()?;
        digests.extend(removed.map(|DigestColumn(digest)| digest));
    }
    let sql = "DELETE FROM mapping_texts WHERE digest = ?1
                   AND NOT EXISTS (SELECT 1 FROM mapping_versions WHERE digest = ?1)";
    let mut delete = transaction.prepare_cached(sql)?;
    for digest in digests {
        delete.execute([DigestColumn(digest)])?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn versions_and_their_events_are_found_by_indexes() {
        let of_source = "SEARCH mapping_versions USING INDEX mapping_versions_of";
        let events = "SEARCH events USING COVERING INDEX events_mapped (mapping=?)";
        let orders = "SEARCH audit USING INDEX audit_listed (at>? AND at<?)";
        for (sql, expected) in [
            (HISTORY, &[of_source, events, orders][..]),
            (IN_USE, &["SEARCH mapping_versions USING COVERING INDEX mapping_versions_with"]),
            (BEGINNING_WITH, &["SEARCH mapping_versions USING INDEX mapping_versions_with"]),
            (UNUSED, &[events]),
        ] {
            let steps = query_plan(sql);

            let is_there = |step: &&str| steps.iter().any(|it| it.starts_with(step));
            assert!(expected.iter().all(is_there), "{sql}: {steps:?}");
            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{sql}: {steps:?}");
        }
    }
}
