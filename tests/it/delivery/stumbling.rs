//! A store that fails at times.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use jiff::Timestamp;
use savio_relay::event::{EventId, Name, SourceName};
use savio_relay::store::{
    Claim, Claimed, Count, Filter, Forgotten, Kept, Listed, Matching, NewReplay, Page, Progress,
    Record, Released, Replay, ReplayId, Store, StoreError, Wanted, Webhook, Word,
};
use serde_json::Value;

/// A store that cannot write down the next few outcomes.
pub(super) struct Stumbling {
    pub(super) store: Arc<dyn Store>,
    pub(super) stumbles: AtomicUsize,
    pub(super) error: StoreError,
    /// 0: older events are found; else how often they were looked for in vain, and 1.
    pub(super) reads_fail: AtomicUsize,
}

#[async_trait]
impl Store for Stumbling {
    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError> {
        let fewer = |left: usize| left.checked_sub(1);
        let stumbles = || self.stumbles.fetch_update(Ordering::SeqCst, Ordering::SeqCst, fewer);
        if progress.attempt.is_some() && stumbles().is_ok() {
            return Err(self.error.clone());
        }
        self.store.advance(claim, progress).await
    }
    async fn keep(&self, webhook: Webhook) -> Result<Kept, StoreError> {
        self.store.keep(webhook).await
    }
    async fn claim(&self, wanted: Wanted) -> Result<Vec<Claimed>, StoreError> {
        self.store.claim(wanted).await
    }
    async fn load(&self, claim: Claim) -> Result<Option<Claimed>, StoreError> {
        self.store.load(claim).await
    }
    async fn older(
        &self,
        place: u64,
        upsert: Name,
        sources: Vec<SourceName>,
    ) -> Result<Option<u64>, StoreError> {
        let more = |failed: usize| (failed > 0).then_some(failed + 1);
        match self.reads_fail.fetch_update(Ordering::SeqCst, Ordering::SeqCst, more) {
            Ok(_) => Err(self.error.clone()),
            Err(_) => self.store.older(place, upsert, sources).await,
        }
    }
    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError> {
        self.store.rewind(sources, now).await
    }
    async fn renew(&self, claims: Vec<Claim>, until: Timestamp) -> Result<Vec<Claim>, StoreError> {
        self.store.renew(claims, until).await
    }
    async fn mark(&self, claim: Claim) -> Result<(), StoreError> {
        self.store.mark(claim).await
    }
    async fn unmark(&self, claim: Claim) -> Result<(), StoreError> {
        self.store.unmark(claim).await
    }
    async fn give_back(&self) -> Result<(), StoreError> {
        self.store.give_back().await
    }
    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError> {
        self.store.next_due(sources).await
    }
    async fn arrived(&self, seen: u64) -> u64 {
        self.store.arrived(seen).await
    }
    async fn ready(&self) -> Result<(), StoreError> {
        self.store.ready().await
    }
    async fn event(&self, id: EventId) -> Result<Option<Record>, StoreError> {
        self.store.event(id).await
    }
    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.body(id).await
    }
    async fn counts(&self) -> Result<Vec<Count>, StoreError> {
        self.store.counts().await
    }
    async fn oldest(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError> {
        self.store.oldest().await
    }
    async fn gate(&self, name: &str) -> Result<Option<Value>, StoreError> {
        self.store.gate(name).await
    }
    async fn keep_gate(&self, name: &str, gate: Value) -> Result<(), StoreError> {
        self.store.keep_gate(name, gate).await
    }

    async fn list(&self, filter: Filter, page: Page) -> Result<Listed, StoreError> {
        self.store.list(filter, page).await
    }
    async fn matching(&self, filter: Filter) -> Result<Matching, StoreError> {
        self.store.matching(filter).await
    }
    async fn begin_replay(&self, order: NewReplay) -> Result<(), StoreError> {
        self.store.begin_replay(order).await
    }
    async fn replay_on(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.store.replay_on(id).await
    }
    async fn cancel_replay(&self, id: ReplayId, now: Timestamp) -> Result<(), StoreError> {
        self.store.cancel_replay(id, now).await
    }
    async fn replay(&self, id: ReplayId) -> Result<Option<Replay>, StoreError> {
        self.store.replay(id).await
    }
    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.store.open_replays().await
    }
    async fn release(
        &self,
        id: EventId,
        word: Word,
        now: Timestamp,
    ) -> Result<Released, StoreError> {
        self.store.release(id, word, now).await
    }
    async fn forget(&self, settled_before: Timestamp) -> Result<Forgotten, StoreError> {
        self.store.forget(settled_before).await
    }
    async fn recount(&self) -> Result<usize, StoreError> {
        self.store.recount().await
    }
}
