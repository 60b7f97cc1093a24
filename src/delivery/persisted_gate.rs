//! The gate of a destination in memory, and its copy in the store.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::Notify;
use tracing::warn;

use super::gate::{Closed, Gate, Settings, Signal};
use super::interruption_log::{InterruptionLog, MERGED_WITHIN};
use crate::event::{DEFAULT_DESTINATION, SourceName, WaitKind, WaitingFor};
use crate::store::{DestinationWrite, Queue, StoreError, UnavailableKind};

pub(super) struct PersistedGate {
    store: Arc<dyn Queue>,
    destination: String,
    settings: Settings,
    state: Mutex<GateState>,
    /// Locked while the stored state is read or written.
    saving: tokio::sync::Mutex<()>,
    /// Notified when the gate changes.
    pub(super) changed: Notify,
}

#[derive(Default)]
struct GateState {
    gate: Gate,
    is_loaded: bool,
    /// False while the store has an older state.
    is_saved: bool,
    /// What the stored log of interruptions says.
    log: InterruptionLog,
    /// Those whose events are sent to the destination.
    sources: Vec<SourceName>,
}

impl PersistedGate {
    pub(super) fn new(
        store: Arc<dyn Queue>,
        destination: &str,
        settings: Settings,
    ) -> PersistedGate {
        PersistedGate {
            store,
            destination: destination.to_owned(),
            settings,
            state: Mutex::default(),
            saving: tokio::sync::Mutex::default(),
            changed: Notify::new(),
        }
    }

    /// Reads the stored state at the first call; follows the clock, and retries a write that
    /// failed. Returns whether this was the first call that succeeded.
    pub(super) async fn open(
        &self,
        missing: Option<&str>,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let saving = self.saving.lock().await;
        let is_first = !self.state().is_loaded;
        if is_first {
            let gate: Gate = read(self.store.read_state(&key(&self.destination)).await?)?;
            let ended_since = now.saturating_sub(MERGED_WITHIN).unwrap_or(Timestamp::MIN);
            let recent = self.store.recent_interruptions(&self.destination, ended_since).await?;
            let mut state = self.state();
            state.gate = gate.clone();
            state.log = InterruptionLog::new(recent);
            state.gate.begin(missing, now);
            let (changes, _) = state.log.follow(&state.gate.interruptions(now), now);
            // What has ended while no relay ran, such as a missing token, ends in the log too.
            state.is_saved = state.gate == gate && changes.is_empty();
            state.is_loaded = true;
        }
        // `save` locks it again.
        drop(saving);
        self.follow(now);
        if !self.state().is_saved {
            self.save(now).await?;
        }
        Ok(is_first)
    }

    fn follow(&self, now: Timestamp) {
        let mut state = self.state();
        let has_changed = state.gate.follow(now, &self.settings);
        state.is_saved &= !has_changed;
    }

    pub(super) fn room(&self, now: Timestamp) -> usize {
        self.state().gate.room(now, &self.settings)
    }

    // A turn is not written to the store: that would be a commit for each request. It is stored
    // with the next change, and a restart in between costs a few requests that exceed the rate.
    pub(super) fn admit(&self, now: Timestamp) -> Result<Timestamp, WaitingFor> {
        let admitted = self.state().gate.admit(now, &self.settings);
        admitted.map_err(|closed| why_closed(&self.destination, closed))
    }

    /// Returns why no request may be sent; none if one may.
    pub(super) fn closed(&self, now: Timestamp) -> Option<WaitingFor> {
        let closed = self.read(|gate| gate.closed(now).or_else(|| gate.rate_wait(now)))?;
        Some(why_closed(&self.destination, closed))
    }

    pub(super) fn return_slot(&self, now: Timestamp) {
        self.state().gate.return_slot(now, &self.settings);
        self.changed.notify_one();
    }

    pub(super) fn take_probe(&self, now: Timestamp) -> bool {
        self.state().gate.take_probe(now, &self.settings)
    }

    pub(super) fn time_open(&self, since: Timestamp, now: Timestamp) -> Duration {
        self.state().gate.time_open(since, now)
    }

    /// Time until the gate changes by the passing of time alone.
    pub(super) fn rest(&self, now: Timestamp) -> Option<Duration> {
        let at = self.state().gate.wakes_at(now)?;
        Some(Duration::try_from(at.duration_since(now)).unwrap_or_default())
    }

    /// Changes the gate by the conclusion from an answer. A failed write is logged and retried by
    /// `open`.
    pub(super) async fn note(&self, signal: &Signal, now: Timestamp) {
        let has_changed = self.change(|gate, settings| gate.note(signal, now, settings));
        if has_changed && let Err(error) = self.save(now).await {
            let destination = &self.destination;
            warn!(%error, destination, "cannot record the state of {destination}");
        }
    }

