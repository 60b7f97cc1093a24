//! The name by which this program introduces itself.

/// `User-Agent` of all requests.
pub const USER_AGENT: &str = concat!("savio-relay/", env!("CARGO_PKG_VERSION"));

/// Returns whether a `User-Agent` is that of a relay, of any version.
pub fn is_relay(user_agent: &str) -> bool {
    user_agent.starts_with("savio-relay/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relay_is_known_by_its_user_agent() {
        assert!(is_relay(USER_AGENT) && is_relay("savio-relay/0.0.1 (doctor)"));
        assert!(!is_relay("curl/8.5.0") && !is_relay(""));
    }
}
