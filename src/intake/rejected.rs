//! The webhooks that were refused at the door: counted, and the last ones kept with their reasons.

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

use crate::event::SourceName;

const KEPT_MAX: usize = 200;

#[derive(Debug, Default)]
pub struct Rejected(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    last: BTreeMap<SourceName, VecDeque<Refusal>>,
    counts: BTreeMap<(SourceName, &'static str), u64>,
}

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
        *book.counts.entry((source.clone(), refusal.error)).or_default() += 1;
        let last = book.last.entry(source.clone()).or_default();
        if last.len() == KEPT_MAX {
            last.pop_front();
        }
        last.push_back(refusal);
    }

    /// The last ones of a source, newest first.
    pub fn last(&self, source: &SourceName) -> Vec<Refusal> {
        self.book().last.get(source).into_iter().flatten().rev().cloned().collect()
    }

    /// How many there were since the start, by source and error.
    pub fn counts(&self) -> BTreeMap<(SourceName, &'static str), u64> {
        self.book().counts.clone()
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_the_last_200_are_kept() {
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
        assert_eq!(rejected.counts()[&(source, "signature wrong")], 250);
    }
}
