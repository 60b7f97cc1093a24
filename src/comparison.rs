//! What would change if a mapping file were replaced: the one in service and a proposed one are applied to
//! stored events, by the code that delivery uses. Also what a replay would make of its events. Nothing is sent, and
//! Savio is not asked.

mod counts;
mod event_change;
mod field_changes;
mod intake_keys;
mod mapped;
mod replay_trial;
mod threads;
mod walk;

pub use counts::ChangeCounts;
pub use event_change::{ChangeKind, EventChange};
pub use field_changes::FieldChange;
pub use intake_keys::not_compared;
pub use mapped::{MappedEvent, MappingResult};
pub use replay_trial::{MappingsInService, ReplayTrial, WouldFail, WouldReplay};
pub use threads::{ComparisonThreads, ComparisonTurn};
pub use walk::{ComparedEvent, ComparisonError, MappingPair, Walk};

/// Number of events that are compared unless a person says otherwise.
pub const EVENTS: usize = 200;
/// Number of events that are compared at most.
pub const EVENTS_MAX: usize = 10_000;
