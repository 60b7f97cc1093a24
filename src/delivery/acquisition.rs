//! How an event comes to its locks: it asks who is in hand, then the store, and which step is next. Pure.

use super::conflicts::{Conflicts, LockRequest, LockResult, Seq};
use crate::event::RecordKey;
use crate::store::EarlierUpsert;

/// The steps of one event. The store is asked after those who are in hand, since events go from there to the store: none
/// is missed.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Acquisition {
    seq: Seq,
    request: LockRequest,
    /// What the store answered last.
    earlier: Option<EarlierUpsert>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcquisitionStep {
    /// Asks the store for an earlier event with this upsert, then `go_on`.
    AskStore(RecordKey),
    /// Waits until all that the store has given out is in hand, then `begin`.
    AwaitClaims,
    Done(Turn),
}

/// Whether an event may send its next request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    Granted,
    /// It waits in hand.
    Blocked,
    QueueFull(u32),
    /// An earlier event has the upsert before it, and waits in the store.
    Behind(EarlierUpsert, RecordKey),
    /// The same, but that event is claimed and not in hand: work on it broke off, and goes on when its lease ends.
    BrokenOff(EarlierUpsert, RecordKey),
}

impl Acquisition {
    pub(super) fn new(seq: Seq, request: LockRequest) -> Acquisition {
        Acquisition { seq, request, earlier: None }
    }

    pub(super) fn begin(&mut self, conflicts: &mut Conflicts) -> AcquisitionStep {
        match (conflicts.try_lock(self.seq, self.request.clone()), self.request.upsert()) {
            (LockResult::Granted, Some(upsert)) => AcquisitionStep::AskStore(upsert),
            (LockResult::Granted, None) => AcquisitionStep::Done(Turn::Granted),
            (LockResult::Blocked(_), _) => AcquisitionStep::Done(Turn::Blocked),
            (LockResult::QueueFull(count), _) => AcquisitionStep::Done(Turn::QueueFull(count)),
        }
    }

    /// With the store's answer.
    pub(super) fn go_on(
        &mut self,
        conflicts: &mut Conflicts,
        earlier: Option<EarlierUpsert>,
    ) -> AcquisitionStep {
        let (Some(earlier), Some(upsert)) = (earlier, self.request.upsert()) else {
            return AcquisitionStep::Done(Turn::Granted);
        };
        conflicts.unlock(self.seq);
        let before = self.earlier.replace(earlier);
        match (earlier.is_claimed, conflicts.is_in_hand(earlier.seq)) {
            (false, false) => AcquisitionStep::Done(Turn::Behind(earlier, upsert)),
            // It was handed over after the first time at the latest, and left without a word to the store.
            (true, false) if before == Some(earlier) => {
                AcquisitionStep::Done(Turn::BrokenOff(earlier, upsert))
            }
            // It is being handed over, or came into our hands while the store was read: then `Conflicts` knows it now.
            (true, false) | (_, true) => AcquisitionStep::AwaitClaims,
        }
    }
}
