//! Webhooks with a wrong signature, and none that is accepted.

use jiff::{SignedDuration, Timestamp};

use crate::diagnostics::counted;
use crate::event::SourceName;
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{IssuePlace, IssueWords};

/// Number of webhooks with a wrong signature, and the time over which they are spread.
const COUNT_MIN: u64 = 5;
const SPREAD_MIN: SignedDuration = SignedDuration::from_mins(10);

/// Time without one after which the issue closes, and after which a further one begins anew.
pub const QUIET: SignedDuration = SignedDuration::from_hours(24);

/// Time since the last accepted webhook after which nobody uses the source any more.
const USED_WITHIN: SignedDuration = SignedDuration::from_hours(24 * 28);

/// A source, and its webhooks with a wrong signature since the last accepted one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefusedSource {
    pub source: SourceName,
    pub count: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The probable cause of the last one.
    pub hint: Option<String>,
    /// The last accepted webhook; none if it is still being set up.
    pub accepted_at: Option<Timestamp>,
}

pub fn judge(sources: &[RefusedSource], now: Timestamp) -> RuleFinding {
    let mut known = KnownFinding::default();
    for one in sources {
        let is_quiet = now.duration_since(one.last_at) >= QUIET;
        let is_used = one.accepted_at.is_none_or(|at| now.duration_since(at) < USED_WITHIN);
        let is_spread = one.last_at.duration_since(one.first_at) >= SPREAD_MIN;
        if is_quiet {
            let outcome = "None came for 24 h.".to_owned();
            known.outcomes.insert(one.source.to_string(), outcome);
        } else if is_used && is_spread && one.count >= COUNT_MIN {
            known.holds.push(condition(one));
        }
    }
    RuleFinding::Known(known)
}

fn condition(one: &RefusedSource) -> IssueCondition {
    let RefusedSource { source, count, last_at, hint, .. } = one;
    IssueCondition {
        key: source.to_string(),
        place: IssuePlace { source: Some(source.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text: format!(
                "Every webhook from {source} is rejected: {} with a wrong signature.",
                counted(*count, "webhook")
            ),
            reason: Some("wrong signature".to_owned()),
            hint: hint.clone(),
            advice: "Set the same secret here and at the sender. Then let the sender deliver the webhooks \
                     again: the relay doesn't store what it rejects."
                .to_owned(),
        },
        count: *count,
        unit: "webhooks",
        measure: Measure::Total,
        last_at: *last_at,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    /// Returns how many conditions and outcomes there are.
    fn check(
        count: u64,
        (first, last): (i64, i64),
        accepted: Option<i64>,
        now: i64,
    ) -> (usize, usize) {
        let one = RefusedSource {
            source: "form".parse().unwrap(),
            count,
            first_at: at(first),
            last_at: at(last),
            hint: None,
            accepted_at: accepted.map(at),
        };
        let RuleFinding::Known(known) = judge(&[one], at(now)) else { return (0, 0) };
        (known.holds.len(), known.outcomes.len())
    }

    #[test]
    fn five_over_ten_minutes_are_an_issue() {
        assert_eq!(check(5, (0, 10), None, 10), (1, 0));
        assert_eq!(check(4, (0, 10), None, 10), (0, 0));
        assert_eq!(check(5, (0, 9), None, 10), (0, 0));
    }

    #[test]
    fn source_that_nobody_uses_is_no_issue() {
        let day = 24 * 60;
        assert_eq!(check(50, (0, 100), Some(-27 * day), 100), (1, 0));
        assert_eq!(check(50, (0, 100), Some(-28 * day), 100), (0, 0));
    }

    #[test]
    fn issue_ends_after_a_day_without_one() {
        assert_eq!(check(50, (0, 100), None, 100 + 24 * 60 - 1), (1, 0));
        assert_eq!(check(50, (0, 100), None, 100 + 24 * 60), (0, 1));
    }
}
