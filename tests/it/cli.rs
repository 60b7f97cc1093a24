//! Commands, run as a user runs them.

mod check;
mod check_update;
mod commands;
mod completions;
mod demo;
mod diff;
mod doctor;
mod draft;
mod environment;
mod events;
mod health;
mod healthcheck;
mod import;
mod init;
mod literal_paths;
mod one_mistake;
mod public_address;
mod running_relay;
mod send;
mod send_messages;
mod terminal;
