//! The real gate, retry, names and store, on a disk in memory where there is one, and the
//! reference.

use std::cell::RefCell;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use savio_relay::delivery::gate::PausedBy;
use savio_relay::delivery::outcome::{self, UnansweredPolicy};
use savio_relay::delivery::{Delivery, Destination, Mappings, Settings};
use savio_relay::event::{EventId, State};
use savio_relay::savio::{self, Client};
use savio_relay::store::sqlite::{self, Sqlite};
use savio_relay::store::{
    Archive, ClaimRequest, EventFilter, EventRecord, HoldDecision, Inbox, Queue, ReleaseOutcome,
    ReplayId, ReplayRequest, StateCount, Webhook, run_replay,
};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::task::JoinHandle;

use super::reference::{Expected, Reference};
use super::{Payload, SOURCES, Step, Story, suspects};
use crate::delivery::{event, mappings_of};
use crate::support::half_hours;
use crate::support::store::{at, name, release, somebody};

const MAPPING: &str = r#"
    [[company]]
    internal_id = "$.account"
    name = "company {{ payload.account }}"
    filterable_attributes = { n = "$.n" }

    [[contact]]
    internal_id = "$.user"
    name = "person {{ payload.user }}"
    filterable_attributes = { n = "$.n" }

    [[feedback]]
    when = "{{ payload.feedback }}"
    problem = "$.text"
    source_username = "$.n"
    feature_request_title = "$.title"
    tags = ["$.tags[*]"]
"#;

/// Longest wait for a retry: an hour, up to half of it added at random, and the seconds that a
/// delivery takes.
const WAIT_MAX: i64 = 5_400 + 60;

/// Longest time in which an event that ended the process is not mapped after a start.
const COOLDOWN_MAX: i64 = 11;

pub(super) struct World {
    folder: TempDir,
    store: Arc<Sqlite>,
    delivery: Arc<Delivery>,
    relay: Relay,
    reference: Arc<Mutex<Reference>>,
    savio: JoinHandle<()>,
    events: Vec<EventId>,
    moved: Moved,
    /// What had happened at the last look.
    happened: RefCell<half_hours::Happened>,
}

/// Numbers of decisions of people by which events left or entered the queue.
#[derive(Debug, Clone, Copy, Default)]
struct Moved {
    queued_again: i64,
    /// Released as delivered.
    released: i64,
}

impl Drop for World {
    fn drop(&mut self) {
        self.savio.abort();
    }
}

impl World {
    pub(super) async fn new(story: &Story, mappings: &Mappings) -> World {
        let reference = Arc::new(Mutex::new(Reference::new(story.holds, &story.answers)));
        let (url, savio) = crate::delivery::model::savio::start(reference.clone()).await;
        let unanswered = if story.holds { UnansweredPolicy::Hold } else { UnansweredPolicy::Retry };
        let retry = outcome::Settings { unanswered, ..outcome::Settings::default() };
        let settings = Settings { retry, ..Settings::default() };
        // In memory a commit costs little.
        let folder = TempDir::new_in("/dev/shm").or_else(|_| TempDir::new()).unwrap();
        let disk = open(&folder);
        let max_in_flight = story.max_in_flight;
        let relay = Relay { url, max_in_flight, settings, mappings: mappings.clone() };
        let delivery = relay.start(&disk, 0);
        World {
            folder,
            store: disk,
            delivery,
            relay,
            reference,
            savio,
            events: Vec::new(),
            moved: Moved::default(),
            happened: RefCell::default(),
        }
    }

