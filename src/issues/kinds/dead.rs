//! Events that could not be delivered, by source and cause.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::dead_advice::advice;
use crate::diagnostics::counted;
use crate::event::SourceName;
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{DeadCause, Issue, IssuePlace, IssueWords, StoppedAt};

/// Open issues of one source; further causes are summed up in one more.
const OF_SOURCE_MAX: usize = 50;

/// Time without a further event after which an issue closes, and after which none opens.
pub const QUIET: SignedDuration = SignedDuration::from_hours(24 * 7);

/// `causes` are those of all dead events, of events among them that wait for their replay too.
pub fn judge(causes: &[DeadCause], open: &[&Issue], now: Timestamp) -> RuleFinding {
    let open: BTreeSet<&str> = open.iter().map(|issue| issue.key.as_str()).collect();
    let mut known = KnownFinding::default();
    let mut by_source: BTreeMap<&SourceName, Vec<&DeadCause>> = BTreeMap::new();
    for cause in causes.iter().filter(|cause| cause.events > 0) {
        if now.duration_since(cause.last_at) < QUIET {
            by_source.entry(&cause.source).or_default().push(cause);
        } else {
            let outcome = "Nothing was added for 7 days.".to_owned();
            known.outcomes.insert(key(cause), outcome);
        }
    }
    for (source, mut causes) in by_source {
        // Those with an open issue first: others that overtake them would close it and open it again.
        causes.sort_by_key(|cause| (!open.contains(key(cause).as_str()), Reverse(cause.events)));
        let rest = causes.split_off(causes.len().min(OF_SOURCE_MAX));
        known.holds.extend(causes.into_iter().map(condition));
        known.holds.extend(summed_up(source, &rest));
    }
    RuleFinding::Known(known)
}

fn key(cause: &DeadCause) -> String {
    format!("{} {}", cause.source, cause.kind)
}

fn condition(cause: &DeadCause) -> IssueCondition {
    let DeadCause { source, stage, status, reason, events, last_at, .. } = cause;
    let number = counted(*events, "event");
    let text = match stage {
        Some(StoppedAt::Mapping) => format!("{number} from {source} couldn't be mapped."),
        Some(StoppedAt::Savio) => format!("Savio refused {number} from {source}."),
        Some(StoppedAt::Time) => format!("The relay gave up on {number} from {source}."),
        None => format!("{number} from {source} couldn't be delivered."),
    };
    IssueCondition {
        key: key(cause),
        place: IssuePlace { source: Some(source.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text,
            reason: Some(with_status(reason, *status)),
            hint: None,
            advice: advice(*stage, *status, reason).to_owned(),
        },
        count: *events,
        unit: "events",
        measure: Measure::Total,
        last_at: *last_at,
    }
}

/// Returns the reason with Savio's status, which all of them have, in the place of the digits that were taken out.
fn with_status(reason: &str, status: Option<u16>) -> String {
    match status {
        Some(status) => reason.replacen("answered #", &format!("answered {status}"), 1),
        None => reason.to_owned(),
    }
}

/// Returns one condition for all further causes of a source.
fn summed_up(source: &SourceName, rest: &[&DeadCause]) -> Option<IssueCondition> {
    let last_at = rest.iter().map(|cause| cause.last_at).max()?;
    let events = rest.iter().map(|cause| cause.events).sum();
    let (number, causes) = (counted(events, "event"), counted(rest.len() as u64, "cause"));
    Some(IssueCondition {
        key: format!("{source} other"),
        place: IssuePlace { source: Some(source.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text: format!("{number} from {source} couldn't be delivered, for {causes} more."),
            reason: None,
            hint: None,
            advice:
                "List them with `savio-relay dead list`, or by cause with GET /api/v1/dead/groups, and begin \
                 with the most frequent."
                    .to_owned(),
        },
        count: events,
        unit: "events",
        measure: Measure::Total,
        last_at,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(days: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + days * 24 * 3600).unwrap()
    }

    #[test]
    fn reason_names_the_status_that_all_have() {
        let shown = |status| with_status("Savio answered #: detail: Not #.", status);
        assert_eq!(shown(Some(400)), "Savio answered 400: detail: Not #.");
        assert_eq!(shown(None), "Savio answered #: detail: Not #.");
    }

    fn cause(kind: &str, events: u64, last_day: i64) -> DeadCause {
        DeadCause {
            source: "form".parse().unwrap(),
            kind: kind.to_owned(),
            stage: Some(StoppedAt::Savio),
            status: Some(400),
            reason: "`feedback_type`: not a valid choice".to_owned(),
            events,
            last_at: at(last_day),
        }
    }

    fn known(causes: &[DeadCause], open: &[&Issue], now: i64) -> KnownFinding {
        match judge(causes, open, at(now)) {
            RuleFinding::Known(known) => known,
            RuleFinding::Unknown => KnownFinding::default(),
        }
    }

    #[test]
    fn old_dead_events_open_nothing_and_close_what_is_open() {
        let found = known(&[cause("a", 5, 1), cause("b", 2, 0)], &[], 7);

        assert_eq!(found.holds.len(), 1);
        assert_eq!(found.holds[0].words.text, "Savio refused 5 events from form.");
        assert_eq!(found.outcomes["form b"], "Nothing was added for 7 days.");
    }

    #[test]
    fn causes_beyond_fifty_of_a_source_are_one_issue() {
        let causes: Vec<DeadCause> =
            (0..60).map(|it| cause(&format!("{it:02}"), 60 - it, 0)).collect();

        let found = known(&causes, &[], 1);

        assert_eq!(found.holds.len(), 51);
        let rest = &found.holds[50];
        assert_eq!((rest.key.as_str(), rest.count), ("form other", (1..=10).sum()));
        let open = crate::issues::reconcile::reconcile(
            &[],
            &[(crate::store::IssueKind::Dead, RuleFinding::Known(found))],
            at(1),
        );
        let open: Vec<Issue> = open.into_iter().map(|change| change.issue).collect();
        let open: Vec<&Issue> = open.iter().collect();
        let mut overtaken = causes;
        overtaken[59].events = 1_000;
        let keys = |causes: &[DeadCause]| -> Vec<String> {
            let mut keys: Vec<String> =
                known(causes, &open, 1).holds.into_iter().map(|it| it.key).collect();
            keys.sort();
            keys
        };
        let mut before: Vec<String> = open.iter().map(|issue| issue.key.clone()).collect();
        before.sort();
        assert_eq!(keys(&overtaken), before, "what is open stays open");
    }
}
