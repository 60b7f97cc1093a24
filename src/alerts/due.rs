//! Decides by the state of the issues which messages a target is due: one when an issue opens, one for
//! each reminder while it lasts, one when it has closed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

use super::settings::Rules;
use crate::store::{Issue, IssueId, ToldIssue};

/// What a message says of an issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(super) enum Transition {
    Opened,
    Closed,
    /// It lasts.
    Reminder,
}

/// A message that is due.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct DueMessage {
    pub(super) issue: Issue,
    pub(super) transition: Transition,
    /// Its number among the messages of the issue, from 1: the same until it is sent.
    pub(super) number: u32,
}

/// What is due now, and when to look again if nothing changes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Due {
    /// Openings first, the worst of them first; then ends, then reminders.
    pub(super) messages: Vec<DueMessage>,
    pub(super) next_at: Option<Timestamp>,
}

/// What is known of the messages so far.
#[derive(Debug, Clone, Copy)]
pub(super) struct Past<'p> {
    /// What the target was sent.
    pub(super) told: &'p BTreeMap<IssueId, ToldIssue>,
    /// Issues of which a message could not be sent.
    pub(super) tried: &'p BTreeSet<IssueId>,
}

pub(super) fn due(issues: &[Issue], past: Past<'_>, rules: &Rules, now: Timestamp) -> Due {
    let mut due = Due::default();
    for issue in issues.iter().filter(|issue| rules.takes(issue)) {
        let (told, was_tried) = (past.told.get(&issue.id), past.tried.contains(&issue.id));
        let Some((transition, at)) = next((issue, told), was_tried, rules, now) else { continue };
        if at > now {
            due.next_at = Some(due.next_at.map_or(at, |next| next.min(at)));
        } else {
            let number = told.map_or(0, |told| told.messages).saturating_add(1);
            due.messages.push(DueMessage { issue: issue.clone(), transition, number });
        }
    }
    due.messages.sort_by_key(|it| (it.transition, it.issue.kind, it.issue.opened_at, it.issue.id));
    due
}

/// Returns the next message of an issue, and its time.
fn next(
    (issue, told): (&Issue, Option<&ToldIssue>),
    was_tried: bool,
    rules: &Rules,
    now: Timestamp,
) -> Option<(Transition, Timestamp)> {
    match (issue.closed_at, told) {
        (None, None) => Some((Transition::Opened, unmuted_at(issue, now)?)),
        // Also of one that was reported closed and opened again within an hour: it goes on without
        // a message.
        (None, Some(told)) => {
            let at = after(told.at, rules.remind);
            Some((Transition::Reminder, unmuted_at(issue, now)?.max(at)))
        }
        // A mute at its end holds for its end.
        (Some(closed_at), _) if issue.muted(closed_at).is_some() => None,
        (Some(closed_at), told) => {
            let is_open_there = told.map_or(was_tried, |told| told.is_open);
            // One in the future was closed before the clock was set back, which is a while ago.
            let at = if closed_at > now { now } else { after(closed_at, rules.close_after) };
            is_open_there.then_some((Transition::Closed, at))
        }
    }
}

/// Returns when a mute ends; now if there is none, and nothing if only the end of the issue ends it.
fn unmuted_at(issue: &Issue, now: Timestamp) -> Option<Timestamp> {
    match issue.muted(now) {
        None => Some(now),
        Some(mute) => mute.until,
    }
}

fn after(began: Timestamp, wait: Duration) -> Timestamp {
    let wait = SignedDuration::try_from(wait).unwrap_or(SignedDuration::MAX);
    began.saturating_add(wait).unwrap_or(Timestamp::MAX)
}

