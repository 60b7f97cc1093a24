//! Free pages of the file, and their return to the disk.

use rusqlite::Connection;

/// Number of pages that one step returns to the disk.
// A step is one commit, for which webhooks wait.
const PAGES_MAX: i64 = 500;

/// Returns free pages to the disk except for so many, and whether no more can be returned.
pub(crate) fn give_back(connection: &Connection, kept: i64) -> rusqlite::Result<bool> {
    let free = count(connection)?;
    let pages = (free - kept).clamp(0, PAGES_MAX);
    if pages == 0 {
        return Ok(true);
    }
    let mut vacuum = connection.prepare(&format!("PRAGMA incremental_vacuum({pages})"))?;
    let mut rows = vacuum.query([])?;
    // Each row that is stepped over frees one page: `execute` would stop after the first.
    while rows.next()?.is_some() {}
    let left = count(connection)?;
    // Equal: the file has no incremental vacuum, as one made by other means.
    Ok(left <= kept || left == free)
}

fn count(connection: &Connection) -> rusqlite::Result<i64> {
    connection.pragma_query_value(None, "freelist_count", |row| row.get(0))
}
