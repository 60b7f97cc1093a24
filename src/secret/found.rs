//! A secret together with where it was found, or the reason why it was not.

use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};

use super::doubt;
use super::environment::Environment;
use super::location::{SecretLocation, read_file, resolve};

/// Returns why a value cannot be used, as the end of a sentence about where it is.
pub type SecretCheck<'c> = &'c dyn Fn(&SecretString) -> Result<(), String>;

/// A secret that a configuration names: where it is, and what is there.
#[derive(Debug, Clone)]
pub struct Secret {
    location: SecretLocation,
    value: Result<SecretString, MissingSecret>,
    /// Reason why its file cannot be read now, if the value is that of an earlier time.
    kept: Option<String>,
}

#[derive(Debug, Clone)]
struct MissingSecret {
    reason: String,
    /// Whether there is a value, which cannot be used.
    is_wrong: bool,
}

impl Secret {
    /// Returns a secret that was read from a variable which holds more than the secret.
    pub fn part_of_variable(name: &str, value: SecretString) -> Secret {
        let location = SecretLocation::Variable(name.to_owned());
        Secret { location, value: Ok(value), kept: None }
    }

    pub(super) fn read(
        location: SecretLocation,
        environment: &Environment,
        check: SecretCheck<'_>,
    ) -> Secret {
        match &location {
            SecretLocation::Variable(name) => match environment.get(name) {
                None => {
                    let reason = format!("{location} is not set");
                    Secret::missing(location, reason)
                }
                Some(text) => {
                    let value = value_of(text, &location, check);
                    Secret { location, value, kept: None }
                }
            },
            SecretLocation::File(written) => {
                let path = match resolve(written, environment) {
                    Ok(path) => path,
                    Err(reason) => return Secret::missing(location, reason),
                };
                let read = read_file(&path).map_err(MissingSecret::absent);
                let value = read.and_then(|text| value_of(&text, &location.at(&path), check));
                Secret::of_file(location, &path, value, environment)
            }
        }
    }

    /// Takes the value of a file. One that cannot be used does not replace the value that the file
    /// had before.
    // A rotation may write a file in two steps, or with the wrong owner. The source and the
    // destination that work must not stop because of that.
    fn of_file(
        location: SecretLocation,
        path: &Path,
        value: Result<SecretString, MissingSecret>,
        environment: &Environment,
    ) -> Secret {
        let missing = match value {
            Ok(value) => {
                environment.remember(path, &value);
                return Secret { location, value: Ok(value), kept: None };
            }
            Err(missing) => missing,
        };
        match environment.last_value(path) {
            Some(last) => Secret { location, value: Ok(last), kept: Some(missing.reason) },
            None => Secret { location, value: Err(missing), kept: None },
        }
    }

    pub(super) fn missing(location: SecretLocation, reason: String) -> Secret {
        Secret { location, value: Err(MissingSecret::absent(reason)), kept: None }
    }

    /// Looks it up once more, as a secret of one line.
    #[must_use]
    pub fn read_again(&self, environment: &Environment) -> Secret {
        Secret::read(self.location.clone(), environment, &one_line)
    }

    /// Returns the value, or the reason why there is none, which names the variable or the file.
    pub fn value(&self) -> Result<&SecretString, &str> {
        self.value.as_ref().map_err(|missing| missing.reason.as_str())
    }

    pub fn location(&self) -> &SecretLocation {
        &self.location
    }

    /// Returns the reason if there is a value that cannot be used.
    pub fn wrong(&self) -> Option<&str> {
        let missing = self.value.as_ref().err()?;
        missing.is_wrong.then_some(missing.reason.as_str())
    }

    /// Returns the reason why its file cannot be used now, if an earlier value counts.
    pub fn kept(&self) -> Option<&str> {
        self.kept.as_deref()
    }

    /// Returns what a person should know although it is used.
    pub fn warning(&self) -> Option<String> {
        if let Some(reason) = &self.kept {
            return Some(format!("{reason}; the value that was read before still counts"));
        }
        let doubt = doubt::doubt(self.value.as_ref().ok()?.expose_secret())?;
        Some(format!("{} {doubt}", self.location))
    }

    /// Returns whether it is in a variable that does not exist. One that is empty is somebody's
    /// attempt to set it.
    pub fn is_in_unset_variable(&self, environment: &Environment) -> bool {
        match &self.location {
            SecretLocation::Variable(name) => environment.get(name).is_none(),
            SecretLocation::File(_) => false,
        }
    }

    /// Returns the path of its file if that does not exist.
    pub fn absent_file(&self, environment: &Environment) -> Option<PathBuf> {
        let SecretLocation::File(written) = &self.location else { return None };
        let path = resolve(written, environment).ok()?;
        (self.value.is_err() && matches!(path.try_exists(), Ok(false))).then_some(path)
    }
}

impl MissingSecret {
    fn absent(reason: String) -> MissingSecret {
        MissingSecret { reason, is_wrong: false }
    }
}

/// Returns the value of a text without one line end, if it is usable.
// Editors, `echo` and encoders of Kubernetes secrets write one line end that is not part of the
// secret. Other white space may be.
fn value_of(
    text: &str,
    location: &SecretLocation,
    check: SecretCheck<'_>,
) -> Result<SecretString, MissingSecret> {
    let line = text.strip_suffix('\n').unwrap_or(text);
    // Alone too: env files with the line ends of Windows leave it there.
    let value = line.strip_suffix('\r').unwrap_or(line);
    if value.is_empty() {
        return Err(MissingSecret::absent(format!("{location} is empty")));
    }
    let value = SecretString::from(value);
    match check(&value) {
        Ok(()) => Ok(value),
        Err(fault) => Err(MissingSecret { reason: format!("{location} {fault}"), is_wrong: true }),
    }
}

/// Refuses what no HTTP header can carry.
pub(super) fn one_line(secret: &SecretString) -> Result<(), String> {
    let value = secret.expose_secret();
    if value.contains(['\n', '\r']) {
        return Err("has a line break inside: a token is one line".to_owned());
    }
    if value.contains(char::is_control) {
        return Err("has a control character inside: set it again".to_owned());
    }
    Ok(())
}
