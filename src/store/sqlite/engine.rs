//! The database file, its threads and transactions. Knows nothing of events.

pub(super) mod backup_mark;
mod batch;
pub(super) mod change_log;
pub mod check;
pub mod copy;
pub(super) mod damage;
pub(super) mod database_file;
pub(super) mod disk_reserve;
pub(super) mod error;
mod file_names;
pub mod file_system;
pub(super) mod files;
pub(super) mod free_pages;
pub(super) mod inspection;
pub(super) mod migrations;
pub(super) mod open_error;
pub(super) mod readers;
pub(super) mod transaction;
pub(super) mod writer;
