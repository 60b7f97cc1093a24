//! A stranger's words in ours.

/// A stranger's words, short enough for an answer and a log line.
pub(in crate::intake) fn excerpt(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(64).collect()
}
