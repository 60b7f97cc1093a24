//! `serve`: opens the store, starts intake and delivery, and on a signal ends them in order.

mod deliveries;
mod looking_in;
mod setups;
mod stop;
mod traced;

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use secrecy::ExposeSecret;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout_at};
use tracing::{info, warn};

use super::load::{self, Location};
use super::reload::Reloader;
use super::{CommandError, output as shown};
use crate::config::Config;
use crate::delivery::mapper::Mapper;
use crate::diagnostics::report::show;
use crate::event::{SourceName, State};
use crate::http_client::chain;
use crate::intake::registry::{SourceStatus, Sources, carry_over};
use crate::intake::{self, Intake};
use crate::mapping_file::file::MappingFile;
use crate::parse_memory::ParseMemory;
use crate::secret::Environment;
use crate::store::{Archive, Sqlite, StateCount, maintenance};
use crate::telemetry::LogFormat;
use crate::telemetry::metrics::Metrics;
use crate::telemetry::traces::Traces;
use crate::{admin, clock, listener, telemetry};
use deliveries::{Deliveries, Shared};
use looking_in::TokenOrigin;
use setups::Setups;
use stop::StopDeadlines;

pub(super) fn run(path: Option<&Path>, environment: &Environment) -> Result<(), CommandError> {
    let config = load::config(path, environment)?;
    telemetry::start(&config.log);
    let format = config.log.format;
    raise_open_files();
    block_on(async {
        let signalled = stopped();
        let reload = Reloader::begin(path, &config, environment);
        let files = Location::of(&config).sources(&config, environment)?;
        show_mistakes(&files, format);
        let relay = Relay::start(config, &files).await?;
        relay.print_startup_report(&files, format).await;
        relay.warn_of_waiting(&files).await;
        let ended = tokio::select! {
            () = signalled => {
                info!("shutting down");
                Ok(())
            }
            () = reload.next(&relay) => Ok(()),
            () = relay.loops.one_ended.notified() => {
                Err(CommandError::Failed("a part of the relay ended by itself: a bug".to_owned()))
            }
        };
        let stopped = relay.stop().await;
        ended.and(stopped)
    })
}

/// More than all connections, the store and what is watched need.
const OPEN_FILES_MAX: u64 = 16_384;

fn show_mistakes(files: &[MappingFile], format: LogFormat) {
    for file in files.iter().filter(|file| !file.mistakes.is_empty()) {
        match format {
            LogFormat::Text => {
                let look = shown::stderr_look();
                shown::tell(&format!("{}\n", show(&file.document, &file.mistakes, look)));
            }
            LogFormat::Json => load::log_mistakes(&file.document, &file.mistakes),
        }
    }
}

/// Many systems let a process open 1,024 files unless it asks for more, of which a flood of connections
/// would leave none for the store.
fn raise_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let wanted = limit.maximum.map_or(OPEN_FILES_MAX, |most| most.min(OPEN_FILES_MAX));
    if limit.current.is_some_and(|current| current < wanted) {
        let raised = Rlimit { current: Some(wanted), maximum: limit.maximum };
        if let Err(error) = setrlimit(Resource::Nofile, raised) {
            warn!(%error, "cannot raise the number of files that may be open to {wanted}");
        }
    }
}

/// Runs the asynchronous part of a command on a runtime of its own.
pub(super) fn block_on<T>(
    work: impl Future<Output = Result<T, CommandError>>,
) -> Result<T, CommandError> {
    let runtime = Runtime::new().map_err(|error| CommandError::Failed(error.to_string()))?;
    let ended = runtime.block_on(work);
    // Dropping the runtime would wait for blocking calls, such as SQLite's wait of five seconds for a lock, a read from
    // a disk that hangs, or one of standard input. All that can be is written by now.
    runtime.shutdown_background();
    ended
}

