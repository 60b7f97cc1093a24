//! Reasons of queued events that their rows do not have: paused sources, sources without a mapping,
//! and destinations to which nothing is sent.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::cli::input;
use crate::clock;
use crate::config::Config;
use crate::delivery::source_pauses::{SourcePauses, why_source_waits};
use crate::delivery::why_closed_in;
use crate::event::{SourceName, State};
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;
use crate::store::{EventRecord, EventSummary, Sqlite, StoreError};

pub(super) struct QueueWaits {
    /// Destination of each source that has a mapping file; none if the files cannot be read.
    destinations: Option<BTreeMap<SourceName, String>>,
    paused: BTreeMap<SourceName, Timestamp>,
    /// Reasons of the destinations to which nothing is sent at present.
    closed: BTreeMap<String, String>,
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
        let names: BTreeSet<&String> = destinations.iter().flat_map(BTreeMap::values).collect();
        let mut closed = BTreeMap::new();
        for name in names {
            if let Some(reason) = why_closed_in(store, name, now).await? {
                closed.insert(name.clone(), reason);
            }
        }
        let paused = SourcePauses::default().paused_sources(store).await?;
        Ok(QueueWaits { destinations, paused, closed, now })
    }

    pub(super) fn add_to_summary(&self, event: &mut EventSummary) {
        if let Some(reason) = self.reason(event) {
            event.reason = Some(reason);
        }
    }

    pub(super) fn add_to_record(&self, record: &mut EventRecord) {
        if let Some(reason) = self.reason(&record.summary()) {
            record.reason = Some(reason);
        }
    }

    fn reason(&self, event: &EventSummary) -> Option<String> {
        if event.state != State::Queued {
            return None;
        }
        let destination = self.destinations.as_ref().map(|all| all.get(&event.source));
        // Without the files nothing is known: the reason in the store is better than a wrong one.
        let has_mapping = destination.is_none_or(|destination| destination.is_some());
        let is_paused = self.paused.contains_key(&event.source);
        // An event that waits for its time or for another event has that as its reason.
        let is_due = event.due_at.is_some_and(|due_at| due_at <= self.now);
        why_source_waits(&event.source, (has_mapping, is_paused))
            .or_else(|| self.closed.get(destination??).filter(|_| is_due).cloned())
    }
}

fn source_and_destination(file: &MappingFile) -> Option<(SourceName, String)> {
    Some((file.name.clone()?, file.destination().to_owned()))
}
