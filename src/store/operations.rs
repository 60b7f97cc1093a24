//! The store's side for those who run the relay: what people did, and their sessions.

use async_trait::async_trait;
use jiff::Timestamp;

use super::audit::{AuditFilter, AuditNames, AuditPage, NewAuditEntry};
use super::error::StoreError;
use super::filter::PageRequest;
use super::session::{SessionDigest, StoredSession};

/// Number of sessions of one token or user.
pub const SESSIONS_OF_ONE_MAX: usize = 50;

/// Number of all sessions, which each node keeps in memory.
pub const SESSIONS_MAX: usize = 1_000;

/// Records what people do, and lists it; keeps the sessions of their browsers.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Records an action that is not one of the store itself. Those of [`Archive`](super::Archive)
    /// are recorded with the action, in the same commit.
    async fn record(&self, entry: NewAuditEntry) -> Result<(), StoreError>;

    /// Lists recorded actions, newest first. A page holds at most 500.
    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<AuditPage, StoreError>;

    /// Returns the people and actions that there are.
    async fn audit_names(&self) -> Result<AuditNames, StoreError>;

    /// Adds a session. Of one name at most [`SESSIONS_OF_ONE_MAX`] are kept, of all
    /// [`SESSIONS_MAX`]: the oldest end for a new one.
    async fn add_session(&self, session: StoredSession) -> Result<(), StoreError>;

    /// Returns all sessions that end after this time.
    async fn sessions(&self, now: Timestamp) -> Result<Vec<StoredSession>, StoreError>;

    /// Deletes sessions, whether they exist or not.
    async fn end_sessions(&self, digests: Vec<SessionDigest>) -> Result<(), StoreError>;
}
