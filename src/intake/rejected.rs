//! The webhooks that were refused at the door: the last ones, with their reasons.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::event::SourceName;

const KEPT_MAX: usize = 200;

type Book = BTreeMap<SourceName, VecDeque<Refusal>>;

#[derive(Debug, Default)]
pub struct Rejected(Mutex<Book>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    pub at: Timestamp,
    pub status: u16,
    /// One of a few fixed texts.
    pub error: &'static str,
    pub reason: String,
    /// What is probably to be changed; nobody who sends is told.
    pub hint: Option<String>,
    pub client: Option<IpAddr>,
}

impl Rejected {
    pub fn add(&self, source: &SourceName, refusal: Refusal) {
        let mut book = self.book();
        let last = book.entry(source.clone()).or_default();
        if last.len() == KEPT_MAX {
            last.pop_front();
        }
        last.push_back(refusal);
    }

    /// The last ones of a source, newest first.
    pub fn last(&self, source: &SourceName) -> Vec<Refusal> {
        self.book().get(source).into_iter().flatten().rev().cloned().collect()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_200_are_kept() {
        let rejected = Rejected::default();
        let source: SourceName = "form".parse().unwrap();

        for second in 0..250 {
            let at = Timestamp::from_second(second).unwrap();
            let reason = "the signature is wrong".to_owned();
            let error = "signature wrong";
            let refusal = Refusal { at, status: 401, error, reason, hint: None, client: None };
            rejected.add(&source, refusal);
        }

        let last = rejected.last(&source);
        assert_eq!((last.len(), last[0].at.as_second(), last[199].at.as_second()), (200, 249, 50));
    }
}
