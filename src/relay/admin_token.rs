//! The tokens of the admin API: configured, or generated at the start.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Write as _};
use std::iter;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use tempfile::NamedTempFile;
use tracing::warn;
use uuid::Uuid;

use super::error::RelayError;
use crate::admin::{AdminToken, AdminTokens, Role};
use crate::config::{AdminConfig, Config, TokenConfig};

/// The tokens of the admin API, and what the start-up report says of them.
pub(crate) struct StartTokens {
    pub(super) tokens: Arc<AdminTokens>,
    pub(crate) origin: TokenOrigin,
    /// What is wrong with the secrets of `[[admin.tokens]]` and of the proxy.
    pub(crate) doubts: Vec<String>,
    /// Roles of `[[admin.tokens]]`, also of those without a secret.
    roles: BTreeMap<String, Role>,
}

impl StartTokens {
    pub(super) fn of(config: &Config) -> Result<StartTokens, RelayError> {
        let (main, origin) = find(config)?;
        let tokens = iter::once(main).chain(named(&config.admin)).collect();
        let tokens = Arc::new(AdminTokens::new(tokens));
        let roles = config.admin.tokens.iter().map(|it| (it.name.clone(), it.role)).collect();
        Ok(StartTokens { tokens, origin, doubts: config.admin.doubts(), roles })
    }

    /// Accepts another secret for `admin.token` from now on, and no longer the one before.
    pub(super) fn replace_main(&self, secret: &SecretString) {
        self.replace(AdminToken::new(AdminToken::MAIN, Role::Everything, secret));
    }

    /// Likewise for the one of `[[admin.tokens]]` with this name.
    pub(super) fn replace_named(&self, name: &str, secret: &SecretString) {
        self.replace(self.roles.get(name).and_then(|role| AdminToken::new(name, *role, secret)));
    }

    fn replace(&self, new: Option<AdminToken>) {
        let Some(new) = new else { return };
        let mut tokens = self.tokens.current().to_vec();
        tokens.retain(|token| token.name != new.name);
        tokens.push(new);
        self.tokens.replace(tokens);
    }
}

/// Origin of the token that may do everything, by which the start-up report says where to find it.
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

/// Returns the token that may do everything: the configured one, or a generated one. That is
/// written to a file, and shown if standard error is a terminal.
fn find(config: &Config) -> Result<(AdminToken, TokenOrigin), RelayError> {
    let everything = |token| AdminToken::new(AdminToken::MAIN, Role::Everything, token);
    if let Ok(token) = config.admin.token.value() {
        let origin = if AdminToken::is_short(token.expose_secret()) {
            TokenOrigin::Short
        } else {
            TokenOrigin::Known
        };
        let token = everything(token).ok_or(RelayError::EmptyAdminToken)?;
        return Ok((token, origin));
    }
    // Two random UUIDs: 244 bits from the generator of the operating system.
    let generated =
        SecretString::from(format!("{}{}", Uuid::new_v4().simple(), Uuid::new_v4().simple()));
    // In each case, since commands in another shell find the token there.
    let path = path(config);
    let written = write_for_owner(&path, &format!("{}\n", generated.expose_secret()));
    // Standard error that is not a terminal is a log, which more people and programs read.
    let origin = match (std::io::stderr().is_terminal(), written) {
        (true, written) => {
            if let Err(error) = written {
                let path = path.display();
                warn!(%error, "commands will not find the admin token: {path} cannot be written");
            }
            TokenOrigin::Shown(generated.clone())
        }
        (false, Ok(())) => TokenOrigin::Written(path),
        (false, Err(error)) => return Err(RelayError::AdminTokenFile { path, error }),
    };
    let token = everything(&generated).expect("generated at this start");
    Ok((token, origin))
}

/// Returns the tokens of `[[admin.tokens]]` whose secrets were found.
fn named(config: &AdminConfig) -> impl Iterator<Item = AdminToken> {
    config.tokens.iter().filter_map(|TokenConfig { name, role, token, .. }| {
        AdminToken::new(name, *role, token.value().ok()?)
    })
}

/// Returns the file for a generated token, in which commands find it.
pub(crate) fn path(config: &Config) -> PathBuf {
    config.store.path.with_file_name("admin-token")
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
