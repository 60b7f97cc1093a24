//! Issues: finds out what a person should know, opens it once, counts while it lasts, and closes it
//! by itself.

mod board;
mod condition;
mod drift_watch;
pub mod kinds;
mod parts;
pub mod reconcile;
mod traffic;
#[cfg(test)]
mod simulation;
mod watch;

pub use board::{Board, Issues};
pub use condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
pub use parts::Parts;
pub use watch::{IssueWatch, Settings};
