//! Many upserts: several in flight, each line sent until it is settled. How an answer is judged, and whether a request
//! may go now, is decided by delivery's outcome table and gate.

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
use crate::cli::error::CommandError;
use crate::cli::runtime::stopped;
use crate::clock;
use crate::delivery::clock::RunClock;
use crate::delivery::gate::{self, Gate, later};
use crate::delivery::outcome::{
    self, AttemptContext, Decision, UnansweredPolicy, Verdict, after_probe,
};
use crate::savio::{Client, Error, SendResult};

/// Delivery begins with 5 s and goes on for days, unattended; here a person or a script waits for the end.
const RETRIES: outcome::Settings = outcome::Settings {
    wait_min: Duration::from_millis(200),
    wait_max: Duration::from_secs(30),
    // `retry` gives up instead: before a wait that would end too late, not after it.
    give_up_after: Duration::MAX,
    unanswered: UnansweredPolicy::Retry,
};
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// How long an open breaker waits. Delivery waits for 30 s by default, of which 5 minutes would hold only ten tries.
const BREAKER_WAIT: Duration = Duration::from_secs(5);

/// Upserts all lines of a file; `-` is standard input.
pub(super) async fn run(
    account: &AccountClient,
    (kind, file): (RecordKind, &Path),
    UpsertOptions { pace, json }: UpsertOptions,
) -> Result<(), CommandError> {
    let interrupted = stopped();
    let lines = input_lines::open(file)?;
    let in_flight_max = pace.max_in_flight.map_or(account.max_in_flight, NonZeroUsize::get);
    let mut crew = BulkUpsert {
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
        clock: RunClock::starting(clock::now()),
        queue: UpsertQueue::new(),
        flights: JoinSet::new(),
        report: BulkSummary::new(kind, json),
    };
    let stop = tokio::select! {
        stop = crew.work(lines) => stop?,
        () = interrupted => Some(StopReason::Interrupted),
    };
    crew.report.end(stop)
}

type JobResult = (UpsertJob, SendResult);

struct BulkUpsert {
    client: Client,
    kind: RecordKind,
    in_flight_max: usize,
    give_up_after: Duration,
    gate: Gate,
    limits: gate::Settings,
    clock: RunClock,
    queue: UpsertQueue,
    flights: JoinSet<JobResult>,
    report: BulkSummary,
}

impl BulkUpsert {
    /// Works until all is settled; else says why the rest is left.
    async fn work(&mut self, lines: InputLines) -> Result<Option<StopReason>, CommandError> {
        let InputLines { mut read, bytes } = lines;
        let (mut is_open, mut end) = (true, 0);
        while is_open || !self.queue.is_empty() {
            self.launch();
            let next = self.next_launch(self.clock.now());
            let has_room = self.queue.has_room();
            let mut stop = None;
            tokio::select! {
                Some(landed) = self.flights.join_next() => stop = self.land(landed).await?,
                line = read.recv(), if is_open && has_room => match line {
                    Some(Ok(line)) => {
                        end = line.end;
                        self.take(line)?;
                    }
                    Some(Err(error)) => stop = Some(StopReason::Input(error)),
                    None => is_open = false,
                },
                () = self.clock.wait_until(next.unwrap_or_default()), if next.is_some() => {}
            }
            if stop.is_some() {
                return Ok(stop);
            }
            self.report.progress(end, bytes);
        }
        Ok(None)
    }

    fn take(&mut self, line: InputLine) -> Result<(), CommandError> {
        let too_long = "the line is longer than 1 MiB".to_owned();
        let at =
            |error: serde_json::Error| error.to_string().replace(" at line 1 column", " at column");
        let read = line.bytes.ok_or(too_long).and_then(|bytes| self.kind.read(&bytes).map_err(at));
        match read {
            Ok(upsert) => self.queue.push(line.number, upsert, self.clock.now()),
            Err(message) => self.report.failed(line.number, &LineError::Line(message))?,
        }
        Ok(())
    }

