//! The store's side for delivery: claims of due events, their progress, and the state of
//! destinations.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::error::StoreError;
use super::headline::Headline;
use super::interruption::{DestinationWrite, Interruption};
use super::mapping_version::MappingText;
use super::planned_request::PlannedRequest;
use crate::event::{Event, EventId, FilledBlock, Outcome, RecordKey, Request, SourceName, State};

/// Hands out queued events and records their progress.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Claims queued events that are due, oldest first; imported ones only if no other is due. Each
    /// belongs to the caller until its lease ends.
    async fn claim(&self, request: ClaimRequest) -> Result<Vec<ClaimedEvent>, StoreError>;

    /// Extends the leases and records what the events wait for. Returns the claims that still hold.
    async fn renew(
        &self,
        renewals: Vec<Renewal>,
        until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Moves the waits of queued events of these sources, and all leases, back by as much as the
    /// clock was set back. Call it when it was, or may have been.
    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError>;

    /// Reads the event of a claim again; none if the claim has ended.
    async fn load(&self, claim: Claim) -> Result<Option<ClaimedEvent>, StoreError>;

    /// Finds the oldest mapped event before `seq` that is queued, claimed or not, and still has
    /// this upsert to send. Events of other sources and those that wait for their replay do not
    /// count.
    async fn earlier_upsert(
        &self,
        seq: u64,
        upsert: RecordKey,
        sources: Vec<SourceName>,
    ) -> Result<Option<EarlierUpsert>, StoreError>;

    /// Makes every event due that waits behind an earlier one. Call it when the sources change,
    /// since the earlier one may no longer count.
    async fn end_waits_behind(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Makes each queued event of these sources due that failed and waits for its next try, and each
    /// that waits behind another one. Call it when a person found that the destination works again.
    async fn end_retry_waits(
        &self,
        sources: Vec<SourceName>,
        now: Timestamp,
    ) -> Result<(), StoreError>;

    /// Records the result of an event's last step and its next step, in one commit.
    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError>;

    /// Records that a suspect is about to be mapped alone. If the process ends before `unmark`,
    /// that counts as a crash of this event; after the third it is dead.
    async fn mark(&self, claim: Claim) -> Result<(), StoreError>;

    /// Records that mapping the suspect ended and the process still runs. Resets its crashes.
    async fn unmark(&self, claim: Claim) -> Result<(), StoreError>;

    /// Releases all claims for a clean stop, so that none of their events becomes a suspect.
    async fn release_all(&self) -> Result<(), StoreError>;

    /// Returns when the next queued event of these sources is due or its lease ends.
    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError>;

    /// Counts the queued events of these sources.
    async fn count_queued(&self, sources: Vec<SourceName>) -> Result<u64, StoreError>;

    /// Waits until the count of arrivals of work, from this process or another, is not `seen`, and
    /// returns it. Each caller passes the result of its last call, at first 0.
    // A count and not a signal: work that arrives between two calls is not missed.
    async fn wait_for_work(&self, seen: u64) -> u64;

    /// Reads the state that was last written under this name: of a destination, or of all sources.
    async fn read_state(&self, name: &str) -> Result<Option<Value>, StoreError>;

    async fn write_state(&self, name: &str, state: Value) -> Result<(), StoreError>;

    /// Returns the interruptions of a destination that go on or have ended since then; oldest first.
    async fn recent_interruptions(
        &self,
        destination: &str,
        ended_since: Timestamp,
    ) -> Result<Vec<Interruption>, StoreError>;

    /// Writes the state of a destination and what changes in its log, in one commit.
    async fn write_destination(&self, write: DestinationWrite) -> Result<(), StoreError>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRequest {
    /// Only events of these sources.
    pub sources: Vec<SourceName>,
    pub slots: usize,
    /// No further event is claimed once those that are exceed this memory.
    pub bytes_max: usize,
    pub now: Timestamp,
    pub lease: Duration,
}

/// The right to work on one event, until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub event: EventId,
    /// Fencing token: each claim of an event has a higher one.
    pub token: u64,
}

/// A claim whose lease is to be extended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    pub claim: Claim,
    /// The event that its event waits for, if any.
    pub waits_for: Option<WaitsFor>,
}

/// The other event that an event waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Position of that event in the order of receipt.
    pub event: u64,
    /// Reason for people, with that event's id.
    pub reason: String,
}

