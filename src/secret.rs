//! Secrets are never written in the files that people edit: these name where a secret is, by
//! `env:NAME` or `file:PATH`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use secrecy::SecretString;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText};
use crate::file;

/// Size limit of a file that holds a secret.
const FILE_BYTES_MAX: usize = 64 * 1024;

/// The environment variables of the process, read once at its start.
pub type Environment = BTreeMap<String, String>;

#[derive(Debug, Clone)]
pub enum Secret {
    Found(SecretString),
    /// Absent or empty; names the variable or file that was looked up.
    Missing(String),
}

#[derive(Debug, Clone, Copy)]
enum SecretLocation<'n> {
    Variable(&'n str),
    File(&'n Path),
}

/// Looks up a secret. A literal secret is reported as a mistake, and not returned.
pub fn find(
    named: &SpannedText,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) -> Option<Secret> {
    Some(match locate(named, mistakes)? {
        SecretLocation::Variable(name) => from_environment(name, environment),
        SecretLocation::File(path) => from_file(path),
    })
}

/// Returns whether the text names where the secret is, without reading it there. A literal secret
/// is reported as a mistake.
pub fn is_named(named: &SpannedText, mistakes: &mut Diagnostics) -> bool {
    locate(named, mistakes).is_some()
}

fn locate<'n>(named: &'n SpannedText, mistakes: &mut Diagnostics) -> Option<SecretLocation<'n>> {
    match named.text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(SecretLocation::Variable(name)),
        Some(("file", path)) if !path.is_empty() => Some(SecretLocation::File(Path::new(path))),
        _ => {
            let message = "a secret is not written into a file";
            let help = "write \"env:NAME\" for an environment variable or \"file:PATH\" for a file";
            // The text may be the secret itself, so the report shows stars in its place.
            mistakes.push(Diagnostic::error(named.place.clone(), message).help(help).secret());
            None
        }
    }
}

/// Returns the path of a `file:` secret that does not exist.
pub fn missing_file(named: &SpannedText) -> Option<PathBuf> {
    let path = PathBuf::from(named.text.strip_prefix("file:").filter(|path| !path.is_empty())?);
    matches!(path.try_exists(), Ok(false)).then_some(path)
}

pub fn from_environment(name: &str, environment: &Environment) -> Secret {
    let missing = |how| Secret::Missing(format!("the environment variable {name} is {how}"));
    match environment.get(name).map(String::as_str) {
        None => missing("not set"),
        Some("") => missing("empty"),
        Some(value) => Secret::Found(SecretString::from(value)),
    }
}

fn from_file(path: &Path) -> Secret {
    let missing = |why: String| Secret::Missing(format!("{}: {why}", path.display()));
    let text = match file::read(path, FILE_BYTES_MAX).map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Ok(Err(_)) => return missing("it is not UTF-8".to_owned()),
        Err(error) => return missing(error.to_string()),
    };
    // Editors and `echo` write one line end that is not part of the secret. Other white space may
    // be.
    let line = text.strip_suffix('\n').unwrap_or(&text);
    let secret = line.strip_suffix('\r').unwrap_or(line);
    if secret.is_empty() {
        return Secret::Missing(format!("the file {} is empty", path.display()));
    }
    Secret::Found(SecretString::from(secret))
}

#[cfg(test)]
mod tests {
    use secrecy::ExposeSecret;

    use super::*;
    use crate::diagnostics::diagnostic::Document;
    use crate::file::FileError;

    fn check(named: &str, expected: Result<&str, &str>) {
        let environment = Environment::from([
            ("TOKEN".to_owned(), "t0k".to_owned()),
            ("EMPTY".to_owned(), String::new()),
        ]);
        let document = Document { name: "m".into(), text: format!("\"{named}\"") };
        let named = SpannedText::new(&document, named, 0..document.text.len());

        match find(&named, &environment, &mut Vec::new()).unwrap() {
            Secret::Found(secret) => assert_eq!(Ok(secret.expose_secret()), expected),
            Secret::Missing(reason) => assert_eq!(Err(reason.as_str()), expected),
        }
    }

    #[test]
    fn secret_is_read_from_the_environment() {
        check("env:TOKEN", Ok("t0k"));
        check("env:EMPTY", Err("the environment variable EMPTY is empty"));
        check("env:OTHER", Err("the environment variable OTHER is not set"));
    }

    #[test]
    fn secret_file_loses_one_line_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "s3cret \n").unwrap();

        check(&format!("file:{}", path.display()), Ok("s3cret "));
    }

    #[test]
    fn secret_file_is_regular_and_at_most_64_kib() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        std::fs::write(&path, "s".repeat(64 * 1024)).unwrap();
        check(&format!("file:{}", path.display()), Ok(&"s".repeat(64 * 1024)));

        std::fs::write(&path, "s".repeat(64 * 1024 + 1)).unwrap();
        let too_large = format!("{}: it is larger than 64 KiB", path.display());
        check(&format!("file:{}", path.display()), Err(&too_large));
        let special = "/dev/zero: it is not a regular file, but a device, a pipe or a socket";
        check("file:/dev/zero", Err(special));
        let is_folder = format!("{}: {}", folder.path().display(), FileError::Folder);
        check(&format!("file:{}", folder.path().display()), Err(&is_folder));
    }

    #[test]
    fn literal_secret_is_a_mistake() {
        let document = Document { name: "m".into(), text: "\"hunter2\"".into() };
        let mut mistakes = Vec::new();

        let found =
            find(&SpannedText::new(&document, "hunter2", 0..9), &Environment::new(), &mut mistakes);

        assert!(found.is_none());
        assert!(mistakes[0].secret);
    }
}
