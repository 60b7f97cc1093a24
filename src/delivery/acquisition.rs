//! The steps by which an event acquires its locks: it checks the claimed events, then the store.
//! Pure.

use super::conflicts::{Conflicts, LockRequest, LockResult, Seq};
use crate::event::RecordKey;
use crate::store::EarlierUpsert;

/// Acquisition of the locks of one request.
// The store is read after the claimed events were checked. Events move from the claimed ones to the
// store, so in this order none is missed; in the other order, one could move after the store was
// read and before the claimed events are checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(test, derive(Hash))]
pub(super) struct Acquisition {
    seq: Seq,
    request: LockRequest,
    /// Result of the last read of the store.
    earlier: Option<EarlierUpsert>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcquisitionStep {
    /// Reads from the store an earlier event with this upsert; `continue_with` follows.
    AskStore(RecordKey),
    /// Waits until all committed claims are registered; `begin` follows.
    AwaitClaims,
    Done(AcquisitionResult),
}

/// Result of an acquisition: whether the event may send its request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AcquisitionResult {
    Granted,
    /// The event waits while claimed.
    Blocked,
    QueueFull(u32),
    /// An earlier event has to make the same upsert first, and waits in the store.
    Behind(EarlierUpsert, RecordKey),
    /// Likewise, but that event is claimed and no job works on it: its job was aborted, and its
    /// lease has to end first.
    Abandoned(EarlierUpsert, RecordKey),
}

impl Acquisition {
    pub(super) fn new(seq: Seq, request: LockRequest) -> Acquisition {
        Acquisition { seq, request, earlier: None }
    }

    pub(super) fn begin(&mut self, conflicts: &mut Conflicts) -> AcquisitionStep {
        match (conflicts.try_lock(self.seq, self.request.clone()), self.request.upsert()) {
            (LockResult::Granted, Some(upsert)) => AcquisitionStep::AskStore(upsert),
            (LockResult::Granted, None) => AcquisitionStep::Done(AcquisitionResult::Granted),
            (LockResult::Blocked(_), _) => AcquisitionStep::Done(AcquisitionResult::Blocked),
            (LockResult::QueueFull(count), _) => {
                AcquisitionStep::Done(AcquisitionResult::QueueFull(count))
            }
        }
    }

    /// Continues with the store's answer.
    pub(super) fn continue_with(
        &mut self,
        conflicts: &mut Conflicts,
        earlier: Option<EarlierUpsert>,
    ) -> AcquisitionStep {
        let (Some(earlier), Some(upsert)) = (earlier, self.request.upsert()) else {
            return AcquisitionStep::Done(AcquisitionResult::Granted);
        };
        // Whatever follows takes time in which younger events should not wait for these locks.
        conflicts.unlock(self.seq);
        let before = self.earlier.replace(earlier);
        match (earlier.is_claimed, conflicts.is_in_hand(earlier.seq)) {
            (false, false) => AcquisitionStep::Done(AcquisitionResult::Behind(earlier, upsert)),
            // The same claim, after `AwaitClaims`: it was registered by then, and was dropped
            // without a write to the store.
            (true, false) if before == Some(earlier) => {
                AcquisitionStep::Done(AcquisitionResult::Abandoned(earlier, upsert))
            }
            // It is being claimed, or was registered while the store was read: then `Conflicts`
            // knows it now.
            (true, false) | (_, true) => AcquisitionStep::AwaitClaims,
        }
    }
}
