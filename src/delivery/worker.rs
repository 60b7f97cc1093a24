//! The loop of delivery: as many events in flight as the destination takes, and one that hangs
//! stalls no other.

mod clock_watch;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use tokio::task::{Id, JoinError, JoinSet};
use tokio::time::{MissedTickBehavior, interval, sleep, timeout};
use tracing::{error, info, warn};

use super::attempt;
use super::clock::RunClock;
use super::context::Context;
use super::job::{self, Finished};
use crate::clock;
use crate::event::{EventId, SourceName};
use crate::store::{ClaimRequest, ClaimedEvent, StoreError};
use clock_watch::ClockWatch;

/// However near the next event is due, the store has this much rest.
const LOOK_MIN: Duration = Duration::from_millis(20);
const LOOK_MAX: Duration = Duration::from_mins(1);
const STORE_AWAY_WAIT: Duration = Duration::from_secs(1);

/// How many events more are in hand for each place in flight, up to a limit.
// While one event is sent, the next is read and mapped, and the last is recorded, each of which waits for the disk: hence
// two. `cargo bench --profile dev --bench hot_name -- --short` (8 places, answers after 20 ms, others alone) on two busy
// cores: 198 events a second with none, 257 with one, 247 to 299 in seven runs with two, 270 with four. So some are needed,
// and more than two gain nothing. The limit bounds what is in memory, and how many events a crash makes suspects, where
// `max_in_flight` is large.
const AHEAD_EACH: usize = 2;
const AHEAD_MAX: usize = 32;

/// How many more than that may be in hand, where many turn out to wait for others.
// Thus the events of a record that many wait for are soon parked, and others found behind them. The number grows by two for
// an event that is parked and shrinks by one for any other: it rises while more than a third of the events are parked, and
// is 0 again soon after. Its greatest value is not from a measurement: in the benchmark above, with 800 events of one
// record, 0 and 400 do as well.
const PARKING_MAX: usize = 40;
const PARKING_GROWTH: usize = 2;

/// The largest payload beside which more are in hand, since each is in memory until it is mapped.
const PARKING_BYTES_MAX: usize = 64 * 1024;

/// Every so many-th place in flight goes to an event that was parked, as long as others are there:
/// those that wait for one another are to take little from the rest.
const PARKED_EVERY: usize = 6;

/// How much memory payloads and requests in hand may take; one event more begins in any case. Each of them
/// may be 5 MiB large, and the requests that it becomes a few times that.
const IN_HAND_BYTES_MAX: usize = 16 * 1024 * 1024;

/// How many leases are renewed at once, since others wait for the disk meanwhile.
const RENEWED_MAX: usize = 512;

/// An event that is worked on.
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

