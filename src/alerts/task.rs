//! Sends a target its messages, one at a time. What is due follows from the issues, so that there is
//! no queue which could grow.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use tokio::time::{Instant, sleep, timeout};
use tracing::{info, warn};

use super::due::{self, DueMessage, Past, Transition};
use super::endpoint::AlertAnswer;
use super::failures::Failures;
use super::hourly::{self, Next};
use super::message::Message;
use super::target::ConfiguredTarget;
use crate::clock;
use crate::issues::Board;
use crate::store::{AlertRecord, AlertTarget, Issue, IssueId, IssueKind, Store, ToldIssue};
use crate::telemetry::metrics::AlertCounts;

/// Time between two messages: chats accept about one a second.
const PACE: Duration = Duration::from_secs(1);

/// Longest time between two looks at the clock, which may be set.
const LOOK_EVERY: Duration = Duration::from_mins(1);

/// Time after which the store is asked again that could not be read or written.
const STORE_RETRY: Duration = Duration::from_secs(10);

/// Time for which a stop waits for the answer to a message that is being sent: one that arrived must not
/// be sent again after the start.
const STOP_WAIT: Duration = Duration::from_secs(2);

/// Time for which it is remembered what was sent of an issue that is not on the board.
const REMEMBERED_FOR: SignedDuration = SignedDuration::from_hours(25);

pub struct AlertTask {
    target: Arc<ConfiguredTarget>,
    board: Arc<Board>,
    store: Arc<dyn Store>,
    counts: AlertCounts,
    record: AlertTarget,
    told: BTreeMap<IssueId, ToldIssue>,
    /// Whether the store was read.
    is_loaded: bool,
    /// What the store does not have yet, as it may be what fails.
    unwritten: Option<BTreeSet<IssueId>>,
    store_retry_at: Option<Instant>,
    failures: Failures,
}

impl fmt::Debug for AlertTask {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("AlertTask").field("target", &self.record).finish_non_exhaustive()
    }
}

impl AlertTask {
    pub(super) fn new(
        target: Arc<ConfiguredTarget>,
        board: Arc<Board>,
        store: Arc<dyn Store>,
        counts: AlertCounts,
    ) -> AlertTask {
        counts.expect(&target.name);
        let record = new_record(&target, clock::now());
        AlertTask {
            target,
            board,
            store,
            counts,
            record,
            told: BTreeMap::new(),
            is_loaded: false,
            unwritten: None,
            store_retry_at: None,
            failures: Failures::default(),
        }
    }

    /// Sends messages until `shutdown`, and writes what is not written yet.
    pub async fn run(mut self, shutdown: impl Future<Output = ()>) {
        let mut shutdown = pin!(shutdown);
        let (mut issues, mut address) = (self.board.subscribe(), self.target.address.subscribe());
        loop {
            self.use_store().await;
            let wait = match self.next(clock::now()) {
                AlertStep::Wait(wait) => wait,
                AlertStep::Send(due, message) => {
                    if self.send(&due, &message, shutdown.as_mut()).await {
                        break;
                    }
                    continue;
                }
            };
            tokio::select! {
                () = &mut shutdown => break,
                () = sleep(wait) => {}
                changed = issues.changed(), if self.failures.wait().is_none() => {
                    if changed.is_err() {
                        break;
                    }
                }
                _ = address.changed() => self.failures = Failures::default(),
            }
        }
        self.store_retry_at = None;
        self.use_store().await;
    }

    /// Reads from the store and writes to it what is outstanding.
    async fn use_store(&mut self) {
        if self.store_retry_at.is_some_and(|at| at > Instant::now()) {
            return;
        }
        self.store_retry_at = None;
        if !self.is_loaded {
            self.load().await;
        }
        let Some(issues) = self.unwritten.as_ref().filter(|_| self.is_loaded) else { return };
        let told = issues.iter().filter_map(|issue| self.told.get(issue).copied()).collect();
        let record = AlertRecord { target: self.record.clone(), told };
        match self.store.write_alerts(record).await {
            Ok(()) => self.unwritten = None,
            Err(_) => self.retry_store(),
        }
    }

    async fn load(&mut self) {
        let since = clock::now().saturating_sub(REMEMBERED_FOR).unwrap_or(Timestamp::MIN);
        let Ok(stored) = self.store.alerts(self.target.name.clone(), since).await else {
            return self.retry_store();
        };
        self.is_loaded = true;
        self.unwritten.get_or_insert_default();
        let Some(AlertRecord { target, told }) = stored else { return };
        for it in told {
            // What was sent before the store could be read is newer.
            self.told.entry(it.issue).or_insert(it);
        }
        let sent = self.record.messages;
        if target.scope == self.record.scope {
            self.record.first_seen = target.first_seen;
        }
        (self.record.hour_began, self.record.messages) =
            (target.hour_began, target.messages.saturating_add(sent));
    }

