//! Location of mapping files: a folder, which lies over the files inside the program.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::{Path, PathBuf};

use super::bundle;
use super::file::{MappingFile, Origin};
use super::settings::{BundledSelection, Settings};
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::suggestion::nearest;
use crate::file::{self, UnreadableFile};
use crate::secret::Environment;

/// Folder that is used if the configuration names none and it exists.
pub(crate) const DIRECTORY: &str = "mappings";

/// Reason why mapping files cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LocationError {
    #[error(
        "{}: {}: it is the folder of the mapping files; make it, or change `mappings` in \
         relay.toml",
        .path.display(), file::explain(.error, .path)
    )]
    Directory { path: PathBuf, error: io::Error },
    #[error(transparent)]
    File(#[from] UnreadableFile),
    #[error("there is no source `{name}`: {advice}")]
    UnknownSource { name: String, advice: String },
}

/// The folder of the mapping files, and the bundled files that lie under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Location {
    folder: Option<PathBuf>,
    bundled: BundledSelection,
}

/// Mapping file that was found, with its text or with the reason why it cannot be read.
// One such file does not keep the others from being read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FoundFile {
    /// Its text is empty if it cannot be read.
    document: Document,
    failure: Option<Diagnostic>,
    origin: Origin,
}

impl Location {
    /// Returns the configured folder, or `mappings` if it exists.
    pub(crate) fn of(settings: &Settings) -> Location {
        let default = Path::new(DIRECTORY);
        // A link whose folder is gone is an error: the bundled files would replace it unseen.
        let is_there = || default.is_dir() || default.is_symlink();
        let folder = settings.folder.clone().or_else(|| is_there().then(|| default.to_owned()));
        Location { folder, bundled: settings.bundled.clone() }
    }

    /// Returns the bundled files alone.
    pub(crate) fn bundled() -> Location {
        Location { folder: None, bundled: BundledSelection::All }
    }

    pub(crate) fn folder(&self) -> Option<&Path> {
        self.folder.as_deref()
    }

    /// Returns the files of the folder, also those that cannot be read.
    pub(crate) fn in_folder(&self) -> Result<Vec<FoundFile>, LocationError> {
        self.folder.as_deref().map_or(Ok(Vec::new()), in_directory)
    }

    /// Adds the bundled files to those of the folder: one file for each source.
    pub(crate) fn over_bundled(&self, mut files: Vec<FoundFile>) -> Vec<FoundFile> {
        let own: BTreeSet<String> = files.iter().map(FoundFile::source_name).collect();
        let bundled = bundle::mappings().into_iter().map(|document| FoundFile {
            document,
            failure: None,
            origin: Origin::Bundled,
        });
        let selected = |name: &str| self.bundled.includes(name) && !own.contains(name);
        files.extend(bundled.filter(|file| selected(&file.source_name())));
        files.sort_by_cached_key(FoundFile::source_name);
        files
    }

    /// Reads the mapping files and checks them against the names of the destinations.
    pub(crate) fn files(
        &self,
        destinations: &[&str],
        environment: &Environment,
    ) -> Result<Vec<MappingFile>, LocationError> {
        Ok(read_all(&self.over_bundled(self.in_folder()?), destinations, environment))
    }

    /// Reads one of them by its source's name, or any other file by its path.
    pub(crate) fn file(
        &self,
        name: &str,
        destinations: &[&str],
        environment: &Environment,
    ) -> Result<MappingFile, LocationError> {
        let path = Path::new(name);
        if is_toml(path) {
            let document = Document::read(path)?;
            let file = MappingFile::read(document, environment);
            return Ok(file.with_known_destinations(destinations.iter().copied()));
        }
        let mut files = self.files(destinations, environment)?;
        let is_it = |file: &MappingFile| file.name.as_ref().is_some_and(|it| it.as_str() == name);
        match files.iter().position(is_it) {
            Some(at) => Ok(files.swap_remove(at)),
            None => Err(LocationError::UnknownSource {
                name: name.to_owned(),
                advice: advice_for(name, &files),
            }),
        }
    }
}

/// Reads the files, of which each name is there once, and checks them together.
pub(crate) fn read_all(
    found: &[FoundFile],
    destinations: &[&str],
    environment: &Environment,
) -> Vec<MappingFile> {
    let read = |file: &FoundFile| file.clone().read(destinations.iter().copied(), environment);
    let mut files: Vec<MappingFile> = found.iter().map(read).collect();
    // Before any of them is used: whoever renamed a copy of a bundled file has its secret in a
    // variable that the bundled file names too, and would open a second address without knowing.
    let owners = secret_owners(&files);
    for file in files.iter_mut().filter(|file| file.origin == Origin::Bundled) {
        file.leave_secrets_to(&owners);
    }
    files
}

