//! Links feedback to the feature requests that are there, though its titles are written otherwise.

mod title_index;
mod title_key;

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use super::gate::{RETRY_AFTER_MAX, Signal};
use super::{Delivery, RunClock};
use crate::event::{Request, RequestKind};
use crate::mapping::{FeatureRequestLink, LinkMode, MappedRequests};
use crate::savio::{Error, FeatureRequestQuery};
use crate::store::NextStep;
use title_index::{TitleIndex, TitleMatch};

const TITLE: &str = "feature_request_title";

/// At 25 a page, 50,000 feature requests.
const PAGES_MAX: usize = 2_000;

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

    fn list(&self) -> MutexGuard<'_, TitleIndex> {
        self.list.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Delivery {
    /// Puts the stored spelling of titles in the place of those that the mapping gave. Where the
    /// feature requests cannot be known, the event waits: it neither makes a second one nor dies.
    pub(super) async fn link(
        &self,
        mut mapped: MappedRequests,
        clock: &RunClock,
    ) -> Result<MappedRequests, NextStep> {
        for link in std::mem::take(&mut mapped.links) {
            let Some(Value::String(title)) = mapped.requests[link.request].body.get(TITLE) else {
                continue;
            };
            let known = self.known(title, link.existing, clock).await?;
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
        clock: &RunClock,
    ) -> Result<Option<String>, NextStep> {
        let look = || self.titles.list().look_up(title, existing, clock.now());
        let mut known = look();
        if known == TitleMatch::Stale {
            self.read_titles(clock).await?;
            known = look();
        }
        match known {
            TitleMatch::Spelled(stored) => Ok(Some(stored)),
            TitleMatch::Nowhere => Ok(None),
            TitleMatch::Failed { until, reason } => Err(NextStep::Wait { until, reason }),
            TitleMatch::Stale => Err(wait(clock)),
        }
    }

    fn promise(&self, requests: &[Request]) {
        let titles = requests.iter().filter_map(|request| request.body.get(TITLE)?.as_str());
        let mut list = self.titles.list();
        titles.for_each(|title| list.promise(title));
    }

    /// Reads all feature requests, one for all events that want to know.
    async fn read_titles(&self, clock: &RunClock) -> Result<(), NextStep> {
        let Ok(_reading) = self.titles.reading.try_lock() else { return Err(wait(clock)) };
        let begun_at = clock.now();
        match self.titles_of_all_pages(clock).await? {
            Ok(titles) => self.titles.list().replace(titles, (begun_at, clock.now())),
            Err(error) => {
                let reason = format!("the feature requests cannot be listed: {error}");
                self.titles.list().fail(reason, clock.now());
            }
        }
        Ok(())
    }

    /// Each page goes through the gate, as any request does.
    async fn titles_of_all_pages(
        &self,
        clock: &RunClock,
    ) -> Result<Result<Vec<String>, Error>, NextStep> {
        let client = match &self.destination.client {
            Ok(client) => client,
            Err(reason) => {
                return Err(NextStep::Wait { until: clock.now(), reason: reason.clone() });
            }
        };
        let mut pages = client.feature_requests(&FeatureRequestQuery::default()).at_most(PAGES_MAX);
        let mut titles = Vec::new();
        loop {
            match self.porter.admit(clock.now()) {
                Ok(turn) => clock.wait_until(turn).await,
                Err(closed) => {
                    return Err(NextStep::Wait { until: clock.now(), reason: closed.reason });
                }
            }
            let page = pages.next().await;
            self.note_page(&page, clock.now()).await;
            match page {
                Ok(Some(page)) => titles.extend(page.results.into_iter().map(|one| one.title)),
                Ok(None) => return Ok(Ok(titles)),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    /// What a page tells of the destination. A refusal is of this list alone: the requests will show
    /// whether the token works.
    async fn note_page<T>(&self, page: &Result<Option<T>, Error>, now: Timestamp) {
        let sign = match page {
            Ok(Some(_)) => Signal::Healthy,
            Err(error) if error.may_pass() => {
                let until = error.retry_after().map(|wait| wait.min(RETRY_AFTER_MAX));
                let until = until.and_then(|wait| now.saturating_add(wait).ok());
                Signal::Failing { hold_back_until: until }
            }
            Ok(None) | Err(_) => {
                self.porter.return_slot(now);
                return;
            }
        };
        self.porter.note(&*self.store, &sign, now).await;
    }
}

fn wait(clock: &RunClock) -> NextStep {
    let until = clock.now().saturating_add(READ_WAIT).unwrap_or(Timestamp::MAX);
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
