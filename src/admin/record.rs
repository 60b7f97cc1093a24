//! Records what people did.

use tracing::error;

use crate::store::{NewAuditEntry, Store};

/// Records an action that has been done. If that fails, the log keeps it.
// The action is not undone for it: a person who paused a destination in an emergency needs the
// pause more than its entry.
pub async fn record(store: &dyn Store, entry: NewAuditEntry) {
    if let Err(error) = store.record(entry.clone()).await {
        let NewAuditEntry { by, action, on, .. } = entry;
        let (on, action, via) = (on.unwrap_or_default(), action.as_str(), by.via.as_str());
        error!(%error, who = by.who, via, action, on, "an action is not in the audit");
    }
}