/// Returns the secrets that the files of the folder name, each with the file.
fn secret_owners(files: &[MappingFile]) -> BTreeMap<String, String> {
    let own = files.iter().filter(|file| file.origin == Origin::Disk);
    own.flat_map(|file| {
        let owner = file.document.name.clone();
        file.named_secrets().into_iter().map(move |secret| (secret, owner.clone()))
    })
    .collect()
}

/// Returns what to write instead of an unknown source's name.
fn advice_for(name: &str, files: &[MappingFile]) -> String {
    let known = |file: &MappingFile| file.name.as_ref().map(ToString::to_string);
    let names: Vec<String> = files.iter().filter_map(known).collect();
    if let Some(known) = nearest(name, names.iter().map(String::as_str)) {
        return format!("did you mean {known}?");
    }
    let own = files.iter().filter(|file| file.origin == Origin::Disk).filter_map(known);
    let own = own.collect::<Vec<_>>().join(", ");
    let bundled = "`savio-relay providers` lists the bundled sources";
    if own.is_empty() { bundled.to_owned() } else { format!("there are: {own}; {bundled}") }
}

impl FoundFile {
    fn at(path: &Path) -> FoundFile {
        let (document, failure) = match Document::read_regular(path) {
            Ok(document) => (document, None),
            Err(failure) => {
                let name = path.display().to_string();
                (Document { name, text: String::new() }, Some(unreadable(path, &failure)))
            }
        };
        FoundFile { document, failure, origin: Origin::Disk }
    }

    /// Returns a file of the folder that is to be written.
    pub(crate) fn with_text(path: &Path, text: String) -> FoundFile {
        let document = Document { name: path.display().to_string(), text };
        FoundFile { document, failure: None, origin: Origin::Disk }
    }

    /// Returns the file's path, as messages name it.
    pub(crate) fn path(&self) -> &str {
        &self.document.name
    }

    /// Returns the file's name without its extension, which is not always valid for a source.
    pub(crate) fn source_name(&self) -> String {
        let stem = Path::new(&self.document.name).file_stem().unwrap_or_default();
        stem.to_string_lossy().into_owned()
    }

    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    pub(crate) fn text(&self) -> &str {
        &self.document.text
    }

    /// Reads the file and checks it against the names of the destinations.
    fn read<'n>(
        self,
        destinations: impl IntoIterator<Item = &'n str>,
        environment: &Environment,
    ) -> MappingFile {
        let mut file = match self.failure {
            Some(failure) => MappingFile::unreadable(self.document, failure),
            None => {
                MappingFile::read(self.document, environment).with_known_destinations(destinations)
            }
        };
        file.origin = self.origin;
        file
    }
}

fn unreadable(path: &Path, failure: &UnreadableFile) -> Diagnostic {
    let mistake = Diagnostic::error(0..0, format!("the file cannot be read: {}", failure.reason()));
    match std::fs::read_link(path) {
        Ok(target) => mistake.help(format!(
            "it is a link to {}: restore that file, or remove the link",
            target.display()
        )),
        Err(_) => mistake,
    }
}

fn in_directory(directory: &Path) -> Result<Vec<FoundFile>, LocationError> {
    let failed = |error| LocationError::Directory { path: directory.to_owned(), error };
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(directory).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.file_name().is_some_and(is_mapping_file) {
            paths.push(path);
        }
    }
    // A directory has no order; sources and messages should always come in the same one.
    paths.sort();
    Ok(paths.iter().map(|path| FoundFile::at(path)).collect())
}

/// Returns whether a file of this name in the folder is a mapping file.
// Other programs leave files of their own beside those of people: macOS `._form.toml` on shares and
// in archives, Emacs `.#form.toml`, Vim `.form.toml.swp`, office programs `~$form.toml`, and many
// editors backups such as `#form.toml#`, `form.toml~` and `form~.toml`. Read as mapping files, they
// would be mistakes and keep every change from being applied. No source can have such a name.
pub(crate) fn is_mapping_file(name: &OsStr) -> bool {
    let path = Path::new(name);
    let stem = path.file_stem().unwrap_or_default().as_encoded_bytes();
    let is_other = stem.starts_with(b".") || stem.starts_with(b"#") || stem.starts_with(b"~");
    is_toml(path) && !is_other && !stem.ends_with(b"~")
}

