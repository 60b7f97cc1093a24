//! Starts the parts of the relay, applies changed mapping files, and stops the parts in order.

pub(crate) mod admin_token;
mod certificates;
mod deliveries;
pub(crate) mod error;
mod health;
mod listeners;
mod mapping_versions;
pub(crate) mod reload;
pub(crate) mod source_addresses;
pub(crate) mod source_log;
mod source_set;
mod stop;
mod tasks;
mod trace_export;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Notify, Semaphore};
use tokio::task::spawn_blocking;
use tokio::time::timeout;
use tracing::{info, warn};

use crate::admin::{
    AdminState, CallerSlots, ChangeMade, ChangeRefusal, FileChange, Logins, MappingChanges,
    OrderedChange, Streams, TextChecks,
};
use crate::alerts::Alerts;
use crate::comparison::ComparisonThreads;
use crate::config::Config;
use crate::delivery::{EventObserver, ObservedEvent};
use crate::doctor::self_check::{ConfigurationPlace, SelfCheck};
use crate::intake::Intake;
use crate::intake::registry::Sources;
use crate::issues::{Board, IssueWatch};
use crate::listener::Listening;
use crate::mapping_file::file::{MappingFile, Origin};
use crate::mapping_file::served::{FilesInService, ServedFiles, digest};
use crate::parse_memory::ParseMemory;
use crate::secret::{PurposedSecret, SecretPurpose, SecretsInUse};
use crate::store::{Sqlite, Store, maintenance, sqlite};
use crate::telemetry::metrics::{CertificateEnds, Counters, Metrics, Reloads};
use crate::telemetry::traces::Traces;
use crate::{admin, intake, issues, listener};
use admin_token::StartTokens;
use certificates::ServedCertificate;
use deliveries::{Deliveries, Shared};
use error::RelayError;
use listeners::{ListenerState, Listeners};
use reload::{Reload, ReloadTrigger, Reloader};
use source_addresses::SourceAddresses;
use source_set::{merge_with_old, sources};
use stop::StopDeadlines;
use tasks::Tasks;

/// The running relay: the store and the tasks around it.
pub(crate) struct Relay {
    pub(crate) listeners: ListenerState,
    pub(crate) store: Arc<Sqlite>,
    pub(crate) addresses: SourceAddresses,
    pub(crate) admin_tokens: StartTokens,
    pub(crate) logins: Arc<Logins>,
    /// Whether the public URL shows that there is a proxy in front and none is trusted.
    pub(crate) has_unnamed_proxy: bool,
    intake: Arc<Intake>,
    files: Arc<FilesInService>,
    secrets: Arc<SecretsInUse>,
    deliveries: Deliveries,
    issues: Arc<Board>,
    alerts: Arc<Alerts>,
    reloads: Reloads,
    certificate_ends: CertificateEnds,
    traces: Traces,
    tasks: Tasks,
}

/// A step of a reload that a person asked for by SIGHUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ReloadStep {
    Started,
    Ended,
}

