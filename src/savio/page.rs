//! Paginated lists. Each page has the URL of the next one.

use std::collections::HashSet;
use std::marker::PhantomData;

use reqwest::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::{Error, NextPageError};
use crate::json;

/// Longest page; Savio's have some kilobytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// Default limit of pages. At 25 a page, they hold half a million entries.
const PAGES_MAX: usize = 20_000;

/// One page of a list ("Returns a paginated list" in the reference).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<T> {
    /// Number of entries on all pages; none in lists of feature requests.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub count: Option<u64>,
    /// The URL of the next page; none on the last one.
    #[serde(default)]
    pub next: Option<String>,
    #[serde(default)]
    pub previous: Option<String>,
    #[serde(deserialize_with = "json::objects")]
    pub results: Vec<T>,
}

/// Reads a list page by page: at most 20,000 unless `at_most` changes it, each of at most 8 MiB,
/// all from the server of the first.
// URLs of next pages come from the server. Without limits, a wrong one could read for ever, or send
// the token elsewhere.
#[derive(Debug)]
pub struct Pages<T> {
    client: Client,
    next: Option<Url>,
    seen: HashSet<Url>,
    most: usize,
    entries: PhantomData<fn() -> T>,
}

impl<T: DeserializeOwned> Pages<T> {
    pub(super) fn from(client: &Client, first: Url) -> Pages<T> {
        Pages {
            client: client.clone(),
            next: Some(first),
            seen: HashSet::new(),
            most: PAGES_MAX,
            entries: PhantomData,
        }
    }

    /// Limits the number of pages. A further page is an error, so that a part of a list is not
    /// mistaken for the whole.
    #[must_use]
    pub fn at_most(mut self, pages: usize) -> Pages<T> {
        self.most = pages;
        self
    }

    /// Reads the next page; none after the last one. After an error that [may
    /// pass](Error::is_transient), a further call requests the same page again; after any other error
    /// there are no more pages.
    pub async fn next(&mut self) -> Result<Option<Page<T>>, Error> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        if self.seen.len() >= self.most {
            return Err(Error::NextPage(NextPageError::TooMany(self.most)));
        }
        let call = self.client.http.get(url.clone());
        let response = self.client.request(call, PAGE_BYTES_MAX).await;
        let raw = response.inspect_err(|error| {
            self.next = error.is_transient().then(|| url.clone());
        })?;
        let page: Page<T> = self.client.parse(&raw)?;
        self.seen.insert(url.clone());
        if let Some(next) = &page.next {
            self.next = Some(self.follow(&url, next).map_err(Error::NextPage)?);
        }
        Ok(Some(page))
    }

    /// Reads the entries of all remaining pages.
    pub async fn all(mut self) -> Result<Vec<T>, Error> {
        let mut entries = Vec::new();
        while let Some(page) = self.next().await? {
            entries.extend(page.results);
        }
        Ok(entries)
    }

    fn follow(&self, from: &Url, next: &str) -> Result<Url, NextPageError> {
        let next = from.join(next).map_err(|_| NextPageError::NoUrl)?;
        let is_ours = self.client.base_url.is_origin_of(&next);
        if !is_ours || !next.username().is_empty() || next.password().is_some() {
            // A hostile server may have put the token into the host.
            let server = self.client.redact(&next.origin().ascii_serialization());
            return Err(NextPageError::Foreign(server));
        }
        if self.seen.contains(&next) {
            return Err(NextPageError::Circle);
        }
        Ok(next)
    }
}
