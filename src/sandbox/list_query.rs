//! Lists of records: search, filters, order and pages.

use axum::http::header::HOST;
use axum::http::{HeaderMap, StatusCode, Uri};
use reqwest::Url;
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::collection::Fields;
use super::error::ErrorResponse;

/// Entries on a page, as Savio has them.
const PAGE: usize = 25;

/// Parameters of all lists. An empty one counts as missing.
#[derive(Debug, Clone, Deserialize)]
pub(super) struct ListQuery {
    /// Part of one of the fields that are searched.
    #[serde(default)]
    search: String,
    /// Name of a field, with `-` before it for descending order.
    #[serde(default)]
    ordering: String,
    #[serde(default)]
    pub(super) state: String,
    #[serde(default)]
    pub(super) product: String,
    #[serde(default)]
    pub(super) product_area: String,
    #[serde(default)]
    pub(super) tag: String,
    #[serde(default)]
    pub(super) roadmap: String,
    page: Option<usize>,
}

/// One page of the entries that were found.
#[derive(Debug)]
pub(super) struct ListPage<'s> {
    pub(super) entries: Vec<&'s Fields>,
    number: usize,
    pages: usize,
    count: usize,
}

impl ListQuery {
    /// Returns whether one of these fields of the entry contains the search text.
    pub(super) fn finds(&self, entry: &Fields, fields: &[&str]) -> bool {
        let search = self.search.trim().to_lowercase();
        let text = |field: &&str| entry.get(*field).and_then(Value::as_str).unwrap_or_default();
        search.is_empty() || fields.iter().any(|field| text(field).to_lowercase().contains(&search))
    }

    /// Returns the requested page in the requested order. `entries` are oldest first.
    pub(super) fn window<'s>(
        &self,
        entries: impl Iterator<Item = &'s Fields>,
    ) -> Result<ListPage<'s>, ErrorResponse> {
        let mut entries: Vec<&Fields> = entries.collect();
        let count = entries.len();
        let number = self.page.unwrap_or(1);
        let pages = count.div_ceil(PAGE).max(1);
        // Also for a page behind the last one, as Django REST framework answers.
        if !(1..=pages).contains(&number) {
            return Err(ErrorResponse::detail(StatusCode::NOT_FOUND, "Invalid page."));
        }
        if !self.ordering.is_empty() {
            entries = ordered(entries, &self.ordering);
        }
        let entries = entries.into_iter().skip((number - 1) * PAGE).take(PAGE).collect();
        Ok(ListPage { entries, number, pages, count })
    }
}

impl ListPage<'_> {
    /// Returns the page as the API represents it; `show` converts its entries.
    pub(super) fn page(
        &self,
        (headers, uri): (&HeaderMap, &Uri),
        show: impl Fn(&Fields) -> Value,
    ) -> Map<String, Value> {
        let link = |number: usize| {
            let is_there = (1..=self.pages).contains(&number);
            Value::from(is_there.then(|| address(headers, uri, number)).flatten())
        };
        let results: Vec<Value> = self.entries.iter().map(|entry| show(entry)).collect();
        Map::from_iter([
            ("count".to_owned(), json!(self.count)),
            ("next".to_owned(), link(self.number + 1)),
            ("previous".to_owned(), link(self.number - 1)),
            ("results".to_owned(), Value::from(results)),
        ])
    }
}

/// Sort key of an entry. The sort is stable: of equal entries, the older one stays first.
#[derive(Debug, PartialEq, PartialOrd)]
enum Rank {
    Nothing,
    Number(f64),
    Text(String),
}

fn ordered<'s>(entries: Vec<&'s Fields>, ordering: &str) -> Vec<&'s Fields> {
    let descending = ordering.strip_prefix('-');
    let field = descending.unwrap_or(ordering);
    let rank = |entry: &'s Fields| match entry.get(field) {
        Some(Value::Number(number)) => number.as_f64().map_or(Rank::Nothing, Rank::Number),
        Some(Value::Bool(truth)) => Rank::Number(f64::from(u8::from(*truth))),
        Some(Value::String(text)) => Rank::Text(text.to_lowercase()),
        Some(Value::Null | Value::Array(_) | Value::Object(_)) | None => Rank::Nothing,
    };
    // Computed once for each entry, since texts are changed to lower case.
    let mut ranked: Vec<(Rank, &Fields)> =
        entries.into_iter().map(|entry| (rank(entry), entry)).collect();
    ranked.sort_by(|(left, _), (right, _)| {
        let order = left.partial_cmp(right).expect("JSON has no NaN");
        if descending.is_some() { order.reverse() } else { order }
    });
    ranked.into_iter().map(|(_, entry)| entry).collect()
}

/// Returns the URL of the request with another page; none without a `Host` header.
fn address(headers: &HeaderMap, uri: &Uri, page: usize) -> Option<String> {
    let host = headers.get(HOST)?.to_str().ok()?;
    let mut url = Url::parse(&format!("http://{host}{API}{uri}")).ok()?;
    let mut query: Vec<(String, String)> = url.query_pairs().into_owned().collect();
    query.retain(|(name, _)| name != "page");
    query.push(("page".to_owned(), page.to_string()));
    url.query_pairs_mut().clear().extend_pairs(query);
    Some(url.into())
}

pub(super) const API: &str = "/app/api";
