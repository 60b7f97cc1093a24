//! The durability promise: a webhook is on disk before it is answered, and delivery resumes from
//! there after any interruption.

mod alert;
mod audit;
mod cause;
mod copy;
mod dead_cause;
mod filled_event;
mod email_address;
mod erasure;
mod error;
mod filter;
mod flows;
mod half_hour;
mod stopped_at;
mod state_counts;
mod replay;
mod planned_request;
mod headline;
mod mapping_version;
mod arrival;
mod inbox;
mod interruption;
mod issue;
mod queue;
mod recent_changes;
mod rejection;
mod archive;
mod operations;
pub mod maintenance;
mod monitoring;
mod session;
pub mod sqlite;

use async_trait::async_trait;

pub use alert::{AlertRecord, AlertTarget, ToldIssue};
pub use archive::{
    Archive, ChangePosition, CountFor, DiskSpace, EventPayload, EventRecord, Neighbours,
    StateCount, WaitingCount,
};
pub use arrival::{AnswerSent, Arrival, MatchedSecret, Verified};
pub use audit::{
    Actor, AuditAction, AuditEntry, AuditFilter, AuditNames, AuditPage, AuditVia, NewAuditEntry,
};
pub use cause::normalised as without_values;
pub use copy::{CopyOutcome, CopyRequest};
pub use dead_cause::{DeadCause, DeadDay, DeadGroup, DeadGroups};
pub use email_address::{EmailAddress, InvalidEmailAddress};
pub use erasure::{Erasure, ErasureOutcome, ErasureRequest, Mentions};
pub use error::{StoreError, UnavailableKind};
pub use filled_event::{FILLED_EVENTS_MAX, FieldSearch, FieldUse, FilledEvent};
pub use filter::{
    Cursor, EventFilter, EventPage, EventSummary, InvalidCursor, MatchCount, PageRequest,
};
pub use flows::{Flow, Flows};
pub use half_hour::HalfHour;
pub use headline::Headline;
pub use inbox::{Inbox, NewEvent, StoredEvents, Webhook, WebhookOrigin};
pub use interruption::{
    DestinationWrite, INTERRUPTIONS_KEPT, INTERRUPTIONS_MAX, Interruption, InterruptionChange,
    InterruptionKind, LoggedInterruption,
};
pub use issue::{
    CLOSED_ISSUES_MAX, Issue, IssueFilter, IssueId, IssueKind, IssuePage, IssuePlace, IssueState,
    IssueStep, IssueWords, Mute, MuteOutcome, MuteRequest, OPEN_ISSUES_MAX, STEPS_MAX,
};
pub use maintenance::{Maintenance, Purged, Recounted, run_replay};
pub use mapping_version::{
    FoundVersion, InvalidVersionCursor, MappingHistory, MappingHistoryEntry, MappingText,
    MappingTexts, MappingVersion, VERSIONS_KEPT, VersionCursor,
};
pub use monitoring::{Balance, HeldEvents, LiveSources, Monitoring, OverdueSource, SeriesRequest};
pub use operations::{Operations, SESSIONS_MAX, SESSIONS_OF_ONE_MAX};
pub use planned_request::{PlannedRequest, RequestState};
pub use queue::{
    Attempt, Claim, ClaimRequest, ClaimedEvent, EarlierUpsert, NextStep, Progress, Queue, Renewal,
    ShortenedRequest, Suspect, WaitsFor,
};
pub use recent_changes::RecentChanges;
pub use rejection::{
    REJECTIONS_OF_SOURCE_MAX, RejectionBatch, RejectionFilter, RejectionPage, RejectionRecord,
};
pub use replay::{
    HoldDecision, InvalidReplayCursor, ListedReplay, ReleaseOutcome, ReleaseRequest, ReplayCursor,
    ReplayId, ReplayPage, ReplayProgress, ReplayRequest, ReplayResults,
};
pub use session::{LoginMethod, SessionDigest, StoredSession};
pub use sqlite::Sqlite;
pub use state_counts::StateCounts;
pub use stopped_at::StoppedAt;

/// Stores events and their progress. A write that returns `Ok` is on disk and survives a power
/// loss. Times are stored to the microsecond.
// Split by its readers, so that intake, which has an `Inbox`, cannot claim or settle events.
#[async_trait]
pub trait Store: Inbox + Queue + Archive + Maintenance + Operations + Monitoring {
    /// Completes pending writes and closes the database; later writes fail.
    async fn close(&self);
}

#[async_trait]
impl Store for Sqlite {
    async fn close(&self) {
        Sqlite::close(self).await;
    }
}
