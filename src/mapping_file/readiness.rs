//! Bundled sources that only wait to be set up: lists sum them up, so that the sources that somebody
//! uses are seen.

use std::collections::BTreeSet;

use super::file::MappingFile;
use crate::event::SourceName;

/// Number of unchanged copies above which those that are off count as nobody's choice.
// One or a few are there because somebody sets them up, and then has to know why one is off. Whoever
// has copied the whole folder of the repository uses few of its files.
const COPIES_MAX: usize = 3;

/// Returns the sources that lack only the secrets which nobody has tried to set.
pub(crate) fn ready_for_setup(files: &[MappingFile]) -> BTreeSet<SourceName> {
    let lacking = || files.iter().filter(|file| file.lacks_only_secrets());
    let copies = lacking().filter(|file| file.is_copy()).count();
    let counts = |file: &&MappingFile| file.is_bundled() || (file.is_copy() && copies > COPIES_MAX);
    lacking().filter(counts).filter_map(|file| file.name.clone()).collect()
}

/// Sums up sources that only wait to be set up.
pub(crate) fn more_ready(count: usize) -> String {
    let are = if count == 1 { "is" } else { "are" };
    format!("{count} more {are} ready: `savio-relay providers`")
}
