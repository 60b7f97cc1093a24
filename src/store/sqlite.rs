//! One node, the default: an SQLite file with one writer thread that groups commits.

mod inbox;
pub(crate) mod queue;
pub(crate) mod archive;
pub(crate) mod maintenance;
pub(crate) mod rows;
pub mod engine;

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use serde_json::Value;
use tokio::sync::{Mutex, Semaphore, watch};
use tokio::time::{sleep, timeout};
use tracing::warn;

use super::{
    Claim, ClaimRequest, ClaimedEvent, EarlierUpsert, EventFilter, EventPage, EventRecord,
    HoldDecision, MatchCount, PageRequest, Progress, Purged, ReleaseOutcome, Renewal, ReplayId,
    ReplayProgress, ReplayRequest, StateCount, Store, StoreError, StoredEvents, Trouble, Waiting,
    Webhook,
};
use crate::clock;
use crate::event::{EventId, RecordKey, SourceName};
use crate::telemetry::metrics::Commits;
use engine::damage::Damage;
use engine::database_file::DatabaseFile;
pub use engine::database_file::{OpenError, is_served};
use engine::disk_reserve::DiskReserve;
pub use engine::disk_reserve::DiskSpace;
use engine::error::unavailable;
use engine::readers::{Purpose, Readers};
use engine::transaction::Transaction;
use engine::writer::Writer;
use queue::leases::{Loaded, Unreadable};

/// How long a command waits for its turn.
const PATIENCE: Duration = Duration::from_secs(5);

/// How long an answer of `ready` holds, since asking costs a commit.
const READY_FOR: Duration = Duration::from_secs(1);

/// How soon it is seen that another process wrote.
const LOOK_EVERY: Duration = Duration::from_millis(500);

const WEBHOOK_BYTES_MAX: usize = 5 * 1024 * 1024;

/// Bodies that wait for their commit, in KiB.
const WAITING_KIB: usize = 64 * 1024;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub path: PathBuf,
    /// Intake stops while less than this is free; left out: 64 MiB, or 5 % of a smaller file system.
    pub reserve_bytes: Option<u64>,
    /// `ready` is true only while one of this size would be kept.
    pub webhook_bytes_max: usize,
}

impl Settings {
    pub fn new(path: impl Into<PathBuf>) -> Settings {
        Settings { path: path.into(), reserve_bytes: None, webhook_bytes_max: WEBHOOK_BYTES_MAX }
    }

    pub fn folder(&self) -> &Path {
        let folder = self.path.parent().filter(|folder| !folder.as_os_str().is_empty());
        folder.unwrap_or(Path::new("."))
    }
}

/// A store in one file, which no second server can open.
#[derive(Debug)]
pub struct Sqlite {
    pub commits: Commits,
    writer: Writer,
    readers: Arc<Readers>,
    damage: Arc<Damage>,
    reserve: DiskReserve,
    webhook_bytes_max: usize,
    waiting: Arc<Semaphore>,
    /// How often events came to be due.
    arrived: watch::Sender<u64>,
    ready: Mutex<Option<(Instant, Result<(), StoreError>)>>,
    /// SQLite's count of what others wrote, when it was last looked at.
    written: AtomicI64,
}

impl Sqlite {
    /// Opens or creates the file. Claims of an earlier process end.
    pub fn open(settings: &Settings) -> Result<Sqlite, OpenError> {
        let path = engine::database_file::create(&settings.path)?;
        let reserve = reserve(settings, &path)?;
        // The log has to fit into the reserve, with what it adds to the database.
        let database = DatabaseFile::open(&path, reserve.bytes() / 4)?;
        Sqlite::start(database, reserve, settings.webhook_bytes_max)
    }

    /// Opens the file of a server beside it, whether it runs or not: to look, replay and release.
    pub fn open_beside(settings: &Settings) -> Result<Sqlite, OpenError> {
        let path = engine::database_file::find(&settings.path)?;
        let reserve = reserve(settings, &path)?;
        let database = DatabaseFile::open_beside(&path, reserve.bytes() / 4)?;
        Sqlite::start(database, reserve, settings.webhook_bytes_max)
    }