    fn reference(&self) -> MutexGuard<'_, Reference> {
        self.reference.lock().unwrap()
    }

    pub(super) async fn take(&mut self, step: &Step) {
        let now = self.reference().now;
        match step {
            Step::Receive(payload) => self.receive(payload).await,
            Step::Deliver => self.deliver().await,
            Step::Crash(requests) => {
                self.reference().crash_in = Some(*requests);
                self.deliver().await;
                self.restart().await;
            }
            Step::CrashUnmapped(events) => {
                let claimed = self.claim_due(*events).await;
                self.restart().await;
                suspects::are_all_suspect(&self.path(), &claimed).unwrap();
            }
            Step::Restart => {
                self.store.release_all().await.unwrap();
                self.restart().await;
            }
            Step::Pass(seconds) => self.reference().now += seconds,
            Step::Pause => {
                self.delivery.pause(at(now)).await.unwrap();
                self.reference().paused_by_person = true;
            }
            Step::Resume => {
                self.delivery.resume(at(now)).await.unwrap();
                self.reference().paused_by_person = false;
            }
            Step::PauseSource(source) => {
                self.delivery.pause_source(name(SOURCES[*source]), at(now)).await.unwrap();
                self.reference().paused[*source] = true;
            }
            Step::ResumeSource(source) => self.resume_source(*source).await,
            Step::Probe(works) => self.reference().probe_works = *works,
            Step::Replay(event) if !self.events.is_empty() => {
                self.replay(event.index(self.events.len())).await;
            }
            Step::Release(event, has_arrived) if !self.events.is_empty() => {
                self.release(event.index(self.events.len()), *has_arrived).await;
            }
            Step::Replay(_) | Step::Release(..) => {}
        }
    }

    async fn receive(&mut self, payload: &Payload) {
        let webhook = {
            let mut reference = self.reference();
            let webhook = webhook(payload, reference.events.len(), reference.now);
            reference.events.push(Expected::new(payload));
            webhook
        };
        let kept = self.store.store(webhook).await.unwrap();
        self.events.extend(kept.events);
    }

    /// Delivers all due events, unless the process is killed during that.
    async fn deliver(&mut self) {
        let now = self.reference().now;
        let status = self.delivery.status(at(now)).await.unwrap();
        let (crashed, by_person) = {
            let mut reference = self.reference();
            reference.begin();
            let by_person = reference.paused_by_person;
            reference.closed = match status.paused_by {
                _ if by_person => Some("a person paused it"),
                Some(_) if !reference.probe_works => Some("it is paused, and the probe fails"),
                Some(_) | None => None,
            };
            (reference.crashed.clone(), by_person)
        };
        assert_eq!(status.paused_by == Some(PausedBy::Person), by_person);
        tokio::select! {
            biased;
            () = crashed.notified() => {}
            _ = self.delivery.deliver_all(at(now)) => {
                let waits = self.judge_waits().await;
                self.reference().wrong.extend(waits.err());
            }
        }
    }

    /// Claims due events and returns those that were not mapped before.
    async fn claim_due(&self, slots: usize) -> Vec<EventId> {
        let (sources, now) = (SOURCES.map(name).to_vec(), at(self.reference().now));
        let request = ClaimRequest {
            sources,
            slots,
            bytes_max: usize::MAX,
            now,
            lease: Duration::from_mins(1),
        };
        let claimed = self.store.claim(request).await.unwrap();
        let unmapped = claimed.iter().filter(|one| one.requests.is_none());
        unmapped.map(|one| one.event.id).collect()
    }

    /// Starts another process on the same store. Claims that were not given back are as after a
    /// crash.
    async fn restart(&mut self) {
        self.store.close().await;
        self.store = open(&self.folder);
        let life = self.reference().begins_anew();
        self.delivery = self.relay.start(&self.store, life);
        let records = self.records().await;
        self.reference().restarts(&records);
    }

    async fn resume_source(&mut self, source: usize) {
        self.delivery.resume_source(&name(SOURCES[source])).await.unwrap();
        self.reference().paused[source] = false;
    }

    /// Returns a time after the last delivery, which took some milliseconds.
    fn later(&self) -> i64 {
        let mut reference = self.reference();
        reference.now += 1;
        reference.now
    }

    async fn replay(&mut self, number: usize) {
        let now = self.later();
        let filter = EventFilter { ids: vec![self.events[number]], ..EventFilter::default() };
        let begun_at = at(now);
        let order = ReplayRequest {
            id: ReplayId::new(begun_at),
            filter,
            interval: Duration::ZERO,
            begun_at,
        };
        let id = order.id;
        self.store.start_replay(order, somebody()).await.unwrap();
        let replay = run_replay(&*self.store, id, |_| {}).await.unwrap().unwrap();
        let mut reference = self.reference();
        let expected = &mut reference.events[number];
        assert_eq!(replay.replayed == 1, expected.state != State::Queued);
        if replay.replayed == 1 {
            expected.replay(now);
        }
        drop(reference);
        self.moved.queued_again += i64::from(replay.replayed == 1);
    }

    async fn release(&mut self, number: usize, has_arrived: bool) {
        let now = self.later();
        if self.reference().events[number].state == State::Held {
            let decision =
                if has_arrived { HoldDecision::AlreadyArrived } else { HoldDecision::SendAgain };
            let released = self.store.release(release(self.events[number], decision, at(now)));
            match released.await.unwrap() {
                ReleaseOutcome::Queued => self.moved.queued_again += 1,
                ReleaseOutcome::Delivered => self.moved.released += 1,
                ReleaseOutcome::NotFound | ReleaseOutcome::NotHeld(_) => {}
            }
            self.reference().events[number].release(has_arrived, now);
        }
    }

    /// Lets Savio accept everything, ends all pauses, and lets some hours pass.
    pub(super) async fn heal(&mut self) {
        {
            let mut reference = self.reference();
            reference.answers.clear();
            reference.probe_works = true;
        }
        self.take(&Step::Resume).await;
        for source in 0..SOURCES.len() {
            self.resume_source(source).await;
        }
        for wait in [WAIT_MAX, COOLDOWN_MAX] {
            self.reference().now += wait;
            self.deliver().await;
        }
    }

    /// Checks that each waiting event waits for its own retry, no longer than the longest one, or
    /// for an older event that has to make the same upsert first and waits itself.
    async fn judge_waits(&self) -> Result<(), String> {
        let now = self.reference().now;
        if self.delivery.why_closed(at(now)).is_some() {
            return Ok(());
        }
        let records = self.records().await;
        let paused = self.reference().paused;
        let waits = |record: &EventRecord| {
            let source = SOURCES.iter().position(|it| name(it) == record.event.source).unwrap();
            record.state == State::Queued && !paused[source]
        };
        for (number, record) in records.iter().enumerate().filter(|(_, it)| waits(it)) {
            let wrong = |what: &str| format!("event {number} waits: {what}\n{record:?}");
            let due_at = record.due_at.unwrap();
            if due_at <= at(now) || due_at > at(now + WAIT_MAX) {
                return Err(wrong("it is due, or later than any wait"));
            }
            let reason = record.reason.as_deref().unwrap_or_default();
            let Some(behind) = reason.strip_prefix("waits for event ") else { continue };
            let is_it = |id: &EventId| behind.starts_with(&id.to_string());
            let other = self.events.iter().position(is_it).unwrap();
            let is_pending = self.reference().upserts_before(other, number);
            if !waits(&records[other]) || records[other].due_at < record.due_at || !is_pending {
                return Err(wrong(&format!(
                    "event {other} does not keep it: {:?}",
                    records[other]
                )));
            }
        }
        Ok(())
    }

    pub(super) async fn judge(&self) -> Result<(), String> {
        let records = self.records().await;
        self.judge_counts(&records).await?;
        self.judge_half_hours()?;
        suspects::judge(&self.path())?;
        self.reference().judge(&records)
    }

    async fn judge_counts(&self, records: &[EventRecord]) -> Result<(), String> {
        for StateCount { source, state, events } in self.store.counts().await.unwrap() {
            let is_one = |it: &&EventRecord| it.event.source == source && it.state == state;
            let there = records.iter().filter(is_one).count();
            if u64::try_from(there) != Ok(events) {
                return Err(format!("{there} of {source} are {state:?}, counted are {events}"));
            }
        }
        let counted = self.store.counts().await.unwrap().iter().map(|it| it.events).sum();
        let all = u64::try_from(records.len()) == Ok(counted);
        if all { Ok(()) } else { Err(format!("{} events, counted are {counted}", records.len())) }
    }

    /// Checks that the balance is that of the events, that each of them is counted when it was settled, and
    /// that nothing that happened is taken back.
    fn judge_half_hours(&self) -> Result<(), String> {
        let totals = half_hours::check(&self.path())?;
        let Moved { queued_again, released } = self.moved;
        let all = i64::try_from(self.events.len()).unwrap_or(i64::MAX);
        // An event leaves the queue by being settled or held, and comes back by a person's decision.
        let left = all + queued_again - totals.queued;
        if totals.accepted != all || totals.webhooks != all || totals.settled != left + released {
            return Err(format!("{all} events, {:?}, but counted are {totals:?}", self.moved));
        }
        let mut happened = self.happened.borrow_mut();
        let now = half_hours::happened(&self.path());
        if !half_hours::only_grew(&happened, &now) {
            return Err(format!("it happened before: {happened:?}, and now: {now:?}"));
        }
        *happened = now;
        Ok(())
    }

    pub(super) async fn nothing_waits(&self) -> Result<(), String> {
        let records = self.records().await;
        match records.iter().position(|record| record.state == State::Queued) {
            Some(number) => {
                let record = &records[number];
                Err(format!("event {number} waits though nothing keeps it: {record:?}"))
            }
            None => suspects::there_are_none(&self.path()),
        }
    }

    fn path(&self) -> PathBuf {
        path(&self.folder)
    }

    async fn records(&self) -> Vec<EventRecord> {
        let mut records = Vec::with_capacity(self.events.len());
        for id in &self.events {
            records.push(self.store.event(*id).await.unwrap().unwrap());
        }
        records
    }
}

