//! The store: its disk is nearly full, or it cannot write.

use jiff::{SignedDuration, Timestamp};

use crate::diagnostics::counted;
use crate::issues::condition::{IssueCondition, Measure, RuleFinding};
use crate::store::{DiskSpace, IssuePlace, IssueWords};

/// Time for which both have to be fine.
const QUIET: SignedDuration = SignedDuration::from_mins(5);

/// Free space counts as low below the reserve times this.
const RESERVES_MIN: u64 = 2;

/// What is known of the store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageState {
    /// None if the file system does not say.
    pub disk: Option<DiskSpace>,
    /// Commits that failed since the start.
    pub failed: u64,
    /// The last of them, and why.
    pub last_failure: Option<(Timestamp, String)>,
}

/// What was wrong, from its beginning until both are fine for five minutes. Only remembered, since it
/// may be what keeps the store from remembering.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StorageWatch {
    /// Number of failed commits before the issue.
    failed_before: u64,
    bad_at: Option<Timestamp>,
    /// The last wait for quiet began at this time, while an issue of before the start is open.
    watched_since: Option<Timestamp>,
}

impl StorageWatch {
    /// `is_open` says whether an issue is open, which may be from before the start.
    pub fn judge(&mut self, state: &StorageState, is_open: bool, now: Timestamp) -> RuleFinding {
        let is_low = state
            .disk
            .is_some_and(|disk| disk.free_bytes < disk.reserve_bytes.saturating_mul(RESERVES_MIN));
        let failure = state.last_failure.as_ref().filter(|(at, _)| is_near(*at, now));
        let began = *self.watched_since.get_or_insert(now);
        if is_low || failure.is_some() {
            let failed_at = failure.map(|(at, _)| *at).filter(|_| !is_low);
            self.bad_at = Some(failed_at.unwrap_or(now));
        }
        // After a start, what was wrong before it has to be fine for as long.
        let bad_at = self.bad_at.or(is_open.then_some(began));
        let Some(bad_at) = bad_at.filter(|at| is_near(*at, now)) else {
            (self.bad_at, self.failed_before) = (None, state.failed);
            return RuleFinding::holds(Vec::new());
        };
        let failed = state.failed.saturating_sub(self.failed_before);
        RuleFinding::holds(vec![condition(state, is_low, failed, bad_at)])
    }
}

/// Returns whether the time is less than five minutes ago; one in the future is not, since the clock
/// was set back.
fn is_near(at: Timestamp, now: Timestamp) -> bool {
    at.duration_since(now).abs() < QUIET
}

fn condition(state: &StorageState, is_low: bool, failed: u64, bad_at: Timestamp) -> IssueCondition {
    let reason = state.last_failure.as_ref().map(|(_, reason)| reason.clone());
    let (text, advice) = match (state.disk, is_low) {
        (Some(disk), true) => {
            let (free, reserve) = (mebibytes(disk.free_bytes), mebibytes(disk.reserve_bytes));
            let text = format!(
                "The store's disk has {free} MiB left; below {reserve} MiB no webhook is accepted."
            );
            (text, "Free space on that disk, or make it larger.")
        }
        _ if failed > 0 => {
            let text = format!("{} of the store failed.", counted(failed, "commit"));
            (
                text,
                "Webhooks are refused while it fails, and most senders repeat them. Look at the disk and the relay's log.",
            )
        }
        _ => {
            let text = "The store has recovered, and is watched for five minutes.".to_owned();
            (text, "Nothing, unless it fails again.")
        }
    };
    let (count, unit) = if failed > 0 {
        (failed, "commits")
    } else {
        (state.disk.map_or(0, |it| mebibytes(it.free_bytes)), "MiB free")
    };
    IssueCondition {
        key: String::new(),
        place: IssuePlace::default(),
        words: IssueWords {
            text,
            reason: reason.filter(|_| failed > 0),
            hint: None,
            advice: advice.to_owned(),
        },
        count,
        unit,
        measure: if failed > 0 { Measure::Total } else { Measure::Level },
        last_at: bad_at,
    }
}

fn mebibytes(bytes: u64) -> u64 {
    bytes / (1024 * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn state(free: u64, failed: &[i64]) -> StorageState {
        StorageState {
            disk: Some(DiskSpace { free_bytes: free << 20, reserve_bytes: 100 << 20 }),
            failed: u64::try_from(failed.len()).unwrap(),
            last_failure: failed.last().map(|second| (at(*second), "disk full".to_owned())),
        }
    }

    fn text(finding: RuleFinding) -> Option<String> {
        let RuleFinding::Known(known) = finding else { return None };
        known.holds.into_iter().next().map(|it| it.words.text)
    }

    #[test]
    fn low_space_is_an_issue_until_five_minutes_after() {
        let mut watch = StorageWatch::default();
        assert_eq!(text(watch.judge(&state(200, &[]), false, at(0))), None);
        let low = text(watch.judge(&state(199, &[]), false, at(10))).unwrap();
        assert!(low.contains("199 MiB left; below 100 MiB"), "{low}");

        assert!(text(watch.judge(&state(300, &[]), true, at(300))).is_some());
        assert_eq!(text(watch.judge(&state(300, &[]), true, at(310))), None);
    }

    #[test]
    fn failed_commits_are_counted_from_the_beginning_of_the_issue() {
        let mut watch = StorageWatch::default();
        watch.judge(&state(300, &[0]), false, at(1));
        assert_eq!(text(watch.judge(&state(300, &[0]), false, at(400))), None);

        let two = text(watch.judge(&state(300, &[0, 500, 501]), false, at(502)));

        assert_eq!(two.as_deref(), Some("2 commits of the store failed."));
    }

    #[test]
    fn issue_from_before_the_start_stays_for_five_minutes() {
        let mut watch = StorageWatch::default();
        assert!(text(watch.judge(&state(300, &[]), true, at(0))).is_some());
        assert!(text(watch.judge(&state(300, &[]), true, at(299))).is_some());
        assert_eq!(text(watch.judge(&state(300, &[]), true, at(300))), None);
    }
}