/// Resolves at the first SIGTERM or SIGINT from now on.
pub(super) fn stopped() -> impl Future<Output = ()> {
    let terminate = signal(SignalKind::terminate());
    let interrupt = signal(SignalKind::interrupt());
    async {
        let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
            warn!("signals cannot be watched: only kill -9 ends this process");
            return std::future::pending().await;
        };
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    }
}

pub(super) async fn listening(
    address: SocketAddr,
) -> Result<(TcpListener, SocketAddr), CommandError> {
    let failed = |error| CommandError::Failed(format!("cannot listen on {address}: {error}"));
    let listener = TcpListener::bind(address).await.map_err(failed)?;
    let address = listener.local_addr().map_err(failed)?;
    Ok((listener, address))
}

/// The running relay: the store, and the loops on its sides.
pub(super) struct Relay {
    pub(super) address: SocketAddr,
    pub(super) admin_address: SocketAddr,
    /// What `/hooks/NAME` is appended to.
    url: String,
    pub(super) store: Arc<Sqlite>,
    door: Arc<Intake>,
    deliveries: Deliveries,
    loops: Tasks,
    told: TokenOrigin,
    setups: Setups,
    traces: Traces,
    has_unnamed_proxy: bool,
}

impl Relay {
    pub(super) async fn start(
        config: Config,
        files: &[MappingFile],
    ) -> Result<Relay, CommandError> {
        let (listener, address) = listening(config.listen).await?;
        let (admin_listener, admin_address) = listening(config.admin_listen).await?;
        let store = Arc::new(Sqlite::open(&config.store).map_err(|error| undone(&error))?);
        let (token, told) = looking_in::token(&config)?;
        let traces = traced::start(&config.traces).await;
        let mut loops = Tasks::new(config.delivery.shutdown_timeout);

        let memory = Arc::new(ParseMemory::new(config.intake.parsed_bytes_max));
        let mapper = Arc::new(Mapper::new(Arc::clone(&memory)));
        let shared = Shared { traces: traces.clone(), mapper };
        let deliveries = Deliveries::new(&config, &store, files, shared)?;
        for delivery in deliveries.all() {
            loops.begin(Arc::clone(delivery).run(loops.closed()));
        }
        let replay_ordered = Arc::new(Notify::new());
        let wake = Arc::clone(&replay_ordered);
        loops.begin(maintenance::run(store.clone(), config.retention, wake, loops.closed()));
        let has_unnamed_proxy = config.intake.has_unnamed_proxy();
        let url = config.intake.public_url.clone().unwrap_or(format!("http://{address}"));
        let setups = Setups::beside(&config.store.path, &url);
        let closing = loops.closing.subscribe();
        let door = Intake::new(config.intake, sources(files), store.clone(), closing);
        let door = Arc::new(door.tracing(traces.clone()).parsing_in(memory));
        loops.begin(Arc::clone(&door).tell_left_out(loops.closed()));
        let router = intake::router(Arc::clone(&door));
        loops.begin(listener::serve(listener, router, config.listener, loops.closed()));
        let router = admin::router(Arc::new(admin::AdminState {
            token,
            store: store.clone(),
            door: Arc::clone(&door),
            metrics: Metrics::of(&door.webhooks, &store.commits, &deliveries.attempts),
            destinations: deliveries.to_look_into(&config.destinations),
            url: url.clone(),
            replay_ordered,
        }));
        loops.begin(listener::serve(admin_listener, router, config.listener, loops.closed()));
        Ok(Relay {
            address,
            admin_address,
            url,
            store,
            door,
            deliveries,
            loops,
            told,
            setups,
            traces,
            has_unnamed_proxy,
        })
    }

