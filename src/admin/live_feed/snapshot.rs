//! What streams tell of sources, destinations and issues, which are in memory: as it is now, and how it
//! differs from before.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;

use crate::admin::api::sources::{off_reason, paused_sources};
use crate::admin::state::AdminState;
use crate::admin::streams::message::{
    StreamMessage, StreamedDestination, StreamedDestinations, StreamedIssues, StreamedSources,
};
use crate::clock;
use crate::event::{SourceName, WaitKind};
use crate::issues::Issues;
use crate::issues::reconcile::counted;
use crate::mapping_file::served::ServedFiles;
use crate::store::{Issue, StoreError};

/// Number of issues in one message.
const ISSUES_MAX: usize = 200;

pub(super) struct StreamSnapshot {
    sources: BTreeMap<SourceName, SourceSnapshot>,
    files: Arc<ServedFiles>,
    destinations: BTreeMap<String, StreamedDestination>,
    issues: Issues,
    open_issues: u64,
    at: Timestamp,
}

#[derive(Debug, PartialEq, Eq)]
struct SourceSnapshot {
    /// Why it is not live.
    off: Option<String>,
    paused_since: Option<Timestamp>,
    destination: Option<String>,
}

impl StreamSnapshot {
    /// Fails only if the store has to be read, as at the first call after a start.
    pub(super) async fn take(admin: &AdminState) -> Result<StreamSnapshot, StoreError> {
        let now = clock::now();
        let issues = admin.issues.current();
        Ok(StreamSnapshot {
            sources: sources(admin, now).await?,
            files: admin.files.current(),
            destinations: destinations(admin, now).await?,
            open_issues: counted(&issues, now).values().sum(),
            issues,
            at: now,
        })
    }

    /// Returns how it differs from an earlier one.
    pub(super) fn since(&self, before: &StreamSnapshot) -> Vec<StreamMessage> {
        let parts = [
            self.changed_sources(before),
            self.changed_destinations(before),
            self.changed_issues(before),
        ];
        parts.into_iter().flatten().collect()
    }

    fn changed_sources(&self, before: &StreamSnapshot) -> Option<StreamMessage> {
        let are_same_files = Arc::ptr_eq(&self.files, &before.files);
        let has_changed = |name: &&SourceName| {
            self.sources.get(*name) != before.sources.get(*name)
                || !are_same_files && text(&self.files, name) != text(&before.files, name)
        };
        let gone = before.sources.keys().filter(|name| !self.sources.contains_key(*name));
        let names = self.sources.keys().chain(gone).filter(has_changed);
        let sources: Vec<SourceName> = names.cloned().collect();
        (!sources.is_empty()).then_some(StreamMessage::Sources(StreamedSources { sources }))
    }

    fn changed_destinations(&self, before: &StreamSnapshot) -> Option<StreamMessage> {
        // None comes or goes while the relay runs.
        let changed =
            self.destinations.values().filter(|it| before.destinations.get(&it.name) != Some(it));
        let destinations: Vec<StreamedDestination> = changed.cloned().collect();
        let message = StreamedDestinations { destinations };
        (!message.destinations.is_empty()).then_some(StreamMessage::Destinations(message))
    }

    fn changed_issues(&self, before: &StreamSnapshot) -> Option<StreamMessage> {
        let known: BTreeMap<_, &Issue> = before.issues.iter().map(|it| (it.id, it)).collect();
        let is_same = |issue: &Issue| {
            known.get(&issue.id).is_some_and(|old| {
                // A mute may have ended by itself.
                *old == issue && old.muted(before.at).is_some() == issue.muted(self.at).is_some()
            })
        };
        let changed = self.issues.iter().filter(|issue| !is_same(issue));
        let shown = changed.take(ISSUES_MAX).map(|issue| issue.clone().shown(self.at));
        let message = StreamedIssues { open: self.open_issues, issues: shown.collect() };
        let has_changed = self.open_issues != before.open_issues || !message.issues.is_empty();
        has_changed.then_some(StreamMessage::Issues(message))
    }
}

fn text<'f>(files: &'f ServedFiles, source: &SourceName) -> Option<&'f str> {
    files.of(source).map(|file| file.document.text.as_str())
}

async fn sources(
    admin: &AdminState,
    now: Timestamp,
) -> Result<BTreeMap<SourceName, SourceSnapshot>, StoreError> {
    let paused = paused_sources(admin).await?;
    let current = admin.intake.sources.current();
    let sources = current.iter().map(|(name, status)| {
        let snapshot = SourceSnapshot {
            off: off_reason(status, now),
            paused_since: paused.get(name).copied(),
            destination: admin.destination_of(name).map(|(destination, _)| destination.clone()),
        };
        (name.clone(), snapshot)
    });
    Ok(sources.collect())
}

async fn destinations(
    admin: &AdminState,
    now: Timestamp,
) -> Result<BTreeMap<String, StreamedDestination>, StoreError> {
    let mut destinations = BTreeMap::new();
    for (name, to) in &admin.destinations {
        let status = to.delivery.status(now).await?;
        // Its rate closes and opens it many times a second, and is no news.
        let closed = status.waiting_for.filter(|it| it.kind != WaitKind::Rate);
        let destination = StreamedDestination {
            name: name.clone(),
            paused: status.paused_by.is_some(),
            paused_by: status.paused_by,
            paused_since: status.paused_since,
            reason: closed.map(|it| it.reason),
            last_failure: status.last_failure,
        };
        destinations.insert(name.clone(), destination);
    }
    Ok(destinations)
}
