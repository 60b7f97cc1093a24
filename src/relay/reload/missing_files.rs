//! Files of the folder that are missing: each stays in service for a while.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::mapping_file::location::FoundFile;

/// Time after which a missing file counts as gone.
// Editors, `git checkout` and copies remove a file and write it anew, with a moment in between. In
// it the bundled file of the source would apply, or the source would be off.
const GONE_AFTER: Duration = Duration::from_secs(5);

#[derive(Debug, Clone, Default)]
pub(super) struct MissingFiles {
    /// The paths of the missing files, each with the time at which that was noticed.
    since: BTreeMap<String, Instant>,
    /// Time at which the next of them counts as gone.
    due: Option<Instant>,
}

impl MissingFiles {
    /// Adds to the found files those in service that are missing and do not count as gone yet.
    pub(super) fn add_to(
        &mut self,
        mut found: Vec<FoundFile>,
        in_service: &[FoundFile],
        now: Instant,
    ) -> Vec<FoundFile> {
        let is_found = |file: &FoundFile| found.iter().any(|it| it.path() == file.path());
        let missing: Vec<&FoundFile> = in_service.iter().filter(|file| !is_found(file)).collect();
        let mut since = BTreeMap::new();
        self.due = None;
        for file in missing {
            let noticed = *self.since.get(file.path()).unwrap_or(&now);
            since.insert(file.path().to_owned(), noticed);
            let due = noticed + GONE_AFTER;
            if now < due {
                self.due = Some(self.due.map_or(due, |earlier| earlier.min(due)));
                found.push(file.clone());
            }
        }
        self.since = since;
        // In the order of a folder, by which two sets are compared.
        found.sort_by(|a, b| a.path().cmp(b.path()));
        found
    }

    /// Resolves when the next of them counts as gone; never if there is none.
    pub(super) async fn next_gone(&self) {
        match self.due {
            Some(due) => tokio::time::sleep_until(due).await,
            None => std::future::pending().await,
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::mapping_file::location::Location;
    use crate::mapping_file::settings::Settings;

    #[test]
    fn missing_file_is_kept_for_five_seconds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("form.toml");
        fs::write(&path, "").unwrap();
        let folder = Some(folder.path().to_owned());
        let location = Location::of(&Settings { folder, ..Settings::default() });
        let in_service = location.in_folder().unwrap();
        let (mut missing, start) = (MissingFiles::default(), Instant::now());
        let mut left = |found: &[FoundFile], in_service: &[FoundFile], seconds: u64| {
            let now = start + Duration::from_secs(seconds);
            let files = missing.add_to(found.to_vec(), in_service, now);
            (files.len(), missing.due.map(|due| (due - start).as_secs()))
        };

        assert_eq!(left(&in_service, &in_service, 0), (1, None));
        assert_eq!(left(&[], &in_service, 1), (1, Some(6)));
        assert_eq!(left(&[], &in_service, 5), (1, Some(6)));
        assert_eq!(left(&in_service, &in_service, 5), (1, None), "it is back");
        assert_eq!(left(&[], &in_service, 6), (1, Some(11)), "the time begins anew");
        assert_eq!(left(&[], &in_service, 11), (0, None));
        assert_eq!(left(&[], &in_service, 12), (0, None), "no timer runs for it any more");
        assert_eq!(left(&[], &[], 13), (0, None));
        assert_eq!(left(&[], &in_service, 14), (1, Some(19)));
    }
}
