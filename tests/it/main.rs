//! The relay as its users see it.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod admin;
mod architecture;
mod check;
mod commands;
mod delivery;
mod destinations;
mod door;
mod healthcheck;
mod hostile;
mod disk;
mod doctor;
mod draft;
mod empty_values;
mod events;
mod import;
mod intake;
mod jsonpath_cts;
mod jsonpath_property;
mod kill;
mod large_files;
mod listener;
mod log_flood;
mod model;
mod providers;
mod readme;
mod relay;
mod reload;
mod repository;
mod sandbox;
mod savio_client;
mod savio_commands;
mod savio_conformance;
mod secrets;
mod store_contract;
mod store_files;
mod store_list;
mod store_replay;
mod store_retention;
mod store_sqlite;
mod store_upserts;
mod strangers;
mod terminal;
mod traces;
mod vectors;
