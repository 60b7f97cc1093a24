//! Shared by all HTTP clients: proxies of the environment, and failed calls in plain words.

mod addresses;
mod call_failure;
mod expected_certificate;
mod proxies;
mod user_agent;

pub use addresses::{addresses_of, is_link_local, is_private, literal_address};
pub use call_failure::{CallFailure, TlsFault, error_chain};
pub use expected_certificate::{expecting, expecting_any};
pub use proxies::{is_loopback, proxy};
pub use user_agent::{USER_AGENT, is_relay};