    fn start(
        database: DatabaseFile,
        reserve: DiskReserve,
        webhook_bytes_max: usize,
    ) -> Result<Sqlite, OpenError> {
        let damage = Arc::new(Damage::none(database.path()));
        let readers = Arc::new(Readers::new(database.path(), Arc::clone(&damage)));
        let commits = Commits::default();
        let shared = (Arc::clone(&readers), Arc::clone(&damage));
        let writer = Writer::start(database, shared, commits.clone())?;
        Ok(Sqlite {
            commits,
            writer,
            readers,
            damage,
            reserve,
            webhook_bytes_max,
            waiting: Arc::new(Semaphore::new(WAITING_KIB)),
            arrived: watch::Sender::new(0),
            ready: Mutex::new(None),
            written: AtomicI64::new(0),
        })
    }

    /// Writes what was begun and lets go of the file; so does dropping, which blocks meanwhile.
    pub async fn close(&self) {
        let thread = self.writer.stop();
        // A writer that panicked has said so in the log.
        let _ =
            tokio::task::spawn_blocking(move || thread.map(std::thread::JoinHandle::join)).await;
    }

    /// How many events are claimed.
    pub async fn in_hand(&self) -> Result<u64, StoreError> {
        self.readers.read(Purpose::Look, queue::schedule::in_hand).await
    }

    async fn probe(&self) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(self.webhook_bytes_max, 0)?;
        let write = self.writer.write(|connection| Ok(engine::database_file::touch(connection)?));
        let late = || unavailable(Trouble::Busy, format!("the disk took longer than {PATIENCE:?}"));
        timeout(PATIENCE, write).await.unwrap_or_else(|_| Err(late()))
    }

    /// What was read of events, once those that nobody can read are dead. If that fails, their leases end by
    /// themselves, and they are read again.
    async fn readable(&self, Loaded { claimed, unreadable }: Loaded) -> Vec<ClaimedEvent> {
        if !unreadable.is_empty() {
            let (now, dead) = (clock::now(), unreadable.clone());
            let bury = move |writing: &Transaction<'_>| queue::leases::bury(writing, &dead, now);
            match self.writer.write(bury).await {
                Ok(()) => unreadable.iter().for_each(Unreadable::tell),
                Err(error) => warn!(%error, "events that cannot be read stay as they are"),
            }
        }
        claimed
    }

    fn arrive(&self) {
        self.arrived.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Notices what other processes write, and does not end.
    async fn watch_others(&self) -> Infallible {
        loop {
            sleep(LOOK_EVERY).await;
            // On the writer's connection, whose own commits do not count.
            let look = self
                .writer
                .look(|connection| Ok(engine::database_file::written_by_others(connection)?));
            if let Ok(written) = look.await
                && self.written.swap(written, Ordering::Relaxed) != written
            {
                self.arrive();
            }
        }
    }
}

pub(crate) fn reserve(settings: &Settings, path: &Path) -> Result<DiskReserve, OpenError> {
    let folder = path.parent().unwrap_or(path);
    DiskReserve::new(folder, settings.reserve_bytes)
        .map_err(|source| OpenError::File { path: folder.to_owned(), source })
}

impl Drop for Sqlite {
    fn drop(&mut self) {
        // A writer that panicked has said so in the log.
        let _ = self.writer.stop().map(std::thread::JoinHandle::join);
    }
}

#[async_trait]
impl Store for Sqlite {
    async fn store(&self, webhook: Webhook) -> Result<StoredEvents, StoreError> {
        self.damage.check()?;
        let bytes = webhook.body.len() + webhook.decoded.as_ref().map_or(0, String::len);
        let waiting = (WAITING_KIB - self.waiting.available_permits()) * 1024;
        self.reserve.admit(bytes, waiting)?;
        let kib = u32::try_from((bytes / 1024).min(WAITING_KIB)).unwrap_or(u32::MAX);
        let room = timeout(PATIENCE, Arc::clone(&self.waiting).acquire_many_owned(kib)).await;
        let Ok(Ok(room)) = room else {
            return Err(unavailable(Trouble::Busy, "too many webhooks wait for the disk"));
        };
        let write = self.writer.write(move |writing| {
            let _until_written = &room;
            inbox::keep(writing, &webhook)
        });
        let kept = write.await?;
        if kept.new_events() > 0 {
            self.arrive();
        }
        Ok(kept)
    }

