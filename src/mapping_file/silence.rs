//! `silence`: the time without a webhook after which a person is told.

use std::time::Duration;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable, parse_duration};

/// Shortest and longest time. Traffic is counted by half hours, and kept for 92 days.
const SHORTEST: Duration = Duration::from_hours(1);
const LONGEST: Duration = Duration::from_hours(90 * 24);

/// When a source counts as silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum SilenceLimit {
    /// After longer than usual.
    #[default]
    Learned,
    After(Duration),
    Off,
}

impl SilenceLimit {
    pub(super) fn read(file: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> SilenceLimit {
        let Some(text) = file.text("silence", mistakes) else { return SilenceLimit::default() };
        if text.text == "off" {
            return SilenceLimit::Off;
        }
        match parse_duration(&text.text) {
            Some(time) if (SHORTEST..=LONGEST).contains(&time) => SilenceLimit::After(time),
            _ => {
                let message = "`silence` is neither a time from 1h to 90d nor \"off\"";
                let help = "write silence = \"3d\", or leave it out: then it is learned";
                mistakes.push(Diagnostic::error(text.place, message).help(help));
                SilenceLimit::default()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::document::Document;
    use crate::diagnostics::table;

    fn read(text: &str) -> (SilenceLimit, usize) {
        let document = Document { name: "form.toml".to_owned(), text: text.to_owned() };
        let mut mistakes = Diagnostics::new();
        let root = table::parse(&document, &mut mistakes);
        let silence = SilenceLimit::read(&mut TomlTable::root(&document, &root), &mut mistakes);
        (silence, mistakes.len())
    }

    #[test]
    fn silence_is_a_time_or_off() {
        assert_eq!(read(""), (SilenceLimit::Learned, 0));
        assert_eq!(read("silence = \"off\""), (SilenceLimit::Off, 0));
        assert_eq!(read("silence = \"3d\""), (SilenceLimit::After(Duration::from_hours(72)), 0));
        for wrong in ["\"30m\"", "\"91d\"", "\"never\"", "3", "\"\""] {
            assert_eq!(read(&format!("silence = {wrong}")), (SilenceLimit::Learned, 1), "{wrong}");
        }
    }
}