/// A queued event whose upsert has to be sent before a later event's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EarlierUpsert {
    pub seq: u64,
    pub event: EventId,
    /// Token of its last claim.
    pub token: u64,
    pub is_claimed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedEvent {
    pub claim: Claim,
    pub event: Event,
    /// Position in the order of receipt, which is the order of the commits.
    pub seq: u64,
    pub queued_at: Timestamp,
    /// Time of the first attempt since it was last queued.
    pub first_attempt_at: Option<Timestamp>,
    /// Requests that the mapping made; none before the mapping was applied.
    pub requests: Option<Vec<PlannedRequest>>,
    /// Number of consecutive failed attempts. Neither a wait without an attempt nor an attempt that
    /// paused the destination counts.
    pub tries: u32,
    /// Whether a person had it replayed; its attempts are marked so.
    pub replay: bool,
    /// Whether it is an edited copy of another event.
    pub is_copy: bool,
    /// Earlier requests that count when it is mapped again: see [`PlannedRequest::replan`].
    pub earlier: Vec<PlannedRequest>,
    /// Whether each request that it is mapped to may have been sent, after the backup that it was
    /// restored from.
    pub may_repeat: bool,
    /// Rough memory of its payload and requests, in bytes.
    pub bytes: usize,
    /// Set if it was claimed before and not mapped when the process or the lease ended.
    pub suspect: Option<Suspect>,
}

/// An event whose mapping may have ended the process. It is mapped alone, between [`Queue::mark`]
/// and [`Queue::unmark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// Number of times that the process ended while this event was being mapped alone.
    pub crashes: u32,
}

/// One step of an event: the result of the last attempt, and the next step.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Requests that the mapping made, if it was just applied.
    pub planned: Option<Vec<Request>>,
    /// What a person said, where the text of the feedback does not begin with it.
    pub said: Option<String>,
    /// What the event says, as far as a mapping gives it that failed.
    pub headline: Option<Headline>,
    /// Notes of the mapping, such as fields that were left out.
    pub notes: Vec<String>,
    /// Names of fields that the mapping left out because Savio would refuse their values.
    pub left_out: BTreeSet<String>,
    /// The blocks of the mapping that ran, if the event says something about its sender.
    pub filled: Vec<FilledBlock>,
    /// The text by which the mapping was just tried, whether it made requests or failed.
    pub mapping: Option<Arc<MappingText>>,
    pub attempt: Option<Attempt>,
    /// Set if the request is sent without some of its fields from now on.
    pub shortened: Option<ShortenedRequest>,
    pub next: NextStep,
}

impl Progress {
    /// Returns a step that records nothing but what is next.
    pub fn to(next: NextStep) -> Progress {
        Progress {
            planned: None,
            said: None,
            headline: None,
            notes: Vec::new(),
            left_out: BTreeSet::new(),
            filled: Vec::new(),
            mapping: None,
            attempt: None,
            shortened: None,
            next,
        }
    }

    /// Splits off all but the next step, as a step that keeps the claim.
    #[must_use]
    pub fn take_result(&mut self) -> Progress {
        let next = Progress::to(self.next.clone());
        let result = std::mem::replace(self, next);
        Progress { next: NextStep::Park { waits_for: None }, ..result }
    }
}

/// A request without the fields that Savio refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ShortenedRequest {
    /// Index of the request in the event's plan.
    pub position: usize,
    pub left_out: Vec<String>,
}

/// One attempt to send one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Index of the request in the event's plan.
    pub position: usize,
    pub at: Timestamp,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub ms: u64,
    /// Savio's message, or the error; at most 4 KiB, without secrets.
    pub detail: Option<String>,
    pub savio_id: Option<Value>,
    /// Whether an earlier attempt of the same request may have arrived.
    pub may_repeat: bool,
    /// Whether a person had the event replayed before.
    pub replay: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NextStep {
    /// Marks the request at this position `sending`; the claim stays.
    Send { position: usize, at: Timestamp },
    /// Keeps the claim: until the event that blocks this one is done, or until the turn of its next
    /// request comes.
    Park { waits_for: Option<WaitsFor> },
    /// Ends the claim; the event is due at `until`.
    Wait { until: Timestamp, reason: String },
    /// Ends the claim; the event is due when the one is that it waits for. If that is claimed or no
    /// longer has the upsert to send, this one is due at `at`.
    WaitBehind { waits_for: WaitsFor, upsert: RecordKey, at: Timestamp },
    /// Ends the claim and the delivery of the event, or holds it.
    Settle { state: State, reason: Option<String>, at: Timestamp },
}
