//! The work on one event: maps it, acquires its locks, and sends its requests until it is settled
//! or has to wait.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;

use super::acquisition::{Acquisition, AcquisitionResult, AcquisitionStep};
use super::attempt;
use super::claims::{ClaimGuard, ResumedEvent};
use super::clock::SteadyClock;
use super::conflicts::LockRequest;
use super::context::Context;
use super::feature_requests::TitleReader;
use super::mapper::MapError;
use super::observer::{ObservedEvent, observable};
use super::plan::{RequestPlan, SentRequest, Unmapped};
use super::progress::{self, ClaimLost};
use super::settings::MappingInService;
use crate::event::{Event, Outcome, RecordKey, SourceName, WaitingFor};
use crate::mapping::{MappedRequests, Mapping};
use crate::store::{
    ClaimedEvent, EarlierUpsert, Headline, MappingText, NextStep, Progress, StoreError, WaitsFor,
};
use crate::telemetry::traces::{DeliverySpan, WorkResult};

/// Wait of an event that finds the queue of waiting events full: the longer of the first, and the
/// second for each event that was rejected so far.
// Spread over time, since events that all came back at once would find the queue full again.
const QUEUE_FULL_WAIT_MIN: Duration = Duration::from_secs(30);
const QUEUE_FULL_WAIT_EACH: Duration = Duration::from_millis(20);

/// Wait for an earlier event that is claimed while no job works on it, until its lease ends.
const ABANDONED_WAIT: Duration = Duration::from_secs(1);

/// Result of the work on an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Finished {
    /// The event is settled, or waits in the store.
    Done,
    /// The event stays claimed and waits for another event.
    Parked,
}

/// What the job does after a step is recorded.
enum Action {
    Send(usize),
    Park,
    End(WorkResult),
}

/// Works on a newly claimed event until it is settled or has to wait.
pub(super) async fn deliver(context: &Context, claimed: ClaimedEvent, now: Timestamp) -> Finished {
    let guard = context.claims.guard(claimed.claim, claimed.seq);
    Job::new(context, claimed, guard, SteadyClock::starting(now)).work_on().await
}

/// Resumes a parked event, which is read from the store again.
pub(super) async fn deliver_parked(
    context: &Context,
    (claim, seq): ResumedEvent,
    now: Timestamp,
) -> Finished {
    let (guard, clock) = (context.claims.guard(claim, seq), SteadyClock::starting(now));
    let Some(claimed) = progress::load(context, &guard).await else { return Finished::Done };
    // The source may have been paused, or have lost its mapping, while the event was parked.
    let Some(obstacle) = context.why_source_waits(&claimed.event.source) else {
        return Job::new(context, claimed, guard, clock).work_on().await;
    };
    let wait = NextStep::Wait { until: clock.now(), reason: obstacle.reason };
    // An error means that the claim is lost: there is nothing left to record.
    let source = &claimed.event.source;
    let _ = progress::record(context, &guard, source, Progress::to(wait)).await;
    Finished::Done
}

struct Job<'c> {
    context: &'c Context,
    source: SourceName,
    plan: RequestPlan,
    /// The text by which the event was just mapped.
    mapped_by: Option<Arc<MappingText>>,
    /// What the event says, if its mapping failed.
    headline: Option<Headline>,
    /// How it is watched; none if it says nothing about its sender.
    observable: Option<ObservedEvent>,
    span: DeliverySpan,
    clock: SteadyClock,
    guard: ClaimGuard<'c>,
}

