//! What arrived in the sandbox: in one line for each source, or in full.

use std::net::SocketAddr;

use serde_json::{Map, Value};

use crate::cli::error::CommandError;
use crate::cli::local_listener::client;
use crate::cli::output as shown;
use crate::event::{EventId, Request, RequestKind, SourceName};
use crate::store::{Archive, EventFilter, EventRecord, PageRequest, Sqlite};

pub(super) struct Arrivals<'d> {
    pub(super) store: &'d Sqlite,
    pub(super) savio: SocketAddr,
    pub(super) token: &'d str,
}

/// Most events of one sample that are looked at; the largest bundled one has fewer.
const EVENTS_MAX: usize = 100;

impl Arrivals<'_> {
    /// Sums up the requests that the source's events made.
    pub(super) async fn summary(&self, source: &SourceName) -> Result<String, CommandError> {
        let requests = self.requests(source).await?;
        Ok(summary(&requests.iter().collect::<Vec<_>>()))
    }

    /// Returns the requests in the order in which the events arrived.
    async fn requests(&self, source: &SourceName) -> Result<Vec<Request>, CommandError> {
        let own = EventFilter { sources: Some(vec![source.clone()]), ..EventFilter::default() };
        let page = PageRequest { limit: EVENTS_MAX, after: None };
        // The newest event is listed first.
        let ids: Vec<EventId> =
            self.store.list(own, page).await?.events.iter().rev().map(|event| event.id).collect();
        let mut requests = Vec::new();
        for id in ids {
            let record = self.store.event(id).await?;
            let planned = record.map(|EventRecord { requests, .. }| requests).unwrap_or_default();
            requests.extend(planned.into_iter().map(|planned| planned.request));
        }
        Ok(requests)
    }

    /// Shows the requests of the source's events, and all records that the sandbox has.
    pub(super) async fn in_full(&self, source: &SourceName) -> Result<String, CommandError> {
        let look = shown::stdout_style();
        let mut text = format!("\n{}\n", shown::bold("The requests that its mapping makes", look));
        for request in self.requests(source).await? {
            text += &format!("{}\n", shown::request(&request, look).trim_end());
        }
        text += &format!("\n{}\n", shown::bold("Arrived in Savio's sandbox", look));
        for kind in ["companies", "contacts", "feedback"] {
            for (index, record) in self.records(kind).await?.iter().enumerate() {
                text += &format!("{kind} {}\n{}", index + 1, shown::fields(record.iter()));
            }
        }
        Ok(text)
    }

    async fn records(&self, kind: &str) -> Result<Vec<Map<String, Value>>, CommandError> {
        let failed = |error: reqwest::Error| CommandError::failed(&error);
        let url = format!("http://{}/sandbox/{kind}", self.savio);
        let call = client("http:")?.get(url).bearer_auth(self.token);
        call.send().await.map_err(failed)?.json().await.map_err(failed)
    }
}

/// Names the kinds of the requests, and of each kind the most telling value.
fn summary(requests: &[&Request]) -> String {
    let kinds = [RequestKind::Feedback, RequestKind::Contact, RequestKind::Company];
    let parts = kinds.iter().filter_map(|kind| {
        let of_kind: Vec<&&Request> = requests.iter().filter(|it| it.kind == *kind).collect();
        let first = of_kind.first()?;
        let count = if of_kind.len() == 1 { String::new() } else { format!("{} ", of_kind.len()) };
        Some(format!("{count}{}: {}", kind.as_str(), essence(first)))
    });
    parts.collect::<Vec<_>>().join("; ")
}

/// Returns the value by which a person recognises the request.
fn essence(request: &Request) -> String {
    let keys: &[&str] = match request.kind {
        RequestKind::Feedback => &["problem"],
        RequestKind::Contact => &["email", "name"],
        RequestKind::Company => &["name", "internal_id"],
    };
    let text = keys.iter().find_map(|key| request.body.get(*key)?.as_str());
    shown::one_line(text.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn summary_counts_the_kinds_and_shows_the_first_of_each() {
        let requests: Vec<Request> = serde_json::from_value(json!([
            { "request": "company", "body": { "name": "Acme" } },
            { "request": "feedback", "body": { "problem": "Slow\nreally" } },
            { "request": "feedback", "body": { "problem": "Loud" } },
        ]))
        .unwrap();

        assert_eq!(
            summary(&requests.iter().collect::<Vec<_>>()),
            "2 feedback: Slow really; company: Acme"
        );
    }
}
