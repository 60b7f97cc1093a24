//! Reads the titles of all feature requests, page by page. Each page passes the gate like any other
//! request.

use std::time::Duration;

use jiff::Timestamp;

use crate::delivery::clock::SteadyClock;
use crate::delivery::gate::{RETRY_AFTER_MAX, Signal};
use crate::delivery::persisted_gate::PersistedGate;
use crate::savio::{Client, Error, FeatureRequest, FeatureRequestQuery, NextPageError, Pages};
use crate::store::NextStep;

/// Number of pages that are read. At 25 a page, they hold 50,000 feature requests.
const PAGES_MAX: usize = 2_000;

/// Time after the last page in which the next one continues the list.
// Of a list that rested for longer, the first pages are too old to say that a title is missing.
const PAGES_KEPT_FOR: Duration = Duration::from_mins(10);

pub(in crate::delivery) struct TitleReader<'a> {
    pub(in crate::delivery) client: &'a Result<Client, String>,
    pub(in crate::delivery) gate: &'a PersistedGate,
    pub(in crate::delivery) clock: &'a SteadyClock,
}

/// A list of which only the first pages may have been read.
pub(super) struct PartialList {
    pages: Pages<FeatureRequest>,
    pub(super) titles: Vec<String>,
    pub(super) begun_at: Timestamp,
    /// Time of the last page.
    read_at: Timestamp,
}

impl PartialList {
    /// Returns whether reading may go on with the next page.
    pub(super) fn is_fresh(&self, now: Timestamp) -> bool {
        // A time in the future is from before the clock was set back.
        let age = Duration::try_from(now.duration_since(self.read_at));
        age.is_ok_and(|age| age < PAGES_KEPT_FOR)
    }
}

impl TitleReader<'_> {
    pub(super) fn begin(&self) -> Result<PartialList, NextStep> {
        let client = self.client.as_ref().map_err(|reason| self.wait(reason.clone()))?;
        let pages = client.feature_requests(&FeatureRequestQuery::default()).at_most(PAGES_MAX);
        let now = self.now();
        Ok(PartialList { pages, titles: Vec::new(), begun_at: now, read_at: now })
    }

    /// Reads all remaining pages, or returns the error of the list. The outer error is a wait while
    /// the gate is closed.
    pub(super) async fn read(&self, list: &mut PartialList) -> Result<Result<(), Error>, NextStep> {
        loop {
            let turn = self.gate.admit(self.now()).map_err(|closed| self.wait(closed.reason))?;
            self.clock.wait_until(turn).await;
            let page = list.pages.next().await;
            self.note_page(&page).await;
            match page {
                Ok(Some(page)) => {
                    list.titles.extend(page.results.into_iter().map(|one| one.title));
                    list.read_at = self.now();
                }
                Ok(None) => return Ok(Ok(())),
                Err(error) => return Ok(Err(error)),
            }
        }
    }

    pub(super) fn now(&self) -> Timestamp {
        self.clock.now()
    }

    fn wait(&self, reason: String) -> NextStep {
        NextStep::Wait { until: self.now(), reason }
    }

    /// Updates the gate by the answer to a page.
    async fn note_page<T>(&self, page: &Result<Option<T>, Error>) {
        let now = self.now();
        let signal = match page {
            Ok(Some(_)) => Signal::Healthy,
            Err(error) if error.is_transient() => {
                let until = error.retry_after().map(|wait| wait.min(RETRY_AFTER_MAX));
                let until = until.and_then(|wait| now.saturating_add(wait).ok());
                Signal::Failing { reason: error.to_string(), hold_back_until: until }
            }
            // No page was requested, or this list was refused. Whether the token works at all, the
            // event's requests will show.
            Ok(None) | Err(_) => {
                self.gate.return_slot(now);
                return;
            }
        };
        self.gate.note(&signal, now).await;
    }
}

/// Returns why the list cannot be read, for the events that wait for it.
pub(super) fn reason(error: &Error) -> String {
    match error {
        Error::NextPage(NextPageError::TooMany(pages)) => format!(
            "Savio has more than {pages} pages of feature requests, more than are read: remove \
             some, or `existing` from the mapping file"
        ),
        error => format!("the feature requests cannot be listed: {error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_with_too_many_pages_is_explained() {
        let error = Error::NextPage(NextPageError::TooMany(PAGES_MAX));

        let expected = "Savio has more than 2000 pages of feature requests, more than are read: \
                        remove some, or `existing` from the mapping file";
        assert_eq!(reason(&error), expected);
    }
}
