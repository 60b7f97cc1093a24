//! Reads the titles of all feature requests, page by page. Each page passes the gate like any other
//! request.

use jiff::Timestamp;

use crate::delivery::clock::SteadyClock;
use crate::delivery::gate::{RETRY_AFTER_MAX, Signal};
use crate::delivery::persisted_gate::PersistedGate;
use crate::savio::{Client, Error, FeatureRequestQuery};
use crate::store::NextStep;

/// Number of pages after which reading stops. At 25 a page, they hold 50,000 feature requests.
const PAGES_MAX: usize = 2_000;

pub(in crate::delivery) struct TitleReader<'a> {
    pub(in crate::delivery) client: &'a Result<Client, String>,
    pub(in crate::delivery) gate: &'a PersistedGate,
    pub(in crate::delivery) clock: &'a SteadyClock,
}

impl TitleReader<'_> {
    /// Returns all titles, or the error of the list. The outer error is a wait while the gate is
    /// closed.
    pub(super) async fn titles(&self) -> Result<Result<Vec<String>, Error>, NextStep> {
        let client = self.client.as_ref().map_err(|reason| self.wait(reason.clone()))?;
        let mut pages = client.feature_requests(&FeatureRequestQuery::default()).at_most(PAGES_MAX);
        let mut titles = Vec::new();
        loop {
            let turn = self.gate.admit(self.now()).map_err(|closed| self.wait(closed.reason))?;
            self.clock.wait_until(turn).await;
            let page = pages.next().await;
            self.note_page(&page).await;
            match page {
                Ok(Some(page)) => titles.extend(page.results.into_iter().map(|one| one.title)),
                Ok(None) => return Ok(Ok(titles)),
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
                Signal::Failing { hold_back_until: until }
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