    fn retry_store(&mut self) {
        self.store_retry_at = Some(Instant::now() + STORE_RETRY);
    }

    /// Returns what to do next.
    fn next(&mut self, now: Timestamp) -> AlertStep {
        let look = if self.store_retry_at.is_some() { STORE_RETRY } else { LOOK_EVERY };
        if let Some(wait) = self.failures.wait() {
            return AlertStep::Wait(wait.min(look));
        }
        if self.target.address.current().is_err() {
            return AlertStep::Wait(look);
        }
        let issues = self.board.current();
        self.forget(&issues, now);
        due::follow_clock(&mut self.told, now);
        let (rules, tried) = (&self.target.rules, self.failures.tried());
        let mut due = due::due(&issues, Past { told: &self.told, tried: &tried }, rules, now);
        // What was sent is not known until the store was read; that it fails is told all the same.
        due.messages.retain(|message| {
            (self.is_loaded || message.issue.kind == IssueKind::Store)
                && !self.failures.has_given_up(message, rules.remind)
        });
        let url = self.target.public_url.as_deref();
        let due = match hourly::next(due.messages, &self.record, now) {
            Next::Nothing => return AlertStep::Wait(until(due.next_at, now).min(look)),
            Next::At(at) => return AlertStep::Wait(until(Some(at), now).min(look)),
            Next::One(one) => vec![*one],
            Next::SummedUp(all) => all,
        };
        let message = match due.as_slice() {
            [one] => Message::of(one, url, now),
            all => Message::summary(all, url, now),
        };
        AlertStep::Send(due, Box::new(message))
    }

    fn forget(&mut self, issues: &[Issue], now: Timestamp) {
        self.failures.forget(issues, self.target.rules.remind);
        // Not at once: the board has little until the store was read.
        let known: BTreeSet<IssueId> = issues.iter().map(|issue| issue.id).collect();
        self.told.retain(|issue, told| {
            known.contains(issue) || now.duration_since(told.at) < REMEMBERED_FOR
        });
    }

    /// Sends one message for all of these. Returns whether the relay stops.
    async fn send(
        &mut self,
        due: &[DueMessage],
        message: &Message,
        shutdown: Pin<&mut impl Future<Output = ()>>,
    ) -> bool {
        let endpoint = self.target.address.current();
        let Ok(endpoint) = endpoint.as_ref() else { return false };
        let mut call = pin!(endpoint.post(message.body(self.target.format)));
        let mut stops = false;
        let answer = tokio::select! {
            biased;
            answer = &mut call => answer,
            () = shutdown => {
                stops = true;
                let Ok(answer) = timeout(STOP_WAIT, call).await else { return true };
                answer
            }
        };
        self.note(due, answer);
        stops
    }

    /// Notes the result of a message.
    fn note(&mut self, due: &[DueMessage], answer: Result<AlertAnswer, String>) {
        let name = &self.target.name;
        let (reason, is_final, retry_after) = match answer {
            Ok(answer) if answer.is_success() => return self.sent(due),
            Ok(answer) => {
                let reason = format!("it answered {}", answer.status);
                (reason, answer.is_final(), answer.retry_after)
            }
            Err(reason) => (reason, false, None),
        };
        self.counts.failed(name);
        let was_failing = self.failures.is_failing();
        if self.failures.failed(due, is_final, retry_after) {
            warn!(alerts = name, reason, "alerts {name}: a message was given up: {reason}");
        } else if !was_failing {
            warn!(
                alerts = name,
                reason, "alerts {name}: a message failed: {reason}; it is sent again"
            );
        }
    }

    fn sent(&mut self, due: &[DueMessage]) {
        let (name, now) = (&self.target.name, clock::now());
        self.counts.sent(name);
        hourly::count(&mut self.record, now);
        let unwritten = self.unwritten.get_or_insert_default();
        for DueMessage { issue, transition, number } in due {
            let is_open = match transition {
                Transition::Opened | Transition::Reminder => true,
                Transition::Closed => false,
            };
            let told = ToldIssue { issue: issue.id, is_open, at: now, messages: *number };
            self.told.insert(issue.id, told);
            unwritten.insert(issue.id);
        }
        let failed = self.failures.succeeded(due, PACE);
        if failed > 0 {
            info!(alerts = name, failed, "alerts {name}: messages arrive again");
        }
    }
}

enum AlertStep {
    Wait(Duration),
    Send(Vec<DueMessage>, Box<Message>),
}

fn new_record(target: &ConfiguredTarget, now: Timestamp) -> AlertTarget {
    AlertTarget {
        name: target.name.clone(),
        scope: target.rules.scope(),
        first_seen: now,
        hour_began: now,
        messages: 0,
    }
}

/// Returns the time until then.
fn until(at: Option<Timestamp>, now: Timestamp) -> Duration {
    let left = at.map(|at| at.duration_since(now));
    left.map_or(LOOK_EVERY, |left| Duration::try_from(left).unwrap_or_default())
}
