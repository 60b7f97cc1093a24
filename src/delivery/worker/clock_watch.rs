//! Detects that the wall clock was set back, and decides when the store has to shorten its waits.

use std::collections::HashSet;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::Id;
use tracing::warn;

/// Step back that is ignored: time synchronisation corrects the clock by less all the time.
const TOLERANCE: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub(super) struct ClockWatch {
    last: Option<(Timestamp, Instant)>,
    /// Tasks that began before the clock was set back. They may still write times of the old clock.
    earlier_tasks: HashSet<Id>,
    needs_rewind: bool,
}

impl ClockWatch {
    /// Compares the wall clock with the steady clock since the last call.
    pub(super) fn observe(
        &mut self,
        (now, steady): (Timestamp, Instant),
        running: impl Iterator<Item = Id>,
    ) {
        match self.last.replace((now, steady)) {
            // The clock may have been set back while no relay was running.
            None => self.needs_rewind = true,
            Some((then, steady_then)) => {
                let passed = steady.duration_since(steady_then);
                let expected = then.saturating_add(passed).unwrap_or(then);
                let back = Duration::try_from(expected.duration_since(now)).unwrap_or_default();
                if back > TOLERANCE {
                    let seconds = back.as_secs();
                    warn!(
                        seconds,
                        "the clock was set back by {seconds} s: waits keep their length"
                    );
                    self.earlier_tasks = running.collect();
                    self.needs_rewind = true;
                }
            }
        }
    }

    /// Requires a second rewind once all tasks that began before the step have finished.
    pub(super) fn finished(&mut self, task: Id) {
        if self.earlier_tasks.remove(&task) && self.earlier_tasks.is_empty() {
            self.needs_rewind = true;
        }
    }

    pub(super) fn needs_rewind(&self) -> bool {
        self.needs_rewind
    }

    pub(super) fn mark_rewound(&mut self) {
        self.needs_rewind = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    /// Checks whether a rewind is needed after each pair of seconds: wall clock, steady clock.
    #[track_caller]
    fn check(readings: &[(i64, u64)], expected: &[bool]) {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        let rewinds = readings.iter().map(|(wall, steady)| {
            let steady = start + Duration::from_secs(*steady);
            watch.observe((at(*wall), steady), std::iter::empty());
            let needs_rewind = watch.needs_rewind();
            watch.mark_rewound();
            needs_rewind
        });
        assert_eq!(rewinds.collect::<Vec<_>>(), expected, "{readings:?}");
    }

    #[test]
    fn only_a_step_back_needs_a_rewind() {
        check(&[(0, 0), (10, 10), (70, 70)], &[true, false, false]);
        check(&[(0, 0), (3_600, 10), (3_601, 11)], &[true, false, false]);
        check(&[(0, 0), (0, 60), (1, 61)], &[true, true, false]);
        check(&[(0, 0), (-86_400, 1), (-86_399, 2)], &[true, true, false]);
        check(&[(0, 0), (9, 10)], &[true, false]);
    }

    #[tokio::test]
    async fn second_rewind_follows_the_end_of_earlier_tasks() {
        let (mut watch, start) = (ClockWatch::default(), Instant::now());
        let [first, second] = [(), ()].map(|()| tokio::spawn(async {}).id());
        watch.observe((at(0), start), std::iter::empty());
        watch.observe((at(-60), start), [first, second].into_iter());
        watch.mark_rewound();

        watch.finished(first);
        assert!(!watch.needs_rewind());
        watch.finished(second);
        assert!(watch.needs_rewind());
    }
}
