//! Requests by which a provider tests the address, and the response that it expects. Pure.

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
