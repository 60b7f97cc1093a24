//! The admin listener: its token, and what it looks into.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use uuid::Uuid;

use crate::admin::AdminToken;
use crate::cli::CommandError;
use crate::config::Config;
use crate::secret::Secret;

/// How a person gets the token.
pub(super) enum TokenOrigin {
    /// It is configured.
    Known,
    /// It is configured, and too short to be safe.
    Short,
    /// It was made now; this is it, for the terminal on which the relay was started.
    Shown(SecretString),
    /// It was made now, and is in this file.
    Written(PathBuf),
}

pub(super) fn token(config: &Config) -> Result<(AdminToken, TokenOrigin), CommandError> {
    if let Secret::Found(token) = &config.admin_token {
        let told =
            if AdminToken::is_short(token) { TokenOrigin::Short } else { TokenOrigin::Known };
        let token = AdminToken::new(token.clone())
            .ok_or(CommandError::InvalidInput("it is empty".to_owned()))?;
        return Ok((token, told));
    }
    let made =
        SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    let told = if std::io::stderr().is_terminal() {
        TokenOrigin::Shown(made.clone())
    } else {
        let path = config.store.path.with_file_name("admin-token");
        write_for_owner(&path, &format!("{}\n", made.expose_secret())).map_err(|error| {
            let path = path.display();
            CommandError::Failed(format!("cannot write the admin token to {path}: {error}"))
        })?;
        TokenOrigin::Written(path)
    };
    let token = AdminToken::new(made).expect("it was just made");
    Ok((token, told))
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
