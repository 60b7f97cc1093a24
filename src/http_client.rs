//! Shared by all HTTP clients: proxies of the environment, and failed calls in plain words.

mod call_failure;
mod proxies;

pub use call_failure::{CallFailure, error_chain};
pub use proxies::{is_loopback, proxy};
