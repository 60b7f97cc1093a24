//! Why the store could not do what was asked.

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
