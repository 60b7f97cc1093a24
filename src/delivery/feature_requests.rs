//! Links feedback to the feature requests that are there, though its titles are written otherwise.

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
pub(super) use title_reader::TitleReader;

const TITLE: &str = "feature_request_title";

/// While one event reads the list, others wait so long, each without its place.
const READ_WAIT: Duration = Duration::from_secs(1);

/// What is known of the feature requests of a destination.
pub(super) struct FeatureRequests {
    list: Mutex<TitleIndex>,
    /// Locked while the list is read, by one for all.
    reading: tokio::sync::Mutex<()>,
}

impl FeatureRequests {
    pub(super) fn new() -> FeatureRequests {
        FeatureRequests {
            list: Mutex::new(TitleIndex::new()),
            reading: tokio::sync::Mutex::default(),
        }
    }

    /// Savio took the request: a title that it names is there.
    pub(super) fn taken(&self, request: &Request, now: Timestamp) {
        if request.kind == RequestKind::Feedback
            && let Some(Value::String(title)) = request.body.get(TITLE)
        {
            self.list().taken(title, now);
        }
    }

    /// Puts the stored spelling of titles in the place of those that the mapping gave. Where the feature requests cannot
    /// be known, the event waits: it neither makes a second one nor dies.
    pub(super) async fn link(
        &self,
        mut mapped: MappedRequests,
        reader: &TitleReader<'_>,
    ) -> Result<MappedRequests, NextStep> {
        for link in std::mem::take(&mut mapped.links) {
            let Some(Value::String(title)) = mapped.requests[link.request].body.get(TITLE) else {
                continue;
            };
            let known = self.known(title, link.existing, reader).await?;
            settle(&mut mapped, &link, known.as_deref());
        }
        self.promise(&mapped.requests);
        Ok(mapped)
    }

    /// The stored spelling of the title; none where nothing is like it.
    async fn known(
        &self,
        title: &str,
        existing: LinkMode,
        reader: &TitleReader<'_>,
    ) -> Result<Option<String>, NextStep> {
        let look = || self.list().look_up(title, existing, reader.now());
        let mut known = look();
        if known == TitleMatch::Stale {
            self.read_titles(reader).await?;
            known = look();
        }
        match known {
            TitleMatch::Spelled(stored) => Ok(Some(stored)),
            TitleMatch::Nowhere => Ok(None),
            TitleMatch::Failed { until, reason } => Err(NextStep::Wait { until, reason }),
            TitleMatch::Stale => Err(wait(reader.now())),
        }
    }

    fn promise(&self, requests: &[Request]) {
        let titles = requests.iter().filter_map(|request| request.body.get(TITLE)?.as_str());
        let mut list = self.list();
        titles.for_each(|title| list.promise(title));
    }

    /// Reads all feature requests, one for all events that want to know.
    async fn read_titles(&self, reader: &TitleReader<'_>) -> Result<(), NextStep> {
        let Ok(_reading) = self.reading.try_lock() else { return Err(wait(reader.now())) };
        let begun_at = reader.now();
        match reader.titles().await? {
            Ok(titles) => self.list().replace(titles, (begun_at, reader.now())),
            Err(error) => {
                let reason = format!("the feature requests cannot be listed: {error}");
                self.list().fail(reason, reader.now());
            }
        }
        Ok(())
    }

    fn list(&self) -> MutexGuard<'_, TitleIndex> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn wait(now: Timestamp) -> NextStep {
    let until = now.saturating_add(READ_WAIT).unwrap_or(Timestamp::MAX);
    NextStep::Wait { until, reason: "the feature requests are being listed".to_owned() }
}

/// What became of one title.
fn settle(mapped: &mut MappedRequests, link: &FeatureRequestLink, known: Option<&str>) {
    let body = &mut mapped.requests[link.request].body;
    let Some(title) = body.get(TITLE).and_then(Value::as_str).map(str::to_owned) else { return };
    match (known, link.existing) {
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
