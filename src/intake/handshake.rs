//! Requests by which a provider tests the address, and what it wants to hear: pure.

mod config;
mod exchange;
mod rule;
mod template;
#[cfg(test)]
mod tests;
mod weakness;

pub use config::read;
pub use exchange::{HandshakeRequest, HandshakeResponse};
pub use rule::HandshakeRule;
pub use weakness::weaknesses;