    async fn claim(&self, wanted: ClaimRequest) -> Result<Vec<ClaimedEvent>, StoreError> {
        self.damage.check()?;
        let leases =
            self.writer.write(move |connection| queue::leases::lease(connection, &wanted)).await?;
        if leases.is_empty() {
            return Ok(Vec::new());
        }
        let claims: Vec<Claim> = leases.iter().map(|lease| lease.claim).collect();
        let loaded = self
            .readers
            .read(Purpose::Delivery, move |connection| queue::leases::load(connection, &leases))
            .await;
        if loaded.is_err() {
            // Nobody will work on them; if this fails too, the leases end by themselves.
            let _ =
                self.writer.write(move |connection| queue::leases::end(connection, &claims)).await;
        }
        Ok(self.readable(loaded?).await)
    }

    async fn renew(
        &self,
        renewals: Vec<Renewal>,
        until: Timestamp,
    ) -> Result<Vec<Claim>, StoreError> {
        self.writer
            .write(move |connection| queue::leases::renew(connection, &renewals, until))
            .await
    }

    async fn rewind(&self, sources: Vec<SourceName>, now: Timestamp) -> Result<(), StoreError> {
        self.damage.check()?;
        let sources = Arc::new(sources);
        loop {
            let asked = Arc::clone(&sources);
            let late = self.readers.read(Purpose::Delivery, move |connection| {
                queue::rewind::late(connection, &asked, now)
            });
            let queue::rewind::Late { events, has_more, replays } = late.await?;
            for chunk in events.chunks(queue::rewind::CHANGED_MAX) {
                let chunk = chunk.to_vec();
                let write =
                    move |writing: &Transaction<'_>| queue::rewind::events(writing, &chunk, now);
                self.writer.write(write).await?;
            }
            if !replays.is_empty() {
                let write =
                    move |writing: &Transaction<'_>| queue::rewind::replays(writing, &replays, now);
                self.writer.write(write).await?;
            }
            if !has_more {
                return Ok(());
            }
        }
    }

    async fn load(&self, claim: Claim) -> Result<Option<ClaimedEvent>, StoreError> {
        let loaded = self
            .readers
            .read(Purpose::Delivery, move |connection| queue::leases::load_one(connection, claim))
            .await;
        Ok(self.readable(loaded?).await.pop())
    }

    async fn earlier_upsert(
        &self,
        place: u64,
        upsert: RecordKey,
        sources: Vec<SourceName>,
    ) -> Result<Option<EarlierUpsert>, StoreError> {
        self.readers
            .read(Purpose::Delivery, move |connection| {
                queue::schedule::earlier_upsert(connection, (place, upsert), &sources)
            })
            .await
    }

    async fn end_waits_behind(&self, now: Timestamp) -> Result<(), StoreError> {
        let end = move |writing: &Transaction<'_>| queue::rewind::end_waits_behind(writing, now);
        while self.writer.write(end).await? == queue::rewind::CHANGED_MAX {}
        Ok(())
    }

    async fn advance(&self, claim: Claim, progress: Progress) -> Result<(), StoreError> {
        self.writer.write(move |writing| queue::progress::advance(writing, claim, &progress)).await
    }

    async fn mark(&self, claim: Claim) -> Result<(), StoreError> {
        self.writer.write(move |connection| queue::suspects::mark(connection, claim)).await
    }

    async fn unmark(&self, claim: Claim) -> Result<(), StoreError> {
        self.writer.write(move |connection| queue::suspects::unmark(connection, claim)).await
    }

    async fn give_back(&self) -> Result<(), StoreError> {
        self.writer.write(|connection| Ok(queue::suspects::give_back(connection)?)).await
    }

    async fn next_due(&self, sources: Vec<SourceName>) -> Result<Option<Timestamp>, StoreError> {
        self.readers
            .read(Purpose::Delivery, move |connection| {
                queue::schedule::next_due(connection, &sources)
            })
            .await
    }

    async fn wait_for_work(&self, seen: u64) -> u64 {
        let mut arrived = self.arrived.subscribe();
        tokio::select! {
            count = arrived.wait_for(|count| *count != seen) => count.map_or(seen, |count| *count),
            never = self.watch_others() => match never {},
        }
    }

    async fn ready(&self) -> Result<(), StoreError> {
        let mut last = self.ready.lock().await;
        if let Some((at, answer)) = last.as_ref()
            && at.elapsed() < READY_FOR
        {
            return answer.clone();
        }
        let answer = self.probe().await;
        *last = Some((Instant::now(), answer.clone()));
        answer
    }