fn open(folder: &TempDir) -> Arc<Sqlite> {
    Arc::new(Sqlite::open(&sqlite::Settings::new(path(folder))).unwrap())
}

fn path(folder: &TempDir) -> PathBuf {
    folder.path().join("relay.db")
}

/// Settings of each process.
struct Relay {
    /// Savio's URL; each life of the process has a path of its own there.
    url: String,
    max_in_flight: usize,
    settings: Settings,
    mappings: Mappings,
}

impl Relay {
    fn start(&self, store: &Arc<Sqlite>, life: usize) -> Arc<Delivery> {
        let base_url = format!("{}/{life}/", self.url).parse().unwrap();
        let (token, timeout) = ("T".into(), Duration::from_mins(5));
        let client = Client::new(savio::Settings { base_url, token, timeout }).unwrap();
        let (name, client) = ("default".to_owned(), Ok(client));
        let destination = Destination { name, client, max_in_flight: self.max_in_flight };
        let delivery = Delivery::new(store.clone(), destination, self.settings.clone());
        delivery.replace_mappings(self.mappings.clone());
        Arc::new(delivery)
    }
}

/// Returns one mapping for both sources.
pub(super) fn mappings() -> Mappings {
    let mut mappings = mappings_of(MAPPING);
    let mapping = mappings[&name(SOURCES[0])].clone();
    mappings.insert(name(SOURCES[1]), mapping);
    mappings
}

fn webhook(payload: &Payload, number: usize, now: i64) -> Webhook {
    let mut body = json!({ "n": number.to_string(), "account": null, "user": null });
    body["account"] = payload.account.map(|id| id.to_string()).into();
    body["user"] = payload.user.map(|id| id.to_string()).into();
    if let Some(feedback) = &payload.feedback {
        body["feedback"] = true.into();
        body["text"] = if feedback.has_text { "It is slow".into() } else { Value::Null };
        body["title"] = feedback.title.map(|title| format!("title {title}")).into();
        body["tags"] = feedback.tags.iter().map(|tag| format!("tag {tag}")).collect();
    }
    let source = name(SOURCES[payload.source]);
    Webhook { source, received_at: at(now), ..event(&body) }
}
