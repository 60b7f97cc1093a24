//! Upserts all lines of a file: several in flight, each retried until it is settled. Delivery's
//! outcome table judges the answers, and its gate decides whether a request may be sent.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::Duration;

use jiff::Timestamp;
use tokio::task::{JoinError, JoinSet};

use super::account::AccountClient;
use super::input_lines::{self, InputLine, InputLines};
use super::options::UpsertOptions;
use super::queue::{UpsertJob, UpsertQueue};
use super::record::RecordKind;
use super::summary::{BulkSummary, LineError, StopReason};
use super::wait;
use crate::cli::error::CommandError;
use crate::cli::runtime::stopped;
use crate::clock;
use crate::delivery::clock::SteadyClock;
use crate::delivery::gate::{self, Gate, later};
use crate::delivery::outcome::{
    self, AttemptContext, Decision, UnansweredPolicy, Verdict, after_probe,
};
use crate::savio::{Client, Error, SendResult};

/// Retry policy of a line.
// Delivery starts with a wait of 5 s and retries for days, unattended. Here a person or a script
// waits for the end.
const RETRIES: outcome::Settings = outcome::Settings {
    wait_min: Duration::from_millis(200),
    wait_max: Duration::from_secs(30),
    // `BulkUpsert::retry` gives up instead: before a wait that would end too late, not after it.
    give_up_after: Duration::MAX,
    // An upsert that arrived twice changes nothing more, so none is held for a decision.
    unanswered: UnansweredPolicy::Retry,
};
/// Time for which a line is retried unless `--give-up-after` sets another.
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// Time after which an open breaker admits one request.
// With delivery's default of 30 s, `GIVE_UP_AFTER` would allow only ten attempts.
const BREAKER_WAIT: Duration = Duration::from_secs(5);

/// Shortest wait that a person is told of.
const WAIT_TOLD_MIN: Duration = Duration::from_secs(1);

/// Upserts all lines of a file; `-` is standard input.
pub(super) async fn run(
    account: &AccountClient,
    (kind, file): (RecordKind, &Path),
    UpsertOptions { pace, json }: UpsertOptions,
) -> Result<(), CommandError> {
    // Before anything is read or sent: an earlier signal would end the run without a summary.
    let interrupted = stopped();
    let lines = input_lines::open(file)?;
    let in_flight_max = pace.max_in_flight.map_or(account.max_in_flight, NonZeroUsize::get);
    let mut bulk = BulkUpsert {
        client: account.client.clone(),
        kind,
        in_flight_max,
        give_up_after: pace.give_up_after.unwrap_or(GIVE_UP_AFTER),
        gate: Gate::default(),
        limits: gate::Settings {
            rate: pace.rate,
            breaker_wait: BREAKER_WAIT,
            ..gate::Settings::default()
        },
        clock: SteadyClock::starting(clock::now()),
        queue: UpsertQueue::new(),
        in_flight: JoinSet::new(),
        summary: BulkSummary::new(kind, json),
        told_until: Timestamp::MIN,
    };
    // A signal abandons the requests in flight. Any of them may have arrived, but the next run
    // sends the same upserts again.
    let stop = tokio::select! {
        stop = bulk.work(lines) => stop?,
        () = interrupted => Some(StopReason::Interrupted),
    };
    bulk.summary.end(stop)
}

type JobResult = (UpsertJob, SendResult);

struct BulkUpsert {
    client: Client,
    kind: RecordKind,
    in_flight_max: usize,
    give_up_after: Duration,
    gate: Gate,
    limits: gate::Settings,
    clock: SteadyClock,
    queue: UpsertQueue,
    in_flight: JoinSet<JobResult>,
    summary: BulkSummary,
    /// End of the wait that a person was told of last.
    told_until: Timestamp,
}

impl BulkUpsert {
    /// Sends all lines. Returns why the rest was left, if the run stops before its end.
    async fn work(&mut self, lines: InputLines) -> Result<Option<StopReason>, CommandError> {
        let InputLines { mut read, bytes } = lines;
        let (mut is_open, mut end) = (true, 0);
        while is_open || !self.queue.is_empty() {
            self.launch();
            let next = self.next_launch(self.clock.now());
            let has_room = self.queue.has_room();
            let mut stop = None;
            tokio::select! {
                Some(result) = self.in_flight.join_next() => stop = self.finish(result).await?,
                line = read.recv(), if is_open && has_room => match line {
                    Some(Ok(line)) => {
                        end = line.end;
                        self.enqueue(line)?;
                    }
                    Some(Err(error)) => stop = Some(StopReason::Input(error)),
                    None => is_open = false,
                },
                // `select!` evaluates this also if the condition is false, and drops it unpolled.
                () = self.clock.wait_until(next.unwrap_or_default()), if next.is_some() => {}
            }
            if stop.is_some() {
                return Ok(stop);
            }
            self.summary.progress(end, bytes);
        }
        Ok(None)
    }

    /// Parses a line and queues it; an invalid one counts as failed at once.
    fn enqueue(&mut self, line: InputLine) -> Result<(), CommandError> {
        let too_long = "the line is longer than 1 MiB".to_owned();
        // Each line is parsed alone, so that the parser's line number is always 1.
        let reason =
            |error: serde_json::Error| error.to_string().replace(" at line 1 column", " at column");
        let bytes = line.bytes.ok_or(too_long);
        match bytes.and_then(|bytes| self.kind.read(&bytes).map_err(reason)) {
            Ok(upsert) => self.queue.push(line.number, upsert, self.clock.now()),
            Err(message) => self.summary.failed(line.number, &LineError::Line(message))?,
        }
        Ok(())
    }

