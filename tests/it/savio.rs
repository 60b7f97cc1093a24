//! The client of Savio's API, the commands that use it, and the sandbox.

mod client;
mod commands;
mod conformance;
mod sandbox;
mod waits;
