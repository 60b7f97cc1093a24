//! The store's side for people and the API: reads of events, replays and releases.

use std::collections::HashSet;

use async_trait::async_trait;
use jiff::Timestamp;

use super::arrival::Arrival;
use super::audit::Actor;
use super::copy::{CopyOutcome, CopyRequest};
use super::email_address::EmailAddress;
use super::erasure::{Erasure, ErasureRequest, Mentions};
use super::error::StoreError;
use super::filter::{Cursor, EventFilter, EventPage, EventSummary, MatchCount, PageRequest};
use super::headline::Headline;
use super::mapping_version::{FoundVersion, MappingHistory, MappingVersion, VersionCursor};
use super::planned_request::{PlannedRequest, RequestState};
use super::queue::Attempt;
use super::recent_changes::RecentChanges;
use super::replay::{
    ReleaseOutcome, ReleaseRequest, ReplayCursor, ReplayId, ReplayPage, ReplayProgress,
    ReplayRequest,
};
use super::stopped_at::StoppedAt;
use crate::event::{DigestPrefix, Event, EventId, IdPrefix, SourceName, State};

/// Reads, replays and releases events. What changes them is recorded in the audit, in the same
/// commit.
#[async_trait]
pub trait Archive: Send + Sync {
    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// Returns the ids that begin so, at most this many.
    async fn ids(&self, prefix: IdPrefix, limit: usize) -> Result<Vec<EventId>, StoreError>;

    /// Returns the number of digits with which each of these ids can be told from all others.
    async fn distinct_digits(&self, ids: Vec<EventId>) -> Result<usize, StoreError>;

    /// Returns events that were received after the position or settled since, in this order, and
    /// the position behind them. Both parts are bounded: an unchanged position means that there
    /// are no more.
    async fn changes(
        &self,
        since: ChangePosition,
    ) -> Result<(Vec<EventSummary>, ChangePosition), StoreError>;

    /// Remembers what changes from now on, until [`Archive::stop_following`].
    async fn follow_changes(&self) -> Result<(), StoreError>;

    fn stop_following(&self);

    /// Takes what has changed since the last call, or since [`Archive::follow_changes`].
    async fn take_changes(&self) -> Result<RecentChanges, StoreError>;

    /// Returns the entries of these events in a list, given by their positions, in this order. Those
    /// that are gone are left out.
    async fn entries(&self, seqs: Vec<u64>) -> Result<Vec<EventSummary>, StoreError>;

    /// Returns those of the delivery ids by which the source has events.
    async fn stored_deliveries(
        &self,
        source: SourceName,
        delivery_ids: Vec<String>,
    ) -> Result<HashSet<String>, StoreError>;

    /// Reads these events, given by their positions in the order of receipt, until they exceed this
    /// size; at least one. Those that are gone are left out.
    async fn payloads(
        &self,
        seqs: Vec<u64>,
        bytes_max: usize,
    ) -> Result<Vec<EventPayload>, StoreError>;

    /// Returns the versions of a source's mapping file, newest first.
    async fn mapping_history(
        &self,
        source: SourceName,
        limit: usize,
        after: Option<VersionCursor>,
    ) -> Result<MappingHistory, StoreError>;

    /// Finds the text of a source's mapping file whose digest begins so.
    async fn mapping_text(
        &self,
        source: SourceName,
        prefix: DigestPrefix,
    ) -> Result<FoundVersion, StoreError>;

    /// Returns the body of the whole webhook that the event came in, as received.
    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns when the oldest event of the source was received.
    async fn first_event_at(&self, source: SourceName) -> Result<Option<Timestamp>, StoreError>;

    /// Counts the events of each source in each state in which it has any.
    async fn counts(&self) -> Result<Vec<StateCount>, StoreError>;

    /// Counts, for each source that has any, the queued events that wait for another event, as far
    /// as that is recorded.
    async fn waiting(&self) -> Result<Vec<WaitingCount>, StoreError>;

