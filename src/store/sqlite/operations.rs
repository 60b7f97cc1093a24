//! `Operations` for SQLite: what people did, and their sessions.

pub(super) mod audit;
pub(super) mod sessions;

use async_trait::async_trait;
use jiff::Timestamp;

use super::database::Sqlite;
use super::engine::readers::Purpose;
use crate::store::audit::{AuditFilter, AuditNames, AuditPage, NewAuditEntry};
use crate::store::error::StoreError;
use crate::store::filter::PageRequest;
use crate::store::operations::Operations;
use crate::store::session::{SessionDigest, StoredSession};

#[async_trait]
impl Operations for Sqlite {
    async fn record(&self, entry: NewAuditEntry) -> Result<(), StoreError> {
        self.damage.check()?;
        self.writer
            .write(move |transaction| Ok(audit::insert(transaction, &entry).map(drop)?))
            .await
    }

    async fn audit(&self, filter: AuditFilter, page: PageRequest) -> Result<AuditPage, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| Ok(audit::list(connection, &filter, page)?))
            .await
    }

    async fn audit_names(&self) -> Result<AuditNames, StoreError> {
        self.readers.read(Purpose::Lookup, |connection| Ok(audit::names(connection)?)).await
    }

    async fn add_session(&self, session: StoredSession) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |transaction| sessions::add(transaction, &session)).await
    }

    async fn sessions(&self, now: Timestamp) -> Result<Vec<StoredSession>, StoreError> {
        self.readers
            .read(Purpose::Lookup, move |connection| sessions::current(connection, now))
            .await
    }

    async fn end_sessions(&self, digests: Vec<SessionDigest>) -> Result<(), StoreError> {
        self.damage.check()?;
        self.writer.write(move |transaction| sessions::end(transaction, &digests)).await
    }
}
