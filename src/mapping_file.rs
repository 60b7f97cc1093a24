//! Mapping files: their location, their content, their tests.
pub(crate) mod bundle;
pub(crate) mod export_columns;
pub mod file;
pub(crate) mod import_rules;
pub(crate) mod location;
pub(crate) mod readiness;
pub(crate) mod sample;
pub(crate) mod secrets;
pub mod settings;
pub mod setup;
