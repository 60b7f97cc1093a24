//! Recognises the repeats that an import would leave out, without storing anything.

use std::collections::HashSet;

use sha2::{Digest, Sha256};

use crate::cli::error::CommandError;
use crate::store::sqlite::{OpenError, Settings};
use crate::store::{Archive, Sqlite, Webhook};

/// The delivery ids that an import would find in the store: those that are there, and those of
/// earlier records of the file.
pub(super) struct Repeats {
    /// `None` if there is no store yet.
    store: Option<Sqlite>,
    /// First half of the SHA-256 of each id.
    // Not the ids: those of a file of any size are kept in memory.
    seen: HashSet<[u8; 16]>,
}

impl Repeats {
    /// Opens the store beside a relay that may run on it. One that does not exist is not created.
    pub(super) fn open(settings: &Settings) -> Result<Repeats, CommandError> {
        let store = match Sqlite::open_shared(settings) {
            Err(OpenError::Missing { .. }) => None,
            opened => Some(opened.map_err(|error| CommandError::failed(&error))?),
        };
        Ok(Repeats { store, seen: HashSet::new() })
    }

    /// Returns the positions of the repeated events of each webhook, as the store would if they
    /// were stored one after the other.
    pub(super) async fn find(
        &mut self,
        webhooks: &[&Webhook],
    ) -> Result<Vec<Vec<usize>>, CommandError> {
        let stored = self.stored(webhooks).await?;
        let mut is_repeat = |id: &String| stored.contains(id) || !self.seen.insert(digest(id));
        let mut repeated = Vec::with_capacity(webhooks.len());
        for webhook in webhooks {
            let events = webhook.events.iter().enumerate();
            let repeats =
                events.filter(|(_, it)| it.delivery_id.as_ref().is_some_and(&mut is_repeat));
            repeated.push(repeats.map(|(position, _)| position).collect());
        }
        Ok(repeated)
    }

    async fn stored(&self, webhooks: &[&Webhook]) -> Result<HashSet<String>, CommandError> {
        let (Some(store), Some(first)) = (&self.store, webhooks.first()) else {
            return Ok(HashSet::new());
        };
        let events = webhooks.iter().flat_map(|webhook| &webhook.events);
        let ids = events.filter_map(|event| event.delivery_id.clone()).collect();
        // All records of a file are of one source.
        Ok(store.stored_deliveries(first.source.clone(), ids).await?)
    }

    pub(super) async fn close(self) {
        if let Some(store) = self.store {
            store.close().await;
        }
    }
}

fn digest(id: &str) -> [u8; 16] {
    let hash = Sha256::digest(id);
    std::array::from_fn(|at| hash[at])
}
