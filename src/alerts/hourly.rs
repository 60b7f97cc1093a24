//! Keeps a target's messages to a number an hour, and sums up the rest in one.

use jiff::{SignedDuration, Timestamp};

use super::due::{DueMessage, Transition};
use crate::store::AlertTarget;

/// Messages an hour. The last of them sums up if more are due.
pub(super) const MESSAGES_MAX: u32 = 30;

const HOUR: SignedDuration = SignedDuration::from_hours(1);

/// What to send next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Next {
    Nothing,
    One(Box<DueMessage>),
    /// One message for all of these.
    SummedUp(Vec<DueMessage>),
    /// Nothing before this time.
    At(Timestamp),
}

/// Chooses among the messages that are due.
pub(super) fn next(mut due: Vec<DueMessage>, target: &AlertTarget, now: Timestamp) -> Next {
    if due.is_empty() {
        return Next::Nothing;
    }
    let is_new_hour = is_over(target, now);
    let messages = if is_new_hour { 0 } else { target.messages };
    if messages >= MESSAGES_MAX {
        return Next::At(target.hour_began.saturating_add(HOUR).unwrap_or(now));
    }
    // What is older than the target is no news there: all of it is one message.
    let (older, newer): (Vec<_>, Vec<_>) = due.into_iter().partition(|it| is_older(it, target));
    if older.len() > 1 {
        return Next::SummedUp(older);
    }
    due = older.into_iter().chain(newer).collect();
    let has_waited = is_new_hour && target.messages >= MESSAGES_MAX;
    let is_last = messages + 1 >= MESSAGES_MAX;
    if due.len() > 1 && (has_waited || is_last) {
        return Next::SummedUp(due);
    }
    due.into_iter().next().map_or(Next::Nothing, |it| Next::One(Box::new(it)))
}

fn is_older(message: &DueMessage, target: &AlertTarget) -> bool {
    message.transition == Transition::Opened && message.issue.opened_at < target.first_seen
}

/// Counts a message that was sent.
pub(super) fn count(target: &mut AlertTarget, now: Timestamp) {
    if is_over(target, now) {
        (target.hour_began, target.messages) = (now, 0);
    }
    target.messages = target.messages.saturating_add(1);
}

/// Returns whether the hour is over; also if it began in the future, since the clock was set back.
fn is_over(target: &AlertTarget, now: Timestamp) -> bool {
    let elapsed = now.duration_since(target.hour_began);
    elapsed.is_negative() || elapsed >= HOUR
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::{Issue, IssueId, IssueKind, IssuePlace, IssueWords};

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn opened(count: usize, opened_at: Timestamp) -> Vec<DueMessage> {
        let issue = |_| Issue {
            id: IssueId::new(opened_at),
            kind: IssueKind::Dead,
            key: String::new(),
            place: IssuePlace::default(),
            words: IssueWords::default(),
            opened_at,
            last_at: opened_at,
            count: 1,
            unit: String::new(),
            steps: Vec::new(),
            muted: None,
            closed_at: None,
            outcome: None,
        };
        let message = |issue| DueMessage { issue, transition: Transition::Opened, number: 1 };
        (0..count).map(issue).map(message).collect()
    }

    fn target() -> AlertTarget {
        AlertTarget {
            name: "ops".to_owned(),
            scope: String::new(),
            first_seen: at(0),
            hour_began: at(0),
            messages: 0,
        }
    }

    /// Sends what is due until it has to wait, and returns of how many issues each message is.
    fn send(due: &mut Vec<DueMessage>, target: &mut AlertTarget, now: Timestamp) -> Vec<usize> {
        let mut sizes = Vec::new();
        loop {
            let sent = match next(due.clone(), target, now) {
                Next::Nothing | Next::At(_) => return sizes,
                Next::One(message) => vec![*message],
                Next::SummedUp(messages) => messages,
            };
            due.retain(|it| !sent.contains(it));
            count(target, now);
            sizes.push(sent.len());
        }
    }

    #[test]
    fn thirtieth_message_of_an_hour_sums_up_the_rest() {
        let (mut due, mut target) = (opened(1000, at(1)), target());

        let sizes = send(&mut due, &mut target, at(1));

        assert_eq!((sizes.len(), sizes[28], sizes[29]), (30, 1, 971));
        let mut more = opened(3, at(2));
        assert_eq!(next(more.clone(), &target, at(2)), Next::At(at(60)));
        assert_eq!(send(&mut more, &mut target, at(61)), [3], "what waited is one message");
        assert_eq!(send(&mut opened(2, at(62)), &mut target, at(62)), [1, 1]);
    }

    #[test]
    fn thirtieth_message_alone_is_that_message() {
        let mut target = AlertTarget { messages: 29, ..target() };

        assert_eq!(send(&mut opened(1, at(1)), &mut target, at(1)), [1]);
        assert_eq!(send(&mut opened(1, at(2)), &mut target, at(2)), [0; 0]);
    }

    #[test]
    fn issues_that_are_older_than_the_target_are_one_message() {
        let mut due = opened(20, at(-60));
        due.extend(opened(2, at(1)));

        assert_eq!(send(&mut due, &mut target(), at(1)), [20, 1, 1]);
        assert_eq!(send(&mut opened(1, at(-60)), &mut target(), at(1)), [1]);
    }

    #[test]
    fn hour_in_the_future_is_over() {
        let mut target = AlertTarget { hour_began: at(99_999), messages: 30, ..target() };

        assert_eq!(send(&mut opened(1, at(1)), &mut target, at(1)), [1]);
        assert_eq!((target.hour_began, target.messages), (at(1), 1));
    }
}
