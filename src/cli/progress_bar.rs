//! A progress bar on a terminal; nothing elsewhere.

use std::io::{IsTerminal, Write as _};
use std::time::{Duration, Instant};

const CELLS: u64 = 24;
/// Shortest time between two updates; faster ones cannot be read.
const INTERVAL: Duration = Duration::from_millis(100);

/// A line on standard error that is rewritten in place, and removed when dropped.
#[derive(Debug)]
pub(super) struct ProgressBar {
    is_terminal: bool,
    shown_at: Option<Instant>,
}

impl ProgressBar {
    pub(super) fn new() -> ProgressBar {
        ProgressBar { is_terminal: std::io::stderr().is_terminal(), shown_at: None }
    }

    /// Creates a bar for a command that prints rows to standard output. There is none if they go to
    /// a terminal.
    pub(super) fn beside_rows() -> ProgressBar {
        // A row that is not complete has no line end yet, and the bar would erase it.
        let is_terminal = std::io::stderr().is_terminal() && !std::io::stdout().is_terminal();
        ProgressBar { is_terminal, shown_at: None }
    }

    /// Shows a part of a whole, if that is known, and a description.
    pub(super) fn show(&mut self, part: u64, whole: Option<u64>, words: &str) {
        let is_early = self.shown_at.is_some_and(|at| at.elapsed() < INTERVAL);
        if !self.is_terminal || is_early {
            return;
        }
        self.shown_at = Some(Instant::now());
        write(&format!("\r\u{1b}[K{}", line(part, whole, words)));
    }

    /// Removes the bar before other output.
    pub(super) fn clear(&mut self) {
        if self.shown_at.take().is_some() {
            write("\r\u{1b}[K");
        }
    }
}

impl Drop for ProgressBar {
    fn drop(&mut self) {
        self.clear();
    }
}

fn line(part: u64, whole: Option<u64>, words: &str) -> String {
    let Some(whole) = whole.filter(|whole| *whole > 0) else {
        return format!("{part} {words}");
    };
    let part = part.min(whole);
    let share = |of: u64| u128::from(part) * u128::from(of) / u128::from(whole);
    let full = usize::try_from(share(CELLS)).unwrap_or_default();
    let empty = usize::try_from(CELLS).unwrap_or_default().saturating_sub(full);
    format!("[{}{}] {:>3} % {words}", "#".repeat(full), " ".repeat(empty), share(100))
}

fn write(text: &str) {
    let mut stderr = std::io::stderr().lock();
    // A closed standard error is no reason to stop.
    let _ = stderr.write_all(text.as_bytes()).and_then(|()| stderr.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bar_shows_the_share_that_is_done() {
        assert_eq!(line(1, Some(4), "read"), format!("[######{}]  25 % read", " ".repeat(18)));
        assert_eq!(line(9, Some(4), "read"), format!("[{}] 100 % read", "#".repeat(24)));
        assert_eq!(line(7, None, "read"), "7 read");
        assert_eq!(line(7, Some(0), "read"), "7 read");
    }
}
