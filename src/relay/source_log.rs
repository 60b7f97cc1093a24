//! Logs changes of the sources, and warnings about them.

use std::collections::BTreeSet;

use tracing::{info, warn};

use super::source_addresses::SourceAddresses;
use crate::clock;
use crate::event::{SourceName, State};
use crate::intake::registry::{SourceStatus, Sources};
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::readiness::{more_ready, ready_for_setup};
use crate::store::{Archive, Sqlite, StateCount};

/// Logs the sources whose status has changed: first those that accept webhooks, then those that are
/// off, and in one line the bundled ones that only wait to be set up.
pub(crate) fn log_changes(
    old: &Sources,
    new: &Sources,
    files: &[MappingFile],
    addresses: &SourceAddresses,
) {
    for (name, status) in new {
        match (status, old.get(name)) {
            (SourceStatus::Live(_), Some(SourceStatus::Live(_)))
            | (SourceStatus::AwaitingSecret(_), Some(SourceStatus::AwaitingSecret(_)))
            | (SourceStatus::Off { .. }, _) => {}
            (SourceStatus::Live(_), _) => {
                info!(source = %name, "{name} is live at {}", addresses.of(name));
            }
            (SourceStatus::AwaitingSecret(setup), _) => addresses.announce(setup),
        }
    }
    let ready = ready_for_setup(files);
    let mut news = 0;
    for (name, status) in new {
        let SourceStatus::Off { reason } = status else { continue };
        match old.get(name) {
            Some(SourceStatus::Off { reason: old }) if reason == old => {}
            // A source that was live until now is worth a line of its own.
            None if ready.contains(name) => news += 1,
            _ => warn!(source = %name, "{name} is off: {reason}"),
        }
    }
    if news > 0 {
        info!("{}", more_ready(news));
    }
}

/// Logs the warnings about live sources.
pub(crate) fn warn_of_live_sources(files: &[MappingFile]) {
    let now = clock::now();
    for (source, file) in files.iter().filter_map(|file| file.source.as_ref().zip(Some(file))) {
        if source.off_reason(now).is_none() {
            for warning in file.warnings(now) {
                warn!(source = %source.name, "{warning}");
            }
        }
    }
}

/// Logs the sources that have queued events and no mapping. Without a mapping nothing else would
/// mention these events.
pub(super) async fn warn_of_waiting(store: &Sqlite, files: &[MappingFile]) {
    let mapped: BTreeSet<&SourceName> =
        files.iter().filter_map(MappingFile::mapped).map(|(source, _)| source).collect();
    // A store that is unavailable is reported by intake and delivery.
    let counts = store.counts().await.unwrap_or_default();
    for StateCount { source, state, events } in counts {
        if state == State::Queued && events > 0 && !mapped.contains(&source) {
            warn!(%source, events, "queued events wait: the source {source} has no mapping at present");
        }
    }
}
