//! Removes what an erasure left outside of the tables: free pages, and the write-ahead log.

use tokio::task::spawn_blocking;

use crate::store::error::StoreError;
use crate::store::sqlite::database::Sqlite;
use crate::store::sqlite::engine::database_file;
use crate::store::sqlite::engine::free_pages;
use crate::store::sqlite::engine::transaction::Transaction;

/// Number of steps in which free pages are returned to the disk, of some 2 MB each.
// More are left to retention, which goes on with them every minute.
const STEPS_MAX: usize = 500;

/// Returns all free pages to the disk and empties the log. Returns whether the log is empty: a read
/// that began before keeps it.
pub(super) async fn scrub(store: &Sqlite) -> Result<bool, StoreError> {
    let shrink = |transaction: &Transaction<'_>| Ok(free_pages::give_back(transaction, 0)?);
    for _ in 0..STEPS_MAX {
        if store.writer.write(shrink).await? {
            break;
        }
    }
    let path = store.path.clone();
    let emptied = spawn_blocking(move || database_file::empty_log(&path)).await;
    // The log is written back later: an error here leaves old bytes in it, and nothing undone.
    Ok(emptied.is_ok_and(|emptied| emptied.unwrap_or(false)))
}
