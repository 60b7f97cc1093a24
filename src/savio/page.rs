//! Lists come in pages, and each page names the next one.

use std::collections::HashSet;
use std::marker::PhantomData;

use reqwest::Url;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::client::Client;
use super::error::{Error, NextPageError};
use crate::json;

/// How long a page may be, in bytes; Savio's have some kilobytes.
const PAGE_BYTES_MAX: usize = 8 * 1024 * 1024;
/// At 25 a page, half a million entries.
const PAGES_MAX: usize = 20_000;

/// One page of a list ("Returns a paginated list" in the reference).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub struct Page<T> {
    /// How many entries all pages have together. Lists of feature requests do not tell.
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

/// The pages of a list, one after the other. At most 20,000 are read unless told otherwise, each of
/// at most 8 MiB, and none from another server than the first.
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

    /// Reads no more pages than this; one more is an error, so that nobody takes a part for the whole.
    #[must_use]
    pub fn at_most(mut self, pages: usize) -> Pages<T> {
        self.most = pages;
        self
    }

    /// The next page; none after the last one. After an error that [may pass](Error::may_pass) a
    /// further call asks for the same page again; after another one there are no more pages.
    pub async fn next(&mut self) -> Result<Option<Page<T>>, Error> {
        let Some(url) = self.next.take() else {
            return Ok(None);
        };
        if self.seen.len() >= self.most {
            return Err(Error::NextPage(NextPageError::TooMany(self.most)));
        }
        let call = self.client.http.get(url.clone());
        let asked = self.client.ask(call, PAGE_BYTES_MAX).await;
        let raw = asked.inspect_err(|error| {
            self.next = error.may_pass().then(|| url.clone());
        })?;
        let page: Page<T> = self.client.parse(&raw)?;
        self.seen.insert(url.clone());
        if let Some(next) = &page.next {
            self.next = Some(self.follow(&url, next).map_err(Error::NextPage)?);
        }
        Ok(Some(page))
    }

    /// The entries of all pages that are left.
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
            let server = self.client.presentable(&next.origin().ascii_serialization());
            return Err(NextPageError::Foreign(server));
        }
        if self.seen.contains(&next) {
            return Err(NextPageError::Circle);
        }
        Ok(next)
    }
}
