//! The database file, its threads and transactions; knows no events.
pub mod check;
pub(crate) mod transaction;
pub(crate) mod damage;
pub(crate) mod error;
pub(crate) mod files;
pub(crate) mod database_file;
pub(crate) mod readers;
pub(crate) mod disk_reserve;
pub(crate) mod writer;
