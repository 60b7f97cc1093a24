//! Keeps a flood of refused webhooks from becoming a flood of log lines.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::event::SourceName;
use crate::rate::{Rate, TokenBucket};

/// Lines for one source and reason: enough to see what is wrong, and no load for the log storage.
const RATE: Rate = Rate { count: 5, period: Duration::from_secs(1) };

/// The source and the name of the error. Both are sets of a few names, which bounds the map.
type LineKey = (SourceName, &'static str);

#[derive(Debug, Default)]
pub(super) struct LogLimit(Mutex<BTreeMap<LineKey, LineBudget>>);

#[derive(Debug)]
struct LineBudget {
    bucket: TokenBucket,
    suppressed: u64,
}

/// Number of lines that were omitted.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct SuppressedLines {
    pub(super) source: SourceName,
    pub(super) error: &'static str,
    pub(super) count: u64,
}

impl LogLimit {
    /// Returns whether one more line may be written, and counts it if not.
    pub(super) fn admits(&self, source: &SourceName, error: &'static str, now: Instant) -> bool {
        let mut entries = self.entries();
        let entry = entries
            .entry((source.clone(), error))
            .or_insert_with(|| LineBudget { bucket: TokenBucket::full(RATE, now), suppressed: 0 });
        let is_admitted = entry.bucket.try_take(RATE, now).is_ok();
        entry.suppressed += u64::from(!is_admitted);
        is_admitted
    }

    /// Returns what was omitted since the last call, and resets it.
    pub(super) fn take_suppressed(&self) -> Vec<SuppressedLines> {
        let mut entries = self.entries();
        let suppressed = entries.iter_mut().filter(|(_, entry)| entry.suppressed > 0);
        suppressed
            .map(|((source, error), entry)| SuppressedLines {
                source: source.clone(),
                error,
                count: std::mem::take(&mut entry.suppressed),
            })
            .collect()
    }

    fn entries(&self) -> MutexGuard<'_, BTreeMap<LineKey, LineBudget>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flood_is_five_lines_a_second_and_a_count() {
        let limit = LogLimit::default();
        let source: SourceName = "form".parse().unwrap();
        let start = Instant::now();
        let written = |error: &'static str, milliseconds: u64| {
            let now = start + Duration::from_millis(milliseconds);
            (0..1_000).filter(|_| limit.admits(&source, error, now)).count()
        };

        assert_eq!(written("signature missing", 0), 5);
        assert_eq!(written("signature wrong", 0), 5, "another reason has lines of its own");
        assert_eq!(written("signature missing", 1_000), 5);

        let count = |error, count| SuppressedLines { source: source.clone(), error, count };
        let suppressed = [count("signature missing", 1_990), count("signature wrong", 995)];
        assert_eq!(limit.take_suppressed(), suppressed);
        assert_eq!(limit.take_suppressed(), []);
    }
}
