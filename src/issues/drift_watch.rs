//! Follows which fields the mapped events have.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc::Receiver;
use tokio::sync::mpsc::error::TryRecvError;
use tokio::time::{Instant, sleep_until};

use super::condition::RuleFinding;
use super::kinds::drift::{self, MissingField, SeenFields, ServedBlocks, Windows};
use crate::delivery::ObservedEvent;
use crate::event::EventId;
use crate::store::{Issue, Store, StoreError};

/// Time after which the week before is looked at again for a field that is still missing.
const ASK_EVERY: Duration = Duration::from_mins(1);

/// Number of fields for which that is looked at in one go.
const ASKED_MAX: usize = 10;

/// Number of the last stored events of a source that may also come from delivery.
const COMING_MAX: usize = 200;

pub(super) struct DriftWatch {
    events: Receiver<ObservedEvent>,
    /// None until the stored events are read.
    windows: Option<Windows>,
    /// Stored events that delivery may still pass on.
    coming: HashSet<EventId>,
    /// The missing fields that are lost.
    lost: BTreeSet<String>,
    asked: BTreeMap<String, Instant>,
}

impl DriftWatch {
    pub(super) fn new(events: Receiver<ObservedEvent>) -> DriftWatch {
        DriftWatch {
            events,
            windows: None,
            coming: HashSet::new(),
            lost: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    /// Notes events as they come, for this long.
    pub(super) async fn follow(&mut self, time: Duration) {
        let end = Instant::now() + time;
        loop {
            let event = tokio::select! {
                () = sleep_until(end) => return,
                event = self.events.recv() => event,
            };
            match event {
                Some(event) => self.note(&event),
                // Delivery has ended.
                None => return sleep_until(end).await,
            }
        }
    }

    fn note(&mut self, event: &ObservedEvent) {
        let ObservedEvent { id, source, event_type, received_at, blocks } = event;
        // One that comes before the stored events are read is among them.
        if let Some(windows) = &mut self.windows
            && !self.coming.remove(id)
        {
            windows.note((source, event_type.as_deref()), blocks, *received_at);
        }
    }

    /// Reads the stored events, unless that is done.
    pub(super) async fn begin(
        &mut self,
        store: &dyn Store,
        served: &[ServedBlocks],
    ) -> Result<(), StoreError> {
        if self.windows.is_some() {
            return Ok(());
        }
        self.receive();
        let (mut windows, mut coming) = (Windows::default(), HashSet::new());
        for ServedBlocks { source, .. } in served {
            let stored = store.filled_events(source.clone()).await?;
            for event in &stored {
                let of = (source, event.event_type.as_deref());
                windows.note(of, &event.blocks, event.received_at);
            }
            coming.extend(stored.iter().rev().take(COMING_MAX).map(|event| event.id));
        }
        (self.windows, self.coming) = (Some(windows), coming);
        Ok(())
    }

    /// Notes the events that are there.
    fn receive(&mut self) {
        loop {
            match self.events.try_recv() {
                Ok(event) => self.note(&event),
                Err(TryRecvError::Empty | TryRecvError::Disconnected) => return,
            }
        }
    }

    pub(super) async fn judge(
        &mut self,
        (store, served): (&dyn Store, &[ServedBlocks]),
        open: &[&Issue],
        now: Timestamp,
    ) -> RuleFinding {
        self.receive();
        let Some(windows) = &mut self.windows else { return RuleFinding::Unknown };
        drift::keep_served(windows, served);
        let is_open = |it: &MissingField| open.iter().any(|issue| issue.key == it.key);
        let mut missing = drift::missing(SeenFields { windows, served });
        missing.retain(|it| !is_open(it));
        self.find_lost(store, &missing).await;
        let Some(windows) = &self.windows else { return RuleFinding::Unknown };
        drift::judge(SeenFields { windows, served }, &self.lost, open, now)
    }

    /// Looks at the week before for the fields that are missing.
    async fn find_lost(&mut self, store: &dyn Store, missing: &[MissingField]) {
        let is_missing = |key: &String| missing.iter().any(|it| it.key == *key);
        self.lost.retain(is_missing);
        self.asked.retain(|key, _| is_missing(key));
        let is_due = |it: &&MissingField| {
            !self.lost.contains(&it.key)
                && self.asked.get(&it.key).is_none_or(|at| at.elapsed() >= ASK_EVERY)
        };
        let due: Vec<&MissingField> = missing.iter().filter(is_due).take(ASKED_MAX).collect();
        for MissingField { key, run, usual } in due {
            self.asked.insert(key.clone(), Instant::now());
            // While the store cannot be read, nothing opens.
            let Ok(found) = store.field_use(usual.clone()).await else { return };
            if drift::is_lost(run, found) {
                self.lost.insert(key.clone());
            }
        }
    }
}

impl std::fmt::Debug for DriftWatch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("DriftWatch").finish_non_exhaustive()
    }
}
