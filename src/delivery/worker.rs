//! The worker loop of a destination: claims due events and runs one task for each, so that a
//! request that hangs does not stop the others.

mod clock_watch;
mod wait_log;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use super::attempt;
use super::clock::SteadyClock;
use super::context::Context;
use super::job::{self, Finished};
use crate::clock;
use crate::diagnostics::counted;
use crate::event::{EventId, SourceName};
use crate::store::{ClaimRequest, ClaimedEvent, StoreError};
use clock_watch::ClockWatch;
use wait_log::WaitLog;

/// Shortest and longest time until the store is read again for due events.
// Events that become due one by one, each a millisecond after the last, would otherwise make the
// loop read without a pause.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_mins(1);
const STORE_UNAVAILABLE_WAIT: Duration = Duration::from_secs(1);

/// Number of events that are claimed beyond the slots in flight: for each slot, and in total.
// Derived from the steps of an event. A slot is occupied from the mark as `sending` to the answer;
// beside it one event is claimed and mapped, and another's answer is recorded, each of which waits
// for the disk: hence two. More only wait in memory, and fewer leave slots empty:
// `cargo bench --profile dev --bench hot_name -- --short` (8 slots, answers after 20 ms, others
// alone) on two busy cores: 198 events a second with none, 257 with one, 247 to 299 in seven runs
// with two, 270 with four. The limit bounds what is in memory, and how many events a crash makes
// suspects, where `max_in_flight` is large. Events that are parked leave their place to others, so
// a record that many wait for needs no more: beside 800 events of one record others keep 94 % of
// their rate, and 99 % with up to 40 more claimed.
const AHEAD_EACH: usize = 2;
const AHEAD_MAX: usize = 32;

/// Share of tasks that go to parked events while new ones are due: one in this many.
// Events of one busy record are sent one at a time anyway. They should not take many slots from all
// other events.
const PARKED_EVERY: usize = 6;

/// Memory of payloads and requests in progress above which no event is claimed.
// A payload may have 5 MiB, and its requests several times that. One event is always admitted,
// however large it is: otherwise it would never be delivered.
const CLAIMED_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Number of leases that are renewed in one commit.
// The store has one writer: webhooks and progress wait for as long as a commit takes.
const RENEWED_MAX: usize = 512;

/// An event that a task works on.
#[derive(Debug, Clone, Copy)]
struct RunningEvent {
    event: EventId,
    bytes: usize,
}

impl RunningEvent {
    fn of(claimed: &ClaimedEvent) -> RunningEvent {
        RunningEvent { event: claimed.event.id, bytes: claimed.bytes }
    }
}

/// Tasks that each deliver one event, or probe the destination.
pub(super) struct Worker {
    context: Arc<Context>,
    tasks: JoinSet<Finished>,
    events: HashMap<Id, RunningEvent>,
    /// Memory of `events`. Parked ones are not in memory and do not count.
    bytes: usize,
    /// Memory that each parked event takes once it is loaded again.
    parked_bytes: HashMap<EventId, usize>,
    /// Number of new events that began since a parked one was resumed.
    since_parked: usize,
    store_is_unavailable: bool,
    clock: ClockWatch,
    wait_log: WaitLog,
    /// Live sources at the last claim; none before the first.
    live_sources: Option<Vec<SourceName>>,
}

impl Worker {
    pub(super) fn new(context: Arc<Context>) -> Worker {
        Worker {
            context,
            tasks: JoinSet::new(),
            events: HashMap::new(),
            bytes: 0,
            parked_bytes: HashMap::new(),
            since_parked: 0,
            store_is_unavailable: false,
            clock: ClockWatch::default(),
            wait_log: WaitLog::default(),
            live_sources: None,
        }
    }

