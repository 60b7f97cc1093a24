//! `serve`: runs the relay until SIGTERM or SIGINT.

mod service_manager;
mod startup_report;

use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::{info, warn};

use super::error::CommandError;
use super::input;
use super::runtime::{self, stopped};
use crate::config::Config;
use crate::doctor::self_check::ConfigurationPlace;
use crate::mapping_file::served::ServedFiles;
use crate::relay::Relay;
use crate::relay::reload::Reloader;
use crate::secret::Environment;
use crate::store::sqlite::RestoredEvents;
use crate::telemetry;
use service_manager::ServiceManager;

pub(super) fn run(
    path: Option<&Path>,
    hold: bool,
    environment: &Environment,
) -> Result<(), CommandError> {
    let mut config = input::config_to_serve(path, environment)?;
    config.store.restored_events = if hold { RestoredEvents::Hold } else { RestoredEvents::Send };
    refuse_wrong_secrets(&config)?;
    telemetry::logs::start(&config.log);
    let format = config.log.format;
    startup_report::log_version(format);
    // After the log is set up, in which a failure is reported, and before any connection.
    raise_open_files();
    runtime::block_on(async {
        // Before the start, during which a signal should already stop the relay in order.
        let signalled = stopped();
        let manager = ServiceManager::of(environment);
        let shutdown_timeout = config.delivery.shutdown_timeout;
        // Before the files are read, so that no later change is missed.
        let reloader = Reloader::start(path, &config, environment);
        let files = input::mapping_files(&config, environment)?;
        let served = Arc::new(ServedFiles::new(&config.mappings, files));
        let files = served.files.as_slice();
        startup_report::show_mistakes(files, format);
        startup_report::warn_of_file_system(config.store.folder());
        let warnings = startup_report::secret_warnings(&config);
        let place =
            ConfigurationPlace { path: path.map(Path::to_owned), environment: environment.clone() };
        let started = Relay::start(config, Arc::clone(&served), reloader.changes(), Some(place));
        let relay = manager.starting(started).await?;
        manager.ready(&relay).await;
        startup_report::warn_of_secrets(&warnings);
        startup_report::log_restored(relay.store.restored, hold);
        if let Some(newer) = relay.store.newer {
            warn!("the store: {newer}");
        }
        startup_report::print(&relay, files, format).await;
        startup_report::print_login_link(&relay);
        relay.warn_of_waiting(files).await;
        let result = tokio::select! {
            () = signalled => {
                info!("shutting down");
                Ok(())
            }
            () = relay.follow(reloader, |step| manager.reload(step)) => Ok(()),
            () = manager.follow(&relay) => Ok(()),
            () = relay.task_ended() => {
                Err(CommandError::Failed("a background task stopped unexpectedly (bug)".to_owned()))
            }
        };
        manager.stopping(shutdown_timeout);
        let stopped = relay.stop().await;
        result.and(stopped.map_err(CommandError::from))
    })
}

/// Fails if a secret of the configuration has a value that cannot be used. A missing one is no reason
/// not to start: webhooks are stored until it is set.
fn refuse_wrong_secrets(config: &Config) -> Result<(), CommandError> {
    let secrets = config.secrets();
    let wrong: Vec<&str> = secrets.iter().filter_map(|it| it.secret.wrong()).collect();
    if wrong.is_empty() {
        return Ok(());
    }
    Err(CommandError::InvalidInput(wrong.join("; ")))
}

/// Limit of open files that the relay requests, more than all connections, the store and watched
/// folders need.
const OPEN_FILES_MAX: u64 = 16_384;

/// Raises the soft limit of open files.
// Many systems start processes with a soft limit of 1,024, of which a flood of connections would
// leave none for the store.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let target = limit.maximum.map_or(OPEN_FILES_MAX, |most| most.min(OPEN_FILES_MAX));
    if limit.current.is_some_and(|current| current < target) {
        let raised = Rlimit { current: Some(target), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "cannot raise the number of files that may be open to {target}");
        }
    }
}
