//! Searches for a text, which read events one by one: one at a time, on a reader of their own, in slices with a
//! snapshot each, and for a second at most. What is left is for the next page.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::search::{self, CHUNK, LIMIT_MAX, LOOKED_MAX, Search, SearchBudget};
use crate::store::filter::{Cursor, EventFilter, EventPage, MatchCount, PageRequest};
use crate::store::sqlite::engine::readers::{Purpose, Read, Readers};

/// A snapshot keeps the log of the database from being written back: so long, a busy log grows by some hundred KiB.
const SLICE: Duration = Duration::from_millis(50);

const SEARCH_MAX: Duration = Duration::from_secs(1);

/// Nobody wants to know it more exactly.
const COUNTED_MAX: u64 = 10_000;

pub(super) async fn list(
    readers: &Arc<Readers>,
    filter: EventFilter,
    PageRequest { limit, after }: PageRequest,
) -> Read<EventPage> {
    let limit = limit.clamp(1, LIMIT_MAX);
    let mut turn = readers.turn(Purpose::Search).await?;
    let begun = Instant::now();
    let mut listed = EventPage { events: Vec::new(), next: after };
    let mut looked_max = LOOKED_MAX;
    loop {
        let left = limit - listed.events.len();
        let search = slice(&filter, listed.next, (left, looked_max));
        let (found, back) =
            readers.read_in(turn, move |connection| search::lines(connection, &search)).await?;
        let (EventPage { events, next }, looked) = found;
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
    let mut turn = readers.turn(Purpose::Search).await?;
    let begun = Instant::now();
    let mut matching = MatchCount::default();
    let mut after = None;
    loop {
        let search = slice(&filter, after, (CHUNK, LOOKED_MAX));
        let (found, back) =
            readers.read_in(turn, move |connection| Ok(search::find(connection, &search)?)).await?;
        turn = back;
        found.events.iter().for_each(|event| matching.add(event.state, 1));
        if found.next.is_none() {
            return Ok(matching);
        }
        if matching.events >= COUNTED_MAX || begun.elapsed() >= SEARCH_MAX {
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
    let slice = SearchBudget { looked_max, until: Instant::now().checked_add(SLICE) };
    Search { slice, ..Search::newest_first(filter.clone(), after, limit) }
}
