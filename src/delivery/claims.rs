//! The claims under which this process works, the newest of each event.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::event::EventId;
use crate::store::{Claim, Claimed, Store, StoreError, Wanted};

#[derive(Debug, Default)]
pub(super) struct Claims {
    newest: Mutex<HashMap<EventId, Claim>>,
    /// Locked while new claims come in.
    claiming: tokio::sync::Mutex<()>,
}

impl Claims {
    /// Claims events. One that is still worked on here, because its lease ended while the store was
    /// away, is left to who works on it, who goes on under the new claim: nothing is sent twice.
    pub(super) async fn claim(
        &self,
        store: &dyn Store,
        wanted: Wanted,
    ) -> Result<Vec<Claimed>, StoreError> {
        let _claiming = self.claiming.lock().await;
        let mut claimed = store.claim(wanted).await?;
        let mut newest = self.newest();
        claimed.retain(|new| match newest.get_mut(&new.claim.event) {
            Some(held) => {
                *held = new.claim;
                false
            }
            None => true,
        });
        Ok(claimed)
    }

    pub(super) fn hold(&self, claim: Claim) -> Held<'_> {
        self.newest().insert(claim.event, claim);
        Held { claims: self, first: claim }
    }

    pub(super) fn all(&self) -> Vec<Claim> {
        self.newest().values().copied().collect()
    }

    fn newest(&self) -> MutexGuard<'_, HashMap<EventId, Claim>> {
        self.newest.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An event in our hands, until this is dropped.
#[derive(Debug)]
pub(super) struct Held<'a> {
    claims: &'a Claims,
    first: Claim,
}

impl Held<'_> {
    pub(super) fn claim(&self) -> Claim {
        self.claims.newest().get(&self.first.event).copied().unwrap_or(self.first)
    }

    /// Whether a newer claim has taken the place of the one that was lost.
    pub(super) async fn has_replaced(&self, lost: Claim) -> bool {
        let _no_claim_is_coming_in = self.claims.claiming.lock().await;
        self.claim() != lost
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.claims.newest().remove(&self.first.event);
    }
}
