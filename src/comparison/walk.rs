//! Compares stored events, newest first, in slices that are read and mapped one after the other.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;

use super::event_change::{ChangeKind, EventChange};
use super::threads::{ComparisonThreads, ComparisonTurn};
use crate::mapping::Mapping;
use crate::parse_memory::{NoMemory, ParseMemory, bytes_to_reserve};
use crate::store::{
    Archive, Cursor, EventFilter, EventPayload, EventSummary, PageRequest, StoreError,
};

/// Number of events that are listed at a time.
const LISTED: usize = 100;

/// Limits of one slice: events, and bytes of payloads after which no further one is read.
// One read of the store takes some milliseconds, and one turn on a thread some tens, so that several
// comparisons and their callers get on side by side.
pub(super) const SLICE_EVENTS: usize = 50;
pub(super) const SLICE_BYTES: usize = 1024 * 1024;

/// Time after which a slice ends although it has events left.
pub(super) const SLICE_TIME: Duration = Duration::from_millis(200);

/// Longest wait for memory that webhooks and deliveries use for parsed JSON.
pub(super) const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// The mapping in service and the proposed one.
#[derive(Debug, Clone)]
pub struct MappingPair {
    pub old: Arc<Mapping>,
    pub new: Arc<Mapping>,
}

/// A stored event, and what would change for it.
#[derive(Debug)]
pub struct ComparedEvent {
    pub line: EventSummary,
    /// None if nothing would.
    pub change: Option<Box<EventChange>>,
}

impl ComparedEvent {
    pub fn kind(&self) -> ChangeKind {
        self.change.as_ref().map_or(ChangeKind::Same, |change| change.kind)
    }

    /// Returns its position in the order of the comparison.
    pub fn position(&self) -> Cursor {
        position(&self.line)
    }
}

fn position(line: &EventSummary) -> Cursor {
    Cursor { received_at: line.received_at, number: line.seq.cast_signed() }
}

/// Reason for which a comparison ends before its end.
#[derive(Debug, thiserror::Error)]
pub enum ComparisonError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("not enough memory to parse the payloads now: try again in a few seconds")]
    NoMemory,
    /// The same caller has begun another one.
    #[error("a newer comparison in the same session, or with the same token, has ended this one")]
    Replaced,
    #[error("the comparison failed: this is a bug of the relay")]
    Failed,
}

/// A comparison in progress.
pub struct Walk<'s> {
    store: &'s dyn Archive,
    pair: MappingPair,
    filter: EventFilter,
    memory: Arc<ParseMemory>,
    threads: Arc<Semaphore>,
    turn: ComparisonTurn,
    /// Number of events that are still to be listed.
    left: usize,
    /// Where the comparison goes on; none at its begin.
    reached: Option<Cursor>,
    /// Where the next list begins; none at the end.
    after: Option<Cursor>,
    has_more: bool,
    listed: VecDeque<EventSummary>,
}

impl fmt::Debug for Walk<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Walk")
            .field("filter", &self.filter)
            .field("left", &self.left)
            .finish_non_exhaustive()
    }
}

