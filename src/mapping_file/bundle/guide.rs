//! What the comment at the top of a bundled mapping file says: its first sentence and how to set the
//! source up.

/// The parts of the comment that commands print.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Guide {
    /// What the source does, such as "Typeform: a completed form becomes feedback.".
    pub(crate) summary: &'static str,
    /// The steps, one line each, with `https://YOUR-RELAY` for the relay's address.
    pub(crate) setup: Vec<&'static str>,
}

impl Guide {
    /// Reads the comment at the top of a mapping file.
    pub(super) fn read(mapping: &'static str) -> Guide {
        let lines = mapping.lines().take_while(|line| line.starts_with('#'));
        let lines: Vec<&str> = lines.map(|line| line.trim_start_matches('#')).collect();
        let is_summary = |line: &&&str| line.starts_with(' ') && line.contains(':');
        let summary = lines.iter().skip(1).find(is_summary).map_or("", |line| line.trim());
        let setup = lines.iter().skip_while(|line| !line.starts_with(" Setup")).skip(1);
        // The next heading ends it: it is not indented.
        let setup = setup.take_while(|line| line.is_empty() || line.starts_with("   "));
        let mut setup: Vec<&str> =
            setup.map(|line| line.strip_prefix("   ").unwrap_or_default()).collect();
        while setup.last().is_some_and(|line| line.is_empty()) {
            setup.pop();
        }
        Guide { summary, setup }
    }
}
