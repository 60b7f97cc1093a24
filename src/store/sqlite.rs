//! The store in one SQLite file, with one writer thread that groups commits.

mod archive;
mod database;
pub mod engine;
mod inbox;
mod maintenance;
mod queue;
mod rows;
mod settings;

pub use database::Sqlite;
pub use engine::database_file::is_served;
pub use engine::disk_reserve::disk_space;
pub use engine::open_error::OpenError;
pub use settings::Settings;
