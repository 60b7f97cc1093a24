//! A file that a person wrote: its name in messages and its text.

use std::path::Path;

use crate::file::{self, UnreadableFile};

/// A file that a person wrote is no longer; the longest shipped one has 12 KiB.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A file as it was read. Places are byte ranges in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Name of the file in messages: the path as the person gave it.
    pub name: String,
    pub text: String,
}

impl Document {
    /// Reads a file that a person names on the command line, such as a pipe, or standard input for `-`.
    pub fn read(path: &Path) -> Result<Document, UnreadableFile> {
        Ok(Document::of(path, &file::read_named(path, FILE_BYTES_MAX)?))
    }

    /// Reads a file that was found in a folder; a pipe there is an error, not a wait.
    pub fn read_regular(path: &Path) -> Result<Document, UnreadableFile> {
        Ok(Document::of(path, &file::read_regular(path, FILE_BYTES_MAX)?))
    }

    /// What is not UTF-8 shows as U+FFFD, and the file as one with mistakes.
    fn of(path: &Path, bytes: &[u8]) -> Document {
        let text = String::from_utf8_lossy(bytes).into_owned();
        Document { name: path.display().to_string(), text }
    }
}
