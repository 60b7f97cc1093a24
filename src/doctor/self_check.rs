//! The checks of a running relay by itself. They use what it has open, take a bounded time each, and
//! begin nothing that an earlier run has not ended.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio::time::timeout;

use super::damage::STORE;
use super::finding::Finding;
use super::host::ADDRESS;
use super::public_address::{self, NoKey, TestKey};
use super::{certificates, files, host, savio, secrets, store, traces};
use crate::config::Config;
use crate::intake::Intake;
use crate::mapping_file::served::{FilesInService, ServedFiles};
use crate::secret::{Environment, SecretsInUse};
use crate::store::Sqlite;

/// Longest time of a check. What does not answer by then is reported so.
const TIME_MAX: Duration = Duration::from_secs(18);

/// Longest time for the public address, less than that, since it says itself how far it came.
const PUBLIC_TIME_MAX: Duration = Duration::from_secs(15);

/// Where the configuration of the running relay was read, to find mistakes that were written into it
/// since.
#[derive(Debug, Clone)]
pub(crate) struct ConfigurationPlace {
    /// The file that was named; none for the usual one.
    pub(crate) path: Option<PathBuf>,
    pub(crate) environment: Environment,
}

/// The parts of a running relay that are checked.
pub(crate) struct SelfCheck {
    /// As the relay started, with the addresses on which it listens.
    pub(crate) config: Config,
    /// None if it was not read from files.
    pub(crate) place: Option<ConfigurationPlace>,
    pub(crate) files: Arc<FilesInService>,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) intake: Arc<Intake>,
    pub(crate) secrets: Arc<SecretsInUse>,
    /// One run at a time looks at files, also if nobody waits for it any more: a disk may hang.
    pub(crate) files_slot: Arc<Semaphore>,
}

/// What is found by reading files, by the place at which it is listed.
#[derive(Debug, Default)]
struct FileFindings {
    configuration: Vec<Finding>,
    store: Vec<Finding>,
    certificates: Vec<Finding>,
    secrets: Vec<Finding>,
}

impl SelfCheck {
    /// Checks all, most of it at the same time, and returns it in the order of the command `doctor`.
    pub(crate) async fn findings(&self, program: Finding) -> Vec<Finding> {
        let mut config = self.config.clone();
        config.renew_secrets(|purpose| self.secrets.current(purpose));
        let served = self.files.current();
        let (on_disk, content, ready, public, savio, traces) = tokio::join!(
            self.read_files(config.clone()),
            bounded(STORE, store::content_of_open((&config.store, &self.store), &served.files)),
            bounded(ADDRESS, self.readiness()),
            self.public_address((&config, &served)),
            bounded("savio", self.destinations((&config, &served))),
            bounded("traces", collector(&config)),
        );
        let mut findings = vec![program];
        findings.extend(on_disk.configuration);
        files::statuses(&served.files, &mut findings);
        findings.extend(on_disk.store.into_iter().chain(content));
        host::public_url(&config, &served.files, &mut findings);
        findings.extend(ready);
        host::admin_access(&config, &mut findings);
        let rest = [on_disk.certificates, public, on_disk.secrets, savio, traces];
        findings.extend(rest.into_iter().flatten());
        host::open_files(&config, "the relay", &mut findings);
        findings
    }

    /// Looks at all that is on disks, on a thread for what blocks.
    async fn read_files(&self, config: Config) -> FileFindings {
        let unseen = |found: &str| FileFindings {
            configuration: vec![
                Finding::unseen(files::CONFIGURATION, found)
                    .advice("look at the disks of this machine: one of them may hang"),
            ],
            ..FileFindings::default()
        };
        let Ok(slot) = Arc::clone(&self.files_slot).try_acquire_owned() else {
            return unseen("the files were not looked at: an earlier check of them has not ended");
        };
        let (place, used) = (self.place.clone(), Arc::clone(&self.secrets));
        let read = spawn_blocking(move || {
            let _slot = slot;
            file_findings(&config, place.as_ref(), &used)
        });
        match timeout(TIME_MAX, read).await {
            Ok(Ok(findings)) => findings,
            Ok(Err(_)) => unseen("the files were not looked at: internal error"),
            Err(_) => unseen("the files could not be looked at in time"),
        }
    }

    async fn readiness(&self) -> Vec<Finding> {
        vec![host::readiness(self.config.listen, &self.intake.unready_reasons().await)]
    }

    async fn public_address(&self, (config, served): (&Config, &ServedFiles)) -> Vec<Finding> {
        let body_bytes_max = self.intake.limits().bytes_max;
        let key = self.intake.echoes.issue(Instant::now());
        let issued = Ok::<_, NoKey>(TestKey { key, body_bytes_max });
        let mut findings = Vec::new();
        let of = (config, served.files.as_slice());
        public_address::check(of, issued, PUBLIC_TIME_MAX, &mut findings).await;
        findings
    }

    async fn destinations(&self, (config, served): (&Config, &ServedFiles)) -> Vec<Finding> {
        let mut findings = Vec::new();
        savio::destinations(&config.destinations, &served.files, &mut findings).await;
        findings
    }
}

async fn collector(config: &Config) -> Vec<Finding> {
    let mut findings = Vec::new();
    traces::collector(&config.traces, &mut findings).await;
    findings
}

/// Gives up a check that takes too long.
async fn bounded(part: &'static str, check: impl Future<Output = Vec<Finding>>) -> Vec<Finding> {
    let late = |_| {
        let found = format!("the check was given up after {} s", TIME_MAX.as_secs());
        vec![Finding::unseen(part, found)]
    };
    timeout(TIME_MAX, check).await.unwrap_or_else(late)
}

fn file_findings(
    config: &Config,
    place: Option<&ConfigurationPlace>,
    used: &SecretsInUse,
) -> FileFindings {
    let mut findings = FileFindings::default();
    store::place(&config.store, &mut findings.store);
    certificates::certificates(config, &mut findings.certificates);
    let Some(ConfigurationPlace { path, environment }) = place else { return findings };
    // As a process that starts now would find them: without the last values of files.
    let environment = environment.without_last_values();
    let about = &mut findings.configuration;
    let written = files::configuration(path.as_deref(), &environment, about);
    if let Some(written) = written {
        let mappings = files::mapping_files(&written, &environment, about);
        findings.secrets = secrets::in_use(&secrets::found(&written, &mappings), used);
    }
    findings
}
