//! Faults of a real database, caused through another connection.

use std::io;
use std::sync::{Arc, Mutex};

use rusqlite::Connection;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::support::store::TestStore;

pub(super) struct DatabaseFaults(Connection);

impl DatabaseFaults {
    pub(super) fn of(place: &TestStore) -> DatabaseFaults {
        DatabaseFaults(Connection::open(place.settings().path).unwrap())
    }

    /// Makes every write of an attempt fail until `clear`, as if the store were unavailable.
    pub(super) fn fail_attempt_inserts(&self) {
        self.before_attempt_insert("no_such_function()");
    }

    /// Makes every write of an attempt violate a constraint, with this message.
    pub(super) fn reject_attempt_inserts(&self, reason: &str) {
        self.before_attempt_insert(&format!("RAISE(ABORT, '{reason}')"));
    }

    /// Makes every write of a destination's state fail until `clear`.
    pub(super) fn fail_gate_writes(&self) {
        let trigger = "CREATE TRIGGER fault BEFORE INSERT ON gates
                       BEGIN SELECT abs(-9223372036854775807 - (NEW.name IS NOT NULL)); END";
        self.0.execute_batch(trigger).unwrap();
    }

    /// Makes every mark of the second request as `sending` fail until `clear`.
    pub(super) fn fail_second_sends(&self) {
        // An overflow: an unknown function would fail all updates of requests.
        let trigger = "CREATE TRIGGER fault BEFORE UPDATE OF state ON requests
                       WHEN NEW.state = 'sending' AND NEW.position = 1
                       BEGIN SELECT abs(-9223372036854775807 - NEW.position); END";
        self.0.execute_batch(trigger).unwrap();
    }

    /// Makes every write of a plan fail until `clear`.
    pub(super) fn fail_plans(&self) {
        let trigger = "CREATE TRIGGER fault BEFORE INSERT ON plans
                       BEGIN SELECT abs(-9223372036854775807 - (NEW.event IS NOT NULL)); END";
        self.0.execute_batch(trigger).unwrap();
    }

    pub(super) fn clear(&self) {
        self.0.execute_batch("DROP TRIGGER fault").unwrap();
    }

    /// Makes the search for earlier upserts fail.
    pub(super) fn fail_upsert_lookups(&self) {
        self.0.execute_batch("DROP INDEX requests_upserting").unwrap();
    }

    fn before_attempt_insert(&self, expression: &str) {
        let trigger = "CREATE TRIGGER fault BEFORE INSERT ON attempts BEGIN SELECT";
        self.0.execute_batch(&format!("{trigger} {expression}; END")).unwrap();
    }
}

/// Log lines of this thread, captured until dropped.
pub(super) struct CapturedLog {
    lines: Lines,
    _guard: DefaultGuard,
}

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl CapturedLog {
    pub(super) fn start() -> CapturedLog {
        let lines = Lines::default();
        let logging = tracing_subscriber::fmt().with_writer(lines.clone()).finish();
        CapturedLog { lines, _guard: tracing::subscriber::set_default(logging) }
    }

    pub(super) fn contains(&self, text: &str) -> bool {
        String::from_utf8_lossy(&self.lines.0.lock().unwrap()).contains(text)
    }
}

impl MakeWriter<'_> for Lines {
    type Writer = Lines;

    fn make_writer(&self) -> Lines {
        self.clone()
    }
}

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