    /// Each source, live or off and why, and its URL: to people as one table.
    async fn print_startup_report(&self, files: &[MappingFile], format: LogFormat) {
        let sources = self.door.sources.current();
        self.setups.write(&sources).await;
        match format {
            LogFormat::Text => shown::tell(&self.table(&sources)),
            LogFormat::Json => self.log_changes(&Sources::new(), &sources),
        }
        if sources.is_empty() {
            warn!("there are no mapping files, so there is no source");
        }
        if self.has_unnamed_proxy {
            warn!(
                "server.public_url is https, and server.trusted_proxies names no proxy: set it to the \
                 proxy's address, so that limits tell its clients apart"
            );
        }
        warn_of(files);
        for (destination, reason) in self.deliveries.without_token(files) {
            warn!(
                destination,
                "delivery to {destination} is paused: {reason}; webhooks are kept until it is there"
            );
        }
        let say = |text: &str| match format {
            LogFormat::Text => shown::tell(text),
            LogFormat::Json => info!("{text}"),
        };
        let admin = format!("the API is at http://{}/api/v1/", self.admin_address);
        match &self.told {
            TokenOrigin::Known => say(&admin),
            TokenOrigin::Short => {
                say(&admin);
                warn!("the admin token is short: others may guess it");
            }
            TokenOrigin::Written(path) => say(&format!("{admin}, its token in {}", path.display())),
            TokenOrigin::Shown(token) => {
                // Where it stands on a terminal once, it stands in no log.
                shown::tell(&format!("{admin}, its token is {}", token.expose_secret()));
            }
        }
        say(&format!("listening on http://{}", self.address));
    }

    fn table(&self, sources: &Sources) -> String {
        let width = sources.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
        let mut lines = vec![concat!("savio-relay ", env!("CARGO_PKG_VERSION")).to_owned()];
        for (name, standing) in sources {
            let padded = format!("{:width$}", name.as_str());
            lines.push(match standing {
                SourceStatus::Live(_) => format!("  {padded}  live  {}/hooks/{name}", self.url),
                SourceStatus::AwaitingSecret(setup) => {
                    format!("  {padded}  setup {}", self.setups.line(setup))
                }
                SourceStatus::Off { reason } => {
                    format!("  {padded}  off   {}/hooks/{name} ({reason})", self.url)
                }
            });
        }
        lines.join("\n")
    }

    /// Takes a new set of mapping files. A source whose file is gone stays known, for a sender that
    /// hears 404 may never come again.
    pub(super) async fn apply(&self, files: &[MappingFile]) {
        let read = sources(files);
        self.deliveries.replace_mappings(files);
        let (old, new) = self.door.sources.update(|old| following(old, &read));
        // Who reads that a source is live may post to it at once.
        self.setups.write(&new).await;
        self.log_changes(&old, &new);
        warn_of(files);
    }

    /// Events that nothing can map at present are easily forgotten.
    pub(super) async fn warn_of_waiting(&self, files: &[MappingFile]) {
        let mapped: BTreeSet<&SourceName> =
            files.iter().filter_map(MappingFile::mapped).map(|(source, _)| source).collect();
        // A store that is away is told of where it matters.
        let counts = self.store.counts().await.unwrap_or_default();
        for StateCount { source, state, events } in counts {
            if state == State::Queued && events > 0 && !mapped.contains(&source) {
                warn!(%source, events, "queued events wait: the source {source} has no mapping at present");
            }
        }
    }

    /// Which sources are live or off that were not.
    fn log_changes(&self, old: &Sources, new: &Sources) {
        for (name, standing) in new {
            match (standing, old.get(name)) {
                (SourceStatus::Live(_), Some(SourceStatus::Live(_)))
                | (SourceStatus::AwaitingSecret(_), Some(SourceStatus::AwaitingSecret(_))) => {}
                (SourceStatus::Live(_), _) => {
                    info!(source = %name, "{name} is live at {}/hooks/{name}", self.url);
                }
                (SourceStatus::AwaitingSecret(setup), _) => self.setups.announce(setup),
                (SourceStatus::Off { reason }, Some(SourceStatus::Off { reason: old }))
                    if reason == old => {}
                (SourceStatus::Off { reason }, _) => {
                    warn!(source = %name, "{name} is off: {reason}");
                }
            }
        }
    }