    /// Applies a person's change once it is on disk. If the write fails, nothing has changed.
    pub(super) async fn change_by_person(
        &self,
        now: Timestamp,
        change: impl Fn(&mut Gate),
    ) -> Result<(), StoreError> {
        let _saving = self.saving.lock().await;
        let mut changed = self.state().gate.clone();
        change(&mut changed);
        let (write, log) = self.write_of(&changed, now);
        self.store.write_destination(write).await?;
        // To the gate as it is now, and not the one that was written: an answer may have changed it
        // during the write, and is written with its own save.
        self.change(|gate, _| change(gate));
        let mut state = self.state();
        state.is_saved = state.gate == changed;
        state.log = log;
        Ok(())
    }

    /// Names the sources whose events are sent to the destination.
    pub(super) fn serve(&self, sources: Vec<SourceName>) {
        self.state().sources = sources;
    }

    pub(super) fn read<T>(&self, look: impl FnOnce(&Gate) -> T) -> T {
        look(&self.state().gate)
    }

    fn change(&self, change: impl FnOnce(&mut Gate, &Settings)) -> bool {
        let mut state = self.state();
        let before = state.gate.clone();
        change(&mut state.gate, &self.settings);
        let has_changed = before != state.gate;
        state.is_saved &= !has_changed;
        if has_changed {
            self.changed.notify_one();
        }
        has_changed
    }

    /// Returns what is written to keep this state, and the log as it is then.
    fn write_of(&self, gate: &Gate, now: Timestamp) -> (DestinationWrite, InterruptionLog) {
        let state = self.state();
        let (changes, log) = state.log.follow(&gate.interruptions(now), now);
        let write = DestinationWrite {
            destination: self.destination.clone(),
            state_name: key(&self.destination),
            state: written(gate),
            changes,
            sources: state.sources.clone(),
            now,
        };
        (write, log)
    }

    async fn save(&self, now: Timestamp) -> Result<(), StoreError> {
        // Without the lock, two writes could reach the store in the reverse order, and the older
        // state would stay.
        let _saving = self.saving.lock().await;
        let gate = {
            let mut state = self.state();
            // Before the write: a change during the write sets it to false again, and is written
            // with the next save.
            state.is_saved = true;
            state.gate.clone()
        };
        let (write, log) = self.write_of(&gate, now);
        let saved = self.store.write_destination(write).await;
        let mut state = self.state();
        match &saved {
            Ok(()) => state.log = log,
            Err(_) => state.is_saved = false,
        }
        saved
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Returns why nothing is sent to the destination at present, for a process that does not deliver;
/// none if requests are sent.
pub async fn why_closed_in(
    store: &dyn Queue,
    destination: &str,
    now: Timestamp,
) -> Result<Option<WaitingFor>, StoreError> {
    let gate: Gate = read(store.read_state(&key(destination)).await?)?;
    Ok(gate.closed(now).map(|closed| why_closed(destination, closed)))
}

fn why_closed(destination: &str, Closed { kind, reason, until }: Closed) -> WaitingFor {
    let delivery = match destination {
        DEFAULT_DESTINATION => "delivery".to_owned(),
        name => format!("delivery to {name}"),
    };
    let reason = match kind {
        WaitKind::PausedByPerson => format!("{delivery} is paused {reason}"),
        WaitKind::PausedByAnswer | WaitKind::NoToken => format!("{delivery} is paused: {reason}"),
        WaitKind::Rate => format!("{delivery} is limited to its `rate`"),
        WaitKind::Backoff
        | WaitKind::NoMapping
        | WaitKind::SourcePaused
        | WaitKind::OtherEvent
        | WaitKind::NextTry => reason,
    };
    WaitingFor { kind, reason, until }
}

fn key(destination: &str) -> String {
    format!("destination {destination}")
}

/// Parses a stored state; a missing one is the default.
// An unreadable one is an error that stops delivery, and not the default: a person's pause may be
// in it.
pub(super) fn read<T: Default + serde::de::DeserializeOwned>(
    kept: Option<Value>,
) -> Result<T, StoreError> {
    let Some(kept) = kept else { return Ok(T::default()) };
    serde_json::from_value(kept).map_err(|error| StoreError::Unavailable {
        trouble: UnavailableKind::File,
        reason: format!("the table gates holds what this version cannot read: {error}"),
    })
}

pub(super) fn written(state: &impl serde::Serialize) -> Value {
    serde_json::to_value(state).expect("maps with text keys can be written as JSON")
}
