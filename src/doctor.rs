//! Checks everything that a deployment depends on: what was checked, what was found, and what to do. The
//! command `doctor` checks beside the relay or without one, and a running relay checks itself.

pub(crate) mod certificates;
pub(crate) mod damage;
pub(crate) mod files;
pub(crate) mod finding;
pub(crate) mod host;
pub(crate) mod public_address;
pub(crate) mod savio;
pub(crate) mod secrets;
pub(crate) mod self_check;
pub(crate) mod store;
pub(crate) mod traces;

use std::env::consts;

use finding::Finding;

/// Returns the finding that names the program.
pub(crate) fn program(version: &str) -> Finding {
    Finding::ok("program", format!("savio-relay {version} on {} {}", consts::OS, consts::ARCH))
}
