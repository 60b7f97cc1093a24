//! savio-relay receives signed webhooks, stores them on disk, and delivers them to Savio.
//!
//! The modules follow the flow:
//!
//! ```text
//! webhook ─▶ intake ─▶ store ─▶ delivery ─▶ Savio
//!            verify    fsync    map, send, retry
//! ```
//!
//! `intake` does not know Savio, and `delivery` does not know HTTP servers. They meet in the types of [`event`] and in
//! the trait [`store::Store`].

pub mod http_client;
pub mod diagnostics;
pub mod mapping_file;
pub mod event;

pub mod intake;
pub mod store;
pub mod delivery;
pub mod mapping;
pub mod savio;
pub mod comparison;
pub mod issues;
pub mod alerts;

mod draft;
mod outgoing_webhook;

pub mod admin;
pub mod config;
mod doctor;
mod relay;
pub mod cli;
pub mod sandbox;

pub mod backoff;
pub mod clock;
pub mod file;
pub mod json;
pub mod listener;
pub mod parse_memory;
pub mod rate;
pub mod secret;
pub mod telemetry;
