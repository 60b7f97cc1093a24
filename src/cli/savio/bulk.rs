//! Many upserts: several in flight, paced, again after trouble, until all lines are settled.

use std::num::NonZeroUsize;
use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::Value;
use tokio::task::{JoinError, JoinSet};
use tokio::time::sleep_until;

use super::account::AccountClient;
use super::input_lines::{self, InputLine, InputLines};
use super::options::BulkOptions;
use super::queue::{UpsertJob, UpsertQueue};
use super::record::{RecordKind, UpsertRecord};
use super::summary::{BulkSummary, LineError, StopReason};
use crate::backoff::Backoff;
use crate::cli::error::CommandError;
use crate::cli::runtime::stopped;
use crate::rate::Rate;
use crate::savio::{Client, Error};

/// The waits before a line is sent again, from first to last, and up to half as much by chance.
const BACKOFF: Backoff =
    Backoff { wait_min: Duration::from_millis(200), wait_max: Duration::from_secs(30) };
const GIVE_UP_AFTER: Duration = Duration::from_mins(5);

/// Upserts all lines of a file; `-` is standard input.
pub(super) async fn run(
    account: &AccountClient,
    (kind, file): (RecordKind, &Path),
    order: BulkOptions,
) -> Result<(), CommandError> {
    let interrupted = stopped();
    let lines = input_lines::open(file)?;
    let in_flight_max = order.pace.max_in_flight.map_or(account.max_in_flight, NonZeroUsize::get);
    let mut crew = BulkUpsert {
        client: account.client.clone(),
        kind,
        in_flight_max,
        interval: order.pace.rate.map(Rate::interval).unwrap_or_default(),
        give_up_after: order.pace.give_up_after.unwrap_or(GIVE_UP_AFTER),
        queue: UpsertQueue::default(),
        flights: JoinSet::new(),
        free_at: Instant::now(),
        failures: 0,
        report: BulkSummary::new(kind, order),
    };
    let stop = tokio::select! {
        stop = crew.work(lines) => stop?,
        () = interrupted => Some(StopReason::Interrupted),
    };
    crew.report.end(stop)
}

type JobResult = (UpsertJob, Result<Value, Error>);

struct BulkUpsert {
    client: Client,
    kind: RecordKind,
    in_flight_max: usize,
    /// From one call to the next.
    interval: Duration,
    give_up_after: Duration,
    queue: UpsertQueue,
    flights: JoinSet<JobResult>,
    /// Nothing is sent before.
    free_at: Instant,
    /// Calls in a row that got no proper answer.
    failures: usize,
    report: BulkSummary,
}

impl BulkUpsert {
    /// Works until all is settled; else says why the rest is left.
    async fn work(&mut self, lines: InputLines) -> Result<Option<StopReason>, CommandError> {
        let InputLines { mut read, bytes } = lines;
        let (mut is_open, mut end) = (true, 0);
        while is_open || !self.queue.is_empty() {
            self.launch(Instant::now());
            let (next_launch, has_room) = (self.next_launch(), self.queue.has_room());
            let mut stop = None;
            tokio::select! {
                Some(landed) = self.flights.join_next() => stop = self.land(landed)?,
                line = read.recv(), if is_open && has_room => match line {
                    Some(Ok(line)) => {
                        end = line.end;
                        self.take(line)?;
                    }
                    Some(Err(error)) => stop = Some(StopReason::Input(error)),
                    None => is_open = false,
                },
                () = until(next_launch) => {}
            }
            if stop.is_some() {
                return Ok(stop);
            }
            self.report.progress(end, bytes);
        }
        Ok(None)
    }

    fn take(&mut self, line: InputLine) -> Result<(), CommandError> {
        let Some(bytes) = line.bytes else {
            let trouble = LineError::Line("the line is longer than 1 MiB".to_owned());
            return self.report.failed(line.number, &trouble);
        };
        match UpsertRecord::read(self.kind, &bytes) {
            Ok(upsert) => {
                let job = UpsertJob { line: line.number, upsert, begun_at: None, tries: 0 };
                self.queue.push(job, Instant::now());
                Ok(())
            }
            Err(error) => {
                let message = error.to_string().replace(" at line 1 column", " at column");
                self.report.failed(line.number, &LineError::Line(message))
            }
        }
    }

    /// Sends what is due, as much as there is room for.
    fn launch(&mut self, now: Instant) {
        while self.flights.len() < self.in_flight_max && self.free_at <= now {
            let Some(mut job) = self.queue.take(now) else { return };
            job.begun_at.get_or_insert(now);
            self.free_at = self.free_at.max(now) + self.interval;
            let client = self.client.clone();
            self.flights.spawn(async move {
                let answer = job.upsert.send(&client).await;
                (job, answer)
            });
        }
    }

    /// When the next one can be sent, if nothing lands before.
    fn next_launch(&self) -> Option<Instant> {
        let has_place = self.flights.len() < self.in_flight_max;
        self.queue.next_due().filter(|_| has_place).map(|due| due.max(self.free_at))
    }

    fn land(
        &mut self,
        landed: Result<JobResult, JoinError>,
    ) -> Result<Option<StopReason>, CommandError> {
        let (job, answer) = landed.map_err(|error| CommandError::Failed(error.to_string()))?;
        match answer {
            Ok(kept) => {
                self.failures = 0;
                self.queue.settle(&job, Instant::now());
                self.report.done(job.line, &kept)?;
                Ok(None)
            }
            Err(error @ Error::Refused { .. }) => {
                self.failures = 0;
                self.queue.settle(&job, Instant::now());
                self.report.failed(job.line, &LineError::Savio(error))?;
                Ok(None)
            }
            Err(error) if self.is_hopeless(&error) => Ok(Some(StopReason::Savio(error))),
            Err(error) => self.again(job, error),
        }
    }

    /// Whether every other line would fare alike.
    fn is_hopeless(&self, error: &Error) -> bool {
        match error {
            Error::Unauthorized { .. }
            | Error::NotFound { .. }
            | Error::Insecure { .. }
            | Error::NextPage(_) => true,
            Error::UnexpectedResponse { .. } => !self.report.has_done_any(),
            Error::Refused { .. }
            | Error::Throttled { .. }
            | Error::ServerError { .. }
            | Error::Unreachable { .. }
            | Error::NoResponse { .. } => {
                error.retry_after().is_some_and(|asked| asked > self.give_up_after)
            }
        }
    }

    fn again(
        &mut self,
        mut job: UpsertJob,
        error: Error,
    ) -> Result<Option<StopReason>, CommandError> {
        let now = Instant::now();
        if let Some(asked) = error.retry_after() {
            self.free_at = self.free_at.max(now + asked);
        }
        if !matches!(error, Error::Throttled { .. }) {
            self.failures += 1;
        }
        // That many in a row are no chance: it is Savio, or the way to it.
        let waves = self.failures / self.in_flight_max;
        if waves > 0 {
            let wave = u32::try_from(waves - 1).unwrap_or(u32::MAX);
            self.free_at = self.free_at.max(now + wait(wave));
        }
        let due = (now + wait(job.tries)).max(self.free_at);
        job.tries = job.tries.saturating_add(1);
        if due < job.begun_at.unwrap_or(now) + self.give_up_after {
            self.queue.again(job, due);
            return Ok(None);
        }
        if waves > 0 {
            return Ok(Some(StopReason::Savio(error)));
        }
        self.queue.settle(&job, now);
        self.report.failed(job.line, &LineError::Savio(error))?;
        Ok(None)
    }
}

fn wait(tries: u32) -> Duration {
    BACKOFF.wait_with_jitter(tries, fastrand::u32(..))
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}