    /// Returns, for each source with queued events, when the oldest of them was received.
    async fn oldest_queued(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError>;

    /// Lists the events that match, newest first. A page holds at most 500.
    async fn list(&self, filter: EventFilter, page: PageRequest) -> Result<EventPage, StoreError>;

    /// Returns the events beside one in the list of those that match. One that takes long to find is
    /// none.
    async fn neighbours(&self, filter: EventFilter, of: Cursor) -> Result<Neighbours, StoreError>;

    /// Counts the events that match, up to 10,000 of a state, or of all if no index has them.
    async fn count_matching(
        &self,
        filter: EventFilter,
        count_for: CountFor,
    ) -> Result<MatchCount, StoreError>;

    /// Records the request; [`run_replay`](super::run_replay) executes it.
    async fn start_replay(&self, request: ReplayRequest, by: Actor) -> Result<(), StoreError>;

    /// Cancels a replay: its next steps restore the events that were not started yet.
    async fn cancel_replay(
        &self,
        id: ReplayId,
        now: Timestamp,
        by: Actor,
    ) -> Result<(), StoreError>;

    async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// Lists the replays: those that run, then those that have ended, the newest first. A page holds at most
    /// 500. One that ends between two pages may be on both.
    async fn replays(
        &self,
        limit: usize,
        after: Option<ReplayCursor>,
    ) -> Result<ReplayPage, StoreError>;

    /// Returns the space on the disk of the store, read within the last second.
    fn disk_space(&self) -> Result<DiskSpace, StoreError>;

    /// Ends the hold of an event by a person's decision.
    async fn release(&self, request: ReleaseRequest) -> Result<ReleaseOutcome, StoreError>;

    /// Stores an edited copy of an event as a new one.
    async fn copy(&self, request: CopyRequest) -> Result<CopyOutcome, StoreError>;

    /// Forgets what settled events say, so that neither the file nor, if it could be emptied, the log
    /// has a byte of it. What could not be erased is unchanged.
    async fn erase(&self, request: ErasureRequest) -> Result<Erasure, StoreError>;

    /// Searches all that is stored of the events after a position for a person's address; erased
    /// ones say nothing. A step is bounded, and the next one continues from its `next`.
    async fn mentions(&self, person: EmailAddress, after: u64) -> Result<Mentions, StoreError>;
}

/// What a count is for, which decides for how long it looks at events one by one where no index answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountFor {
    /// Something to see: some 25 ms.
    Display,
    /// A decision about all that match: a second.
    Replay,
}

/// A position in the changes of events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChangePosition {
    /// The last event that was received.
    pub seq: u64,
    /// Time of the last settlement.
    pub settled_at: Timestamp,
}

/// All that the store has of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// Position in the order of receipt.
    pub seq: u64,
    pub event: Event,
    pub state: State,
    /// Where it stopped.
    pub stage: Option<StoppedAt>,
    pub reason: Option<String>,
    pub due_at: Option<Timestamp>,
    /// Position of the event that it waits for, as far as that is recorded.
    pub waits_for: Option<u64>,
    pub settled_at: Option<Timestamp>,
    /// The version of the mapping file by which it was mapped; none before, or if that is not known.
    pub mapping: Option<MappingVersion>,
    pub headline: Headline,
    pub requests: Vec<PlannedRequest>,
    pub attempts: Vec<Attempt>,
    /// Notes from decoding its webhook, followed by those of its mapping.
    pub notes: Vec<String>,
    /// Names of fields that were left out of its requests because Savio would refuse, or refused,
    /// their values.
    pub left_out: Vec<String>,
    /// Whether Savio may have, or may get, one of its requests twice.
    pub may_repeat: bool,
    /// How its webhook arrived.
    pub arrival: Arrival,
    /// Length of the webhook's body.
    pub body_bytes: u64,
    /// When its data was erased.
    pub erased_at: Option<Timestamp>,
    /// The event that it is an edited copy of.
    pub copy_of: Option<EventId>,
}

impl EventRecord {
    /// Returns its place in a list.
    pub fn place(&self) -> Cursor {
        Cursor { received_at: self.event.received_at, number: self.seq.cast_signed() }
    }

    /// Returns the event's entry in a list.
    pub fn summary(&self) -> EventSummary {
        let Headline { summary, who, company } = self.headline.clone();
        EventSummary {
            seq: self.seq,
            id: self.event.id,
            source: self.event.source.clone(),
            event_type: self.event.event_type.clone(),
            delivery_id: self.event.delivery_id.clone(),
            state: self.state,
            stage: self.stage,
            reason: self.reason.clone(),
            summary,
            who,
            company,
            received_at: self.event.received_at,
            attempts: u64::try_from(self.attempts.len()).unwrap_or(u64::MAX),
            may_repeat: self.may_repeat,
            sending: self.requests.iter().any(|it| it.state == RequestState::Sending),
            left_out: self.left_out.clone(),
            mapping: self.mapping,
            due_at: self.due_at,
            waiting_for: None,
            waits_for: self.waits_for,
            erased_at: self.erased_at,
            copy_of: self.copy_of,
        }
    }
}

/// An event as it was stored, to be mapped once more.
#[derive(Debug, Clone, PartialEq)]
pub struct EventPayload {
    pub seq: u64,
    /// An error is the reason why it cannot or should not be mapped.
    pub event: Result<Event, String>,
}

/// The events beside one in a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Neighbours {
    pub newer: Option<EventId>,
    pub older: Option<EventId>,
}

/// The space on the disk of a store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DiskSpace {
    pub free_bytes: u64,
    /// Free space below which nothing new is stored.
    pub reserve_bytes: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    pub source: SourceName,
    pub state: State,
    pub events: u64,
}

/// Numbers of events of a source that wait for another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitingCount {
    pub source: SourceName,
    /// Events that are claimed while they wait.
    pub claimed: u64,
    pub unclaimed: u64,
}
