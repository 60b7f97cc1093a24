//! The store in one SQLite file, with one writer thread that groups commits.

mod archive;
pub mod backup;
mod database;
pub mod engine;
mod inbox;
mod maintenance;
mod mapping_versions;
mod monitoring;
mod operations;
mod queue;
mod rows;
mod settings;

pub use database::Sqlite;
pub use engine::disk_reserve::disk_space;
pub use engine::files::is_served;
pub use engine::inspection::check_former_place;
pub use engine::migrations::NewerSchema;
pub use engine::open_error::OpenError;
pub use maintenance::restored::Restored;
pub use settings::{RestoredEvents, Settings};
