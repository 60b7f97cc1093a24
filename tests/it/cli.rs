//! Commands, run as a user runs them.

mod check;
mod check_update;
mod commands;
mod completions;
mod doctor;
mod draft;
mod events;
mod healthcheck;
mod import;
mod send;
mod terminal;
