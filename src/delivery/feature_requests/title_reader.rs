//! Reads the titles of all feature requests, each page through the gate, as any request goes.

use jiff::Timestamp;

use crate::delivery::clock::RunClock;
use crate::delivery::gate::{RETRY_AFTER_MAX, Signal};
use crate::delivery::persisted_gate::PersistedGate;
use crate::savio::{Client, Error, FeatureRequestQuery};
use crate::store::NextStep;

/// At 25 a page, 50,000 feature requests.
const PAGES_MAX: usize = 2_000;

pub(in crate::delivery) struct TitleReader<'a> {
    pub(in crate::delivery) client: &'a Result<Client, String>,
    pub(in crate::delivery) gate: &'a PersistedGate,
    pub(in crate::delivery) clock: &'a RunClock,
}

impl TitleReader<'_> {
    /// All titles, or why Savio does not list them; the outer error: no request may go now.
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

    /// Tells the gate what a page says of the destination. A refusal is of this list alone: the requests will show
    /// whether the token works.
    async fn note_page<T>(&self, page: &Result<Option<T>, Error>) {
        let now = self.now();
        let signal = match page {
            Ok(Some(_)) => Signal::Healthy,
            Err(error) if error.may_pass() => {
                let until = error.retry_after().map(|wait| wait.min(RETRY_AFTER_MAX));
                let until = until.and_then(|wait| now.saturating_add(wait).ok());
                Signal::Failing { hold_back_until: until }
            }
            Ok(None) | Err(_) => {
                self.gate.return_slot(now);
                return;
            }
        };
        self.gate.note(&signal, now).await;
    }
}
