//! Excerpts of what senders wrote, for messages.

/// Cuts text of a sender to 64 characters without control characters, for responses and log lines.
pub(in crate::intake) fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
