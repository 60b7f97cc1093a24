//! The database file, its threads and transactions. Knows nothing of events.

mod batch;
pub mod check;
pub(super) mod damage;
pub(super) mod database_file;
pub(super) mod disk_reserve;
pub(super) mod error;
mod files;
mod migrations;
pub(super) mod open_error;
pub(super) mod readers;
pub(super) mod transaction;
pub(super) mod writer;
