//! Compares what holds with the issues that are open: opens, updates, closes, and continues those
//! that closed a moment ago.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{Issue, IssueId, IssueKind, IssueStep, OPEN_ISSUES_MAX, STEPS_MAX};

/// Time after its end in which an issue continues instead of a new one that opens.
pub const REOPENED_WITHIN: SignedDuration = SignedDuration::from_hours(1);

/// Length of a step of the strip.
const STEP_SECONDS: i64 = 30 * 60;

/// A change of an issue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueChange {
    pub issue: Issue,
    pub kind: IssueChangeKind,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IssueChangeKind {
    Opened,
    /// It was closed less than an hour ago, and goes on.
    Reopened,
    Updated,
    Closed,
}

/// Returns the changes of the issues by what was found. `recent` are all open issues, and those that
/// were closed within the last hour.
pub fn reconcile(
    recent: &[Issue],
    findings: &[(IssueKind, RuleFinding)],
    now: Timestamp,
) -> Vec<IssueChange> {
    let mut changes = Vec::new();
    let mut open = recent.iter().filter(|issue| issue.is_open()).count();
    for (kind, finding) in findings {
        let RuleFinding::Known(known) = finding else { continue };
        let own: Vec<&Issue> = recent.iter().filter(|issue| issue.kind == *kind).collect();
        let ended = ended(&own, known, now);
        open = open.saturating_sub(ended.len());
        changes.extend(ended);
        for condition in &known.holds {
            let change = follow(*kind, condition, &own, now);
            let is_new = change.as_ref().is_some_and(|it| it.kind != IssueChangeKind::Updated);
            // A bound for whatever a rule has no bound of its own for.
            if is_new && open >= OPEN_ISSUES_MAX {
                continue;
            }
            open += usize::from(is_new);
            changes.extend(change);
        }
    }
    changes
}

fn ended(own: &[&Issue], known: &KnownFinding, now: Timestamp) -> Vec<IssueChange> {
    let lasts = |issue: &&&Issue| {
        known.unknown.contains(&issue.key) || known.holds.iter().any(|it| it.key == issue.key)
    };
    let over = own.iter().filter(|issue| issue.is_open() && !lasts(issue));
    over.map(|issue| {
        let usual = || usual_outcome(issue.kind).to_owned();
        let outcome = Some(known.outcomes.get(&issue.key).cloned().unwrap_or_else(usual));
        let issue = Issue { closed_at: Some(now), outcome, ..Issue::clone(issue) };
        IssueChange { issue, kind: IssueChangeKind::Closed }
    })
    .collect()
}

fn follow(
    kind: IssueKind,
    condition: &IssueCondition,
    own: &[&Issue],
    now: Timestamp,
) -> Option<IssueChange> {
    let of_key = || own.iter().filter(|issue| issue.key == condition.key);
    if let Some(issue) = of_key().find(|issue| issue.is_open()) {
        let updated = updated(issue, condition, now);
        return (updated != **issue)
            .then_some(IssueChange { issue: updated, kind: IssueChangeKind::Updated });
    }
    let goes_on = |issue: &&&Issue| {
        // Also if the clock was set back since.
        issue.closed_at.is_some_and(|at| now.duration_since(at).abs() < REOPENED_WITHIN)
    };
    let last = of_key().filter(goes_on).max_by_key(|issue| issue.closed_at);
    Some(match last {
        Some(issue) => {
            let issue = Issue { closed_at: None, outcome: None, ..Issue::clone(issue) };
            let issue = updated(&issue, condition, now);
            IssueChange { issue, kind: IssueChangeKind::Reopened }
        }
        None => IssueChange { issue: opened(kind, condition, now), kind: IssueChangeKind::Opened },
    })
}

