//! The only thread that writes. It groups all waiting commands into one commit.

use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Instant;

use rusqlite::Connection;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::timeout;
use tracing::{error, info};

use super::batch::{self, Access, CommandResults, WriteCommand};
use super::change_log::ChangeLog;
use super::damage::Damage;
use super::database_file::{BUSY_TIMEOUT, DatabaseFile};
use super::error::{SqliteError, unavailable};
use super::files::LogState;
use super::open_error::OpenError;
use super::readers::Readers;
use super::transaction::Transaction;
use crate::clock;
use crate::store::error::{StoreError, UnavailableKind};
use crate::telemetry::metrics::Commits;

/// Number of commands that may share a commit. If one of them fails, all run again one by one.
const BATCH_MAX: usize = 256;

/// Number of commands that may wait.
const WAITING_MAX: usize = 1024;

#[derive(Debug)]
pub(crate) struct Writer {
    commands: Mutex<Option<mpsc::Sender<Box<dyn WriteCommand>>>>,
    damage: Arc<Damage>,
    /// Changes when the thread has answered the commands of a batch.
    answered: watch::Receiver<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    pub(crate) fn start(
        database: DatabaseFile,
        (readers, damage, changes): (Arc<Readers>, Arc<Damage>, Arc<ChangeLog>),
        commits: Commits,
    ) -> Result<Writer, OpenError> {
        let path = database.path().to_owned();
        let (commands, waiting) = mpsc::channel(WAITING_MAX);
        let (answers, answered) = watch::channel(());
        let writer_thread = WriterThread {
            database,
            readers,
            damage: Arc::clone(&damage),
            changes,
            commits,
            answers,
            is_failing: false,
        };
        let thread = thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer_thread.run(waiting))
            .map_err(|error| OpenError::File { path, error })?;
        let (commands, thread) = (Mutex::new(Some(commands)), Mutex::new(Some(thread)));
        Ok(Writer { commands, damage, answered, thread })
    }

    /// Runs the work on the writer's thread. What it wrote is on disk when this returns `Ok`. It
    /// runs a second time if its first run had to be rolled back for the sake of another command.
    pub(crate) async fn write<T: Send + 'static>(
        &self,
        work: impl Fn(&Transaction<'_>) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Access::Write, work).await
    }

    /// Reads something on the writer's connection that no reader sees. A batch of such reads alone
    /// begins no transaction, so that it neither takes the write lock nor counts as a commit.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        look: impl Fn(&Connection) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.run(Access::Read, move |transaction: &Transaction<'_>| look(transaction)).await
    }

    /// Resolves when the thread has answered, to whomever and whether it could write or not; never
    /// if it does not run.
    pub(crate) async fn answers(&self) {
        let mut answered = self.answered.clone();
        answered.mark_unchanged();
        // So that there is something to answer. Its own answer does not count: while another
        // program locks the store, a full queue refuses it without the thread.
        let ask = async {
            drop(self.read(|_| Ok(())).await);
            std::future::pending::<()>().await;
        };
        let answer = async {
            if answered.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        tokio::select! {
            () = ask => {}
            () = answer => {}
        }
    }

    async fn run<T: Send + 'static>(
        &self,
        access: Access,
        work: impl Fn(&Transaction<'_>) -> Result<T, SqliteError> + Send + 'static,
    ) -> Result<T, StoreError> {
        let commands = self.commands.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let closed = || unavailable(UnavailableKind::Internal, "the store is closed");
        let commands = commands.ok_or_else(closed)?;
        let Ok(slot) = timeout(BUSY_TIMEOUT, commands.reserve()).await else {
            return Err(unavailable(UnavailableKind::Busy, "too many writes wait for the disk"));
        };
        let (reply, answer) = oneshot::channel();
        let damage = Arc::clone(&self.damage);
        let write = PendingWrite { access, work, damage, result: None, reply };
        slot.map_err(|_| closed())?.send(Box::new(write));
        // The thread ends when no sender is left: one that waits for its answer must not hold it
        // up.
        drop(commands);
        answer.await.unwrap_or_else(|_| Err(SqliteError::Ended.into()))
    }

    /// Refuses further commands. The thread ends once all waiting ones are written.
    pub(crate) fn stop(&self) -> Option<JoinHandle<()>> {
        self.commands.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.thread.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

struct PendingWrite<T, W> {
    access: Access,
    work: W,
    damage: Arc<Damage>,
    result: Option<T>,
    reply: oneshot::Sender<Result<T, StoreError>>,
}

impl<T: Send, W: Fn(&Transaction<'_>) -> Result<T, SqliteError> + Send> WriteCommand
    for PendingWrite<T, W>
{
    fn access(&self) -> Access {
        self.access
    }

    fn run(&mut self, transaction: &Transaction<'_>) -> Result<(), SqliteError> {
        let done = (self.work)(transaction).inspect_err(|failure| self.damage.record(failure));
        self.result = Some(done?);
        Ok(())
    }

    fn answer(self: Box<Self>, outcome: Result<(), StoreError>) {
        let PendingWrite { result, reply, .. } = *self;
        let answer = outcome.and_then(|()| result.ok_or(SqliteError::Panicked.into()));
        // The caller may have stopped waiting, as when a sender disconnects; what was written
        // stays.
        let _ = reply.send(answer);
    }
}

/// State of the writer's thread.
struct WriterThread {
    database: DatabaseFile,
    readers: Arc<Readers>,
    damage: Arc<Damage>,
    changes: Arc<ChangeLog>,
    commits: Commits,
    answers: watch::Sender<()>,
    is_failing: bool,
}

impl WriterThread {
    fn run(mut self, mut waiting: mpsc::Receiver<Box<dyn WriteCommand>>) {
        let mut batch = Vec::with_capacity(BATCH_MAX);
        while waiting.blocking_recv_many(&mut batch, BATCH_MAX) > 0 {
            self.write(&mut batch);
            self.answers.send_replace(());
        }
        // In this order: an open reader would prevent that the log is written back and removed.
        self.readers.close();
        self.database.close();
    }

    fn write(&mut self, batch: &mut Vec<Box<dyn WriteCommand>>) {
        let writes = batch.iter().any(|command| command.access() == Access::Write);
        let start = Instant::now();
        match if writes { self.commit(batch) } else { self.run_reads(batch) } {
            Ok(outcomes) => {
                if writes {
                    self.commits.took(start.elapsed());
                    self.log_recovery();
                }
                for (command, outcome) in batch.drain(..).zip(outcomes) {
                    command.answer(outcome);
                }
            }
            Err(failure) => {
                self.damage.record(&failure);
                self.reopen_after(&failure);
                let error = StoreError::from(failure);
                self.log_failure(&error);
                if writes {
                    self.commits.failed(clock::now(), &error.to_string());
                }
                for command in batch.drain(..) {
                    command.answer(Err(error.clone()));
                }
            }
        }
    }

    fn run_reads(
        &mut self,
        batch: &mut [Box<dyn WriteCommand>],
    ) -> Result<CommandResults, SqliteError> {
        self.ensure_log_in_place()?;
        let transaction = Transaction::on(self.database.connection()?);
        let look = |command: &mut Box<dyn WriteCommand>| {
            Ok(batch::run(&transaction, command.as_mut())?.map_err(StoreError::from))
        };
        batch.iter_mut().map(look).collect()
    }

    fn commit(
        &mut self,
        batch: &mut [Box<dyn WriteCommand>],
    ) -> Result<CommandResults, SqliteError> {
        // Before the commit, which would write into a log that the next start does not find.
        self.ensure_log_in_place()?;
        let connection = self.database.connection()?;
        let written = batch::transact(connection, batch, self.changes.is_followed());
        if written.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        let committed = written?;
        // Once more, since the log may have been removed meanwhile: no caller gets `Ok` for a
        // commit that the next start would not find.
        self.ensure_log_in_place()?;
        self.database.check_in_place()?;
        if let Some(changes) = committed.changes {
            self.changes.add(changes);
        }
        Ok(committed.results)
    }

    /// Saves the log into the database if it was removed.
    fn ensure_log_in_place(&mut self) -> Result<(), SqliteError> {
        match self.database.log_state() {
            LogState::InPlace => return Ok(()),
            LogState::Removed => {}
            LogState::Foreign => {
                let path = self.database.path().to_owned();
                return Err(OpenError::LogForeign { path }.into());
            }
        }
        let Some(_nobody_reads) = self.readers.close_and_block() else {
            return Err(OpenError::LogRemoved { path: self.database.path().to_owned() }.into());
        };
        Ok(self.database.save_removed_log()?)
    }

    fn reopen_after(&mut self, failure: &SqliteError) {
        if failure.needs_reopening() || self.database.is_in_transaction() {
            self.readers.close();
            self.database.disconnect();
        }
    }

    fn log_failure(&mut self, error: &StoreError) {
        // Once until it works again: a full disk fails every commit.
        if !self.is_failing {
            error!(%error, "the store cannot write");
        }
        self.is_failing = true;
    }

    fn log_recovery(&mut self) {
        if self.is_failing {
            info!("the store is writable again");
            // What a failed commit wrote may be on disk all the same.
            self.changes.add_gap();
        }
        self.is_failing = false;
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{OnceLock, mpsc as sync};

    use jiff::Timestamp;
    use tokio::task::JoinSet;

    use super::*;
    use crate::event::State;
    use crate::store::sqlite::engine::database_file;

    fn writer(folder: &tempfile::TempDir) -> (Arc<Writer>, Connection) {
        let path = database_file::create(&folder.path().join("relay.db")).unwrap();
        let database = DatabaseFile::open(&path, 0).unwrap();
        let damage = Arc::new(Damage::none(&path));
        let readers = Arc::new(Readers::new(&path, Arc::clone(&damage)));
        let shared = (readers, damage, Arc::default());
        let writer = Writer::start(database, shared, Commits::default()).unwrap();
        (Arc::new(writer), Connection::open(&path).unwrap())
    }

    fn insert_webhook(connection: &Connection) -> Result<(), SqliteError> {
        let sql = "INSERT INTO webhooks (source, received_at, headers, body)
                   VALUES ('form', 0, '{}', x'')";
        connection.execute(sql, [])?;
        Ok(())
    }

    fn count_webhooks(connection: &Connection) -> i64 {
        connection.query_row("SELECT count(*) FROM webhooks", [], |row| row.get(0)).unwrap()
    }

    /// Keeps the writer busy until the gate is opened, so that commands queued meanwhile share a
    /// commit.
    async fn occupy(
        tasks: &mut JoinSet<Result<(), StoreError>>,
        writer: &Arc<Writer>,
    ) -> Arc<OnceLock<()>> {
        let (entered, gate) = (Arc::new(OnceLock::new()), Arc::new(OnceLock::new()));
        let (enter, opened) = (Arc::clone(&entered), Arc::clone(&gate));
        queue(tasks, writer, move |_| {
            enter.get_or_init(|| ());
            opened.wait();
            Ok(())
        });
        tokio::task::yield_now().await;
        entered.wait();
        gate
    }

    fn queue(
        tasks: &mut JoinSet<Result<(), StoreError>>,
        writer: &Arc<Writer>,
        work: impl Fn(&Transaction<'_>) -> Result<(), SqliteError> + Send + 'static,
    ) {
        let writer = Arc::clone(writer);
        tasks.spawn(async move { writer.write(work).await });
    }

    #[tokio::test]
    async fn panic_in_one_command_affects_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, observer) = writer(&folder);

        let panicked = writer.write::<()>(|transaction| {
            insert_webhook(transaction)?;
            panic!("as planned")
        });

        assert!(panicked.await.is_err());
        assert_eq!(writer.write(|transaction| insert_webhook(transaction)).await, Ok(()));
        assert_eq!(count_webhooks(&observer), 1);
    }

    #[tokio::test]
    async fn queued_commands_share_one_commit() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, observer) = writer(&folder);
        let (tell, seen) = sync::channel();
        let mut tasks = JoinSet::new();
        let gate = occupy(&mut tasks, &writer).await;
        for _ in 0..10 {
            queue(&mut tasks, &writer, |transaction| insert_webhook(transaction));
        }
        queue(&mut tasks, &writer, move |_| {
            tell.send(count_webhooks(&observer)).map_err(|_| SqliteError::ClaimLost)
        });
        tokio::task::yield_now().await;

        gate.set(()).unwrap();

        assert!(tasks.join_all().await.iter().all(Result::is_ok));
        assert_eq!(seen.recv().unwrap(), 0, "none was committed before the last");
    }

    /// Returns whether the writer answers; false if it is still silent once all else has run.
    async fn is_answering(writer: &Writer) -> bool {
        tokio::select! {
            biased;
            () = writer.answers() => true,
            () = tokio::task::yield_now() => false,
        }
    }

    #[tokio::test]
    async fn stuck_writer_is_silent_until_it_goes_on() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = writer(&folder);
        writer.answers().await;
        let mut tasks = JoinSet::new();
        let gate = occupy(&mut tasks, &writer).await;
        assert!(!is_answering(&writer).await);
        let waiting = Arc::clone(&writer);
        let answers = tokio::spawn(async move { waiting.answers().await });
        tokio::task::yield_now().await;
        assert!(!answers.is_finished());

        gate.set(()).unwrap();

        answers.await.unwrap();
    }

    #[tokio::test]
    async fn writer_that_cannot_write_answers() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, other) = writer(&folder);
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut tasks = JoinSet::new();
        queue(&mut tasks, &writer, |transaction| insert_webhook(transaction));
        tokio::task::yield_now().await;

        writer.answers().await;

        assert!(tasks.join_all().await.iter().all(Result::is_err), "the store was locked");
    }

    #[tokio::test]
    async fn writer_that_ended_is_silent() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, _) = writer(&folder);
        writer.stop().unwrap().join().unwrap();

        assert!(!is_answering(&writer).await);
    }

    #[tokio::test]
    async fn failed_command_rolls_back_only_its_own_writes() {
        let folder = tempfile::tempdir().unwrap();
        let (writer, observer) = writer(&folder);
        let mut tasks = JoinSet::new();
        let gate = occupy(&mut tasks, &writer).await;
        queue(&mut tasks, &writer, |transaction| insert_webhook(transaction));
        queue(&mut tasks, &writer, |transaction| {
            insert_webhook(transaction)?;
            transaction.count_added("form", Timestamp::UNIX_EPOCH, State::Queued);
            Err(SqliteError::ClaimLost)
        });
        queue(&mut tasks, &writer, |transaction| {
            transaction.count_added("form", Timestamp::UNIX_EPOCH, State::Held);
            insert_webhook(transaction)
        });
        tokio::task::yield_now().await;

        gate.set(()).unwrap();

        let log_failure = tasks.join_all().await.into_iter().filter(Result::is_err).count();
        assert_eq!((log_failure, count_webhooks(&observer)), (1, 2));
        let counts = "SELECT state, events FROM counts";
        let counts = observer.query_row(counts, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        assert_eq!(counts, ("held".to_owned(), 1));
    }
}
