//! `Operations` for SQLite: what people did.

pub(super) mod audit;

use async_trait::async_trait;

use super::database::Sqlite;
use super::engine::readers::Purpose;
use crate::store::audit::{AuditFilter, AuditNames, AuditPage, NewAuditEntry};
use crate::store::error::StoreError;
use crate::store::filter::PageRequest;
use crate::store::operations::Operations;

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
}
