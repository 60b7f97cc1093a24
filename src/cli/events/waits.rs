//! What queued events wait for beyond their own rows: the gates and pauses in the store, and what
//! only the running relay knows.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use serde::Deserialize;
use serde::de::DeserializeOwned;

use crate::cli::input;
use crate::cli::relay_client::RelayClient;
use crate::clock;
use crate::config::Config;
use crate::delivery::source_pauses::{SourcePauses, why_source_waits};
use crate::delivery::waits::{Obstacles, waiting_for};
use crate::delivery::why_closed_in;
use crate::event::{EventId, SourceName, State, WaitingFor};
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;
use crate::store::{EventSummary, Sqlite, StoreError};

pub(super) struct QueueWaits {
    /// Destination of each source that has a mapping file; none if the files cannot be read.
    destinations: Option<BTreeMap<SourceName, String>>,
    paused: BTreeMap<SourceName, Timestamp>,
    /// Reasons of the destinations to which nothing is sent at present.
    closed: BTreeMap<String, WaitingFor>,
    now: Timestamp,
}

impl QueueWaits {
    pub(super) async fn read(
        store: &Sqlite,
        (config, environment): (&Config, &Environment),
    ) -> Result<QueueWaits, StoreError> {
        let now = clock::now();
        let files = input::mapping_files(config, environment).ok();
        let destinations: Option<BTreeMap<SourceName, String>> =
            files.map(|files| files.iter().filter_map(source_and_destination).collect());
        let (paused, closed) = (BTreeMap::new(), BTreeMap::new());
        let mut waits = QueueWaits { destinations, paused, closed, now };
        waits.refresh(store).await?;
        Ok(waits)
    }

    /// Reads the gates and pauses again.
    pub(super) async fn refresh(&mut self, store: &Sqlite) -> Result<(), StoreError> {
        self.now = clock::now();
        self.closed.clear();
        let names: BTreeSet<&String> =
            self.destinations.iter().flat_map(BTreeMap::values).collect();
        for name in names {
            if let Some(reason) = why_closed_in(store, name, self.now).await? {
                self.closed.insert(name.clone(), reason);
            }
        }
        self.paused = SourcePauses::default().paused_sources(store).await?;
        Ok(())
    }

    /// Completes the events of a list, with what only the running relay knows, if it can be asked.
    pub(super) async fn complete_all(&self, config: &Config, events: &mut [EventSummary]) {
        for event in events.iter_mut() {
            self.complete(event);
        }
        let queued = events.iter().filter(|event| event.state == State::Queued);
        let Some(newest) = queued.map(|event| event.received_at).max() else { return };
        let until = newest.saturating_add(SignedDuration::from_micros(1)).unwrap_or(newest);
        let path = format!("events?state=queued&limit=500&until={until}");
        let Some(QueuedPage { events: known }) = ask(config, &path).await else { return };
        for event in events {
            if let Some(known) = known.iter().find(|known| known.id == event.id) {
                event.set_waiting_for(known.waiting_for.clone());
            }
        }
    }

    /// Completes one event like those of a list.
    pub(super) async fn complete_one(&self, config: &Config, event: &mut EventSummary) {
        self.complete(event);
        if event.state == State::Queued
            && let Some(QueuedEvent { waiting_for, .. }) =
                ask(config, &format!("events/{}", event.id)).await
        {
            event.set_waiting_for(waiting_for);
        }
    }

    /// Completes an event by what it waits for, as far as the store says.
    pub(super) fn complete(&self, event: &mut EventSummary) {
        let destination = self.destinations.as_ref().map(|all| all.get(&event.source));
        // Without the files nothing is known: the reason in the store is better than a wrong one.
        let has_mapping = destination.is_none_or(|destination| destination.is_some());
        let is_paused = self.paused.contains_key(&event.source);
        let obstacles = Obstacles {
            source: why_source_waits(&event.source, (has_mapping, is_paused)),
            other_event: event.waits_for.and_then(|_| event.reason.clone()),
            destination: destination.flatten().and_then(|name| self.closed.get(name)).cloned(),
        };
        event.set_waiting_for(waiting_for(event, obstacles, self.now));
    }
}

#[derive(Debug, Deserialize)]
struct QueuedPage {
    events: Vec<QueuedEvent>,
}

/// An event, as far as the running relay knows more of it than the store.
#[derive(Debug, Deserialize)]
struct QueuedEvent {
    id: EventId,
    waiting_for: Option<WaitingFor>,
}

/// Asks the running relay; none if it does not run, or cannot be asked.
async fn ask<T: DeserializeOwned>(config: &Config, path: &str) -> Option<T> {
    let relay = RelayClient::of(config).ok()?.optional();
    relay.get(path).await.ok()
}

fn source_and_destination(file: &MappingFile) -> Option<(SourceName, String)> {
    Some((file.name.clone()?, file.destination().to_owned()))
}
