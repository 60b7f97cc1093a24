//! Where the files that `[[test]]`s name are read: payloads and expected requests.

use std::path::{Component, Path, PathBuf};

use super::bundle;
use crate::file;

/// Folder of samples beside the mapping files.
const SAMPLES: &str = "samples";
/// Size of a file; the limits of intake apply in addition.
const BYTES_MAX: usize = 64 * 1024 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum SampleFolder {
    /// The folder of the mapping file, with this one and the program below it: a draft of a mapping that is
    /// not in the folder of the mappings has the samples of those that are.
    BesideFile { or_in: Option<PathBuf> },
    /// The program alone, of which the mapping file is a part.
    Program,
    /// `samples` in this folder, with the program below it: no other file is opened.
    Only(Option<PathBuf>),
}

impl SampleFolder {
    /// Reads a file by its path relative to the mapping file.
    pub(super) fn read(&self, path: &str, mapping_file: &str) -> Result<Vec<u8>, String> {
        let bundled = bundle::text(path).map(|text| text.as_bytes().to_vec());
        let full = match self {
            SampleFolder::Program => {
                return bundled.ok_or(format!("{path}: no such file in the program"));
            }
            SampleFolder::BesideFile { or_in } => {
                let beside = beside(path, mapping_file);
                let other = or_in.as_ref().map(|folder| folder.join(path));
                match other.filter(|other| !is_there(&beside) && is_there(other)) {
                    Some(other) => other,
                    None => beside,
                }
            }
            SampleFolder::Only(folder) => {
                match folder.as_ref().and_then(|folder| within(folder, path)) {
                    Some(full) => full,
                    None => return bundled.ok_or(absent(path)),
                }
            }
        };
        // Only if there is no such file: one that cannot be read is a mistake.
        match bundled {
            Some(bundled) if !is_there(&full) => Ok(bundled),
            None if !is_there(&full) => Err(format!("there is no file {}", full.display())),
            _ => file::read_regular(&full, BYTES_MAX).map_err(|error| error.to_string()),
        }
    }

    /// Returns the path at which a file may be written; `None` if there is none.
    pub(super) fn path(&self, path: &str, mapping_file: &str) -> Option<PathBuf> {
        match self {
            SampleFolder::Program => None,
            SampleFolder::BesideFile { .. } => Some(beside(path, mapping_file)),
            SampleFolder::Only(folder) => {
                let folder = folder.as_ref()?;
                let full = folder.join(path);
                let is_below = is_below_samples(path) && leads_nowhere_else(folder, &full);
                is_below.then_some(full)
            }
        }
    }
}

fn beside(path: &str, mapping_file: &str) -> PathBuf {
    Path::new(mapping_file).parent().unwrap_or(Path::new("")).join(path)
}

fn is_there(path: &Path) -> bool {
    path.exists() || path.is_symlink()
}

/// Returns whether a path is one below `samples`, by its names.
fn is_below_samples(path: &str) -> bool {
    let mut parts = Path::new(path).components();
    let is_name = |part: Component<'_>| matches!(part, Component::Normal(_));
    parts.next() == Some(Component::Normal(SAMPLES.as_ref()))
        && parts.clone().next().is_some()
        && parts.all(is_name)
}

/// Returns whether what is there of a path is in the folder: a link could lead out of it.
fn leads_nowhere_else(folder: &Path, path: &Path) -> bool {
    let existing = path.ancestors().find(|part| part.symlink_metadata().is_ok());
    let real = existing.and_then(|part| part.canonicalize().ok());
    let samples = folder.join(SAMPLES).canonicalize().or_else(|_| folder.canonicalize());
    real.zip(samples.ok()).is_some_and(|(real, samples)| real.starts_with(samples))
}

/// Returns the path of a sample; `None` if there is no file at it below `samples` of the folder.
fn within(folder: &Path, path: &str) -> Option<PathBuf> {
    // By the real paths: a link could lead out of the folder.
    let samples = folder.join(SAMPLES).canonicalize().ok()?;
    let full = folder.join(path).canonicalize().ok()?;
    full.starts_with(&samples).then_some(full)
}

fn absent(path: &str) -> String {
    format!("{path}: there is no such file in `{SAMPLES}` of the mapping folder")
}
