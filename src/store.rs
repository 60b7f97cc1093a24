//! The durability promise: what is kept before a webhook is answered, and how delivery goes on from
//! it after any interruption.

pub mod maintenance;
mod filter;
mod replay;
mod shown;
pub mod sqlite;

use std::collections::BTreeSet;
use std::ops::Range;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::{Event, EventId, Headers, Outcome, RecordKey, Request, SourceName, State};
pub use filter::{
    Cursor, EventFilter, EventPage, EventSummary, InvalidCursor, MatchCount, PageRequest,
};
pub use replay::{
    HoldDecision, ReleaseOutcome, ReplayId, ReplayProgress, ReplayRequest, run_replay,
};
pub use shown::{EventView, ReplayView};
pub use sqlite::Sqlite;

/// Keeps events and their progress. Whatever returns `Ok` is on disk and survives a power loss.
/// Times are kept to the microsecond.
#[async_trait]
pub trait Store: Send + Sync {
    /// Keeps all new events of the webhook, or none of it.
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError>;

    /// Gives out queued events that are due, oldest first, and what was imported behind all that was
    /// sent. Each is the caller's until its lease ends.
    async fn claim(&self, wanted: ClaimRequest) -> Result<Vec<ClaimedEvent>, StoreError>;

    /// Keeps the claims for another lease, and notes what their events wait for; returns those that are still the
    /// caller's.
    async fn renew(
        &self,
        renewals: Vec<Renewal>,
        until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError>;

    /// To be called when the clock was, or may have been, set back: queued events of these sources wait, and
    /// leases last, no longer from now on than they were meant to when that was written.
    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError>;

    /// The event of a claim as it is now; none if the claim has ended.
    async fn load(&self, claim: Claim) -> Result<Option<ClaimedEvent>, StoreError>;

    /// The oldest event that was received before this place and is in the queue, claimed or not, with this upsert still
    /// to make, as its mapping was recorded. Events of other sources do not count, nor does what is to be replayed
    /// and was not begun.
    async fn earlier_upsert(
        &self,
        seq: u64,
        upsert: RecordKey,
        sources: Vec<SourceName>,
    ) -> Result<Option<EarlierUpsert>, StoreError>;

    /// Has every event that waits behind an earlier one be due now, since that one may not count any more: to be called
    /// when the sources changed whose events count.
    async fn end_waits_behind(&self, now: Timestamp) -> Result<(), StoreError>;

    /// Writes what came of the last step of an event and what the next is, in one commit.
    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError>;

    /// Notes of a suspect that it is about to be mapped, alone: if the process ends before `unmark`, that
    /// is held against the event. At the third time the event is dead.
    async fn mark(&self, claim: Claim) -> Result<(), StoreError>;

    /// The suspect was mapped and the process still runs, which clears it of what was held against it.
    async fn unmark(&self, claim: Claim) -> Result<(), StoreError>;

    /// Gives back all that this process has claimed, for a clean stop: none of it becomes a suspect.
    async fn give_back(&self) -> Result<(), StoreError>;

    /// When the next queued event of these sources is due or its lease ends.
    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError>;

    /// How often events came to be due, by this process or another: returns once that is no longer
    /// `seen`. Each who waits has its own `seen`, from 0.
    async fn wait_for_work(&self, seen: u64) -> u64;

    /// Whether a webhook would be kept now.
    async fn ready(&self) -> Result<(), StoreError>;

    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError>;

    /// The whole webhook that the event came in, as received.
    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError>;

    /// How many events each source has in each state in which it has any.
    async fn counts(&self) -> Result<Vec<StateCount>, StoreError>;

    /// Of each source in which there are any, how many queued events wait for another event, as far as it was noted.
    async fn waiting(&self) -> Result<Vec<Waiting>, StoreError>;

    /// Of each source with queued events, when the one that waits longest was received.
    async fn oldest(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError>;

    /// What delivery kept under this name last: the state of a destination, or of all sources.
    async fn read_state(&self, name: &str) -> Result<Option<Value>, StoreError>;

    async fn write_state(&self, name: &str, gate: Value) -> Result<(), StoreError>;

    /// Events that match, newest first. A page holds at most 500.
    async fn list(&self, filter: EventFilter, page: PageRequest) -> Result<EventPage, StoreError>;

    async fn matching(&self, filter: EventFilter) -> Result<MatchCount, StoreError>;

    /// Writes the order down; `carry_out` does what it says.
    async fn start_replay(&self, order: ReplayRequest) -> Result<(), StoreError>;

    /// The next step of a replay, small enough not to hold up who else writes.
    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// From now on its steps give back what was not begun yet: it becomes again what it was.
    async fn cancel_replay(&self, id: ReplayId, now: Timestamp) -> Result<(), StoreError>;

    async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError>;

    /// Replays that have steps to do, oldest first.
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError>;

    /// Ends what is held, by a person's word.
    async fn release(
        &self,
        id: EventId,
        word: HoldDecision,
        now: Timestamp,
    ) -> Result<ReleaseOutcome, StoreError>;

    /// Forgets a few of the events that settled before, as `replay_on` in a small step.
    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError>;

    /// Counts all events anew and puts right what `counts` says, if need be; how many were wrong. It
    /// takes a third of a second for a million events, and keeps nobody from writing.
    async fn recount(&self) -> Result<usize, StoreError>;
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was kept; it may work later.
    #[error("the store is not available: {reason}")]
    Unavailable { trouble: Trouble, reason: String },
    /// The lease ended and the event is another's now; nothing was written.
    #[error("the claim has ended")]
    ClaimLost,
    /// Nothing was written, and the same will never be.
    #[error("it can never be written: {reason}")]
    Impossible { reason: String },
}

/// What kind of trouble a store has; the reason beside it may name paths.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    DiskFull,
    DiskFailed,
    /// Others use it, or more waits for it than it takes.
    Busy,
    /// Its file is missing, read-only or another's.
    File,
    /// SQLite found its file damaged.
    Damaged,
    /// Trouble inside the relay.
    Internal,
}

impl StoreError {
    /// The kind of trouble without its details, which are nothing for strangers.
    pub fn outline(&self) -> &'static str {
        let StoreError::Unavailable { trouble, .. } = self else {
            return "the store is not available";
        };
        match trouble {
            Trouble::DiskFull => "the store is not available: disk full",
            Trouble::DiskFailed => "the store is not available: the disk failed",
            Trouble::Busy => "the store is not available: it is busy",
            Trouble::File => "the store is not available: its file cannot be used",
            Trouble::Damaged => "the store is not available: the database is damaged",
            Trouble::Internal => "the store is not available: an error in the relay",
        }
    }
}