impl<'c> Job<'c> {
    fn new(
        context: &'c Context,
        claimed: ClaimedEvent,
        guard: ClaimGuard<'c>,
        clock: SteadyClock,
    ) -> Job<'c> {
        let destination = &context.destination.name;
        let span = context.process.traces.delivery(&claimed.event, destination, clock.now());
        let source = claimed.event.source.clone();
        let observable = observable(&claimed);
        let plan = RequestPlan::of(claimed, span.parent());
        let (mapped_by, headline) = (None, None);
        Job { context, source, plan, mapped_by, headline, observable, span, clock, guard }
    }

    async fn work_on(mut self) -> Finished {
        let mut progress = self.begin().await;
        // Until then the event blocks the upserts of all younger events, whatever it maps to.
        self.guard.set_upserts(&self.plan.upserts());
        loop {
            self.acquire_locks(&mut progress).await;
            match self.record_and_admit(progress).await {
                Action::Send(position) => {
                    // Only now, after the last attempt is recorded: a younger event that no longer
                    // finds the upsert here must find it done in the store.
                    self.guard.set_upserts(&self.plan.upserts());
                    let sent = attempt::send(self.context, &self.plan, position, &self.clock).await;
                    progress = self.judge(sent).await;
                }
                Action::Park => {
                    self.guard.set_upserts(&self.plan.upserts());
                    self.guard.park();
                    self.span.end(WorkResult::Parked);
                    return Finished::Parked;
                }
                Action::End(result) => {
                    self.span.end(result);
                    return Finished::Done;
                }
            }
        }
    }

    async fn judge(&mut self, sent: SentRequest) -> Progress {
        attempt::judge(self.context, &mut self.plan, sent, &self.clock).await
    }

    /// Maps the event if that was not done before, and returns its first step.
    async fn begin(&mut self) -> Progress {
        let Some(unmapped) = self.plan.unmapped.take() else {
            return match self.plan.interrupted() {
                // The process ended during this send, and nobody knows whether it arrived. It is
                // judged like an answer, so that the attempt is in the history and the policy for
                // unanswered requests applies.
                Some(position) => {
                    self.judge(SentRequest::interrupted(position, self.clock.now())).await
                }
                None => Progress::to(self.plan.next(self.clock.now())),
            };
        };
        match self.map_and_link(unmapped).await {
            Ok(MappedRequests { requests, notes, left_out, said, filled, .. }) => {
                self.plan.set_requests(&requests);
                let next = Progress::to(self.plan.next(self.clock.now()));
                let (mapping, planned) = (self.mapped_by.take(), Some(requests));
                let filled = if self.observable.is_some() { filled } else { Vec::new() };
                Progress { planned, said, notes, left_out, filled, mapping, ..next }
            }
            // What only waits is mapped again, perhaps by another text.
            Err(next) if matches!(next, NextStep::Settle { .. }) => {
                let (headline, mapping) = (self.headline.take(), self.mapped_by.take());
                Progress { headline, mapping, ..Progress::to(next) }
            }
            Err(next) => Progress::to(next),
        }
    }

    async fn map_and_link(&mut self, unmapped: Unmapped) -> Result<MappedRequests, NextStep> {
        let mapped = self.map(unmapped).await?;
        let Context { feature_requests, destination, gate, .. } = self.context;
        let client = &destination.client();
        let reader = TitleReader { client, gate, clock: &self.clock };
        feature_requests.link(mapped, &reader).await
    }

    /// Applies the mapping; an error is the step to record instead.
    async fn map(
        &mut self,
        Unmapped { event, suspect }: Unmapped,
    ) -> Result<MappedRequests, NextStep> {
        let (mapper, now) = (&self.context.process.mapper, self.clock.now());
        // Before the lock: the event waits in the store and keeps no other from being mapped.
        if let Some(left) = mapper.lock.cooldown(suspect, now) {
            let until = now.saturating_add(left).unwrap_or(now);
            let reason =
                "the process ended while it was mapped: that is tried again in some seconds";
            return Err(NextStep::Wait { until, reason: reason.to_owned() });
        }
        let _permit = mapper.lock.acquire(suspect).await;
        // Read after the wait for the lock, during which the mappings may have been replaced.
        let in_service = self.context.mappings().get(&event.source).cloned();
        let Some(MappingInService { mapping, text }) = in_service else {
            let source = self.context.why_source_waits(&event.source);
            let reason = source.map(|source| source.reason).unwrap_or_default();
            return Err(NextStep::Wait { until: now, reason });
        };
        self.mapped_by = Some(text);
        let requests = match suspect {
            None => mapper.map(mapping, event, None).await,
            Some(_) => self.map_suspect(mapping, event).await,
        };
        requests.map_err(|error| {
            self.headline = error.headline();
            error.next(now)
        })
    }

    async fn map_suspect(
        &self,
        mapping: Arc<Mapping>,
        event: Event,
    ) -> Result<MappedRequests, MapError> {
        let mapper = &self.context.process.mapper;
        // Before the mark, so that the event is marked only while it is mapped: a death during the
        // wait is not its fault.
        let (event, memory) = mapper.reserve(event).await?;
        let marked = progress::mark(self.context, &self.guard).await;
        marked.map_err(|ClaimLost| MapError::Unmarked)?;
        let requests = mapper.map(mapping, event, Some(memory)).await;
        // If the runtime stops, it is unknown whether the mapping has ended; a clean stop clears
        // the mark (`release_all`).
        if !matches!(requests, Err(MapError::Stopped)) {
            progress::unmark(self.context, &self.guard).await;
        }
        requests
    }

    /// Releases the locks of a request that is done, and acquires those of the next and a slot. If
    /// they cannot be had, changes the next step to a wait.
    async fn acquire_locks(&mut self, progress: &mut Progress) {
        // Events that wait for these names may begin while this one is recorded. Its upsert stays
        // registered until then.
        if progress.attempt.as_ref().is_some_and(|attempt| attempt.outcome == Outcome::Done) {
            self.guard.mark_sent();
        }
        let NextStep::Send { position, at } = progress.next else {
            self.guard.release_slot();
            return;
        };
        let turn = self.acquire(LockRequest::of(self.plan.request(position))).await;
        // The slot comes last: an event that waits for locks should not keep a slot from one that
        // could be sent.
        if matches!(turn, Ok(AcquisitionResult::Granted)) && self.guard.acquire_slot().await {
            return;
        }
        self.guard.release_slot();
        progress.next = match turn {
            Ok(AcquisitionResult::Granted) | Err(_) => {
                NextStep::Wait { until: at, reason: "the relay stops".to_owned() }
            }
            Ok(AcquisitionResult::Blocked) => {
                NextStep::Park { waits_for: self.context.claims.waits_for(self.guard.seq()) }
            }
            Ok(AcquisitionResult::QueueFull(count)) => {
                let wait = QUEUE_FULL_WAIT_MIN.max(QUEUE_FULL_WAIT_EACH * count);
                let until = at.saturating_add(wait).unwrap_or(Timestamp::MAX);
                let reason = "too many events are waiting for the same record".to_owned();
                NextStep::Wait { until, reason }
            }
            Ok(AcquisitionResult::Behind(earlier, upsert)) => {
                NextStep::WaitBehind { waits_for: waits_for(earlier, upsert), upsert, at }
            }
            Ok(AcquisitionResult::Abandoned(earlier, upsert)) => {
                let until = at.saturating_add(ABANDONED_WAIT).unwrap_or(Timestamp::MAX);
                NextStep::Wait { until, reason: waits_for(earlier, upsert).reason }
            }
        };
    }

    /// Runs the acquisition to its end; fails if the relay stops while the store is unavailable.
    async fn acquire(&self, request: LockRequest) -> Result<AcquisitionResult, StoreError> {
        let (context, guard) = (self.context, &self.guard);
        let mut acquisition = Acquisition::new(guard.seq(), request);
        let mut step = guard.change(|conflicts| acquisition.begin(conflicts));
        loop {
            step = match step {
                AcquisitionStep::AskStore(upsert) => {
                    let earlier = progress::earlier_upsert(context, guard, upsert).await?;
                    guard.change(|conflicts| acquisition.continue_with(conflicts, earlier))
                }
                AcquisitionStep::AwaitClaims => {
                    context.claims.wait_for_claims().await;
                    guard.change(|conflicts| acquisition.begin(conflicts))
                }
                AcquisitionStep::Done(turn) => return Ok(turn),
            };
        }
    }

    /// Records the step. A send is recorded once the gate admits it; if the gate is closed, a wait
    /// is recorded instead.
    async fn record_and_admit(&self, mut progress: Progress) -> Action {
        let (context, guard, clock) = (self.context, &self.guard, &self.clock);
        let admitted = self.admit(&mut progress).await;
        let next = progress.next.clone();
        let recorded = match admitted {
            Ok(()) => self.record(progress).await,
            Err(ClaimLost) => Err(ClaimLost),
        };
        guard.set_request_open(recorded.is_ok() && matches!(next, NextStep::Send { .. }));
        if recorded.is_ok() {
            progress::log_state_change(guard.event(), &next);
        }
        match (next, recorded) {
            (NextStep::Send { position, .. }, Ok(())) => Action::Send(position),
            (NextStep::Send { .. }, Err(ClaimLost)) => {
                context.gate.return_slot(clock.now());
                Action::End(WorkResult::Lost)
            }
            (NextStep::Park { .. }, Ok(())) => Action::Park,
            (NextStep::Wait { until, .. } | NextStep::WaitBehind { at: until, .. }, Ok(())) => {
                Action::End(WorkResult::Waiting { until })
            }
            (NextStep::Settle { state, .. }, Ok(())) => Action::End(WorkResult::Settled(state)),
            (
                NextStep::Park { .. }
                | NextStep::Wait { .. }
                | NextStep::WaitBehind { .. }
                | NextStep::Settle { .. },
                Err(ClaimLost),
            ) => Action::End(WorkResult::Lost),
        }
    }

    /// Waits until the request of a send may go. If the gate is closed, changes the step to a wait.
    async fn admit(&self, progress: &mut Progress) -> Result<(), ClaimLost> {
        let NextStep::Send { .. } = progress.next else { return Ok(()) };
        let (gate, clock) = (&self.context.gate, &self.clock);
        match gate.admit(clock.now()) {
            Ok(turn) => {
                // If the gate is open at once, one commit holds the result of the last attempt and
                // the mark of the next as `sending`. During a wait the result must be on disk: a
                // process that ends then would send the last request again.
                if turn > clock.now() && progress.attempt.is_some() {
                    self.record(progress.take_result()).await?;
                }
                clock.wait_until(turn).await;
            }
            Err(WaitingFor { reason, .. }) => {
                // Due at once: no event is claimed while the gate is closed, and the gate knows
                // when it opens.
                progress.next = NextStep::Wait { until: clock.now(), reason };
            }
        }
        Ok(())
    }

    async fn record(&self, progress: Progress) -> Result<(), ClaimLost> {
        let Context { process, destination, .. } = self.context;
        // An event that is parked before its first attempt is not recorded: it is mapped again when
        // it resumes, and what it waits for is written when its lease is renewed. Thousands that
        // wait for one record thus cost no commits.
        if progress.attempt.is_none() && matches!(progress.next, NextStep::Park { .. }) {
            return Ok(());
        }
        let (left_out, blocks) = (progress.left_out.clone(), progress.filled.clone());
        progress::record(self.context, &self.guard, &self.source, progress).await?;
        // Only once it is recorded: an event that is mapped again leaves out the same fields.
        process.attempts.left_out(&destination.name, &left_out);
        if let Some(event) = self.observable.as_ref().filter(|_| !blocks.is_empty()) {
            let event = ObservedEvent { blocks, ..event.clone() };
            process.observer.pass_on(event, &process.attempts);
        }
        Ok(())
    }
}

fn waits_for(earlier: EarlierUpsert, upsert: RecordKey) -> WaitsFor {
    let EarlierUpsert { seq, event: id, .. } = earlier;
    let reason = format!("waits for event {id}, which upserts the same {} first", upsert.thing());
    WaitsFor { event: seq, reason }
}
