//! Notices that the wall clock was set back, and when the store has to be told.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::Id;
use tracing::warn;

/// A clock that is corrected a little now and then is not set back.
const TOLERANCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    seen: Option<(Timestamp, Instant)>,
    /// Work that began before the clock was set back: what it writes may still be by the old time.
    before: HashSet<Id>,
    is_due: bool,
}

impl ClockWatch {
    /// The wall clock and the steady one at this moment. The first look counts as a step back: nobody
    /// watched the clock while no relay ran.
    pub(super) fn look(
        &mut self,
        (now, steady): (Timestamp, Instant),
        in_flight: impl Iterator<Item = Id>,
    ) {
        match self.seen.replace((now, steady)) {
            None => self.is_due = true,
            Some((then, read)) => {
                let passed = steady.duration_since(read);
                let expected = then.saturating_add(passed).unwrap_or(then);
                let back = Duration::try_from(expected.duration_since(now)).unwrap_or_default();
                if back > TOLERANCE {
                    let seconds = back.as_secs();
                    warn!(
                        seconds,
                        "the clock was set back by {seconds} s: waits keep their length"
                    );
                    self.before = in_flight.collect();
                    self.is_due = true;
                }
            }
        }
    }

    /// Once all that began before the step has ended, the store has to be told again.
    pub(super) fn landed(&mut self, task: Id) {
        if self.before.remove(&task) && self.before.is_empty() {
            self.is_due = true;
        }
    }

    /// Whether the store has to be told.
    pub(super) fn is_due(&self) -> bool {
        self.is_due
    }

    pub(super) fn told(&mut self) {
        self.is_due = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Whether the store is to be told after each pair of seconds: wall clock, steady clock.
    #[track_caller]
    fn check(looks: &[(i64, u64)], expected: &[bool]) {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        let due = looks.iter().map(|(wall, steady)| {
            let steady = start + Duration::from_secs(*steady);
            watch.look((at(*wall), steady), std::iter::empty());
            let is_due = watch.is_due();
            watch.told();
            is_due
        });
        assert_eq!(due.collect::<Vec<_>>(), expected, "{looks:?}");
    }

    #[test]
    fn only_a_step_back_is_told() {
        check(&[(0, 0), (10, 10), (70, 70)], &[true, false, false]);
        check(&[(0, 0), (3_600, 10), (3_601, 11)], &[true, false, false]);
        check(&[(0, 0), (0, 60), (1, 61)], &[true, true, false]);
        check(&[(0, 0), (-86_400, 1), (-86_399, 2)], &[true, true, false]);
        check(&[(0, 0), (9, 10)], &[true, false]);
    }

    #[tokio::test]
    async fn the_store_is_told_again_once_older_work_has_ended() {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        let [first, second] = [(), ()].map(|()| tokio::spawn(async {}).id());
        watch.look((at(0), start), std::iter::empty());
        watch.look((at(-60), start), [first, second].into_iter());
        watch.told();

        watch.landed(first);
        assert!(!watch.is_due());
        watch.landed(second);
        assert!(watch.is_due());
    }
}
