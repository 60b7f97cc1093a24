//! The URLs of the sources. The one at which a source waits for its secret has a one-time code, by
//! which anybody could set the secret. So it is shown on a terminal or written to a file for the
//! owner, and never logged.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::admin_token::write_for_owner;
use crate::event::SourceName;
use crate::intake::registry::{SourceStatus, Sources};
use crate::intake::setup::PendingSetup;

pub(crate) struct SourceAddresses {
    /// Base URL of the sources.
    pub(super) url: String,
    output: AddressOutput,
}

/// Output for the URLs with a code.
enum AddressOutput {
    Terminal,
    /// Used if standard error is not a terminal, and therefore a log.
    File(PathBuf),
}

impl SourceAddresses {
    pub(super) fn beside(store: &Path, url: &str) -> SourceAddresses {
        let output = if std::io::stderr().is_terminal() {
            AddressOutput::Terminal
        } else {
            AddressOutput::File(store.with_file_name("setup-addresses"))
        };
        SourceAddresses { url: url.to_owned(), output }
    }

    /// Returns the URL to which the source's webhooks are posted.
    pub(crate) fn of(&self, name: &SourceName) -> String {
        format!("{}/hooks/{name}", self.url)
    }

    /// Returns the URL to register, or the file that has it.
    pub(crate) fn of_pending_setup(&self, setup: &PendingSetup) -> String {
        match &self.output {
            AddressOutput::Terminal => format!("{}{}", self.url, setup.address()),
            AddressOutput::File(path) => {
                let (address, path) = (self.of(&setup.source.name), path.display());
                format!("{address} (the address to register is in {path})")
            }
        }
    }

    pub(super) fn announce(&self, setup: &PendingSetup) {
        let name = &setup.source.name;
        match &self.output {
            AddressOutput::Terminal => {
                warn!(source = %name, "{name} waits for its secret at an address that is shown once");
                let (url, address) = (&self.url, setup.address());
                // A closed terminal is no reason to stop. Not by the log, which may go to a file
                // too.
                let _ = writeln!(std::io::stderr().lock(), "register {url}{address}");
            }
            AddressOutput::File(path) => {
                let path = path.display();
                warn!(source = %name, "{name} waits for its secret: the address to register is in {path}");
            }
        }
    }

    /// Replaces the file by one with a line for each source that waits; without any, deletes it.
    pub(super) async fn write(&self, sources: &Sources) {
        let AddressOutput::File(path) = &self.output else { return };
        let waiting = sources.iter().filter_map(|(name, status)| match status {
            SourceStatus::AwaitingSecret(setup) => {
                Some(format!("{name} {}{}\n", self.url, setup.address()))
            }
            SourceStatus::Live(_) | SourceStatus::Off { .. } => None,
        });
        let (text, file) = (waiting.collect::<String>(), path.clone());
        let work = move || match text.as_str() {
            "" => remove(&file),
            text => write_for_owner(&file, text),
        };
        if let Ok(Err(error)) = spawn_blocking(work).await {
            warn!(%error, "cannot write the addresses of sources to set up into {}", path.display());
        }
    }
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}
