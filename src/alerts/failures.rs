//! Messages that could not be sent: when to try again, and when not any more. Only remembered: a
//! restart tries all of them again.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use super::due::{DueMessage, Transition};
use crate::backoff::Backoff;
use crate::store::{Issue, IssueId};

const BACKOFF: Backoff =
    Backoff { wait_min: Duration::from_secs(5), wait_max: Duration::from_mins(10) };

/// Number of final refusals after which a message is given up.
const REFUSALS_MAX: u32 = 3;

/// Time after its first try after which a message is given up.
const TRIED_FOR: Duration = Duration::from_hours(24);

#[derive(Debug, Clone, Copy)]
struct FailedMessage {
    since: Instant,
    refusals: u32,
    given_up_at: Option<Instant>,
}

/// What failed at a target since a message last succeeded there, and the messages that did.
#[derive(Debug, Default)]
pub(super) struct Failures {
    messages: BTreeMap<(IssueId, Transition), FailedMessage>,
    in_a_row: u32,
    not_before: Option<Instant>,
}

impl Failures {
    /// Notes that these were sent in one message, after which the next one waits for `pace`. Returns
    /// how many tries in a row had failed before.
    pub(super) fn succeeded(&mut self, sent: &[DueMessage], pace: Duration) -> u32 {
        for message in sent {
            // All of the issue: it was told how the issue is now.
            self.messages.retain(|(issue, _), _| *issue != message.issue.id);
        }
        self.not_before = Some(Instant::now() + pace);
        std::mem::take(&mut self.in_a_row)
    }

    /// Notes that these could not be sent in one message. Returns whether it was given up.
    pub(super) fn failed(
        &mut self,
        unsent: &[DueMessage],
        is_final: bool,
        retry_after: Option<Duration>,
    ) -> bool {
        let now = Instant::now();
        let mut is_given_up = false;
        for message in unsent {
            let new = FailedMessage { since: now, refusals: 0, given_up_at: None };
            let failed = self.messages.entry(key(message)).or_insert(new);
            failed.refusals += u32::from(is_final);
            if failed.refusals >= REFUSALS_MAX || failed.since.elapsed() >= TRIED_FOR {
                failed.given_up_at = Some(now);
                is_given_up = true;
            }
        }
        let wait = BACKOFF.wait_with_jitter(self.in_a_row, fastrand::u32(..));
        let asked = retry_after.unwrap_or_default().min(BACKOFF.wait_max);
        self.in_a_row = self.in_a_row.saturating_add(1);
        self.not_before = Some(now + wait.max(asked));
        is_given_up
    }

    /// Returns whether the target failed at its last message.
    pub(super) fn is_failing(&self) -> bool {
        self.in_a_row > 0
    }

    /// Returns how long no message may be sent.
    pub(super) fn wait(&self) -> Option<Duration> {
        let left = self.not_before?.saturating_duration_since(Instant::now());
        (!left.is_zero()).then_some(left)
    }

    /// Returns the issues of which a message failed.
    pub(super) fn tried(&self) -> BTreeSet<IssueId> {
        self.messages.keys().map(|(issue, _)| *issue).collect()
    }

    /// Returns whether a message was given up, less than a reminder ago.
    pub(super) fn has_given_up(&self, message: &DueMessage, remind: Duration) -> bool {
        let given_up = self.messages.get(&key(message)).and_then(|failed| failed.given_up_at);
        given_up.is_some_and(|at| at.elapsed() < remind)
    }

    /// Forgets messages of issues that are gone, and those that were given up long enough ago to be
    /// tried anew.
    pub(super) fn forget(&mut self, issues: &[Issue], remind: Duration) {
        let known: BTreeSet<IssueId> = issues.iter().map(|issue| issue.id).collect();
        self.messages.retain(|(issue, _), failed| {
            known.contains(issue) && failed.given_up_at.is_none_or(|at| at.elapsed() < remind)
        });
    }
}

fn key(message: &DueMessage) -> (IssueId, Transition) {
    (message.issue.id, message.transition)
}