fn is_toml(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension == "toml")
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::os::unix::fs::symlink;
    use std::os::unix::net::UnixListener;

    use super::*;
    use crate::intake::registry::SourceStatus;

    const GOOD: &str =
        "provider = \"form\"\nsecrets = [\"env:SECRET\"]\n[[feedback]]\nproblem = \"$.text\"\n";

    #[test]
    fn file_that_cannot_be_read_has_one_mistake() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        fs::write(path("good.toml"), GOOD).unwrap();
        fs::write(path("notes.txt"), "x").unwrap();
        fs::write(path("large.toml"), "#".repeat(2 * 1024 * 1024)).unwrap();
        fs::create_dir(path("folder.toml")).unwrap();
        symlink("gone/x.toml", path("link.toml")).unwrap();
        symlink("loop.toml", path("loop.toml")).unwrap();
        symlink("ada@example.com.1:2", path(".#good.toml")).unwrap();
        for other in ["._good.toml", "#good.toml#", "~$good.toml", "good~.toml", "good.toml~"] {
            fs::write(path(other), "not TOML").unwrap();
        }
        let _listener = UnixListener::bind(path("socket.toml")).unwrap();

        let folder = Some(folder.path().to_owned());
        let location = Location { folder, bundled: BundledSelection::None };
        let files = location.files(&[], &Environment::new()).unwrap();

        let found: Vec<(String, Vec<&str>)> = files
            .iter()
            .map(|file| {
                let path = Path::new(&file.document.name);
                let messages = file.mistakes.iter().map(|it| it.message.as_str()).collect();
                (path.file_name().unwrap().to_string_lossy().into_owned(), messages)
            })
            .collect();
        let expected = [
            ("folder.toml", "it is a folder, not a file"),
            ("good.toml", ""),
            ("large.toml", "it is larger than 1024 KiB"),
            ("link.toml", "No such file or directory"),
            ("loop.toml", "Too many levels"),
            ("socket.toml", "it is not a regular file"),
        ];
        assert_eq!(found.len(), expected.len(), "{found:?}");
        for ((name, messages), (expected_name, reason)) in found.iter().zip(expected) {
            assert_eq!(name, expected_name);
            assert_eq!(messages.len(), usize::from(!reason.is_empty()), "{name}: {messages:?}");
            assert!(messages.iter().all(|it| it.contains(reason)), "{name}: {messages:?}");
        }
        let is_live = |file: &MappingFile| file.source.is_some();
        assert_eq!(files.iter().filter(|file| is_live(file)).count(), 1);
    }

    /// Returns the sources of a folder with this file over the bundled ones, each with its origin
    /// and whether it is live.
    fn sources(name: &str, text: &str, bundled: BundledSelection) -> Vec<(String, Origin, bool)> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), text).unwrap();
        let location = Location { folder: Some(folder.path().to_owned()), bundled };
        let variables = ["FORM_SECRET", "TYPEFORM_SECRET"];
        let variables = variables.map(|name| (name.to_owned(), "a secret of the test".to_owned()));
        let files = location.files(&["default"], &variables.into()).unwrap();
        let now = crate::clock::now();
        let is_live = |file: &MappingFile| matches!(file.status(now), SourceStatus::Live(_));
        let source = |file: &MappingFile| {
            (file.name.as_ref().unwrap().to_string(), file.origin, is_live(file))
        };
        files.iter().map(source).collect()
    }

    #[test]
    fn file_of_the_folder_replaces_only_the_bundled_file_of_its_name() {
        let of = |sources: &[(String, Origin, bool)], name: &str| {
            let found = sources.iter().find(|(it, ..)| it == name);
            found.map(|(_, origin, is_live)| (*origin, *is_live))
        };
        let own = GOOD.replace("SECRET", "FORM_SECRET");

        let replaced = sources("form.toml", &own, BundledSelection::All);
        let added = sources("acme.toml", &GOOD.replace("SECRET", "ACME"), BundledSelection::All);
        let alone = sources("form.toml", &own, BundledSelection::None);
        let only = BundledSelection::Only(["typeform".to_owned()].into());
        let selected = sources("acme.toml", &own, only);

        assert_eq!(replaced.len(), bundle::names().count());
        assert_eq!(of(&replaced, "form"), Some((Origin::Disk, true)));
        assert_eq!(of(&replaced, "typeform"), Some((Origin::Bundled, true)));
        assert_eq!(of(&replaced, "zapier"), Some((Origin::Bundled, false)));
        assert_eq!(added.len(), bundle::names().count() + 1);
        assert_eq!(of(&added, "form"), Some((Origin::Bundled, true)));
        assert!(added.is_sorted_by_key(|(name, ..)| name.clone()), "{added:?}");
        assert_eq!(alone, [("form".to_owned(), Origin::Disk, true)]);
        let names: Vec<&str> = selected.iter().map(|(name, ..)| name.as_str()).collect();
        assert_eq!(names, ["acme", "typeform"]);
    }

    #[test]
    fn bundled_source_has_no_secret_that_a_file_of_the_folder_names() {
        let renamed = GOOD.replace("env:SECRET", "env:FORM_SECRET");
        let mistaken = renamed.replace("provider", "provder");
        let broken = format!("{renamed}[[");
        for text in [&renamed, &mistaken, &broken] {
            let live: Vec<String> = sources("survey.toml", text, BundledSelection::All)
                .into_iter()
                .filter(|(_, origin, is_live)| *origin == Origin::Bundled && *is_live)
                .map(|(name, ..)| name)
                .collect();

            assert_eq!(live, ["typeform"], "{text}");
        }
    }
}