impl Relay {
    /// Binds the addresses, opens the store, and starts intake, delivery, maintenance and the admin
    /// API.
    pub(crate) async fn start(
        config: Config,
        served: Arc<ServedFiles>,
        changes: MappingChanges,
        place: Option<ConfigurationPlace>,
    ) -> Result<Relay, RelayError> {
        let running = config.clone();
        // Before the store is opened, which ends leases and may migrate: an address in use is the
        // most frequent reason not to start. Connections wait in the backlog meanwhile.
        let Listeners { webhooks, requests, certificates, described } =
            listeners::bind(&config).await?;
        let store = Arc::new(open_store(config.store.clone()).await?);
        let admin_tokens = StartTokens::of(&config)?;
        let logins = start_logins(&config, &described, (&admin_tokens, &store));
        let traces = trace_export::start(&config.traces).await;
        let mut tasks = Tasks::new(config.delivery.shutdown_timeout);

        // One limit for intake, delivery and previews: each of them alone could use all of it.
        let memory = Arc::new(ParseMemory::new(config.intake.parsed_bytes_max));
        mapping_versions::record(&store, &served.files).await;
        let (observer, watched_events) = EventObserver::watched();
        let shared = Shared::new(&traces, &memory, observer);
        let deliveries = Deliveries::new(&config, &store, &served.files, shared)?;
        run_deliveries(&deliveries, &mut tasks);
        let replay_ordered = maintain(&store, config.retention, &mut tasks);

        let secrets = Arc::new(secrets_in_use(&config, &served.files));
        let has_unnamed_proxy = config.has_unnamed_proxy();
        let public_url = config.intake.public_url.as_ref().unwrap_or(&described.url);
        let addresses = SourceAddresses::beside(&config.store.path, public_url);
        let (live, closing) = (sources(&served.files), tasks.closing.clone());
        let intake = Intake::new(config.intake, live, store.clone(), closing);
        let intake = Arc::new(intake.tracing(traces.clone()).parsing_in(memory));
        let router = run_intake(&intake, &mut tasks);
        tasks.spawn(listener::serve(webhooks, router, config.listener, tasks.shutdown_started()));
        let mut relay = Relay {
            listeners: described,
            certificate_ends: CertificateEnds::default(),
            store,
            addresses,
            admin_tokens,
            logins,
            has_unnamed_proxy,
            intake,
            files: Arc::new(FilesInService::new(served)),
            secrets,
            deliveries,
            issues: Arc::default(),
            alerts: Arc::new(Alerts::new(config.alerts, config.admin.public_url.as_deref())),
            reloads: Reloads::default(),
            traces,
            tasks,
        };
        let state = relay.admin_state(running, place, (replay_ordered, changes));
        relay.serve_admin(requests, state, config.listener);
        relay.watch_issues(watched_events, config.issues);
        relay.follow_certificates(certificates);
        relay.addresses.write(&relay.sources()).await;
        Ok(relay)
    }

    fn serve_admin(
        &mut self,
        requests: Listening,
        state: AdminState,
        settings: listener::Settings,
    ) {
        let (state, closed) = (Arc::new(state), self.tasks.shutdown_started());
        self.tasks.spawn(admin::feed_streams(Arc::clone(&state), self.tasks.shutdown_started()));
        self.tasks.spawn(listener::serve(requests, admin::router(state), settings, closed));
    }

    fn watch_issues(&mut self, mapped: Receiver<ObservedEvent>, settings: issues::Settings) {
        let parts = issues::Parts {
            store: self.store.clone(),
            intake: Arc::clone(&self.intake),
            files: Arc::clone(&self.files),
            destinations: self.deliveries.by_name(),
            secrets: Arc::clone(&self.secrets),
            reloads: self.reloads.clone(),
            commits: self.store.commits.clone(),
        };
        let watch = IssueWatch::new(parts, mapped, settings, Arc::clone(&self.issues));
        self.tasks.spawn(watch.run(self.tasks.shutdown_started()));
        self.send_alerts();
    }

    fn send_alerts(&mut self) {
        for (what, reason) in self.alerts.unusable() {
            warn!(reason, "{what}: nothing is sent: {reason}");
        }
        let store: Arc<dyn Store> = self.store.clone();
        for task in self.alerts.tasks(&self.issues, &store) {
            self.tasks.spawn(task.run(self.tasks.shutdown_started()));
        }
        let heartbeat = self.alerts.heartbeat(&self.intake, self.tasks.shutdown_started());
        if let Some(heartbeat) = heartbeat {
            self.tasks.spawn(heartbeat);
        }
    }

    fn follow_certificates(&mut self, served: Vec<ServedCertificate>) {
        // A task without a certificate would end at once, which counts as a failure.
        if !served.is_empty() {
            let (secrets, ends) = (Arc::clone(&self.secrets), self.certificate_ends.clone());
            let stop = self.tasks.shutdown_started();
            self.tasks.spawn(certificates::follow(served, secrets, ends, stop));
        }
    }

