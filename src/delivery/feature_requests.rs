//! Links feedback to existing feature requests whose titles are spelled differently.

mod title_index;
mod title_key;
mod title_reader;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::event::{Request, RequestKind};
use crate::mapping::{FeatureRequestLink, LinkMode, MappedRequests};
use crate::store::NextStep;
use title_index::{TitleIndex, TitleMatch};
use title_reader::PartialList;
pub(super) use title_reader::TitleReader;

const TITLE: &str = "feature_request_title";

/// Wait of events that need the list while another event reads it. They wait in the store.
const READ_WAIT: Duration = Duration::from_secs(1);

/// The known feature requests of a destination.
pub(super) struct FeatureRequests {
    index: Mutex<TitleIndex>,
    /// Locked by the one event that reads the list; holds the pages that were read before a wait.
    reading: tokio::sync::Mutex<Option<PartialList>>,
}

impl FeatureRequests {
    pub(super) fn new() -> FeatureRequests {
        FeatureRequests {
            index: Mutex::new(TitleIndex::new()),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Notes that Savio accepted the request, and thus has the feature request that it names.
    pub(super) fn confirm(&self, request: &Request, now: Timestamp) {
        if request.kind == RequestKind::Feedback
            && let Some(Value::String(title)) = request.body.get(TITLE)
        {
            self.index().confirm(title, now);
        }
    }

    /// Replaces titles of the mapping by the spelling that Savio has. If the feature requests
    /// cannot be listed, the error is a wait.
    // The event neither creates a second feature request nor becomes dead, however long the list is
    // unavailable.
    pub(super) async fn link(
        &self,
        mut mapped: MappedRequests,
        reader: &TitleReader<'_>,
    ) -> Result<MappedRequests, NextStep> {
        for link in std::mem::take(&mut mapped.links) {
            let Some(Value::String(title)) = mapped.requests[link.request].body.get(TITLE) else {
                continue;
            };
            let spelling = self.find_spelling(title, link.existing, reader).await?;
            apply_link(&mut mapped, &link, spelling.as_deref());
        }
        // Titles without a link as well: they too are created by this event, and a later event may
        // link to them.
        self.add_pending(&mapped.requests);
        Ok(mapped)
    }

    /// Returns the spelling of the title in Savio; none if no feature request matches.
    async fn find_spelling(
        &self,
        title: &str,
        existing: LinkMode,
        reader: &TitleReader<'_>,
    ) -> Result<Option<String>, NextStep> {
        let look_up = || self.index().look_up(title, existing, reader.now());
        let mut found = look_up();
        if found == TitleMatch::Stale {
            self.read_titles(reader).await?;
            found = look_up();
        }
        match found {
            TitleMatch::Found(stored) => Ok(Some(stored)),
            TitleMatch::NotFound => Ok(None),
            TitleMatch::Failed { until, reason } => Err(NextStep::Wait { until, reason }),
            TitleMatch::Stale => Err(wait(reader.now())),
        }
    }

    fn add_pending(&self, requests: &[Request]) {
        let titles = requests.iter().filter_map(|request| request.body.get(TITLE)?.as_str());
        let mut index = self.index();
        titles.for_each(|title| index.add_pending(title));
    }

    /// Reads all feature requests, or fails with a wait if another event reads them or the gate is
    /// closed.
    async fn read_titles(&self, reader: &TitleReader<'_>) -> Result<(), NextStep> {
        // Not `lock`: hundreds of pages may follow, and the events that need them should not occupy
        // tasks meanwhile.
        let Ok(mut partial) = self.reading.try_lock() else { return Err(wait(reader.now())) };
        // Taken out: if this task is cancelled during a page, the list begins anew.
        let mut list = match partial.take().filter(|list| list.is_fresh(reader.now())) {
            Some(list) => list,
            None => reader.begin()?,
        };
        match reader.read(&mut list).await {
            Ok(Ok(())) => self.index().replace(list.titles, (list.begun_at, reader.now())),
            Ok(Err(error)) => {
                self.index().fail(title_reader::reason(&error), reader.now());
                // The same page is requested again. After any other error there are no more pages.
                if error.is_transient() {
                    *partial = Some(list);
                }
            }
            // The pages are kept: with a low rate and other traffic, each one may have to wait.
            Err(wait) => {
                *partial = Some(list);
                return Err(wait);
            }
        }
        Ok(())
    }

    fn index(&self) -> MutexGuard<'_, TitleIndex> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(now: Timestamp) -> NextStep {
    let until = now.saturating_add(READ_WAIT).unwrap_or(Timestamp::MAX);
    NextStep::Wait { until, reason: "the feature requests are being listed".to_owned() }
}

/// Applies the result for one title to its request, and adds a note if the request changes.
fn apply_link(mapped: &mut MappedRequests, link: &FeatureRequestLink, spelling: Option<&str>) {
    let body = &mut mapped.requests[link.request].body;
    let Some(title) = body.get(TITLE).and_then(Value::as_str).map(str::to_owned) else { return };
    match (spelling, link.existing) {
        (Some(stored), _) if stored == title => {}
        (Some(stored), _) => {
            body.insert(TITLE.to_owned(), stored.into());
            mapped.notes.push(format!("{}: `{title}` is written `{stored}` in savio", link.field));
        }
        (None, LinkMode::Prefer) => {}
        (None, LinkMode::Only) => {
            body.shift_remove(TITLE);
            let note = format!("{} was left out: no feature request is `{title}`", link.field);
            mapped.notes.push(note);
        }
    }
}
