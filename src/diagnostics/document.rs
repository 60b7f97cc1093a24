//! A file that a person wrote: its name in messages and its text.

use std::path::Path;

use crate::file::{self, UnreadableFile};

/// Size limit of a file that a person writes; the longest shipped one has 12 KiB.
pub const FILE_BYTES_MAX: usize = 1024 * 1024;

/// A file as it was read. Places are byte ranges in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// Name of the file in messages: the path as the person gave it.
    pub name: String,
    pub text: String,
}

impl Document {
    /// Reads a file named on the command line, which may be a pipe; `-` is standard input.
    pub fn read(path: &Path) -> Result<Document, UnreadableFile> {
        Ok(Document::of(path, &file::read_named(path, FILE_BYTES_MAX)?))
    }

    /// Reads a file found in a folder, which has to be a regular one.
    pub fn read_regular(path: &Path) -> Result<Document, UnreadableFile> {
        Ok(Document::of(path, &file::read_regular(path, FILE_BYTES_MAX)?))
    }

    fn of(path: &Path, bytes: &[u8]) -> Document {
        // Bytes that are not UTF-8 become U+FFFD, which `table::parse` reports with its place.
        let text = String::from_utf8_lossy(bytes).into_owned();
        Document { name: path.display().to_string(), text }
    }
}