    async fn event(&self, id: EventId) -> Result<Option<EventRecord>, StoreError> {
        self.readers
            .read(Purpose::Look, move |connection| queue::schedule::event(connection, id))
            .await
    }

    async fn body(&self, id: EventId) -> Result<Option<Vec<u8>>, StoreError> {
        self.readers
            .read(Purpose::Look, move |connection| queue::schedule::body(connection, id))
            .await
    }

    async fn counts(&self) -> Result<Vec<StateCount>, StoreError> {
        self.readers.read(Purpose::Look, queue::schedule::counts).await
    }

    async fn waiting(&self) -> Result<Vec<Waiting>, StoreError> {
        self.readers.read(Purpose::Look, queue::schedule::waiting).await
    }

    async fn oldest(&self) -> Result<Vec<(SourceName, Timestamp)>, StoreError> {
        self.readers.read(Purpose::Look, queue::schedule::oldest).await
    }

    async fn read_state(&self, name: &str) -> Result<Option<Value>, StoreError> {
        let name = name.to_owned();
        self.readers
            .read(Purpose::Delivery, move |connection| {
                queue::destination_state::read(connection, &name)
            })
            .await
    }

    async fn write_state(&self, name: &str, gate: Value) -> Result<(), StoreError> {
        let name = name.to_owned();
        self.writer
            .write(move |connection| queue::destination_state::keep(connection, &name, &gate))
            .await
    }

    async fn list(&self, filter: EventFilter, page: PageRequest) -> Result<EventPage, StoreError> {
        if filter.text.is_some() {
            return archive::text_search::list(&self.readers, filter, page).await;
        }
        self.readers
            .read(Purpose::Look, move |connection| archive::search::list(connection, filter, page))
            .await
    }

    async fn matching(&self, filter: EventFilter) -> Result<MatchCount, StoreError> {
        if filter.text.is_some() {
            return archive::text_search::matching(&self.readers, filter).await;
        }
        self.readers
            .read(Purpose::Look, move |connection| archive::search::matching(connection, &filter))
            .await
    }

    async fn start_replay(&self, order: ReplayRequest) -> Result<(), StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        self.writer.write(move |connection| archive::replay::begin(connection, &order)).await
    }

    async fn step_replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.damage.check()?;
        self.reserve.admit(0, 0)?;
        // What is to be changed is looked for apart from the writer, however long that takes.
        let step = self
            .readers
            .read(Purpose::Look, move |connection| archive::replay::next(connection, id))
            .await?;
        if let Some(step) = step {
            self.writer.write(move |writing| archive::replay::take(writing, &step)).await?;
            self.arrive();
        }
        self.replay(id).await
    }

    async fn cancel_replay(&self, id: ReplayId, now: Timestamp) -> Result<(), StoreError> {
        self.writer.write(move |connection| archive::replay::cancel(connection, id, now)).await
    }

    async fn replay(&self, id: ReplayId) -> Result<Option<ReplayProgress>, StoreError> {
        self.readers
            .read(Purpose::Look, move |connection| archive::replay::look(connection, id))
            .await
    }

    async fn open_replays(&self) -> Result<Vec<ReplayId>, StoreError> {
        self.readers.read(Purpose::Look, archive::replay::open).await
    }

    async fn release(
        &self,
        id: EventId,
        word: HoldDecision,
        now: Timestamp,
    ) -> Result<ReleaseOutcome, StoreError> {
        self.damage.check()?;
        let write =
            self.writer.write(move |writing| archive::release::release(writing, id, (word, now)));
        let released = write.await?;
        self.arrive();
        Ok(released)
    }

    async fn purge(&self, settled_before: Timestamp) -> Result<Purged, StoreError> {
        self.damage.check()?;
        self.writer
            .write(move |writing| maintenance::retention::forget(writing, settled_before))
            .await
    }

    async fn recount(&self) -> Result<usize, StoreError> {
        let wrong = self.readers.read(Purpose::Look, engine::transaction::wrong).await?;
        let count = wrong.len();
        if count > 0 {
            let mend = move |writing: &Transaction<'_>| {
                writing.mend(&wrong);
                Ok(())
            };
            self.writer.write(mend).await?;
        }
        Ok(count)
    }
}
