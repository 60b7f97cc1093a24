//! The parts of the relay that are watched, read into what the rules take.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use tracing::debug;

use super::kinds::drift::{ServedBlock, ServedBlocks};
use super::kinds::paused::{DestinationGate, GateCondition};
use super::kinds::queue::OverdueEvents;
use super::kinds::rejected::RefusedSource;
use super::kinds::storage::StorageState;
use crate::delivery::Delivery;
use crate::delivery::gate::PausedBy;
use crate::event::SourceName;
use crate::intake::Intake;
use crate::intake::activity::Activity;
use crate::intake::registry::SourceStatus;
use crate::mapping_file::served::FilesInService;
use crate::secret::SecretsInUse;
use crate::store::{OverdueSource, Store, StoreError};
use crate::telemetry::metrics::{Commits, Reloads};

/// The parts that are watched.
pub struct Parts {
    pub store: Arc<dyn Store>,
    pub intake: Arc<Intake>,
    pub files: Arc<FilesInService>,
    pub destinations: BTreeMap<String, Arc<Delivery>>,
    pub secrets: Arc<SecretsInUse>,
    pub reloads: Reloads,
    pub commits: Commits,
}

impl fmt::Debug for Parts {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// The destinations as they are now.
#[derive(Debug, Default)]
pub(super) struct Destinations {
    pub(super) gates: Vec<DestinationGate>,
    /// Those to which nothing is sent, by whomever it was stopped.
    pub(super) closed: BTreeSet<String>,
    pub(super) paused_sources: BTreeSet<SourceName>,
}

impl Parts {
    pub(super) fn storage(&self) -> StorageState {
        let (failed, last_failure) = self.commits.failures();
        StorageState { disk: self.store.disk_space().ok(), failed, last_failure }
    }

    pub(super) async fn destinations(&self, now: Timestamp) -> Destinations {
        let mut all = Destinations::default();
        for (name, delivery) in &self.destinations {
            let gate = match delivery.status(now).await {
                Ok(status) => {
                    let reason = status.waiting_for.map(|it| it.reason).or(status.last_failure);
                    let reason = reason.unwrap_or_default();
                    let since = status.paused_since.unwrap_or(now);
                    if status.paused_by.is_some() || status.failing_since.is_some() {
                        all.closed.insert(name.clone());
                    }
                    Some(match (status.paused_by, status.failing_since) {
                        (Some(PausedBy::Answer), _) => GateCondition::Paused { since, reason },
                        (Some(PausedBy::Token), _) => GateCondition::NoToken { since, reason },
                        (None, Some(since)) => GateCondition::Failing { since, reason },
                        (Some(PausedBy::Person), _) | (None, None) => GateCondition::Works,
                    })
                }
                Err(error) => {
                    debug!(%error, destination = name, "the state of {name} is not known");
                    None
                }
            };
            let sources = delivery.sources();
            let waiting = match gate {
                Some(GateCondition::Works) | None => 0,
                Some(_) => self.store.count_queued(sources).await.unwrap_or(0),
            };
            all.gates.push(DestinationGate { name: name.clone(), gate, waiting });
            if let Ok(paused) = delivery.paused_sources().await {
                all.paused_sources.extend(paused.into_keys());
            }
        }
        all
    }

    /// Returns the blocks of the mappings in service.
    pub(super) fn blocks(&self) -> Vec<ServedBlocks> {
        let mut served = Vec::new();
        for delivery in self.destinations.values() {
            for source in delivery.sources() {
                let Some(in_service) = delivery.mapping(&source) else { continue };
                let blocks = in_service.mapping.blocks();
                let names: Vec<String> = blocks.iter().map(|block| block.name.clone()).collect();
                let blocks = blocks.into_iter().map(|block| ServedBlock {
                    name: short_name(&block.name, &names),
                    id: block.id,
                    fields: block.fields,
                });
                served.push(ServedBlocks { source, blocks: blocks.collect() });
            }
        }
        served
    }

    /// Returns the sources at which webhooks can arrive.
    pub(super) fn live(&self, paused: &BTreeSet<SourceName>) -> BTreeSet<SourceName> {
        let sources = self.intake.sources.current();
        let is_live = |(name, status): &(&SourceName, &SourceStatus)| {
            matches!(status, SourceStatus::Live(_)) && !paused.contains(*name)
        };
        sources.iter().filter(is_live).map(|(name, _)| name.clone()).collect()
    }

    pub(super) async fn overdue(
        &self,
        paused: &BTreeSet<SourceName>,
        (now, queue_age): (Timestamp, Duration),
    ) -> Result<Vec<OverdueEvents>, StoreError> {
        let before = now.saturating_sub(queue_age).unwrap_or(Timestamp::MIN);
        let mut overdue = Vec::new();
        for (name, delivery) in &self.destinations {
            let mut sources = delivery.sources();
            sources.retain(|source| !paused.contains(source));
            let found = self.store.overdue(sources, before).await?;
            let oldest = found.iter().map(|it| it.oldest).min();
            overdue.extend(oldest.map(|oldest| OverdueEvents {
                destination: name.clone(),
                sources: found.iter().map(|it| it.source.clone()).collect(),
                events: found.iter().map(|it| it.events).sum(),
                at_least: found.iter().any(|it: &OverdueSource| it.at_least),
                oldest,
            }));
        }
        Ok(overdue)
    }
}

/// Returns the name of a block without its number where it is the only one of its kind.
fn short_name(name: &str, all: &[String]) -> String {
    match name.split_once('[') {
        Some((kind, _)) if !all.contains(&format!("{kind}[1]")) => kind.to_owned(),
        _ => name.to_owned(),
    }
}

/// Returns the sources with wrong signatures since their last accepted webhook.
pub(super) fn refused(
    activities: &BTreeMap<SourceName, Activity>,
    known: &BTreeSet<SourceName>,
) -> Vec<RefusedSource> {
    let refused = activities.iter().filter(|(source, _)| known.contains(*source));
    let refused = refused.filter_map(|(source, activity)| {
        let wrong = activity.wrong.clone()?;
        Some(RefusedSource {
            source: source.clone(),
            count: wrong.count,
            first_at: wrong.first_at,
            last_at: wrong.last_at,
            hint: wrong.hint,
            accepted_at: activity.accepted_at,
        })
    });
    refused.collect()
}
