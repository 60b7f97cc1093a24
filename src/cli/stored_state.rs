//! State of destinations and sources, in the form of the admin API, as the store has it while no
//! relay can be asked.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::error::CommandError;
use super::{input, open_store};
use crate::clock;
use crate::config::Config;
use crate::delivery::source_pauses::{SourcePauses, why_source_waits};
use crate::delivery::why_closed_in;
use crate::event::{SourceName, State, WaitKind, WaitingFor};
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;
use crate::store::{Archive, EventFilter, PageRequest, Sqlite};

/// A destination, as the admin API describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct DestinationState {
    pub(super) name: String,
    pub(super) base_url: String,
    pub(super) paused: bool,
    pub(super) paused_by: Option<String>,
    pub(super) reason: Option<String>,
    #[serde(default)]
    pub(super) next_probe_at: Option<Timestamp>,
    #[serde(default)]
    pub(super) backoff_until: Option<Timestamp>,
    #[serde(default)]
    pub(super) last_failure: Option<String>,
    pub(super) in_flight: u64,
    pub(super) queued: u64,
    pub(super) oldest_queued_seconds: Option<u64>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct DestinationStates {
    pub(super) destinations: Vec<DestinationState>,
}

/// A source, as the admin API describes it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct SourceState {
    pub(super) name: String,
    /// Whether it has a file in the folder; false from a relay that does not say it.
    #[serde(default)]
    pub(super) in_folder: bool,
    pub(super) live: bool,
    pub(super) reason: Option<String>,
    pub(super) destination: Option<String>,
    pub(super) paused: bool,
    pub(super) queued: u64,
    pub(super) queued_reason: Option<String>,
    pub(super) oldest_queued_seconds: Option<u64>,
    pub(super) last_event_at: Option<Timestamp>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SourceStates {
    pub(super) sources: Vec<SourceState>,
}

/// Queued events of a source.
#[derive(Debug, Clone, Copy, Default)]
struct Queued {
    events: u64,
    oldest_seconds: Option<u64>,
}

type Queues = BTreeMap<SourceName, Queued>;

pub(super) async fn destinations(
    config: &Config,
    environment: &Environment,
) -> Result<DestinationStates, CommandError> {
    let store = open_store::open(config)?;
    let files = input::mapping_files(config, environment)?;
    let queues = queues(&store).await?;
    let now = clock::now();
    let mut destinations = Vec::new();
    for (name, to) in &config.destinations {
        let waiting = match to.token.value() {
            Ok(_) => why_closed_in(&store, name, now).await?,
            Err(reason) => {
                Some(WaitingFor::open_ended(WaitKind::NoToken, format!("no token: {reason}")))
            }
        };
        let own = || {
            let files = files.iter().filter(|file| file.destination() == name);
            files.filter_map(|file| queues.get(file.name.as_ref()?))
        };
        destinations.push(DestinationState {
            queued: own().map(|queue| queue.events).sum(),
            oldest_queued_seconds: own().filter_map(|queue| queue.oldest_seconds).max(),
            ..status(name, (to.base_url.to_string(), waiting))
        });
    }
    store.close().await;
    Ok(DestinationStates { destinations })
}

fn status(name: &str, (base_url, waiting): (String, Option<WaitingFor>)) -> DestinationState {
    let until = waiting.as_ref().and_then(|it| it.until);
    let paused_by = waiting.as_ref().and_then(|it| match it.kind {
        WaitKind::PausedByPerson => Some("person"),
        WaitKind::PausedByAnswer => Some("answer"),
        WaitKind::NoToken => Some("token"),
        WaitKind::Backoff
        | WaitKind::Rate
        | WaitKind::NoMapping
        | WaitKind::SourcePaused
        | WaitKind::OtherEvent
        | WaitKind::NextTry => None,
    });
    DestinationState {
        name: name.to_owned(),
        base_url,
        paused: paused_by.is_some(),
        paused_by: paused_by.map(str::to_owned),
        reason: waiting.map(|it| it.reason),
        next_probe_at: until.filter(|_| paused_by.is_some()),
        backoff_until: until.filter(|_| paused_by.is_none()),
        last_failure: None,
        in_flight: 0,
        queued: 0,
        oldest_queued_seconds: None,
    }
}

pub(super) async fn sources(
    config: &Config,
    environment: &Environment,
) -> Result<SourceStates, CommandError> {
    let store = open_store::open(config)?;
    let files = input::mapping_files(config, environment)?;
    let queues = queues(&store).await?;
    let paused = SourcePauses::default().paused_sources(&store).await?;
    let mut names: Vec<&SourceName> = files.iter().filter_map(|file| file.name.as_ref()).collect();
    names.extend(queues.keys());
    names.sort_unstable();
    names.dedup();
    let mut sources = Vec::new();
    for name in names {
        let file = files.iter().find(|file| file.name.as_ref() == Some(name));
        let queue = queues.get(name).copied().unwrap_or_default();
        sources.push(SourceState {
            queued: queue.events,
            oldest_queued_seconds: queue.oldest_seconds,
            last_event_at: last_event(&store, name).await?,
            ..source(name, (file, paused.contains_key(name)))
        });
    }
    store.close().await;
    Ok(SourceStates { sources })
}

fn source(name: &SourceName, (file, paused): (Option<&MappingFile>, bool)) -> SourceState {
    use crate::intake::registry::SourceStatus::{AwaitingSecret, Live, Off};
    let reason = match file.map(|file| file.status(clock::now())) {
        Some(Live(_)) => None,
        Some(AwaitingSecret(_)) => Some("it waits for its provider's first request".to_owned()),
        Some(Off { reason }) => Some(reason),
        None => Some("it has no mapping file".to_owned()),
    };
    let waiting = why_source_waits(name, (file.is_some(), paused));
    SourceState {
        name: name.to_string(),
        in_folder: file.is_some_and(|file| !file.is_bundled()),
        live: reason.is_none(),
        reason,
        destination: file.map(|file| file.destination().to_owned()),
        paused,
        queued: 0,
        queued_reason: waiting.map(|it| it.reason),
        oldest_queued_seconds: None,
        last_event_at: None,
    }
}

async fn last_event(store: &Sqlite, name: &SourceName) -> Result<Option<Timestamp>, CommandError> {
    let own = EventFilter { sources: Some(vec![name.clone()]), ..EventFilter::default() };
    let newest = store.list(own, PageRequest { limit: 1, after: None }).await?;
    Ok(newest.events.first().map(|event| event.received_at))
}

async fn queues(store: &Sqlite) -> Result<Queues, CommandError> {
    let mut queues = Queues::new();
    for count in store.counts().await?.into_iter().filter(|it| it.state == State::Queued) {
        queues.entry(count.source).or_default().events = count.events;
    }
    let now = clock::now();
    for (source, at) in store.oldest_queued().await? {
        let age = u64::try_from(now.duration_since(at).as_secs()).unwrap_or(0);
        queues.entry(source).or_default().oldest_seconds = Some(age);
    }
    Ok(queues)
}
