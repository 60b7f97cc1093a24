//! What delivery needs of the store: claims on the events that are due, their progress, and the state of destinations.

use std::collections::BTreeSet;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;

use super::error::StoreError;
use super::planned_request::PlannedRequest;
use crate::event::{Event, EventId, Outcome, RecordKey, Request, SourceName, State};

/// Gives out queued events and records their progress.
#[async_trait]
pub trait Queue: Send + Sync {
    /// Claims queued events that are due, oldest first, and imported ones only where no other is due. Each is the
    /// caller's until its lease ends.
    async fn claim(&self, wanted: ClaimRequest) -> Result<Vec<ClaimedEvent>, StoreError>;

    /// Extends the leases and records what the events wait for; returns the claims that are still the caller's.
    async fn renew(
        &self,
        renewals: Vec<Renewal>,
        until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError>;

    /// Shortens the waits of queued events of these sources, and all leases, to what they were when they were written.
    /// To be called when the clock was, or may have been, set back.
    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError>;

    /// Reads the event of a claim anew; none if the claim has ended.
    async fn load(&self, claim: Claim) -> Result<Option<ClaimedEvent>, StoreError>;

    /// Finds the oldest event that was received before this place and is in the queue, claimed or not, with this upsert
    /// still to make, as its mapping was recorded. Events of other sources do not count, nor do those that wait for
    /// their replay.
    async fn earlier_upsert(
        &self,
        seq: u64,
        upsert: RecordKey,
        sources: Vec<SourceName>,
    ) -> Result<Option<EarlierUpsert>, StoreError>;

    /// Makes every event due that waits behind an earlier one. To be called when the sources change, since the earlier
    /// one may not count any more.
    async fn end_waits_behind(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Records the result of an event's last step and its next step, in one commit.
    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError>;

    /// Records that a suspect is about to be mapped, alone: if the process ends before `unmark`, that counts against the
    /// event. At the third time the event is dead.
    async fn mark(&self, claim: Claim) -> Result<(), StoreError>;

    /// Records that the suspect was mapped and the process still runs, which clears it.
    async fn unmark(&self, claim: Claim) -> Result<(), StoreError>;

    /// Ends all claims of this process for a clean stop: none of their events becomes a suspect.
    async fn give_back(&self) -> Result<(), StoreError>;

    /// Returns when the next queued event of these sources is due or its lease ends.
    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError>;

    /// Counts how often work arrived, by this process or another, and returns once the count is not `seen`. Each
    /// caller passes what its last call returned, at first 0.
    async fn wait_for_work(&self, seen: u64) -> u64;

    /// Reads what delivery wrote under this name last: the state of a destination, or of all sources.
    async fn read_state(&self, name: &str) -> Result<Option<Value>, StoreError>;

    async fn write_state(&self, name: &str, state: Value) -> Result<(), StoreError>;
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClaimRequest {
    /// Only events of these sources.
    pub sources: Vec<SourceName>,
    pub slots: usize,
    /// No more are given out once those that are hold so much memory.
    pub bytes_max: usize,
    pub now: Timestamp,
    pub lease: Duration,
}

/// The right to work on one event, until the lease ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Claim {
    pub event: EventId,
    /// Tells this claim from earlier and later ones of the same event.
    pub token: u64,
}

/// A claim that is to last longer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Renewal {
    pub claim: Claim,
    /// What its event waits for meanwhile.
    pub waits_for: Option<WaitsFor>,
}

/// The other event that an event waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WaitsFor {
    /// Its place in the order of receipt.
    pub event: u64,
    /// For people, with its id.
    pub reason: String,
}

/// An event in the queue that has an upsert to make before a later event makes the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct EarlierUpsert {
    pub seq: u64,
    pub event: EventId,
    /// Of its last claim.
    pub token: u64,
    pub is_claimed: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub struct ClaimedEvent {
    pub claim: Claim,
    pub event: Event,
    /// In the order of receipt, which is that of the commits.
    pub seq: u64,
    pub queued_at: Timestamp,
    /// Since it was queued last.
    pub first_attempt_at: Option<Timestamp>,
    /// What the mapping made of it at the first attempt; none before.
    pub requests: Option<Vec<PlannedRequest>>,
    /// How many attempts failed in a row; waiting without an attempt adds none, nor does one that paused the
    /// destination.
    pub tries: u32,
    /// A person had it replayed; its attempts are marked so.
    pub replay: bool,
    /// Where it is to be mapped anew, the requests of before whose past counts: see `PlannedRequest::replan`.
    pub earlier: Vec<PlannedRequest>,
    /// About how much memory its payload and its requests take.
    pub bytes: usize,
    /// It was claimed before, and not mapped when the process or the lease ended.
    pub suspect: Option<Suspect>,
}

/// An event whose mapping may have ended the process: it is mapped with nothing else being mapped, between
/// `mark` and `unmark`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Suspect {
    /// How often the process ended while this event was being mapped alone.
    pub deaths: u32,
}

/// One step of an event: what came of the last send, and what is next.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// The requests that the mapping made, when it was just applied.
    pub planned: Option<Vec<Request>>,
    /// Fields that were left out and other remarks of the mapping.
    pub notes: Vec<String>,
    /// The names of fields that the mapping left out since Savio would not take their values.
    pub left_out: BTreeSet<String>,
    pub attempt: Option<Attempt>,
    /// The request of the attempt as it is sent from now on.
    pub shorter: Option<Shorter>,
    pub next: NextStep,
}

impl Progress {
    /// A step without a result.
    pub fn to(next: NextStep) -> Progress {
        let (notes, left_out) = (Vec::new(), BTreeSet::new());
        Progress { planned: None, notes, left_out, attempt: None, shorter: None, next }
    }
}

/// A request without the fields that Savio refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shorter {
    /// Which of the event's requests.
    pub position: usize,
    pub left_out: Vec<String>,
}

/// One try at sending one request.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Which of the event's requests.
    pub position: usize,
    pub at: Timestamp,
    pub outcome: Outcome,
    pub status: Option<u16>,
    pub ms: u64,
    /// Savio's words, or what went wrong; at most 4 KiB, without secrets.
    pub detail: Option<String>,
    pub savio_id: Option<Value>,
    /// An earlier send of the same request may have arrived.
    pub may_repeat: bool,
    /// A person had the event replayed before.
    pub replay: bool,
}

#[derive(Debug, Clone, PartialEq)]
pub enum NextStep {
    /// The request at this position is marked `sending`, and the claim goes on.
    Send { position: usize, at: Timestamp },
    /// The claim goes on, and so does the event when another one is through.
    Park { waits_for: Option<WaitsFor> },
    /// The claim ends; the event waits.
    Wait { until: Timestamp, reason: String },
    /// The claim ends; the event is due when the other one is that it waits for, since that has the same upsert
    /// to make before. If it has not any more, or is claimed by now, the event is due at `at`.
    WaitBehind { waits_for: WaitsFor, upsert: RecordKey, at: Timestamp },
    /// The claim ends; the event has come to its end.
    Settle { state: State, reason: Option<String>, at: Timestamp },
}
