//! The store's side for those who run the relay: what people did.

use async_trait::async_trait;

use super::audit::{AuditFilter, AuditNames, AuditPage, NewAuditEntry};
use super::error::StoreError;
use super::filter::PageRequest;

/// Records what people do, and lists it.
#[async_trait]
pub trait Operations: Send + Sync {
    /// Records an action that is not one of the store itself. Those of [`Archive`](super::Archive)
    /// are recorded with the action, in the same commit.
    async fn record(&self, entry: NewAuditEntry) -> Result<(), StoreError>;

    /// Lists recorded actions, newest first. A page holds at most 500.
    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<AuditPage, StoreError>;

    /// Returns the people and actions that there are.
    async fn audit_names(&self) -> Result<AuditNames, StoreError>;
}
