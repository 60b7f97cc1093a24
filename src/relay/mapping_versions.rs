//! Records the texts of the mapping files that go into service.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;
use tracing::warn;

use crate::clock;
use crate::mapping_file::file::MappingFile;
use crate::store::{Maintenance, MappingText, MappingTexts, Sqlite};

/// Longest wait for the store.
// With a disk that hangs, changed files still go into service.
const STORE_TIMEOUT: Duration = Duration::from_secs(5);

/// Records the texts in the store. Call it before events are mapped by them, so that the history is
/// in the order in which they went into service.
pub(super) async fn record(store: &Sqlite, files: &[MappingFile]) {
    let now = clock::now();
    let text = |file: &MappingFile| {
        let source = file.source.as_ref()?;
        // Dozens of bundled files are there of which nobody has set the secret. If one of them maps
        // an event all the same, the event's step records its text.
        let is_in_use = !file.is_bundled() || source.off_reason(now).is_none();
        let text = || Arc::new(MappingText::new(&file.document.text, now));
        is_in_use.then(|| (source.name.clone(), text()))
    };
    let texts: MappingTexts = files.iter().filter_map(text).collect();
    let stored = timeout(STORE_TIMEOUT, store.put_in_service(texts)).await;
    let failure = match stored {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_) => format!("the store did not answer within {STORE_TIMEOUT:?}"),
    };
    // The files are used all the same: events matter more than their history.
    warn!(
        failure,
        "cannot store the texts of the mapping files now: each is stored with the first event that \
         it maps"
    );
}
