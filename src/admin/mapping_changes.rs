//! Changes of the mapping files that the API asks for. The task that reads the files makes them, one
//! after the other, so that none meets a reload.

use std::path::PathBuf;

use secrecy::SecretString;
use tokio::sync::{mpsc, oneshot};

use super::error::ApiError;
use super::mistakes::errors;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::Diagnostics;
use crate::event::SourceName;
use crate::file::{self, ReplaceError};
use crate::store::NewAuditEntry;

/// Number of changes that may wait for the one before them.
const WAITING_MAX: usize = 16;

/// What is to be done with the files.
#[derive(Debug)]
pub enum FileChange {
    /// Write the file of a source, byte for byte, and new files that it names.
    Write { source: SourceName, text: String, expected: ExpectedFile, beside: NewFiles },
    /// Remove the file of a source, so that the bundled one applies.
    Remove { source: SourceName, expected: ExpectedFile },
    /// Write a file that is a secret, delete another, and read all secrets again.
    Secret { path: PathBuf, secret: SecretString, former: Option<PathBuf> },
}

/// Files that are not there yet, with their contents.
// Written with the mapping file by the task that changes files: whoever ordered it may leave meanwhile, and
// nobody would remove them if the change is not made.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct NewFiles(pub Vec<(PathBuf, Vec<u8>)>);

impl NewFiles {
    /// Writes all of them or none, and overwrites nothing.
    pub fn write(&self) -> Result<(), ChangeRefusal> {
        for (path, content) in &self.0 {
            if let Err(error) = file::replace_expected(path, content, None) {
                self.remove();
                let reason = match error {
                    ReplaceError::Changed => "it exists already".to_owned(),
                    ReplaceError::Io(error) => file::explain(&error, path),
                };
                let reason = format!("{} cannot be written: {reason}", path.display());
                return Err(ChangeRefusal::Conflict(reason));
            }
        }
        Ok(())
    }

    /// Removes the files that hold what was written.
    pub fn remove(&self) {
        for (path, content) in &self.0 {
            // What is not there, or is another file, stays as it is.
            let _ = file::remove_expected(path, content);
        }
    }
}

/// What the file of a source has to hold for its change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ExpectedFile {
    /// A text with one of these digests, in the folder or bundled.
    OneOf(Vec<String>),
    /// Any text.
    Any,
    /// There is no file in the folder.
    NotInFolder,
}

impl ExpectedFile {
    /// Narrows it to the text of this digest. If that is not an expected one, no text is.
    // A change that was made from one text, or compared with it, is wrong for another one, even if
    // whoever asked expects either.
    #[must_use]
    pub fn narrowed_to(self, digest: &str) -> ExpectedFile {
        let only = || ExpectedFile::OneOf(vec![digest.to_owned()]);
        match self {
            ExpectedFile::Any => only(),
            ExpectedFile::OneOf(digests) if digests.iter().any(|it| it == digest) => only(),
            ExpectedFile::OneOf(_) => ExpectedFile::OneOf(Vec::new()),
            ExpectedFile::NotInFolder => ExpectedFile::NotInFolder,
        }
    }
}

/// What came of a change that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ChangeMade {
    /// The files are in service.
    InService,
    /// The file had mistakes and has none now, and others still have: the set of before stays in service.
    Waiting {
        /// Names of the files with mistakes.
        mistaken: Vec<String>,
    },
}

/// Reason for which a change was not made. Nothing has changed.
#[derive(Debug)]
pub enum ChangeRefusal {
    /// The file is not the expected one; its digest, if there is one.
    Changed(Option<String>),
    /// The text has mistakes.
    Mistaken(Document, Diagnostics),
    /// The set cannot be in service, for a reason that is not in the text.
    Conflict(String),
    /// There is nothing to remove.
    NoFile,
}

impl From<ChangeRefusal> for ApiError {
    fn from(refusal: ChangeRefusal) -> ApiError {
        match refusal {
            ChangeRefusal::Changed(Some(digest)) => ApiError::Changed(format!(
                "the file is not the one that was read: its digest is \"{digest}\" now; read it \
                 again, and make the change there"
            )),
            ChangeRefusal::Changed(None) => ApiError::Changed(
                "the file is not the one that was read: there is none now".to_owned(),
            ),
            ChangeRefusal::Mistaken(document, mistakes) => {
                ApiError::Mistaken(errors(&document, &mistakes))
            }
            ChangeRefusal::Conflict(reason) => ApiError::Conflict(reason),
            ChangeRefusal::NoFile => ApiError::NotFound(
                "the source has no file in the folder: its bundled mapping is in service"
                    .to_owned(),
            ),
        }
    }
}

/// A change, and whoever waits for its result.
#[derive(Debug)]
pub struct OrderedChange {
    pub change: FileChange,
    /// Recorded once the change is made, also if nobody waits for it any more.
    pub entry: NewAuditEntry,
    pub done: oneshot::Sender<Result<ChangeMade, ChangeRefusal>>,
}

/// Orders changes.
#[derive(Debug, Clone)]
pub struct MappingChanges(mpsc::Sender<OrderedChange>);

impl MappingChanges {
    /// Returns it with the end at which the orders arrive.
    pub fn channel() -> (MappingChanges, mpsc::Receiver<OrderedChange>) {
        let (sender, receiver) = mpsc::channel(WAITING_MAX);
        (MappingChanges(sender), receiver)
    }

    /// Has a change made, and returns once the files are in service, or wait for others. It is made even if nobody waits
    /// for it any more.
    pub(super) async fn make(
        &self,
        change: FileChange,
        entry: NewAuditEntry,
    ) -> Result<Result<ChangeMade, ChangeRefusal>, ApiError> {
        let (done, result) = oneshot::channel();
        let not_followed = || {
            let reason = "mapping files cannot be changed now: the relay is stopping, or does not \
                          follow its files";
            ApiError::Unavailable(reason.to_owned())
        };
        self.0.send(OrderedChange { change, entry, done }).await.map_err(|_| not_followed())?;
        result.await.map_err(|_| not_followed())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expected_file_is_narrowed_to_the_text_that_was_read() {
        let one_of = |digests: &[&str]| {
            ExpectedFile::OneOf(digests.iter().map(|it| (*it).to_owned()).collect())
        };

        assert_eq!(ExpectedFile::Any.narrowed_to("a"), one_of(&["a"]));
        assert_eq!(one_of(&["a", "b"]).narrowed_to("a"), one_of(&["a"]));
        assert_eq!(one_of(&["b"]).narrowed_to("a"), one_of(&[]));
        assert_eq!(ExpectedFile::NotInFolder.narrowed_to("a"), ExpectedFile::NotInFolder);
    }
}
