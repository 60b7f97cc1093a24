//! Mapping files: their location, their content, their tests.
pub(crate) mod bundle;
pub(crate) mod difference;
pub(crate) mod export_columns;
pub mod file;
pub(crate) mod import_rules;
pub(crate) mod location;
pub(crate) mod readiness;
pub(crate) mod sample;
mod sample_folder;
pub(crate) mod schema;
pub(crate) mod secrets;
pub mod settings;
pub mod setup;
pub(crate) mod test_run;
pub(crate) mod test_view;