/// The events that are worked on at the same time.
pub(super) struct Worker {
    context: Arc<Context>,
    tasks: JoinSet<Finished>,
    events: HashMap<Id, RunningEvent>,
    /// How much memory those take, those that are parked aside.
    bytes: usize,
    /// What each parked event takes when it goes on.
    parked_bytes: HashMap<EventId, usize>,
    /// How many events more may be in hand, since many wait for others.
    parking: usize,
    /// Events since the last that was parked before.
    since_parked: usize,
    store_is_away: bool,
    clock: ClockWatch,
    /// As they were at the last look.
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
            parking: 0,
            since_parked: 0,
            store_is_away: false,
            clock: ClockWatch::default(),
            live_sources: None,
        }
    }

    /// Works on events as they come, until `shutdown`; then finishes what is in flight.
    pub(super) async fn run(mut self, shutdown: impl Future<Output = ()>) {
        tokio::select! {
            () = shutdown => {}
            () = self.keep_going() => {}
        }
        self.wind_down().await;
    }

    /// Works on all that is due at `now`, and tells how many events that were.
    pub(super) async fn run_once(mut self, now: Timestamp) -> usize {
        let context = self.context.clone();
        let clock = RunClock::starting(now);
        let mut count = 0;
        self.renew(now).await;
        loop {
            match self.claim(clock.now()).await {
                Ok(claimed) => count += claimed,
                Err(error) => warn!(%error, "cannot claim events"),
            }
            tokio::select! {
                has_landed = self.land() => if !has_landed { return count },
                () = context.claims.freed.notified() => {}
            }
        }
    }

    async fn keep_going(&mut self) {
        let context = self.context.clone();
        let mut renewal = interval((context.settings.lease / 3).max(LOOK_MIN));
        renewal.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut seen = 0;
        loop {
            let look_again = self.fill(clock::now()).await;
            let has_room = self.free_slots() > 0;
            tokio::select! {
                Some(landed) = self.tasks.join_next_with_id() => self.note_all(landed),
                count = context.store.wait_for_work(seen), if has_room => seen = count,
                () = context.mappings_replaced.notified() => {}
                () = context.gate.turned.notified() => {}
                () = context.claims.freed.notified(), if has_room => {}
                () = sleep(look_again) => {}
                _ = renewal.tick() => self.renew(clock::now()).await,
            }
        }
    }

    /// Takes as many events as there is room for, and tells after which time to look again.
    async fn fill(&mut self, now: Timestamp) -> Duration {
        let slots = self.free_slots();
        let claimed = self.claim(now).await;
        let rest = self.context.gate.rest(now).unwrap_or(LOOK_MAX).clamp(LOOK_MIN, LOOK_MAX);
        let look_again = match claimed {
            Ok(claimed) if claimed >= slots || self.room(now) == 0 => Ok(rest),
            Ok(_) => self.until_due(now).await.map(|due| due.min(rest)),
            Err(error) => Err(error),
        };
        if let Err(error) = &look_again
            && !self.store_is_away
        {
            warn!(%error, "no events can be claimed");
        }
        self.store_is_away = look_again.is_err();
        look_again.unwrap_or(STORE_AWAY_WAIT)
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
        while self.room(now) > 0 && self.unpark(now) {}
        Ok(count)
    }

    /// No event waits longer, and no lease lasts longer, because the clock was set back.
    async fn follow_clock(&mut self, now: Timestamp) -> Result<(), StoreError> {
        self.clock.look((now, Instant::now()), self.events.keys().copied());
        if self.clock.is_due() {
            self.context.store.rewind(self.context.live_sources(), now).await?;
            self.clock.told();
        }
        Ok(())
    }

    /// Events of a source that is paused, or has no mapping, are not waited for any more.
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
        let bytes_max = IN_HAND_BYTES_MAX - self.bytes.min(IN_HAND_BYTES_MAX);
        let wanted = ClaimRequest { sources, slots, bytes_max, now, lease };
        let claimed = self.context.claims.claim(&*self.context.store, wanted).await?;
        let count = claimed.len();
        self.since_parked = self.since_parked.saturating_add(count);
        if count < slots {
            // No others are there: the next that was parked need not wait for a look into the store.
            self.since_parked = PARKED_EVERY;
        }
        if claimed.iter().any(|one| one.event.payload.len() > PARKING_BYTES_MAX) {
            self.parking = 0;
        }
        for one in claimed {
            let (context, in_hand) = (self.context.clone(), RunningEvent::of(&one));
            let task = self.tasks.spawn(async move { job::deliver(&context, one, now).await });
            self.take(task.id(), in_hand);
        }
        Ok(count)
    }

    /// Goes on with an event that waited for others; false if none can.
    fn unpark(&mut self, now: Timestamp) -> bool {
        let Some(parked) = self.context.claims.unpark() else { return false };
        self.since_parked = 0;
        let (context, event) = (self.context.clone(), parked.0.event);
        let task =
            self.tasks.spawn(async move { job::deliver_parked(&context, parked, now).await });
        let bytes = self.parked_bytes.remove(&event).unwrap_or_default();
        self.take(task.id(), RunningEvent { event, bytes });
        true
    }

    fn take(&mut self, task: Id, in_hand: RunningEvent) {
        self.bytes += in_hand.bytes;
        self.events.insert(task, in_hand);
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
                warn!(%error, "cannot renew the leases of the events in hand");
                return;
            }
        }
    }

    /// Waits for one event to land; false if none is in flight.
    async fn land(&mut self) -> bool {
        let Some(landed) = self.tasks.join_next_with_id().await else {
            return false;
        };
        self.note(landed);
        true
    }

    /// All that landed meanwhile, so that their places are filled by one claim.
    fn note_all(&mut self, first: Result<(Id, Finished), JoinError>) {
        self.note(first);
        while let Some(landed) = self.tasks.try_join_next_with_id() {
            self.note(landed);
        }
    }

    /// An event whose work broke off by a bug is claimed again when its lease ends: not before, so
    /// that it does not keep the relay busy.
    fn note(&mut self, landed: Result<(Id, Finished), JoinError>) {
        let task = landed.as_ref().map_or_else(JoinError::id, |(task, _)| *task);
        self.clock.landed(task);
        let in_hand = self.events.remove(&task);
        self.bytes -= in_hand.as_ref().map_or(0, |it| it.bytes);
        if let (Ok((_, Finished::Parked)), Some(RunningEvent { event, bytes })) =
            (&landed, &in_hand)
        {
            self.parked_bytes.insert(*event, *bytes);
        }
        match (landed, in_hand) {
            (Err(error), Some(RunningEvent { event: id, .. })) => {
                error!(event.id = %id, %error, "work on event {id} broke off: a bug of the relay");
            }
            (Err(error), None) => error!(%error, "a probe broke off: a bug of the relay"),
            (Ok((_, Finished::Parked)), _) => {
                self.parking = (self.parking + PARKING_GROWTH).min(PARKING_MAX);
            }
            (Ok((_, Finished::Done)), Some(_)) => self.parking = self.parking.saturating_sub(1),
            // A probe: it is no event that found its turn.
            (Ok((_, Finished::Done)), None) => {}
        }
    }

    async fn wind_down(&mut self) {
        let limit = self.context.settings.shutdown_timeout;
        self.context.claims.close_slots();
        let in_flight = self.tasks.len();
        if in_flight > 0 {
            info!(in_flight, "finishing the events in flight");
        }
        let landed = timeout(limit, async { while self.land().await {} }).await;
        if landed.is_err() {
            let cut_off = self.tasks.len();
            warn!(
                cut_off,
                "shutdown timeout: {cut_off} events interrupted, they resume at the next start"
            );
            // Each says what it could not record, before the process ends.
            self.tasks.shutdown().await;
        }
    }

    /// How many events it makes sense to claim.
    fn room(&self, now: Timestamp) -> usize {
        if self.bytes >= IN_HAND_BYTES_MAX {
            return 0;
        }
        self.free_slots().min(self.context.gate.room(now))
    }

    fn free_slots(&self) -> usize {
        let places = self.context.destination.max_in_flight;
        let ahead = places.saturating_mul(AHEAD_EACH).min(AHEAD_MAX);
        places.saturating_add(ahead + self.parking).saturating_sub(self.tasks.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::context::ProcessContext;
    use crate::delivery::settings::{Destination, Settings};
    use crate::store::{Sqlite, sqlite};

    #[tokio::test]
    async fn end_of_a_probe_leaves_the_room_for_parked_events() {
        let folder = tempfile::tempdir().unwrap();
        let store = sqlite::Settings::new(folder.path().join("relay.db"));
        let store = Arc::new(Sqlite::open(&store).unwrap());
        let client = Err("no token".to_owned());
        let destination = Destination { name: "default".to_owned(), client, max_in_flight: 1 };
        let process = ProcessContext::default();
        let context = Context::new(process, store, destination, Settings::default());
        let mut worker = Worker::new(Arc::new(context));
        worker.parking = 4;

        worker.tasks.spawn(async { Finished::Done });
        assert!(worker.land().await);
        assert_eq!(worker.parking, 4, "a probe is no event");

        let event = worker.tasks.spawn(async { Finished::Done });
        worker.take(
            event.id(),
            RunningEvent { event: EventId::new(Timestamp::UNIX_EPOCH), bytes: 1 },
        );
        assert!(worker.land().await);
        assert_eq!((worker.parking, worker.bytes), (3, 0));
    }
}