    /// Delivers events as they become due, until `shutdown`; then finishes those in progress.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) {
        // A shutdown may drop the loop in the middle of a claim. The store has that claim then and
        // no task does; it ends when the relay gives all of its claims back (`Queue::release_all`),
        // or with its lease.
        tokio::select! {
            () = shutdown => {}
            () = self.run_loop() => {}
        }
        self.drain().await;
    }

    /// Delivers all events that are due at `now` and returns their number.
    pub(super) async fn run_once(mut self, now: Timestamp) -> usize {
        let context = self.context.clone();
        let clock = SteadyClock::starting(now);
        let mut count = 0;
        // Events that an earlier call left parked are still claimed, and no loop renewed their
        // leases in between.
        self.renew(now).await;
        loop {
            match self.claim(clock.now()).await {
                Ok(claimed) => count += claimed,
                Err(error) => warn!(%error, "cannot claim events"),
            }
            tokio::select! {
                has_finished = self.join_next() => if !has_finished { return count },
                () = context.claims.unblocked.notified() => {}
            }
        }
    }

    async fn run_loop(&mut self) {
        let context = self.context.clone();
        // A third of the lease: two renewals may fail or be late before a lease ends.
        let mut renewal = interval((context.settings.lease / 3).max(LOOK_MIN));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = 0;
        loop {
            let look_again = self.fill(clock::now()).await;
            // Without room, new and unblocked events would wake the loop only to find that none can
            // begin. The end of a task wakes it, and `Notify` keeps one notification until then.
            let has_room = self.free_slots() > 0;
            tokio::select! {
                Some(finished) = self.tasks.join_next_with_id() => self.on_finished_batch(finished),
                count = context.store.wait_for_work(seen), if has_room => seen = count,
                () = context.mappings_replaced.notified() => {}
                () = context.gate.changed.notified() => {}
                () = context.claims.unblocked.notified(), if has_room => {}
                () = sleep(look_again) => {}
                _ = renewal.tick() => self.renew(clock::now()).await,
            }
        }
    }

    /// Starts as many events as there is room for; returns the time after which to try again.
    async fn fill(&mut self, now: Timestamp) -> Duration {
        let slots = self.free_slots();
        let claimed = self.claim(now).await;
        self.wait_log.observe(&self.context, now).await;
        let rest = self.context.gate.rest(now).unwrap_or(LOOK_MAX).clamp(LOOK_MIN, LOOK_MAX);
        let look_again = match claimed {
            // More events may be due, but none can begin before a task ends or the gate opens: when
            // the next one is due does not matter, and reading it would cost a query for each event
            // that ends.
            Ok(claimed) if claimed >= slots || self.room(now) == 0 => Ok(rest),
            Ok(_) => self.until_due(now).await.map(|due| due.min(rest)),
            Err(error) => Err(error),
        };
        if let Err(error) = &look_again
            && !self.store_is_unavailable
        {
            warn!(%error, "no events can be claimed");
        }
        self.store_is_unavailable = look_again.is_err();
        look_again.unwrap_or(STORE_UNAVAILABLE_WAIT)
    }

    async fn claim(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        self.context.open(now).await?;
        self.follow_clock(now).await?;
        self.follow_sources(now).await?;
        if self.context.gate.take_probe(now) {
            let context = self.context.clone();
            self.tasks.spawn(async move {
                attempt::probe(&context, now).await;
                Finished::Done
            });
        }
        if self.since_parked >= PARKED_EVERY - 1 && self.room(now) > 0 {
            self.unpark(now);
        }
        let count = self.claim_new(now).await?;
        // Slots that no new event needs all go to parked ones.
        while self.room(now) > 0 && self.unpark(now) {}
        Ok(count)
    }

    /// Shortens stored waits and leases after the clock was set back, so that none lasts longer
    /// because of that.
    async fn follow_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.clock.observe((now, Instant::now()), self.events.keys().copied());
        if self.clock.needs_rewind() {
            self.context.store.rewind(self.context.live_sources(), now).await?;
            self.clock.mark_rewound();
        }
        Ok(())
    }

    /// Ends the waits of events for earlier ones when the live sources change: events of a source
    /// that is paused or has no mapping are not waited for.
    async fn follow_sources(&mut self, now: Timestamp) -> Result<(), StoreError> {
        let live = self.context.live_sources();
        if self.live_sources.as_ref() != Some(&live) {
            self.context.store.end_waits_behind(now).await?;
            self.live_sources = Some(live);
        }
        Ok(())
    }

    async fn claim_new(&mut self, now: Timestamp) -> Result<usize, StoreError> {
        let (sources, slots) = (self.context.live_sources(), self.room(now));
        if sources.is_empty() || slots == 0 {
            return Ok(0);
        }
        let lease = self.context.settings.lease;
        let bytes_max = CLAIMED_BYTES_MAX - self.bytes.min(CLAIMED_BYTES_MAX);
        let request = ClaimRequest { sources, slots, bytes_max, now, lease };
        let claimed = self.context.claims.claim(&*self.context.store, request).await?;
        let count = claimed.len();
        self.since_parked = self.since_parked.saturating_add(count);
        if count < slots {
            // No more events are due: the next parked one may begin before the store is read again.
            self.since_parked = PARKED_EVERY;
        }
        for new in claimed {
            let (context, active) = (self.context.clone(), RunningEvent::of(&new));
            let task = self.tasks.spawn(async move { job::deliver(&context, new, now).await });
            self.track(task.id(), active);
        }
        Ok(count)
    }

    /// Resumes the oldest parked event that is no longer blocked; false if there is none.
    fn unpark(&mut self, now: Timestamp) -> bool {
        let Some(parked) = self.context.claims.unpark() else { return false };
        self.since_parked = 0;
        let (context, event) = (self.context.clone(), parked.0.event);
        let task =
            self.tasks.spawn(async move { job::deliver_parked(&context, parked, now).await });
        // An event that was claimed again before its task had ended (`ClaimGuard::drop`) was never
        // measured: it counts as 0.
        let bytes = self.parked_bytes.remove(&event).unwrap_or_default();
        self.track(task.id(), RunningEvent { event, bytes });
        true
    }

    fn track(&mut self, task: Id, active: RunningEvent) {
        self.bytes += active.bytes;
        self.events.insert(task, active);
    }

    async fn until_due(&self, now: Timestamp) -> Result<Duration, StoreError> {
        let due = self.context.store.next_due(self.context.live_sources()).await?;
        let until =
            |due: Timestamp| Duration::try_from(due.duration_since(now)).unwrap_or_default();
        Ok(due.map_or(LOOK_MAX, until).clamp(LOOK_MIN, LOOK_MAX))
    }

    async fn renew(&self, now: Timestamp) {
        let until = now.saturating_add(self.context.settings.lease).unwrap_or(now);
        for events in self.context.claims.all().chunks(RENEWED_MAX) {
            let renewals = self.context.claims.renewals(events);
            if let Err(error) = self.context.store.renew(renewals, until).await {
                warn!(%error, "cannot renew the leases of the claimed events");
                return;
            }
        }
    }

    /// Waits until one task has finished; false if none is running.
    async fn join_next(&mut self) -> bool {
        let Some(finished) = self.tasks.join_next_with_id().await else {
            return false;
        };
        self.on_finished(finished);
        true
    }

    /// Handles the first finished task and all others that have finished by now.
    fn on_finished_batch(&mut self, first: Result<(Id, Finished), JoinError>) {
        self.on_finished(first);
        // One claim then fills all of their slots, instead of one commit for each.
        while let Some(finished) = self.tasks.try_join_next_with_id() {
            self.on_finished(finished);
        }
    }

    fn on_finished(&mut self, finished: Result<(Id, Finished), JoinError>) {
        let task = finished.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        self.clock.finished(task);
        let active = self.events.remove(&task);
        self.bytes -= active.as_ref().map_or(0, |it| it.bytes);
        match (finished, active) {
            (Ok((_, Finished::Parked)), Some(RunningEvent { event, bytes })) => {
                self.parked_bytes.insert(event, bytes);
            }
            (Ok(_), _) => {}
            (Err(error), Some(RunningEvent { event: id, .. })) => {
                // The event stays claimed until its lease ends. Claimed again at once, it would
                // panic again and again.
                error!(event.id = %id, %error, "work on event {id} stopped unexpectedly (bug)");
            }
            (Err(error), None) => error!(%error, "a probe stopped unexpectedly (bug)"),
        }
    }

    /// Waits for the tasks to finish, up to the shutdown timeout; then cancels the rest.
    async fn drain(&mut self) {
        let limit = self.context.settings.shutdown_timeout;
        // First, so that no event that still waits for a slot sends another request.
        self.context.claims.close_slots();
        let in_flight = self.tasks.len();
        if in_flight > 0 {
            info!(in_flight, "finishing the events in flight");
        }
        let drained = timeout(limit, async { while self.join_next().await {} }).await;
        if drained.is_err() {
            let cut_off = self.tasks.len();
            let events = counted(cut_off as u64, "event");
            warn!(
                cut_off,
                "shutdown timeout: {events} interrupted, to be resumed at the next start"
            );
            // Drops each task's `ClaimGuard`, which logs a request whose answer could not be
            // recorded.
            self.tasks.shutdown().await;
        }
    }

    /// Number of events that may begin now, by slots, memory and the gate.
    fn room(&self, now: Timestamp) -> usize {
        if self.bytes >= CLAIMED_BYTES_MAX {
            return 0;
        }
        self.free_slots().min(self.context.gate.room(now))
    }

    fn free_slots(&self) -> usize {
        let slots = self.context.destination.max_in_flight;
        let ahead = slots.saturating_mul(AHEAD_EACH).min(AHEAD_MAX);
        slots.saturating_add(ahead).saturating_sub(self.tasks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::context::ProcessContext;
    use crate::delivery::settings::{Destination, Settings};
    use crate::store::{Sqlite, sqlite};

    fn worker(folder: &tempfile::TempDir) -> Worker {
        let store = sqlite::Settings::new(folder.path().join("relay.db"));
        let store = Arc::new(Sqlite::open(&store).unwrap());
        let client = Err("no token".to_owned());
        let destination = Destination { name: "default".to_owned(), client, max_in_flight: 1 };
        let process = ProcessContext::default();
        Worker::new(Arc::new(Context::new(process, store, destination, Settings::default())))
    }

    #[tokio::test]
    async fn finished_event_returns_its_memory_and_a_probe_takes_none() {
        let folder = tempfile::tempdir().unwrap();
        let mut worker = worker(&folder);
        let event = EventId::new(Timestamp::UNIX_EPOCH);
        for finished in [Finished::Done, Finished::Parked] {
            let task = worker.tasks.spawn(async move { finished });
            worker.track(task.id(), RunningEvent { event, bytes: 7 });
            assert_eq!(worker.bytes, 7);

            assert!(worker.join_next().await);
            assert_eq!(worker.bytes, 0);
        }
        assert_eq!(worker.parked_bytes.get(&event), Some(&7), "counted again when it resumes");

        worker.tasks.spawn(async { Finished::Done });
        assert!(worker.join_next().await);
        assert_eq!((worker.bytes, worker.parked_bytes.len()), (0, 1), "a probe is no event");
    }

    #[tokio::test]
    async fn two_events_are_claimed_ahead_of_each_slot() {
        let folder = tempfile::tempdir().unwrap();
        let mut worker = worker(&folder);
        assert_eq!(worker.free_slots(), 3);

        worker.tasks.spawn(std::future::pending());
        assert_eq!(worker.free_slots(), 2);
    }
}
