//! The last batches of changes, bounded in number and bytes.

use std::collections::VecDeque;

use axum::body::Bytes;

/// Number of batches that are kept: half a minute of them, for clients that read slowly or connect
/// again.
const BATCHES_MAX: usize = 64;

/// Bytes of all batches that are kept.
pub(in crate::admin) const BATCHES_BYTES_MAX: usize = 4 * 1024 * 1024;

/// The last batches by their numbers, which only grow.
#[derive(Debug)]
pub(in crate::admin) struct BatchRing {
    /// Number of the oldest batch.
    first: u64,
    batches: VecDeque<Bytes>,
    bytes: usize,
}

/// What follows on a batch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::admin) enum NextBatch {
    Batch(Bytes),
    NotYet,
    /// It is no longer there.
    Missed,
}

impl Default for BatchRing {
    fn default() -> BatchRing {
        BatchRing { first: 1, batches: VecDeque::new(), bytes: 0 }
    }
}

impl BatchRing {
    /// Returns the number of the last batch; that before the first one if there is none.
    pub(super) fn last(&self) -> u64 {
        self.next() - 1
    }

    fn next(&self) -> u64 {
        self.first + u64::try_from(self.batches.len()).unwrap_or(u64::MAX)
    }

    pub(super) fn push(&mut self, batch: Bytes) {
        self.bytes += batch.len();
        self.batches.push_back(batch);
        while self.batches.len() > BATCHES_MAX || self.bytes > BATCHES_BYTES_MAX {
            let Some(oldest) = self.batches.pop_front() else { break };
            self.bytes -= oldest.len();
            self.first += 1;
        }
    }

    pub(super) fn after(&self, number: u64) -> NextBatch {
        // One of the future is none of ours.
        let Some(wanted) = number.checked_add(1).filter(|wanted| *wanted <= self.next()) else {
            return NextBatch::Missed;
        };
        if wanted == self.next() {
            return NextBatch::NotYet;
        }
        let index = wanted.checked_sub(self.first).and_then(|index| usize::try_from(index).ok());
        let found = index.and_then(|index| self.batches.get(index));
        found.map_or(NextBatch::Missed, |batch| NextBatch::Batch(batch.clone()))
    }

    /// Forgets all batches, and leaves out a number: whoever has the last of them misses the next.
    pub(super) fn skip(&mut self) {
        *self = BatchRing { first: self.next() + 1, ..BatchRing::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn batch(length: usize) -> Bytes {
        vec![b'x'; length].into()
    }

    #[test]
    fn batches_follow_on_each_other() {
        let mut ring = BatchRing::default();
        assert_eq!((ring.last(), ring.after(0)), (0, NextBatch::NotYet));

        ring.push(batch(1));
        ring.push(batch(2));

        assert_eq!(ring.after(0), NextBatch::Batch(batch(1)));
        assert_eq!(ring.after(1), NextBatch::Batch(batch(2)));
        assert_eq!(ring.after(2), NextBatch::NotYet);
        assert_eq!(ring.after(3), NextBatch::Missed);
        assert_eq!(ring.after(u64::MAX), NextBatch::Missed);
    }

    #[test]
    fn oldest_batches_go_beyond_the_number_and_the_bytes() {
        let mut ring = BatchRing::default();
        for _ in 0..=BATCHES_MAX {
            ring.push(batch(1));
        }
        assert_eq!(ring.after(0), NextBatch::Missed);
        assert_eq!(ring.after(1), NextBatch::Batch(batch(1)));

        ring.push(batch(BATCHES_BYTES_MAX));

        let last = ring.last();
        assert_eq!(ring.after(last - 2), NextBatch::Missed);
        assert_eq!(ring.after(last - 1), NextBatch::Batch(batch(BATCHES_BYTES_MAX)));
    }

    #[test]
    fn skip_is_a_gap_for_whoever_was_there_before() {
        let mut ring = BatchRing::default();
        ring.push(batch(1));

        ring.skip();

        assert_eq!(ring.after(1), NextBatch::Missed);
        assert_eq!(ring.after(ring.last()), NextBatch::NotYet);
    }
}