/// Lets waits for reminders begin now whose beginning is in the future: the clock was set back.
pub(super) fn follow_clock(told: &mut BTreeMap<IssueId, ToldIssue>, now: Timestamp) {
    for told in told.values_mut() {
        told.at = told.at.min(now);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{IssueKind, IssuePlace, IssueWords, Mute};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn issue(kind: IssueKind, source: &str, opened_at: Timestamp) -> Issue {
        Issue {
            id: IssueId::new(opened_at),
            kind,
            key: source.to_owned(),
            place: IssuePlace { source: source.parse().ok(), ..IssuePlace::default() },
            words: IssueWords::default(),
            opened_at,
            last_at: opened_at,
            count: 1,
            unit: "events".to_owned(),
            steps: Vec::new(),
            muted: None,
            closed_at: None,
            outcome: None,
        }
    }

    /// A target that gets every message that is due.
    #[derive(Default)]
    struct TestTarget {
        rules: Rules,
        told: BTreeMap<IssueId, ToldIssue>,
        tried: BTreeSet<IssueId>,
    }

    impl TestTarget {
        /// Sends all that is due, and returns it with the minutes until it has to look again.
        fn receive(
            &mut self,
            issues: &[Issue],
            now: Timestamp,
        ) -> (Vec<(Transition, u32)>, Option<i64>) {
            follow_clock(&mut self.told, now);
            let due = due(issues, Past { told: &self.told, tried: &self.tried }, &self.rules, now);
            for DueMessage { issue, number, .. } in &due.messages {
                let told = ToldIssue {
                    issue: issue.id,
                    is_open: issue.is_open(),
                    at: now,
                    messages: *number,
                };
                self.told.insert(issue.id, told);
            }
            let sent = due.messages.iter().map(|it| (it.transition, it.number)).collect();
            (sent, due.next_at.map(|at| at.duration_since(now).as_mins()))
        }
    }

    #[test]
    fn issue_has_one_message_when_it_opens_one_a_day_and_one_when_it_closes() {
        let (mut target, mut one) = (TestTarget::default(), issue(IssueKind::Dead, "form", at(0)));
        let day = 24 * 60;

        assert_eq!(target.receive(&[one.clone()], at(0)).0, [(Transition::Opened, 1)]);
        assert_eq!(target.receive(&[one.clone()], at(1)), (vec![], Some(day - 1)));
        assert_eq!(target.receive(&[one.clone()], at(day)).0, [(Transition::Reminder, 2)]);
        one.closed_at = Some(at(day + 10));
        assert_eq!(target.receive(&[one.clone()], at(day + 10)), (vec![], Some(2)));
        assert_eq!(target.receive(&[one.clone()], at(day + 12)).0, [(Transition::Closed, 3)]);
        assert_eq!(target.receive(&[one], at(9 * day)), (vec![], None));
    }

    #[test]
    fn issue_that_opens_again_within_an_hour_has_reminders_only() {
        let (mut target, mut one) = (TestTarget::default(), issue(IssueKind::Dead, "form", at(0)));
        target.receive(&[one.clone()], at(0));
        one.closed_at = Some(at(5));
        assert_eq!(target.receive(&[one.clone()], at(6)).0, []);
        one.closed_at = None;
        assert_eq!(target.receive(&[one.clone()], at(6)).0, [], "it never was closed there");
        one.closed_at = Some(at(10));
        assert_eq!(target.receive(&[one.clone()], at(12)).0, [(Transition::Closed, 2)]);
        one.closed_at = None;
        assert_eq!(target.receive(&[one.clone()], at(50)).0, []);
        let mut flapped = one.clone();
        flapped.closed_at = Some(at(55));
        assert_eq!(target.receive(&[flapped], at(59)).0, [], "it was reported closed");
        assert_eq!(target.receive(&[one.clone()], at(1452)).0, [(Transition::Reminder, 3)]);
        one.closed_at = Some(at(1453));
        assert_eq!(target.receive(&[one], at(1455)).0, [(Transition::Closed, 4)]);
    }

    #[test]
    fn muted_issue_is_quiet_until_the_mute_ends() {
        let (mut target, mut one) = (TestTarget::default(), issue(IssueKind::Dead, "form", at(0)));
        let mute = |until| Some(Mute { by: "ada".to_owned(), until, note: None });
        one.muted = mute(Some(at(30)));
        assert_eq!(target.receive(&[one.clone()], at(0)), (vec![], Some(30)));
        assert_eq!(target.receive(&[one.clone()], at(30)).0, [(Transition::Opened, 1)]);
        one.muted = mute(Some(at(4000)));
        assert_eq!(target.receive(&[one.clone()], at(2000)), (vec![], Some(2000)));
        assert_eq!(target.receive(&[one.clone()], at(4000)).0, [(Transition::Reminder, 2)]);
        one.muted = mute(None);
        assert_eq!(target.receive(&[one.clone()], at(9000)), (vec![], None));
        one.closed_at = Some(at(9001));
        assert_eq!(target.receive(&[one], at(9999)), (vec![], None));
    }

    #[test]
    fn end_of_an_issue_is_told_only_where_its_beginning_was_or_failed() {
        let (mut target, mut one) = (TestTarget::default(), issue(IssueKind::Dead, "form", at(0)));
        one.closed_at = Some(at(1));

        assert_eq!(target.receive(&[one.clone()], at(5)), (vec![], None));
        target.tried.insert(one.id);
        assert_eq!(target.receive(&[one.clone()], at(5)).0, [(Transition::Closed, 1)]);
        assert_eq!(target.receive(&[one], at(6)), (vec![], None));
    }

    #[test]
    fn target_gets_its_kinds_and_sources_the_worst_first() {
        let all = [
            issue(IssueKind::Held, "form", at(0)),
            issue(IssueKind::Dead, "form", at(1)),
            issue(IssueKind::Dead, "github", at(0)),
            issue(IssueKind::Store, "", at(2)),
        ];
        let kinds_of = |rules: Rules| -> Vec<(&str, i64)> {
            let past = Past { told: &BTreeMap::new(), tried: &BTreeSet::new() };
            let due = due(&all, past, &rules, at(5));
            let of = |it: &DueMessage| {
                (it.issue.kind.as_str(), it.issue.opened_at.duration_since(at(0)).as_mins())
            };
            due.messages.iter().map(of).collect()
        };

        assert_eq!(
            kinds_of(Rules::default()),
            [("store", 2), ("dead", 0), ("dead", 1), ("held", 0)]
        );
        let kinds = Some([IssueKind::Dead].into());
        assert_eq!(kinds_of(Rules { kinds, ..Rules::default() }), [("dead", 0), ("dead", 1)]);
        let sources = Some(["form".parse().unwrap()].into());
        assert_eq!(kinds_of(Rules { sources, ..Rules::default() }), [("dead", 1), ("held", 0)]);
    }

    #[test]
    fn clock_that_was_set_back_delays_nothing_for_longer_than_its_wait() {
        let (mut target, mut one) = (TestTarget::default(), issue(IssueKind::Dead, "form", at(0)));
        target.receive(&[one.clone()], at(99_999));

        assert_eq!(target.receive(&[one.clone()], at(0)), (vec![], Some(24 * 60)));
        assert_eq!(target.receive(&[one.clone()], at(24 * 60)).0, [(Transition::Reminder, 2)]);
        one.closed_at = Some(at(99_999));
        assert_eq!(target.receive(&[one], at(24 * 60)).0, [(Transition::Closed, 3)]);
    }
}