    /// Sends due lines while there is a free slot and the gate admits them.
    fn launch(&mut self) {
        let now = self.clock.now();
        while self.next_launch(now).is_some_and(|at| at <= now)
            // Before `take`: a refused line stays in the queue. A turn is never wasted, since
            // `next_launch` has found a due line.
            && self.gate.admit(now, &self.limits).is_ok()
            && let Some(mut job) = self.queue.take(now)
        {
            // Not when it was read: the wait for other lines of its record is no failure of its
            // own.
            job.begun_at.get_or_insert(now);
            let client = self.client.clone();
            self.in_flight.spawn(async move {
                let answer = client.send(&job.request).await;
                (job, answer)
            });
        }
    }

    /// Returns when the next line can be sent, if no answer comes before.
    fn next_launch(&self, now: Timestamp) -> Option<Timestamp> {
        let has_slot = self.in_flight.len() < self.in_flight_max;
        // The gate admits a request up to a second before its turn. A `Retry-After` that comes
        // within this second would not hold it back any more.
        let turn = self.gate.wakes_at(now).unwrap_or(now);
        self.queue.next_due().filter(|_| has_slot).map(|due| due.max(turn))
    }

    /// Settles the line or schedules it again. Returns why the run stops, if it does.
    async fn finish(
        &mut self,
        result: Result<JobResult, JoinError>,
    ) -> Result<Option<StopReason>, CommandError> {
        let (mut job, answer) = result.map_err(|error| CommandError::Failed(error.to_string()))?;
        let now = self.clock.now();
        let verdict = self.judge(&job, &answer, now).await;
        // The error is made from the answer and not from the verdict, which is written for logs and
        // leaves out Savio's messages about the fields.
        //
        // In delivery, a probe or a person would end the pause. Here the person can start another
        // run once the cause is removed.
        if self.gate.pause().is_some() {
            return Ok(Some(StopReason::Savio(answer.into_error(now))));
        }
        match verdict.decision {
            Decision::Done { savio_id } => {
                self.queue.settle(&job, true, now);
                self.summary.done(job.line, savio_id.as_ref())?;
            }
            Decision::Again => {
                job.is_last_try = true;
                self.queue.again(job, now);
            }
            Decision::Retry { wait } => return self.retry(job, wait, answer.into_error(now)),
            // Only `Dead` occurs: there are no optional fields, unanswered upserts are retried, and
            // `judge` has replaced the probe.
            Decision::LeaveOut { .. }
            | Decision::Probe
            | Decision::Hold { .. }
            | Decision::Dead { .. } => self.fail(&job, answer.into_error(now))?,
        }
        Ok(None)
    }

    async fn judge(&mut self, job: &UpsertJob, answer: &SendResult, now: Timestamp) -> Verdict {
        let attempt = AttemptContext {
            now,
            // Decides nothing: `give_up_after` of `RETRIES` is never reached.
            age: Duration::ZERO,
            tries: job.tries,
            jitter: fastrand::u32(..),
            account: self.client.account(),
            is_last_try: job.is_last_try,
            has_given_id: self.gate.has_given_id(),
            // A refused field has to be corrected in the file. Sent without it, the line would
            // count as done.
            optional: &[],
        };
        let mut verdict = outcome::judge(answer, attempt, &RETRIES);
        if verdict.decision == Decision::Probe {
            let probe = self.client.probe().await.map_err(|error| error.reason);
            verdict = after_probe(verdict, &probe);
        }
        if let Some(signal) = &verdict.signal {
            self.gate.note(signal, now, &self.limits);
        }
        verdict
    }

    /// Schedules the line again. If that would be too late, fails the line or stops the run.
    fn retry(
        &mut self,
        mut job: UpsertJob,
        wait: Duration,
        error: Error,
    ) -> Result<Option<StopReason>, CommandError> {
        let now = self.clock.now();
        let closed_until = self.gate.closed(now).and_then(|closed| closed.until);
        let due = later(now, wait).max(closed_until.unwrap_or(now));
        job.tries = job.tries.saturating_add(1);
        job.is_last_try = false;
        // Unlike in delivery, time in which the gate was closed counts: a run has to end.
        let end = later(job.begun_at.unwrap_or(now), self.give_up_after);
        if due < end {
            self.tell_wait(&job, &error, (now, due, end));
            self.queue.again(job, due);
            return Ok(None);
        }
        // With a closed gate, Savio fails or requires a longer wait than a line may take, so all
        // other lines would fail like this one. The run stops instead, and can be repeated.
        match closed_until {
            Some(_) => Ok(Some(StopReason::Savio(error))),
            None => self.fail(&job, error).map(|()| None),
        }
    }

    /// Tells a person what the run waits for, unless it waits already or only for a moment.
    fn tell_wait(
        &mut self,
        job: &UpsertJob,
        error: &Error,
        (now, due, end): (Timestamp, Timestamp, Timestamp),
    ) {
        let until =
            |time: Timestamp| Duration::try_from(time.duration_since(now)).unwrap_or_default();
        // Hundreds of lines may wait at a time, all for the same reason.
        if now < self.told_until || until(due) < WAIT_TOLD_MIN {
            return;
        }
        self.told_until = due;
        let limit = format!("for {} s at most", until(end).as_secs());
        let notice = wait::notice(error, until(due), &limit);
        self.summary.waits(&format!("line {}: {notice}", job.line));
    }

    fn fail(&mut self, job: &UpsertJob, error: Error) -> Result<(), CommandError> {
        self.queue.settle(job, false, self.clock.now());
        self.summary.failed(job.line, &LineError::Savio(error))
    }
}
