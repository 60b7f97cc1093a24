//! Numbers with their nouns, in sentences for people.

/// Writes a number with its noun, such as `1 event` or `5 events`.
pub(crate) fn counted(count: u64, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular() {
        let written = [0, 1, 2].map(|count| counted(count, "event"));
        assert_eq!(written, ["0 events", "1 event", "2 events"]);
    }
}
