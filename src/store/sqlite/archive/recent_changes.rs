//! What has changed since somebody asked last: by this process as its commits said, by others as far as
//! SQLite says that they wrote.

use std::sync::Arc;

use crate::store::error::StoreError;
use crate::store::recent_changes::RecentChanges;
use crate::store::sqlite::database::Sqlite;
use crate::store::sqlite::engine::change_log::LoggedChanges;

pub(super) async fn follow(store: &Sqlite) -> Result<(), StoreError> {
    let changes = Arc::clone(&store.changes);
    store.writer.read(move |writer| Ok(changes.follow(writer)?)).await
}

pub(super) async fn take(store: &Sqlite) -> Result<RecentChanges, StoreError> {
    let changes = Arc::clone(&store.changes);
    store.writer.read(move |writer| Ok(changes.look_for_others(writer)?)).await?;
    let LoggedChanges { events, sources, has_gap } = store.changes.take();
    let sources = sources.into_iter().filter_map(|(source, rejected)| {
        Some((source.parse().ok()?, u64::try_from(rejected).unwrap_or(0)))
    });
    Ok(RecentChanges {
        events: events.into_iter().rev().map(i64::cast_unsigned).collect(),
        sources: sources.collect(),
        has_gap,
    })
}
