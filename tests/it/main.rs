//! The relay as its users see it.

#![expect(clippy::unwrap_used, reason = "a test stops at what it did not expect")]

mod admin;
mod cli;
mod delivery;
mod intake;
mod mapping;
mod meta;
mod process;
mod savio;
mod store;
mod support;