    fn admin_state(
        &self,
        config: Config,
        place: Option<ConfigurationPlace>,
        (replay_ordered, changes): (Arc<Notify>, MappingChanges),
    ) -> AdminState {
        let counters = Counters {
            webhooks: self.intake.webhooks.clone(),
            commits: self.store.commits.clone(),
            attempts: self.deliveries.attempts.clone(),
            dead: self.deliveries.dead.clone(),
            reloads: self.reloads.clone(),
            certificates: self.certificate_ends.clone(),
            alerts: self.alerts.counts.clone(),
        };
        AdminState {
            logins: Arc::clone(&self.logins),
            secrets: Arc::clone(&self.secrets),
            store: self.store.clone(),
            issues: Arc::clone(&self.issues),
            alerts: Arc::clone(&self.alerts),
            intake: Arc::clone(&self.intake),
            files: Arc::clone(&self.files),
            changes,
            secrets_folder: config.secrets_folder.clone(),
            retention: config.retention,
            checks: TextChecks::default(),
            metrics: Metrics::new(&counters),
            counters,
            destinations: self.deliveries.admin_handles(&config.destinations),
            url: self.addresses.url.clone(),
            comparisons: ComparisonThreads::default(),
            caller_slots: CallerSlots::default(),
            streams: Streams::default(),
            replay_ordered,
            health: health::checks(self.self_check(config, place)),
        }
    }

    fn self_check(&self, config: Config, place: Option<ConfigurationPlace>) -> SelfCheck {
        SelfCheck {
            config: Config { listen: self.listeners.address, ..config },
            place,
            files: Arc::clone(&self.files),
            store: Arc::clone(&self.store),
            intake: Arc::clone(&self.intake),
            secrets: Arc::clone(&self.secrets),
            files_slot: Arc::new(Semaphore::new(1)),
        }
    }

    /// Replaces all mapping files.
    pub(crate) async fn apply(&self, served: Arc<ServedFiles>) {
        let files = served.files.as_slice();
        let read = sources(files);
        self.secrets.set(files.iter().flat_map(MappingFile::purposed_secrets));
        mapping_versions::record(&self.store, files).await;
        // Before the sources: an event of a new source finds its mapping at once.
        self.deliveries.replace_mappings(files);
        let (old, new) = self.intake.sources.update(|old| merge_with_old(old, &read));
        // Before the log, which points to this file.
        self.addresses.write(&new).await;
        self.files.replace(Arc::clone(&served));
        source_log::log_changes(&old, &new, files, &self.addresses);
        source_log::warn_of_live_sources(files);
    }

    /// Applies each set of files that the reloader yields, makes the changes that are ordered, and
    /// passes the steps of a reload by SIGHUP to `report`; never returns.
    pub(crate) async fn follow(&self, mut reloader: Reloader, report: impl Fn(ReloadStep)) {
        // One future around both waits, so that a stop also cancels it while it waits for the
        // store. One loop for all that changes the files or reads them: no two of these meet.
        loop {
            match reloader.next_trigger().await {
                ReloadTrigger::Hangup => {
                    report(ReloadStep::Started);
                    if let Some(reload) = reloader.read_all(&self.reloads).await {
                        self.use_reload(reload).await;
                    }
                    report(ReloadStep::Ended);
                }
                ReloadTrigger::Changed => {
                    if let Some(reload) = reloader.read_changed(&self.reloads).await {
                        self.use_reload(reload).await;
                    }
                }
                ReloadTrigger::Ordered(order) => {
                    let OrderedChange { change, entry, done } = *order;
                    let result = self.carry_out(&mut reloader, change).await;
                    if result.is_ok() {
                        admin::record(&*self.store, entry).await;
                    }
                    // Whoever ordered it may have left: it is made all the same.
                    drop(done.send(result));
                }
            }
        }
    }

