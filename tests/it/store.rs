//! The store: what its traits promise, and what SQLite adds on its disk.

mod audit;
mod backup;
mod claims;
mod causes;
mod contract;
mod erasure;
mod files;
mod filled_events;
mod filters;
mod half_hours;
mod headlines;
mod issues;
mod list;
mod mapping_versions;
mod replay;
mod replay_results;
mod rejections;
mod recent_changes;
mod retention;
mod sessions;
mod sqlite;
mod steps;
mod suspects;
mod upserts;
mod versions;
mod waits;
