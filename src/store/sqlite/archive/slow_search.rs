//! Searches, which look at events one by one: for texts, and for the counts of replays. They run one at a time, on a reader of their own, in
//! slices with a snapshot each, and end after a second; the next page continues.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::lines;
use super::matching::COUNTED_MAX;
use super::search::{self, CHUNK_EVENTS, LIMIT_MAX, SCANNED_MAX, Search, SearchBudget};
use crate::store::filter::{Cursor, EventFilter, EventPage, MatchCount, PageRequest};
use crate::store::sqlite::engine::readers::{Purpose, Read, Readers};

/// Time that one slice reads from one snapshot.
// A snapshot keeps the write-ahead log from being written back. In this time a busy log grows by
// some hundred KiB.
pub(super) const SLICE: Duration = Duration::from_millis(50);

const SEARCH_MAX: Duration = Duration::from_secs(1);

pub(super) async fn list(
    readers: &Arc<Readers>,
    filter: EventFilter,
    PageRequest { limit, after }: PageRequest,
) -> Read<EventPage> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut turn = readers.acquire(Purpose::Search).await?;
    // After the wait for another search, which does not count against this one.
    let begun = Instant::now();
    let mut listed = EventPage { events: Vec::new(), next: after, newest: 0 };
    let mut newest_at_begin = None;
    let mut looked_max = SCANNED_MAX;
    loop {
        let left = limit - listed.events.len();
        let search = slice(&filter, listed.next, (left, looked_max));
        let (found, back) =
            readers.read_with(turn, move |connection| lines::found(connection, &search)).await?;
        let (EventPage { events, next, newest }, looked) = found;
        // Of the first slice: what arrives during the search is newer.
        listed.newest = *newest_at_begin.get_or_insert(newest);
        turn = back;
        looked_max = looked_max.saturating_sub(looked);
        listed.events.extend(events);
        listed.next = next;
        let is_full = listed.events.len() == limit || looked_max == 0;
        if is_full || listed.next.is_none() || begun.elapsed() >= SEARCH_MAX {
            return Ok(listed);
        }
    }
}

pub(super) async fn count_matching(
    readers: &Arc<Readers>,
    filter: EventFilter,
) -> Read<MatchCount> {
    let mut turn = readers.acquire(Purpose::Search).await?;
    let begun = Instant::now();
    let mut matching = MatchCount::default();
    let mut after = None;
    loop {
        let search = slice(&filter, after, (CHUNK_EVENTS, SCANNED_MAX));
        let (found, back) = readers
            .read_with(turn, move |connection| Ok(search::find(connection, &search)?))
            .await?;
        turn = back;
        found.events.iter().for_each(|event| matching.add(event.state, 1));
        if found.next.is_none() {
            return Ok(matching);
        }
        if matching.events() >= COUNTED_MAX || begun.elapsed() >= SEARCH_MAX {
            matching.at_least = true;
            return Ok(matching);
        }
        after = found.next;
    }
}

fn slice(
    filter: &EventFilter,
    after: Option<Cursor>,
    (limit, looked_max): (usize, usize),
) -> Search {
    let slice = SearchBudget { scanned_max: looked_max, ..SearchBudget::within(SLICE) };
    Search { slice, ..Search::newest_first(filter.clone(), after, limit) }
}