    async fn carry_out(
        &self,
        reloader: &mut Reloader,
        change: FileChange,
    ) -> Result<ChangeMade, ChangeRefusal> {
        let wanted = match &change {
            FileChange::Write { source, text, .. } => Some((source.clone(), Some(text.clone()))),
            FileChange::Remove { source, .. } => Some((source.clone(), None)),
            FileChange::Secret { .. } => None,
        };
        let (reload, made) = reloader.change(change, &self.reloads).await?;
        self.use_reload(reload).await;
        let Some((source, wanted)) = wanted.filter(|_| made == ChangeMade::InService) else {
            return Ok(made);
        };
        let served = self.files.current();
        let own = served.of(&source).filter(|file| file.origin == Origin::Disk);
        if own.map(|file| &file.document.text) == wanted.as_ref() {
            return Ok(made);
        }
        // Another program has changed the file in the moment after.
        Err(ChangeRefusal::Changed(own.map(|file| digest(file.document.text.as_bytes()))))
    }

    async fn use_reload(&self, Reload { secrets, set }: Reload) {
        self.renew(secrets).await;
        if let Some(set) = set {
            self.apply(Arc::clone(&set.files)).await;
            set.log_applied();
            self.warn_of_waiting(&set.files.files).await;
        }
    }

    /// Uses the secrets of the configuration as they are now.
    async fn renew(&self, secrets: Vec<PurposedSecret>) {
        for new in secrets {
            if let Some(warning) = new.secret.warning() {
                warn!("{warning}");
            }
            if self.secrets.differs(&new) {
                let (purpose, location) = (&new.purpose, new.secret.location());
                if let Err(reason) = self.use_secret(&new).await {
                    warn!("{purpose}: the new value of {location} is not used: {reason}");
                    continue;
                }
                info!("{purpose}: the new value of {location} is used");
            }
            self.secrets.set([new]);
        }
    }

    async fn use_secret(&self, new: &PurposedSecret) -> Result<(), String> {
        let value = new.secret.value()?;
        match &new.purpose {
            SecretPurpose::Destination(name) => self.deliveries.replace_token(name, value).await,
            SecretPurpose::Admin => {
                self.check_unique(new)?;
                self.admin_tokens.replace_main(value);
                Ok(())
            }
            SecretPurpose::AdminToken(name) => {
                self.check_unique(new)?;
                self.admin_tokens.replace_named(name, value);
                Ok(())
            }
            SecretPurpose::AdminProxy => {
                self.logins.replace_proxy_secret(value);
                Ok(())
            }
            SecretPurpose::Header(name) => trace_export::replace_header(&self.traces, name, value),
            SecretPurpose::Alert(_) | SecretPurpose::AlertHeader(..) | SecretPurpose::Heartbeat => {
                self.alerts.replace_secret(&new.purpose, value)
            }
            // Applied with its mapping file.
            SecretPurpose::Source(_) => Ok(()),
        }
    }

    fn check_unique(&self, new: &PurposedSecret) -> Result<(), String> {
        let twin = self.secrets.twin(new);
        twin.map_or(Ok(()), |it| Err(format!("it is that of {it} too, and each needs its own")))
    }

    /// Logs the sources that have queued events and no mapping.
    pub(crate) async fn warn_of_waiting(&self, files: &[MappingFile]) {
        source_log::warn_of_waiting(&self.store, files).await;
    }

    /// Returns the current sources.
    pub(crate) fn sources(&self) -> Arc<Sources> {
        self.intake.sources.current()
    }

    /// Returns the destinations of live sources that have no token, and the reason.
    pub(crate) fn without_token(&self, files: &[MappingFile]) -> Vec<(&str, &str)> {
        self.deliveries.without_token(files)
    }

    /// Returns whether the mapping files that were read last are in use.
    pub(crate) fn is_last_reload_applied(&self) -> bool {
        self.reloads.is_last_applied()
    }

