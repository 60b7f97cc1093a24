//! Errors of the store.

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// Nothing was written; a later try may succeed.
    #[error("the store is not available: {reason}")]
    Unavailable { trouble: UnavailableKind, reason: String },
    /// The event is claimed by another, or settled; nothing was written.
    #[error("the claim has ended")]
    ClaimLost,
    /// Nothing was written, and the same write will fail each time.
    #[error("it can never be written: {reason}")]
    Impossible { reason: String },
}

impl StoreError {
    /// Returns the kind of the error without its reason, for answers to unauthenticated callers.
    pub fn summary(&self) -> &'static str {
        let StoreError::Unavailable { trouble, .. } = self else {
            return "the store is not available";
        };
        match trouble {
            UnavailableKind::DiskFull => "the store is not available: disk full",
            UnavailableKind::DiskFailed => "the store is not available: the disk failed",
            UnavailableKind::Busy => "the store is not available: it is busy",
            UnavailableKind::File => "the store is not available: its file cannot be used",
            UnavailableKind::Damaged => "the store is not available: the database is damaged",
            UnavailableKind::Internal => "the store is not available: an error in the relay",
        }
    }
}

/// The kind of reason for which a store is unavailable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum UnavailableKind {
    DiskFull,
    DiskFailed,
    /// Another program locks it, or its queue is full.
    Busy,
    /// Its file is missing, read-only or was replaced.
    File,
    /// SQLite found its file damaged.
    Damaged,
    /// A fault of the relay itself, or lack of memory.
    Internal,
}