/// A webhook that proved itself, as it was received.
#[derive(Debug, Clone, PartialEq)]
pub struct Webhook {
    pub source: SourceName,
    pub received_at: Timestamp,
    /// Without secrets.
    pub headers: Headers,
    pub body: Vec<u8>,
    /// The body as JSON text, where it came as something else.
    pub decoded: Option<String>,
    /// What was noted when it was decoded.
    pub notes: Vec<String>,
    pub events: Vec<NewEvent>,
    pub origin: WebhookOrigin,
}

/// How a webhook came.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WebhookOrigin {
    Sent,
    /// A person imported it, to be delivered from this time on.
    Imported {
        due_at: Timestamp,
    },
}

#[derive(Debug, Clone, PartialEq)]
pub struct NewEvent {
    pub id: EventId,
    pub event_type: Option<String>,
    pub delivery_id: Option<String>,
    /// The bytes of `decoded`, else of `body`, that are this event's payload.
    pub payload: Range<usize>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvents {
    /// One id for each event of the webhook, in order; for a repeat the first one's.
    pub events: Vec<EventId>,
    /// The positions of those that were there before, in order.
    pub repeated: Vec<usize>,
}

impl StoredEvents {
    /// How many of them were not there before.
    pub fn new_events(&self) -> usize {
        self.events.len() - self.repeated.len()
    }
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

/// How many events of a source wait for another event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Waiting {
    pub source: SourceName,
    /// Those that are in somebody's hands meanwhile.
    pub claimed: u64,
    pub unclaimed: u64,
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
    pub place: u64,
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
    /// Where it is to be mapped anew, the requests of before whose past counts: see `PlannedRequest::anew`.
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

/// A request that an event became.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRequest {
    pub request: Request,
    pub state: RequestState,
    /// Savio's id of what the request made.
    pub savio_id: Option<Value>,
    /// An earlier send may have arrived.
    pub may_repeat: bool,
    /// Fields that Savio refused, so that they are not in the request any more.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    Waiting,
    /// On disk before the first byte leaves; found at a claim, it was interrupted.
    Sending,
    Done,
    Refused,
}

impl RequestState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Waiting => "waiting",
            RequestState::Sending => "sending",
            RequestState::Done => "done",
            RequestState::Refused => "refused",
        }
    }
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

/// A request without the fields that Savio refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shorter {
    /// Which of the event's requests.
    pub position: usize,
    pub left_out: Vec<String>,
}

impl Progress {
    /// A step in which nothing came of anything.
    pub fn to(next: NextStep) -> Progress {
        let (notes, left_out) = (Vec::new(), BTreeSet::new());
        Progress { planned: None, notes, left_out, attempt: None, shorter: None, next }
    }
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

/// All that is known of one event.
#[derive(Debug, Clone, PartialEq)]
pub struct EventRecord {
    /// The event's place in the order of receipt.
    pub seq: u64,
    pub event: Event,
    pub state: State,
    pub reason: Option<String>,
    pub due_at: Option<Timestamp>,
    pub settled_at: Option<Timestamp>,
    pub requests: Vec<PlannedRequest>,
    pub attempts: Vec<Attempt>,
    /// What was noted when its webhook was decoded, and then of its requests.
    pub notes: Vec<String>,
    /// The names of fields that were left out of its requests since Savio would not take their values.
    pub left_out: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StateCount {
    pub source: SourceName,
    pub state: State,
    pub events: u64,
}

/// What one step of forgetting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Purged {
    pub events: usize,
    /// Whether there is more to forget, or space to give back.
    pub has_steps: bool,
}