    /// Returns why no requests are sent, for each destination to which none are sent at present.
    pub(crate) fn closed_destinations(&self) -> Vec<(&str, String)> {
        self.deliveries.closed()
    }

    /// Returns the parts that do not answer within this time. A part that answers works, although
    /// it may be busy or be prevented from its work, as the store by a full disk.
    pub(crate) async fn silent_parts(&self, within: Duration) -> Vec<&'static str> {
        let (store, webhooks, admin) = tokio::join!(
            timeout(within, self.store.writer_answers()),
            timeout(within, self.listeners.webhook_pulse.beat()),
            timeout(within, self.listeners.admin_pulse.beat()),
        );
        let parts = [
            ("the store", store.is_err()),
            ("the listener for webhooks", webhooks.is_err()),
            ("the admin listener", admin.is_err()),
        ];
        parts.into_iter().filter(|(_, is_silent)| *is_silent).map(|(part, _)| part).collect()
    }

    /// Resolves when a task ends before `stop`, even by a panic.
    pub(crate) async fn task_ended(&self) {
        self.tasks.task_ended.notified().await;
    }

    /// Refuses new webhooks, completes what is in progress, and closes the store, all within
    /// `server.shutdown_timeout` plus one second. On an error, events stay claimed.
    pub(crate) async fn stop(self) -> Result<(), RelayError> {
        let deadlines = StopDeadlines::after(self.tasks.shutdown_timeout);
        // The tasks first, since they still use the store and record spans. The two ends after them
        // share the remaining second.
        self.tasks.end(deadlines.parts()).await;
        let (closed, ()) = tokio::join!(
            stop::close(&self.store, self.intake.write_rejections(), deadlines),
            trace_export::end(self.traces)
        );
        Ok(closed?)
    }
}

/// Opens the store on a thread of its own: a migration may take minutes, in which the process still
/// reports to its service manager.
async fn open_store(settings: sqlite::Settings) -> Result<Sqlite, RelayError> {
    let opened = spawn_blocking(move || Sqlite::open(&settings)).await;
    Ok(opened.expect("opening the store does not panic, and nothing cancels it")?)
}

/// Starts the maintenance of the store, and returns what wakes it.
fn maintain(store: &Arc<Sqlite>, retention: Duration, tasks: &mut Tasks) -> Arc<Notify> {
    let replay_ordered = Arc::new(Notify::new());
    let (wake, ended) = (Arc::clone(&replay_ordered), tasks.shutdown_started());
    tasks.spawn(maintenance::run(store.clone(), retention, wake, ended));
    replay_ordered
}

fn run_deliveries(deliveries: &Deliveries, tasks: &mut Tasks) {
    for delivery in deliveries.all() {
        tasks.spawn(Arc::clone(delivery).run(tasks.shutdown_started()));
    }
}

fn run_intake(intake: &Arc<Intake>, tasks: &mut Tasks) -> Router {
    tasks.spawn(Arc::clone(intake).log_suppressed(tasks.shutdown_started()));
    tasks.spawn(Arc::clone(intake).count_ignored(tasks.shutdown_started()));
    tasks.spawn(Arc::clone(intake).record_rejections(tasks.shutdown_started()));
    intake::router(Arc::clone(intake))
}

fn start_logins(
    config: &Config,
    listeners: &ListenerState,
    (tokens, store): (&StartTokens, &Arc<Sqlite>),
) -> Arc<Logins> {
    let settings = config.admin.logins(listeners.local_admin_url.clone());
    Arc::new(Logins::new(settings, Arc::clone(&tokens.tokens), store.clone()))
}

fn secrets_in_use(config: &Config, files: &[MappingFile]) -> SecretsInUse {
    let secrets = SecretsInUse::default();
    secrets.set(config.secrets());
    secrets.set(files.iter().flat_map(MappingFile::purposed_secrets));
    secrets
}
