//! Ids of events as people write them: the beginning is enough, as in git.

use super::list::headline;
use crate::cli::error::CommandError;
use crate::cli::output::print_error;
use crate::cli::table;
use crate::cli::times::TimeFormat;
use crate::diagnostics::report::OutputStyle;
use crate::event::{EventId, IdPrefix};
use crate::store::{Archive, EventFilter, EventSummary, PageRequest, Sqlite, StoreError};

/// Number of events that are listed for an ambiguous beginning.
const CANDIDATES: usize = 10;

/// Columns of a terminal that a summary takes.
const SUMMARY_WIDTH: usize = 60;

/// Returns the only event whose id begins so.
pub(in crate::cli) async fn resolve(
    store: &Sqlite,
    prefix: &IdPrefix,
    times: &TimeFormat,
) -> Result<EventId, CommandError> {
    let found = store.ids(prefix.clone(), CANDIDATES + 1).await?;
    match found[..] {
        [] => Err(CommandError::InvalidInput(format!("there is no event {prefix}"))),
        [id] => Ok(id),
        [..] => Err(ambiguous(store, (prefix, found), times).await?),
    }
}

pub(super) async fn resolve_all(
    store: &Sqlite,
    prefixes: &[IdPrefix],
    times: &TimeFormat,
) -> Result<Vec<EventId>, CommandError> {
    let mut ids = Vec::with_capacity(prefixes.len());
    for prefix in prefixes {
        ids.push(resolve(store, prefix, times).await?);
    }
    Ok(ids)
}

/// Returns the error that lists the events whose ids begin so.
async fn ambiguous(
    store: &Sqlite,
    (prefix, mut ids): (&IdPrefix, Vec<EventId>),
    times: &TimeFormat,
) -> Result<CommandError, StoreError> {
    let more = if ids.len() > CANDIDATES { " (the newest of more)" } else { "" };
    ids.truncate(CANDIDATES);
    let filter = EventFilter { ids, ..EventFilter::default() };
    let page = store.list(filter, PageRequest { limit: CANDIDATES, after: None }).await?;
    let row = |event: &EventSummary| {
        let (id, received) = (event.id.to_string(), times.moment(event.received_at));
        let said = table::shortened(&headline(event), SUMMARY_WIDTH);
        [id, received, event.source.to_string(), event.state.as_str().to_owned(), said]
    };
    let rows: Vec<_> = page.events.iter().map(row).collect();
    let events =
        table::table(["id", "received", "source", "state", "summary"], &rows, OutputStyle::Plain);
    print_error(&format!("Events whose id begins with {prefix}{more}:\n{events}"));
    Ok(CommandError::InvalidInput(format!(
        "several events begin with {prefix}: write more of the id"
    )))
}