    /// Sends what is due, as much as there is room for.
    fn launch(&mut self) {
        let now = self.clock.now();
        while self.next_launch(now).is_some_and(|at| at <= now)
            && self.gate.admit(now, &self.limits).is_ok()
            && let Some(mut job) = self.queue.take(now)
        {
            job.begun_at.get_or_insert(now);
            let client = self.client.clone();
            self.flights.spawn(async move {
                let answer = client.send(&job.request).await;
                (job, answer)
            });
        }
    }

    /// When the next one can be sent, if nothing lands before.
    fn next_launch(&self, now: Timestamp) -> Option<Timestamp> {
        let has_place = self.flights.len() < self.in_flight_max;
        // The gate would admit a request a second before its turn, and a `Retry-After` that comes in this second would
        // not hold it back any more.
        let turn = self.gate.wakes_at(now).unwrap_or(now);
        self.queue.next_due().filter(|_| has_place).map(|due| due.max(turn))
    }

    async fn land(
        &mut self,
        landed: Result<JobResult, JoinError>,
    ) -> Result<Option<StopReason>, CommandError> {
        let (mut job, answer) = landed.map_err(|error| CommandError::Failed(error.to_string()))?;
        let now = self.clock.now();
        let verdict = self.judge(&job, &answer, now).await;
        // What is shown comes from the answer, not from the verdict: a verdict may be logged, so that nothing that Savio
        // said of the fields is in it.
        //
        // A probe or a person would end the pause. The person is here, and can start the run again once it is mended.
        if self.gate.pause().is_some() {
            return Ok(Some(StopReason::Savio(answer.into_error(now))));
        }
        match verdict.then {
            Decision::Done { savio_id } => {
                self.queue.settle(&job, true, now);
                self.report.done(job.line, savio_id.as_ref())?;
            }
            Decision::Again => {
                job.is_last_try = true;
                self.queue.again(job, now);
            }
            Decision::Retry { wait } => return self.retry(job, wait, answer.into_error(now)),
            // Nothing is left out of a line, no upsert is held, and the probe was made.
            Decision::LeaveOut { .. }
            | Decision::Probe
            | Decision::Hold { .. }
            | Decision::Dead { .. } => self.fail(&job, answer.into_error(now))?,
        }
        Ok(None)
    }

    async fn judge(&mut self, job: &UpsertJob, answer: &SendResult, now: Timestamp) -> Verdict {
        let circumstances = AttemptContext {
            now,
            age: Duration::ZERO,
            tries: job.tries,
            chance: fastrand::u32(..),
            is_last_try: job.is_last_try,
            has_given_id: self.gate.has_given_id(),
            // Whoever wrote the file is to correct the field; without it, the line would count as done.
            optional: &[],
        };
        let mut verdict = outcome::judge(answer, circumstances, &RETRIES);
        if verdict.then == Decision::Probe {
            verdict = after_probe(verdict, &self.client.probe().await);
        }
        if let Some(signal) = &verdict.signal {
            self.gate.note(signal, now, &self.limits);
        }
        verdict
    }

    /// Sends the line again later, unless its time is over then.
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
        // Time in which the gate was closed counts, other than in delivery: a run has to end.
        if due < later(job.begun_at.unwrap_or(now), self.give_up_after) {
            self.queue.again(job, due);
            return Ok(None);
        }
        // Savio fails, or asked for a longer wait than a line may take: all lines would end like this one. The run says so
        // instead of trying them, and can be repeated.
        match closed_until {
            Some(_) => Ok(Some(StopReason::Savio(error))),
            None => self.fail(&job, error).map(|()| None),
        }
    }

    fn fail(&mut self, job: &UpsertJob, error: Error) -> Result<(), CommandError> {
        self.queue.settle(job, false, self.clock.now());
        self.report.failed(job.line, &LineError::Savio(error))
    }
}
