//! The addresses at which sources wait for their secrets. The code in them makes its bearer the sender,
//! so that they are shown on a terminal or kept in a file for the owner, and are in no log.

use std::io::IsTerminal;
use std::path::{Path, PathBuf};

use tokio::task::spawn_blocking;
use tracing::warn;

use super::looking_in::write_for_owner;
use crate::cli::output;
use crate::intake::registry::{SourceStatus, Sources};
use crate::intake::setup::PendingSetup;

pub(super) struct Setups {
    /// What a source's address is appended to.
    url: String,
    place: Place,
}

/// Where the addresses can be read.
enum Place {
    Terminal,
    /// Standard error goes to a log.
    File(PathBuf),
}

impl Setups {
    pub(super) fn beside(store: &Path, url: &str) -> Setups {
        let place = if std::io::stderr().is_terminal() {
            Place::Terminal
        } else {
            Place::File(store.with_file_name("setup-addresses"))
        };
        Setups { url: url.to_owned(), place }
    }

    /// What the table of the sources has: the address, or where it is.
    pub(super) fn line(&self, setup: &PendingSetup) -> String {
        match &self.place {
            Place::Terminal => format!("{}{}", self.url, setup.address()),
            Place::File(path) => {
                let (url, name, path) = (&self.url, &setup.source.name, path.display());
                format!("{url}/hooks/{name} (the address to register is in {path})")
            }
        }
    }

    pub(super) fn announce(&self, setup: &PendingSetup) {
        let name = &setup.source.name;
        match &self.place {
            Place::Terminal => {
                warn!(source = %name, "{name} waits for its secret at an address that is shown once");
                output::tell(&format!("register {}{}", self.url, setup.address()));
            }
            Place::File(path) => {
                let path = path.display();
                warn!(source = %name, "{name} waits for its secret: the address to register is in {path}");
            }
        }
    }

    /// Writes the file anew, with one line for each source that waits now; without any, it goes.
    pub(super) async fn write(&self, sources: &Sources) {
        let Place::File(path) = &self.place else { return };
        let waiting = sources.iter().filter_map(|(name, standing)| match standing {
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
