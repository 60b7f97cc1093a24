//! Why queued events wait, where their source is the reason: the store does not know it.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::cli::input;
use crate::config::Config;
use crate::delivery::source_pauses::{SourcePauses, why_source_waits};
use crate::event::{SourceName, State};
use crate::secret::Environment;
use crate::store::{EventRecord, EventSummary, Sqlite, StoreError};

pub(super) struct SourceWaits {
    /// The sources that have a mapping file now; none: the files cannot be read.
    with_file: Option<BTreeSet<SourceName>>,
    paused: BTreeMap<SourceName, Timestamp>,
}

impl SourceWaits {
    pub(super) async fn read(
        store: &Sqlite,
        (config, environment): (&Config, &Environment),
    ) -> Result<SourceWaits, StoreError> {
        let files = input::mapping_files(config, environment).ok();
        let with_file = files.map(|files| files.into_iter().filter_map(|file| file.name).collect());
        Ok(SourceWaits { with_file, paused: SourcePauses::default().of_sources(store).await? })
    }

    pub(super) fn add_to_line(&self, line: &mut EventSummary) {
        if let (State::Queued, Some(reason)) = (line.state, self.reason(&line.source)) {
            line.reason = Some(reason);
        }
    }

    pub(super) fn add_to_record(&self, record: &mut EventRecord) {
        if let (State::Queued, Some(reason)) = (record.state, self.reason(&record.event.source)) {
            record.reason = Some(reason);
        }
    }

    fn reason(&self, source: &SourceName) -> Option<String> {
        let has_mapping = self.with_file.as_ref().is_none_or(|files| files.contains(source));
        why_source_waits(source, (has_mapping, self.paused.contains_key(source)))
    }
}