impl<'s> Walk<'s> {
    /// Compares at most `limit` events from a position on.
    pub fn new(
        store: &'s dyn Archive,
        pair: MappingPair,
        (filter, limit, after): (EventFilter, usize, Option<Cursor>),
        (memory, threads, turn): (&Arc<ParseMemory>, &ComparisonThreads, ComparisonTurn),
    ) -> Walk<'s> {
        Walk {
            store,
            pair,
            filter,
            memory: Arc::clone(memory),
            threads: Arc::clone(&threads.threads),
            turn,
            left: limit,
            reached: after,
            after,
            has_more: true,
            listed: VecDeque::new(),
        }
    }

    /// Compares the next events; none at the end. It returns an empty list for a search that has found
    /// nothing for a second: its caller knows how long it may take.
    pub async fn next(&mut self) -> Result<Option<Vec<ComparedEvent>>, ComparisonError> {
        loop {
            if self.turn.ended.is_cancelled() {
                return Err(ComparisonError::Replaced);
            }
            if self.listed.is_empty() {
                if !self.has_more() {
                    return Ok(None);
                }
                self.list().await?;
                if self.listed.is_empty() {
                    return Ok(Some(Vec::new()));
                }
            }
            let compared = self.slice().await?;
            // Empty if the events were purged since they were listed.
            if !compared.is_empty() {
                return Ok(Some(compared));
            }
        }
    }

    /// Returns whether events are left to be compared.
    pub fn has_more(&self) -> bool {
        !self.listed.is_empty() || (self.left > 0 && self.has_more)
    }

    /// Returns the position after which the next events are; none at the begin.
    pub fn reached(&self) -> Option<Cursor> {
        self.reached
    }

    async fn list(&mut self) -> Result<(), ComparisonError> {
        let page = PageRequest { limit: self.left.min(LISTED), after: self.after };
        let page = self.store.list(self.filter.clone(), page).await?;
        self.left = self.left.saturating_sub(page.events.len());
        // A search for a text may return a short page and continue.
        self.has_more = page.next.is_some();
        self.after = page.next;
        self.listed = page.events.into();
        if self.listed.is_empty() {
            self.reached = self.after.or(self.reached);
        }
        Ok(())
    }

    async fn slice(&mut self) -> Result<Vec<ComparedEvent>, ComparisonError> {
        let seqs: Vec<u64> = self.listed.iter().take(SLICE_EVENTS).map(|it| it.seq).collect();
        let read = self.store.payloads(seqs, SLICE_BYTES).await?;
        let Some(last) = read.last().map(|event| event.seq) else {
            self.listed.drain(..self.listed.len().min(SLICE_EVENTS));
            return Ok(Vec::new());
        };
        let work = SliceWork {
            pair: self.pair.clone(),
            memory: Arc::clone(&self.memory),
            ended: self.turn.ended.clone(),
        };
        let permit = Arc::clone(&self.threads).acquire_owned().await;
        let permit = permit.map_err(|_| ComparisonError::Failed)?;
        // The permit moves to the thread: if the caller leaves, the thread counts until it stops.
        let run = move || {
            let _permit = permit;
            work.run(read)
        };
        let Compared { changes, rest } =
            spawn_blocking(run).await.map_err(|_| ComparisonError::Failed)??;
        Ok(self.take(changes, rest.unwrap_or(last)))
    }

    /// Takes the lines of the compared events from the list, and those of purged events between
    /// them.
    fn take(&mut self, changes: Vec<EventResult>, last: u64) -> Vec<ComparedEvent> {
        let mut compared = Vec::with_capacity(changes.len());
        let mut changes = changes.into_iter().peekable();
        while let Some(line) = self.listed.pop_front() {
            let seq = line.seq;
            self.reached = Some(position(&line));
            if let Some(EventResult { change, .. }) = changes.next_if(|it| it.seq == seq) {
                compared.push(ComparedEvent { line, change });
            }
            if seq == last {
                break;
            }
        }
        compared
    }
}

struct EventResult {
    seq: u64,
    change: Option<Box<EventChange>>,
}

struct Compared {
    changes: Vec<EventResult>,
    /// The last event that was compared, if the time ended before all were.
    rest: Option<u64>,
}

/// The work on one slice, on a thread of its own: a template or a query of a few bytes may take
/// seconds.
struct SliceWork {
    pair: MappingPair,
    memory: Arc<ParseMemory>,
    ended: CancellationToken,
}

impl SliceWork {
    fn run(&self, events: Vec<EventPayload>) -> Result<Compared, ComparisonError> {
        let begun = Instant::now();
        let mut changes: Vec<EventResult> = Vec::with_capacity(events.len());
        for EventPayload { seq, event } in events {
            if self.ended.is_cancelled() {
                return Err(ComparisonError::Replaced);
            }
            if !changes.is_empty() && begun.elapsed() >= SLICE_TIME {
                let rest = changes.last().map(|last| last.seq);
                return Ok(Compared { changes, rest });
            }
            let change = match event {
                Err(reason) => Some(EventChange::unreadable(reason)),
                Ok(event) => {
                    let bytes = bytes_to_reserve(&[&event.payload]);
                    let reserved = self.memory.acquire_within(MEMORY_WAIT, bytes);
                    let _reserved = reserved.map_err(|NoMemory| ComparisonError::NoMemory)?;
                    EventChange::between((&self.pair.old, &self.pair.new), &event)
                }
            };
            changes.push(EventResult { seq, change: change.map(Box::new) });
        }
        Ok(Compared { changes, rest: None })
    }
}
