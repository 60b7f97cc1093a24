//! The store behind its traits, and on its disk.

mod claims;
mod contract;
mod files;
mod list;
mod replay;
mod retention;
mod sqlite;
mod steps;
mod suspects;
mod upserts;
mod waits;
