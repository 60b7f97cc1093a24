//! Which of a source's secrets its webhooks match: tells when an old one may go.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::event::SourceName;

#[derive(Debug, Default)]
pub struct Matched(Mutex<BTreeMap<(SourceName, usize), u64>>);

impl Matched {
    /// Of a source, by the secret's position in its file, from 0.
    pub fn add(&self, source: &SourceName, position: usize) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *counts.entry((source.clone(), position)).or_default() += 1;
    }

    /// How many there were since the start.
    pub fn counts(&self) -> BTreeMap<(SourceName, usize), u64> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}
