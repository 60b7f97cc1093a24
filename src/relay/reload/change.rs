//! Makes a change of the mapping files that somebody ordered by the API: only on top of the text that
//! was expected, and only if the whole set is right afterwards.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::file_set::FileSet;
use crate::admin::{ChangeRefusal, ExpectedFile, NewFiles};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::FILE_BYTES_MAX;
use crate::event::SourceName;
use crate::file::{self, FileError, ReplaceError};
use crate::mapping_file::file::{MappingFile, Origin};
use crate::mapping_file::served::{digest, path_in};
use crate::secret::Environment;

/// The files as they are, to be changed, and what their check needs.
pub(super) struct Scene<'s> {
    pub(super) files: FileSet,
    pub(super) destinations: &'s [String],
    pub(super) environment: &'s Environment,
}

/// A file that was written or removed, with what was there before.
#[derive(Debug)]
pub(super) struct ChangedFile {
    path: PathBuf,
    before: Option<Vec<u8>>,
    after: Option<Vec<u8>>,
    /// Target of the link that was removed.
    link: Option<PathBuf>,
    /// The new files that were written with it.
    beside: NewFiles,
    /// Names of other files, whose mistakes keep it from being in service.
    pub(super) mistaken: Vec<String>,
}

impl ChangedFile {
    /// Returns whether this file was removed.
    pub(super) fn is_removed(&self, path: &str) -> bool {
        self.after.is_none() && self.path == Path::new(path)
    }

    /// Restores what was there before, unless somebody has changed the file since.
    pub(super) fn undo(&self) -> Result<(), ReplaceError> {
        self.beside.remove();
        match (&self.before, &self.after, &self.link) {
            (Some(_), None, Some(target)) => Ok(std::os::unix::fs::symlink(target, &self.path)?),
            (Some(before), after, _) => {
                file::replace_expected(&self.path, before, after.as_deref())
            }
            (None, Some(after), _) => file::remove_expected(&self.path, after),
            (None, None, _) => Ok(()),
        }
    }
}

impl Scene<'_> {
    /// Writes the file of a source, and new ones beside it.
    pub(super) fn write(
        &self,
        source: &SourceName,
        (text, beside): (&str, NewFiles),
        expected: &ExpectedFile,
    ) -> Result<ChangedFile, ChangeRefusal> {
        let path = path_in(&self.files.folder, source);
        let before = self.expect(source, &path, expected)?;
        let mistaken = self.check(&self.files.with(&path, Some(text.to_owned())), source)?;
        let after = text.as_bytes().to_vec();
        beside.write()?;
        if before.as_ref() != Some(&after)
            && let Err(error) = file::replace_expected(&path, &after, before.as_deref())
        {
            beside.remove();
            return Err(refusal(&path, error));
        }
        Ok(ChangedFile { path, before, after: Some(after), link: None, beside, mistaken })
    }

    /// Removes the file of a source, which has a bundled one too.
    pub(super) fn remove(
        &self,
        source: &SourceName,
        expected: &ExpectedFile,
    ) -> Result<ChangedFile, ChangeRefusal> {
        let path = path_in(&self.files.folder, source);
        let before = self.expect(source, &path, expected)?;
        let before = before.ok_or(ChangeRefusal::NoFile)?;
        let without = self.files.with(&path, None);
        if without.of(source).is_none() {
            let reason = format!(
                "no bundled mapping would take the place of {}, and its webhooks would be refused: \
                 pause the source instead, or delete the file by hand",
                path.display()
            );
            return Err(ChangeRefusal::Conflict(reason));
        }
        let mistaken = self.check(&without, source)?;
        let link = fs::read_link(&path).ok();
        file::remove_expected(&path, &before).map_err(|error| refusal(&path, error))?;
        let (before, beside) = (Some(before), NewFiles::default());
        Ok(ChangedFile { path, before, after: None, link, beside, mistaken })
    }

    /// Returns the bytes of the file in the folder, if the source's text is the expected one.
    fn expect(
        &self,
        source: &SourceName,
        path: &Path,
        expected: &ExpectedFile,
    ) -> Result<Option<Vec<u8>>, ChangeRefusal> {
        let on_disk = on_disk(path)?;
        // Without a file on disk: one that is only missing for a moment, or the bundled one.
        let other = self.files.of(source).filter(|_| on_disk.is_none());
        let bytes = on_disk.as_deref().or(other.map(|file| file.text().as_bytes()));
        let current = bytes.map(digest);
        let in_folder = on_disk.is_some() || other.is_some_and(|it| it.origin() == Origin::Disk);
        let is_expected = match expected {
            ExpectedFile::OneOf(digests) => current.as_ref().is_some_and(|it| digests.contains(it)),
            ExpectedFile::Any => true,
            ExpectedFile::NotInFolder => !in_folder,
        };
        if is_expected { Ok(on_disk) } else { Err(ChangeRefusal::Changed(current)) }
    }

    /// Fails if the set cannot be in service. If the source's file has mistakes now and none in the set, and
    /// others have some, returns their names: one correction after the other makes the set right.
    fn check(&self, set: &FileSet, source: &SourceName) -> Result<Vec<String>, ChangeRefusal> {
        let files = set.sources(self.destinations, self.environment);
        let (own, others): (Vec<_>, Vec<_>) = files
            .into_iter()
            .filter(is_mistaken)
            .partition(|file| file.name.as_ref() == Some(source));
        if let Some(own) = own.into_iter().next() {
            return Err(ChangeRefusal::Mistaken(own.document, own.mistakes));
        }
        let names: Vec<String> = others.into_iter().map(|file| file.document.name).collect();
        if names.is_empty() || self.is_mistaken_now(source) {
            return Ok(names);
        }
        let reason = format!(
            "{} cannot be used, and a set of mapping files is put into service as a whole, so that \
             nothing was changed: correct that one first, as `savio-relay check` says",
            names.join(", ")
        );
        Err(ChangeRefusal::Conflict(reason))
    }

    fn is_mistaken_now(&self, source: &SourceName) -> bool {
        let files = self.files.sources(self.destinations, self.environment);
        files.iter().any(|file| file.name.as_ref() == Some(source) && is_mistaken(file))
    }
}

fn is_mistaken(file: &MappingFile) -> bool {
    file.mistakes.iter().any(Diagnostic::is_error)
}

/// Writes a secret for its owner only, and deletes the one before it, which no mapping names any more.
pub(super) fn write_secret(
    path: &Path,
    secret: &SecretString,
    former: Option<PathBuf>,
) -> Result<(), ChangeRefusal> {
    file::write_private(path, secret.expose_secret().as_bytes())
        .map_err(|error| refusal(path, ReplaceError::Io(error)))?;
    if let Some(former) = former {
        // It may never have been there.
        let _ = fs::remove_file(former);
    }
    Ok(())
}

fn on_disk(path: &Path) -> Result<Option<Vec<u8>>, ChangeRefusal> {
    match path.symlink_metadata() {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Ok(_) | Err(_) => {}
    }
    let unreadable =
        |error: FileError| ChangeRefusal::Conflict(format!("{}: {error}", path.display()));
    file::read(path, FILE_BYTES_MAX).map(Some).map_err(unreadable)
}

fn refusal(path: &Path, error: ReplaceError) -> ChangeRefusal {
    match error {
        ReplaceError::Changed => {
            ChangeRefusal::Changed(on_disk(path).ok().flatten().map(|bytes| digest(&bytes)))
        }
        ReplaceError::Io(error) => {
            let reason = file::explain(&error, path);
            ChangeRefusal::Conflict(format!("{} cannot be written: {reason}", path.display()))
        }
    }
}
