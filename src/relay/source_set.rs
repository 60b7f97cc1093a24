//! The sources of a set of mapping files.

use crate::clock;
use crate::intake::registry::{SourceStatus, Sources, carry_over};
use crate::mapping_file::file::MappingFile;

/// Returns the sources of the mapping files.
pub(super) fn sources(files: &[MappingFile]) -> Sources {
    let now = clock::now();
    let named = files.iter().filter_map(|file| Some((file.name.clone()?, file.status(now))));
    named.collect()
}

/// Returns the sources of the new files, with what stays of the old ones.
pub(super) fn merge_with_old(old: &Sources, read: &Sources) -> Sources {
    let mut sources = read.clone();
    for (name, old) in old {
        if let Some(SourceStatus::AwaitingSecret(setup)) = sources.get(name) {
            let status = carry_over(setup, old);
            sources.insert(name.clone(), status);
        }
        // A source whose file is gone stays known and answers 503: some senders give up for good at
        // a 404, and the file may come back.
        let reason = || "its mapping file is gone".to_owned();
        sources.entry(name.clone()).or_insert_with(|| SourceStatus::Off { reason: reason() });
    }
    sources
}