fn opened(kind: IssueKind, condition: &IssueCondition, now: Timestamp) -> Issue {
    let new = Issue {
        id: IssueId::new(now),
        kind,
        key: condition.key.clone(),
        place: condition.place.clone(),
        words: condition.words.clone(),
        opened_at: now,
        last_at: condition.last_at,
        count: 0,
        unit: String::new(),
        steps: Vec::new(),
        muted: None,
        closed_at: None,
        outcome: None,
    };
    updated(&new, condition, now)
}

fn updated(issue: &Issue, condition: &IssueCondition, now: Timestamp) -> Issue {
    let mut issue = issue.clone();
    issue.words = condition.words.clone();
    issue.last_at = condition.last_at;
    condition.unit.clone_into(&mut issue.unit);
    let added = match condition.measure {
        Measure::Total => condition.count.saturating_sub(issue.count),
        Measure::Level => condition.count,
    };
    issue.count = condition.count;
    add_step(&mut issue.steps, condition.measure, (half_hour(now), added));
    issue
}

fn add_step(steps: &mut Vec<IssueStep>, measure: Measure, (at, count): (Timestamp, u64)) {
    if count == 0 {
        return;
    }
    // The clock may have been set back: then the step is an earlier one.
    match steps.iter_mut().find(|step| step.at == at) {
        Some(step) => match measure {
            Measure::Total => step.count = step.count.saturating_add(count),
            Measure::Level => step.count = step.count.max(count),
        },
        None => steps.push(IssueStep { at, count }),
    }
    steps.sort_by_key(|step| step.at);
    let excess = steps.len().saturating_sub(STEPS_MAX);
    steps.drain(..excess);
}

/// Returns the beginning of the half hour.
pub fn half_hour(now: Timestamp) -> Timestamp {
    let seconds = now.as_second();
    let start = seconds - seconds.rem_euclid(STEP_SECONDS);
    Timestamp::from_second(start).unwrap_or(now)
}

fn usual_outcome(kind: IssueKind) -> &'static str {
    match kind {
        IssueKind::Store => "The disk has room, and commits succeed again.",
        IssueKind::Mapping => "The mapping files were taken.",
        IssueKind::Rejected => "A webhook was accepted.",
        IssueKind::Silent => "A webhook arrived.",
        IssueKind::Paused => "It works again.",
        IssueKind::Queue => "The events were tried.",
        IssueKind::Dead => "None of them is dead any more.",
        IssueKind::Held => "None is held any more.",
        IssueKind::Drift => "10 events in a row have it again.",
        IssueKind::Secret => "It can be read again.",
        IssueKind::Nodes => "The nodes agree again.",
    }
}

