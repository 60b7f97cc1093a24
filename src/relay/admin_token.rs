//! The token of the admin API: configured, or generated at the start.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::error::RelayError;
use crate::admin::AdminToken;
use crate::config::Config;
use crate::secret::Secret;

/// Origin of the token, by which the start-up report says where to find it.
pub(crate) enum TokenOrigin {
    /// Configured.
    Known,
    /// Configured, and too short to be safe.
    Short,
    /// Generated, to be shown on the terminal on which the relay was started.
    Shown(SecretString),
    /// Generated and written to this file.
    Written(PathBuf),
}

/// Returns the configured token, or a generated one. That is written to a file if standard error is
/// not a terminal.
pub(super) fn find(config: &Config) -> Result<(AdminToken, TokenOrigin), RelayError> {
    if let Secret::Found(token) = &config.admin_token {
        let origin =
            if AdminToken::is_short(token) { TokenOrigin::Short } else { TokenOrigin::Known };
        let token = AdminToken::new(token.clone()).ok_or(RelayError::EmptyAdminToken)?;
        return Ok((token, origin));
    }
    // Two random UUIDs: 244 bits from the generator of the operating system.
    let generated =
        SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    // Standard error that is not a terminal is a log, which more people and programs read.
    let origin = if std::io::stderr().is_terminal() {
        TokenOrigin::Shown(generated.clone())
    } else {
        let path = config.store.path.with_file_name("admin-token");
        let written = write_for_owner(&path, &format!("{}\n", generated.expose_secret()));
        if let Err(error) = written {
            return Err(RelayError::AdminTokenFile { path, error });
        }
        TokenOrigin::Written(path)
    };
    let token = AdminToken::new(generated).expect("generated at this start");
    Ok((token, origin))
}

/// Replaces a file by one that only its owner can read.
pub(super) fn write_for_owner(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // A new file with mode 0600 that is renamed: writing to an existing one would keep its mode and
    // owner, and a reader could see half of it.
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
