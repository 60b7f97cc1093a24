//! The addresses of the sources. The one at which a source waits for its secret has a code that makes its
//! bearer the sender: it is shown on a terminal or kept in a file for the owner, and is in no log.

use std::io::{IsTerminal, Write as _};
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::admin_token::write_for_owner;
use crate::event::SourceName;
use crate::intake::registry::{SourceStatus, Sources};
use crate::intake::setup::PendingSetup;

pub(crate) struct SourceAddresses {
    /// What a source's address is appended to.
    pub(super) url: String,
    place: AddressOutput,
}

/// Where the addresses with a code can be read.
enum AddressOutput {
    Terminal,
    /// Standard error goes to a log.
    File(PathBuf),
}

impl SourceAddresses {
    pub(super) fn beside(store: &Path, url: &str) -> SourceAddresses {
        let place = if std::io::stderr().is_terminal() {
            AddressOutput::Terminal
        } else {
            AddressOutput::File(store.with_file_name("setup-addresses"))
        };
        SourceAddresses { url: url.to_owned(), place }
    }

    /// Where its webhooks are posted to.
    pub(crate) fn of(&self, name: &SourceName) -> String {
        format!("{}/hooks/{name}", self.url)
    }

    /// The address to register, or where it is.
    pub(crate) fn of_setup(&self, setup: &PendingSetup) -> String {
        match &self.place {
            AddressOutput::Terminal => format!("{}{}", self.url, setup.address()),
            AddressOutput::File(path) => {
                let (address, path) = (self.of(&setup.source.name), path.display());
                format!("{address} (the address to register is in {path})")
            }
        }
    }

    pub(super) fn announce(&self, setup: &PendingSetup) {
        let name = &setup.source.name;
        match &self.place {
            AddressOutput::Terminal => {
                warn!(source = %name, "{name} waits for its secret at an address that is shown once");
                let (url, address) = (&self.url, setup.address());
                // That nobody reads it any more is no reason to stop.
                let _ = writeln!(std::io::stderr().lock(), "register {url}{address}");
            }
            AddressOutput::File(path) => {
                let path = path.display();
                warn!(source = %name, "{name} waits for its secret: the address to register is in {path}");
            }
        }
    }

    /// Writes the file anew, with one line for each source that waits now; without any, it goes.
    pub(super) async fn write(&self, sources: &Sources) {
        let AddressOutput::File(path) = &self.place else { return };
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