    /// Refuses new webhooks, finishes what is under way, and closes the store, all within
    /// `server.shutdown_timeout` and a second. An error: events in hand stay claimed.
    pub(super) async fn stop(self) -> Result<(), CommandError> {
        let deadlines = StopDeadlines::after(self.loops.shutdown_timeout);
        self.loops.end(deadlines.parts()).await;
        let (closed, ()) =
            tokio::join!(stop::close(&self.store, deadlines), traced::end(self.traces));
        closed.map_err(|error| undone(&error))
    }
}

/// What runs until the relay is stopped.
struct Tasks {
    closing: watch::Sender<bool>,
    /// Told when one of them ends, even by a panic.
    one_ended: Arc<Notify>,
    running: Vec<JoinHandle<()>>,
    /// How long they may take to end.
    shutdown_timeout: Duration,
}

impl Tasks {
    fn new(shutdown_timeout: Duration) -> Tasks {
        let (closing, one_ended) = (watch::Sender::default(), Arc::default());
        Tasks { closing, one_ended, running: Vec::new(), shutdown_timeout }
    }

    /// Resolves when they are to end.
    fn closed(&self) -> impl Future<Output = ()> + use<> {
        let mut closing = self.closing.subscribe();
        async move {
            // A sender that is gone means the same: the relay ends.
            let _ = closing.wait_for(|closing| *closing).await;
        }
    }

    fn begin(&mut self, part: impl Future<Output = ()> + Send + 'static) {
        let one_ended = Arc::clone(&self.one_ended);
        self.running.push(tokio::spawn(supervised(part, one_ended)));
    }

    async fn end(self, deadline: Instant) {
        self.closing.send_replace(true);
        for task in self.running {
            match timeout_at(deadline, task).await {
                Ok(Ok(())) => {}
                Ok(Err(error)) => warn!(%error, "a part of the relay did not end well"),
                Err(_) => warn!("a part of the relay did not end in time"),
            }
        }
    }
}

/// What a person should know of sources that are live.
fn warn_of(files: &[MappingFile]) {
    let now = clock::now();
    for source in files.iter().filter_map(|file| file.source.as_ref().zip(Some(file))) {
        let (source, file) = source;
        if source.off(now).is_none() {
            for warning in file.warnings(now) {
                warn!(source = %source.name, "{warning}");
            }
        }
    }
}

/// Who may send, by the mapping files.
fn sources(files: &[MappingFile]) -> Sources {
    let now = clock::now();
    let named = files.iter().filter_map(|file| Some((file.name.clone()?, file.standing(now))));
    named.collect()
}

/// The sources as their files say now, after what they were before.
fn following(old: &Sources, read: &Sources) -> Sources {
    let mut sources = read.clone();
    for (name, old) in old {
        if let Some(SourceStatus::AwaitingSecret(setup)) = sources.get(name) {
            let standing = carry_over(setup, old);
            sources.insert(name.clone(), standing);
        }
        let reason = || "its mapping file is gone".to_owned();
        sources.entry(name.clone()).or_insert_with(|| SourceStatus::Off { reason: reason() });
    }
    sources
}

/// Runs a part of the relay, and tells when it ends, even by a panic.
async fn supervised(part: impl Future<Output = ()>, ended: Arc<Notify>) {
    struct Ending(Arc<Notify>);
    impl Drop for Ending {
        fn drop(&mut self) {
            self.0.notify_one();
        }
    }
    let _ending = Ending(ended);
    part.await;
}

pub(super) fn undone(error: &dyn std::error::Error) -> CommandError {
    CommandError::Failed(chain(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_part_that_panics_is_noticed() {
        let ended = Arc::new(Notify::new());

        let part = tokio::spawn(supervised(async { panic!("in a test") }, ended.clone()));

        ended.notified().await;
        assert!(part.await.is_err());
    }
}