/// Returns the open issues by kind that are not muted, with 0 for the other kinds.
pub fn counted(issues: &[Issue], now: Timestamp) -> BTreeMap<IssueKind, u64> {
    let mut counts: BTreeMap<IssueKind, u64> = IssueKind::ALL.map(|kind| (kind, 0)).into();
    for issue in issues.iter().filter(|issue| issue.is_open() && issue.muted(now).is_none()) {
        *counts.entry(issue.kind).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{IssuePlace, IssueWords};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn condition(key: &str, count: u64, last_at: Timestamp) -> IssueCondition {
        IssueCondition {
            key: key.to_owned(),
            place: IssuePlace::default(),
            words: IssueWords { text: format!("{count} events"), ..IssueWords::default() },
            count,
            unit: "events",
            measure: Measure::Total,
            last_at,
        }
    }

    fn holds(conditions: Vec<IssueCondition>) -> [(IssueKind, RuleFinding); 1] {
        [(IssueKind::Dead, RuleFinding::holds(conditions))]
    }

    /// Applies the changes, and returns what happened.
    fn step(
        issues: &mut Vec<Issue>,
        findings: &[(IssueKind, RuleFinding)],
        now: Timestamp,
    ) -> Vec<IssueChangeKind> {
        let changes = reconcile(issues, findings, now);
        for IssueChange { issue, .. } in &changes {
            issues.retain(|it| it.id != issue.id);
            issues.push(issue.clone());
        }
        changes.iter().map(|change| change.kind).collect()
    }

    #[test]
    fn issue_opens_once_counts_and_closes() {
        let mut issues = Vec::new();
        let mut step = |count: Option<u64>, minute| {
            let conditions = count.map(|count| condition("a", count, at(minute)));
            let changes = step(&mut issues, &holds(conditions.into_iter().collect()), at(minute));
            (changes, issues.last().cloned())
        };

        assert_eq!(step(Some(2), 0).0, [IssueChangeKind::Opened]);
        let (changes, issue) = step(Some(5), 31);
        assert_eq!(changes, [IssueChangeKind::Updated]);
        let issue = issue.unwrap();
        assert_eq!((issue.count, issue.last_at, issue.opened_at), (5, at(31), at(0)));
        let steps: Vec<u64> = issue.steps.iter().map(|step| step.count).collect();
        assert_eq!(steps, [2, 3]);
        assert_eq!(step(None, 40).0, [IssueChangeKind::Closed]);
        assert_eq!(step(None, 41).0, []);
    }

    #[test]
    fn what_did_not_change_is_no_change() {
        let mut issues = Vec::new();
        let finding = holds(vec![condition("a", 2, at(0))]);

        assert_eq!(step(&mut issues, &finding, at(0)), [IssueChangeKind::Opened]);
        assert_eq!(step(&mut issues, &finding, at(60)), []);
    }

    #[test]
    fn issue_that_opens_again_within_an_hour_continues() {
        let mut issues = Vec::new();
        let bad = holds(vec![condition("a", 2, at(0))]);
        step(&mut issues, &bad, at(0));
        let id = issues[0].id;
        step(&mut issues, &holds(Vec::new()), at(1));

        assert_eq!(step(&mut issues, &bad, at(60)), [IssueChangeKind::Reopened]);
        assert_eq!((issues[0].id, issues[0].closed_at, issues.len()), (id, None, 1));
        step(&mut issues, &holds(Vec::new()), at(61));
        assert_eq!(step(&mut issues, &bad, at(121)), [IssueChangeKind::Opened]);
        assert_eq!(issues.len(), 2);
    }

    #[test]
    fn nothing_closes_while_it_is_unknown() {
        let mut issues = Vec::new();
        let both = holds(vec![condition("a", 2, at(0)), condition("b", 1, at(0))]);
        step(&mut issues, &both, at(0));

        assert_eq!(step(&mut issues, &[(IssueKind::Dead, RuleFinding::Unknown)], at(1)), []);
        let known = KnownFinding { unknown: ["a".to_owned()].into(), ..KnownFinding::default() };
        let finding = [(IssueKind::Dead, RuleFinding::Known(known))];
        assert_eq!(step(&mut issues, &finding, at(2)), [IssueChangeKind::Closed]);
        assert_eq!(issues.iter().find(|it| it.is_open()).unwrap().key, "a");
    }

    #[test]
    fn level_of_a_half_hour_is_its_highest() {
        let mut steps = Vec::new();
        for (minute, level) in [(0, 3), (1, 7), (2, 5), (31, 1)] {
            add_step(&mut steps, Measure::Level, (half_hour(at(minute)), level));
        }
        let counts: Vec<u64> = steps.iter().map(|step| step.count).collect();
        assert_eq!(counts, [7, 1]);
        for minute in 0..100 {
            add_step(&mut steps, Measure::Level, (half_hour(at(minute * 30)), 1));
        }
        assert_eq!((steps.len(), steps[47].at), (STEPS_MAX, half_hour(at(99 * 30))));
    }

    #[test]
    fn open_issues_are_bounded() {
        let many = (0..2_000).map(|it| condition(&it.to_string(), 1, at(0))).collect();
        let mut issues = Vec::new();

        step(&mut issues, &holds(many), at(0));

        assert_eq!(issues.len(), OPEN_ISSUES_MAX);
        assert_eq!(counted(&issues, at(0))[&IssueKind::Dead], 1_000);
        assert_eq!(counted(&issues, at(0))[&IssueKind::Held], 0);
    }
}
