//! `backup`: copies the store into a file, while a relay runs on it or not.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::error::CommandError;
use super::output::visible;
use super::progress_bar::ProgressBar;
use super::runtime::{self, stopped};
use super::{input, output};
use crate::clock;
use crate::config::Config;
use crate::event::State;
use crate::secret::Environment;
use crate::store::sqlite::OpenError;
use crate::store::sqlite::backup::{self, Backup};
use crate::store::sqlite::engine::copy::{BackupControl, BackupError, BackupProgress};

const MIB: u64 = 1024 * 1024;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File to write; it must not exist yet
    file: PathBuf,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let backup = runtime::block_on(async {
        // Before the beginning, so that a signal never leaves half a file.
        let signalled = stopped();
        let control = Arc::new(BackupControl::default());
        let (settings, file) = (config.store.clone(), arguments.file.clone());
        let made_at = (clock::now(), Arc::clone(&control));
        let mut bar = ProgressBar::new();
        let making = backup::make(settings, file, made_at, move |it| show(&mut bar, it));
        tokio::pin!(making);
        let made = tokio::select! {
            made = &mut making => made,
            () = signalled => {
                control.stop();
                making.await
            }
        };
        Ok(made?)
    })?;
    output::print(&summary(&backup, &arguments.file, &config))
}

impl From<BackupError> for CommandError {
    fn from(error: BackupError) -> CommandError {
        match &error {
            BackupError::Exists(_)
            | BackupError::OwnName(_)
            | BackupError::Open(OpenError::Missing { .. } | OpenError::Moved { .. }) => {
                CommandError::InvalidInput(error.to_string())
            }
            BackupError::Open(_)
            | BackupError::Running(_)
            | BackupError::Target { .. }
            | BackupError::TargetDatabase { .. }
            | BackupError::NoRoom { .. }
            | BackupError::RoomRanOut(_)
            | BackupError::LogGrew(_)
            | BackupError::Damaged(_)
            | BackupError::Panicked
            | BackupError::Interrupted => CommandError::Failed(error.to_string()),
        }
    }
}

fn show(bar: &mut ProgressBar, progress: BackupProgress) {
    match progress {
        BackupProgress::Copying { done, total } => {
            let words = format!("of {} MiB copied", total.div_ceil(MIB));
            bar.show(done, Some(total), &words);
        }
        BackupProgress::Checking => {
            bar.clear();
            bar.show(0, None, "faults found so far: the copy is checked");
        }
    }
}

/// Says what is in the backup, and how to restore it.
fn summary(backup: &Backup, file: &Path, config: &Config) -> String {
    let (file, store) = (file.display(), config.store.path.display());
    let count = |state| -> u64 {
        backup.counts.iter().filter(|it| it.state == state).map(|it| it.events).sum()
    };
    let counts: Vec<String> = State::ALL
        .into_iter()
        .filter(|state| count(*state) > 0)
        .map(|state| format!("{} {}", count(state), state.as_str()))
        .collect();
    let all: u64 = backup.counts.iter().map(|it| it.events).sum();
    let counts = if counts.is_empty() { String::new() } else { format!(": {}", counts.join(", ")) };
    // Tenths of a MiB, rounded up: a file is never shown as nothing.
    let tenths = (backup.bytes * 10).div_ceil(MIB);
    visible(&format!(
        "{file}: {}.{} MiB, events: {all}{counts}\n\
         \n\
         To restore it:\n\
         \x20 1. stop the relay\n\
         \x20 2. rm -f {store}-wal {store}-shm\n\
         \x20 3. cp {file} {store}   (it must belong to the relay's user)\n\
         \x20 4. start the relay\n\
         What is queued or held in it may be in Savio by then: it is sent as a possible\n\
         duplicate, or held until a person decides if you start with `serve --hold`.\n",
        tenths / 10,
        tenths % 10,
    ))
}
