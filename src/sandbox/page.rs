//! Lists of what is held, oldest first, a page at a time.

use axum::http::{HeaderMap, StatusCode, Uri, header::HOST};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{API, Refusal};

const PAGE: usize = 25;

#[derive(Debug, Clone, Deserialize)]
pub(super) struct Asked {
    /// A part of one of the fields that are searched.
    #[serde(default)]
    search: String,
    page: Option<usize>,
}

impl Asked {
    /// Whether the search finds an entry by these fields.
    pub(super) fn finds(&self, entry: &Map<String, Value>, fields: &[&str]) -> bool {
        let wanted = self.search.trim().to_lowercase();
        let text = |field: &&str| entry.get(*field).and_then(Value::as_str).unwrap_or_default();
        wanted.is_empty() || fields.iter().any(|field| text(field).to_lowercase().contains(&wanted))
    }

    pub(super) fn page(
        &self,
        entries: &[&Map<String, Value>],
        (headers, uri): (&HeaderMap, &Uri),
    ) -> Result<Value, Refusal> {
        let number = self.page.unwrap_or(1);
        let pages = entries.len().div_ceil(PAGE).max(1);
        if !(1..=pages).contains(&number) {
            return Err(Refusal::detail(StatusCode::NOT_FOUND, "Invalid page."));
        }
        let link =
            |number: usize| (1..=pages).contains(&number).then(|| address(headers, uri, number));
        let results: Vec<_> = entries.iter().skip((number - 1) * PAGE).take(PAGE).collect();
        Ok(json!({
            "count": entries.len(),
            "next": link(number + 1),
            "previous": link(number - 1),
            "results": results,
        }))
    }
}

/// The URL that was asked for, with another page; none if the sender does not say whom it calls.
fn address(headers: &HeaderMap, uri: &Uri, page: usize) -> Option<String> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let mut url = Url::parse(&format!("http://{host}{API}{uri}")).ok()?;
    let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    query.retain(|(name, _)| name != "page");
    query.push(("page".to_owned(), page.to_string()));
    url.query_pairs_mut().clear().extend_pairs(query);
    Some(url.into())
}
