//! Secrets are never written in the files that people edit: these name where a secret is, by
//! `env:NAME` or `file:PATH`.

mod doubt;
mod environment;
mod location;
mod found;
mod in_use;

use secrecy::{ExposeSecret, SecretString};

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText};
pub use environment::Environment;
use found::one_line;
pub use found::{Secret, SecretCheck};
pub use in_use::{
    KeptSecret, PurposedSecret, SecretComparison, SecretPurpose, SecretsInUse, fingerprint,
};
pub use location::{SecretLocation, read_file, resolve};

/// Looks up a secret of one line, such as a token. A literal secret is reported as a mistake, and not
/// returned.
pub fn find(
    named: &SpannedText,
    environment: &Environment,
    mistakes: &mut Diagnostics,
) -> Option<Secret> {
    Some(Secret::read(locate(named, mistakes)?, environment, &one_line))
}

/// Looks up a secret that has to pass a check.
pub fn find_checked(
    named: &SpannedText,
    environment: &Environment,
    check: SecretCheck<'_>,
    mistakes: &mut Diagnostics,
) -> Option<Secret> {
    Some(Secret::read(locate(named, mistakes)?, environment, check))
}

/// Returns where the secret is, without reading it there. A literal secret is reported as a mistake.
pub fn find_unread(named: &SpannedText, mistakes: &mut Diagnostics) -> Option<Secret> {
    let location = locate(named, mistakes)?;
    Some(Secret::missing(location, "nobody looked where it is".to_owned()))
}

/// Returns the variables that a text names as places of secrets.
pub fn named_variables(text: &str) -> impl Iterator<Item = &str> {
    text.split("env:").skip(1).filter_map(|rest| {
        let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
        rest.split(|c| !is_part(c)).next().filter(|name| !name.is_empty())
    })
}

/// Returns why a secret is probably not the one that was meant, as the end of a sentence about it.
pub fn doubt_of(secret: &SecretString) -> Option<&'static str> {
    doubt::doubt(secret.expose_secret())
}

/// Looks up a secret of one line in a variable.
pub fn from_environment(name: &str, environment: &Environment) -> Secret {
    Secret::read(SecretLocation::Variable(name.to_owned()), environment, &one_line)
}

fn locate(named: &SpannedText, mistakes: &mut Diagnostics) -> Option<SecretLocation> {
    match named.text.split_once(':') {
        Some(("env", name)) if !name.is_empty() => Some(SecretLocation::Variable(name.to_owned())),
        Some(("file", path)) if !path.is_empty() => Some(SecretLocation::File(path.to_owned())),
        _ => {
            let message = "a secret is not written into a file";
            let help = "write \"env:NAME\" for an environment variable or \"file:PATH\" for a file";
            // The text may be the secret itself, so the report shows stars in its place.
            mistakes.push(Diagnostic::error(named.place.clone(), message).help(help).secret());
            None
        }
    }
}

#[cfg(test)]
mod tests;
