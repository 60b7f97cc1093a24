//! The token of the admin API: where it is from, and where a person finds it.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use uuid::Uuid;

use super::error::RelayError;
use crate::admin::AdminToken;
use crate::config::Config;
use crate::secret::Secret;

/// How a person gets the token.
pub(crate) enum TokenOrigin {
    /// It is configured.
    Known,
    /// It is configured, and too short to be safe.
    Short,
    /// It was made now; this is it, for the terminal on which the relay was started.
    Shown(SecretString),
    /// It was made now, and is in this file.
    Written(PathBuf),
}

/// The token of the configuration; else a new one, which is written into a file where nobody sits at a terminal.
pub(super) fn find(config: &Config) -> Result<(AdminToken, TokenOrigin), RelayError> {
    if let Secret::Found(token) = &config.admin_token {
        let origin =
            if AdminToken::is_short(token) { TokenOrigin::Short } else { TokenOrigin::Known };
        let token = AdminToken::new(token.clone()).ok_or(RelayError::EmptyAdminToken)?;
        return Ok((token, origin));
    }
    let made =
        SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    let origin = if std::io::stderr().is_terminal() {
        TokenOrigin::Shown(made.clone())
    } else {
        let path = config.store.path.with_file_name("admin-token");
        let written = write_for_owner(&path, &format!("{}\n", made.expose_secret()));
        if let Err(error) = written {
            return Err(RelayError::AdminTokenFile { path, error });
        }
        TokenOrigin::Written(path)
    };
    let token = AdminToken::new(made).expect("it was just made");
    Ok((token, origin))
}

/// For the owner alone, whoever wrote the file before, and whole whenever somebody reads it.
pub(super) fn write_for_owner(path: &Path, text: &str) -> std::io::Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    // It is made with mode 0600.
    let mut file = NamedTempFile::new_in(folder.unwrap_or(Path::new(".")))?;
    file.write_all(text.as_bytes())?;
    file.persist(path)?;
    Ok(())
}
