//! Lines of a file or of standard input, read one at a time, so that the input may be of any size.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::os::fd::AsFd as _;
use std::path::Path;

use tokio::sync::mpsc::{Receiver, channel};

use crate::cli::error::CommandError;
use crate::cli::line_input::{LineInput, ReadStop};
use crate::json;

/// Length of the longest line that is read. No contact or company is longer.
const LINE_BYTES_MAX: usize = 1024 * 1024;
/// Number of lines that are read ahead.
// With the longest lines, they take 64 MiB.
const LINES_AHEAD_MAX: usize = 64;

#[derive(Debug)]
pub(super) struct InputLine {
    /// Number of the line, from 1.
    pub(super) number: u64,
    /// `None` if the line is too long.
    pub(super) bytes: Option<Vec<u8>>,
    /// Number of bytes of the input up to the end of the line.
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct InputLines {
    pub(super) read: Receiver<io::Result<InputLine>>,
    /// Size of the input; `None` for a pipe or a terminal.
    pub(super) bytes: Option<u64>,
}

/// Starts to read the file, or standard input for `-`.
pub(super) fn open(path: &Path) -> Result<InputLines, CommandError> {
    let failed =
        |error: io::Error| CommandError::InvalidInput(format!("{}: {error}", path.display()));
    let file = if path == Path::new("-") {
        // As a file, since `Stdin` has no metadata: the size of a redirected file is its progress.
        File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?)
    } else {
        File::open(path).map_err(failed)?
    };
    let metadata = file.metadata().map_err(failed)?;
    // A folder can be opened. Its first read would fail, with a message that names no path.
    if metadata.is_dir() {
        return Err(CommandError::InvalidInput(format!("{}: this is a folder", path.display())));
    }
    let bytes = metadata.is_file().then_some(metadata.len());
    let (sender, read) = channel(LINES_AHEAD_MAX);
    // A read from a terminal or a pipe may wait for any time, which must not delay the requests.
    tokio::task::spawn_blocking(move || {
        let mut reader =
            LineReader { input: LineInput::new(BufReader::new(file)), number: 0, end: 0 };
        while let Some(line) = reader.next().transpose() {
            let is_last = line.is_err();
            if sender.blocking_send(line).is_err() || is_last {
                return;
            }
        }
    });
    Ok(InputLines { read, bytes })
}

struct LineReader<R> {
    input: LineInput<R>,
    number: u64,
    end: u64,
}

impl<R: BufRead> LineReader<R> {
    /// Returns the next line that is not blank.
    fn next(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            let mut bytes = Vec::new();
            let Some(is_too_long) = self.read_line(&mut bytes)? else { return Ok(None) };
            self.number += 1;
            let (number, end) = (self.number, self.end);
            if is_too_long {
                return Ok(Some(InputLine { number, bytes: None, end }));
            }
            if number == 1 && json::is_utf16(&bytes) {
                // As one error: every other line would be invalid too.
                let reason = "it is UTF-16: save it as UTF-8";
                return Err(io::Error::new(io::ErrorKind::InvalidData, reason));
            }
            // Editors may write a byte order mark before the first line, which is not JSON.
            let text = if number == 1 { json::without_bom(&bytes) } else { &bytes };
            let text = text.trim_ascii();
            if !text.is_empty() {
                return Ok(Some(InputLine { number, bytes: Some(text.to_vec()), end }));
            }
        }
    }

    /// Reads a line, and returns whether it is too long, of which nothing is kept; `None` at the end
    /// of the input.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<Option<bool>> {
        let (mut is_too_long, mut is_empty) = (false, true);
        loop {
            let kept = if is_too_long { None } else { Some(&mut *line) };
            let (read, stop) = match self.input.read_part(kept) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                read => read?,
            };
            self.end += read as u64;
            is_empty &= read == 0;
            if line.len() > LINE_BYTES_MAX {
                is_too_long = true;
                *line = Vec::new();
            }
            match stop {
                ReadStop::InLine => {}
                ReadStop::InputEnd if is_empty => return Ok(None),
                ReadStop::LineEnd | ReadStop::InputEnd => return Ok(Some(is_too_long)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Option<String>)> {
        let mut reader = LineReader { input: LineInput::new(text.as_bytes()), number: 0, end: 0 };
        let lines = std::iter::from_fn(|| reader.next().unwrap());
        let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
        lines.map(|line| (line.number, line.bytes.map(text))).collect()
    }

    #[test]
    fn blank_line_is_numbered_but_not_returned() {
        let lines = read("\u{feff}{\"a\":1}\r\n\n  \n{}");

        assert_eq!(lines, [(1, Some("{\"a\":1}".to_owned())), (4, Some("{}".to_owned()))]);
    }

    #[test]
    fn utf16_is_one_error() {
        let text: Vec<u8> = "{}\n{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
        let mut reader = LineReader { input: LineInput::new(&text[..]), number: 0, end: 0 };

        let error = reader.next().unwrap_err();

        assert_eq!(error.to_string(), "it is UTF-16: save it as UTF-8");
    }

    #[test]
    fn overlong_line_is_returned_without_its_bytes() {
        let long = "x".repeat(2 * 1024 * 1024);

        assert_eq!(read(&format!("{long}\n{{}}\n")), [(1, None), (2, Some("{}".to_owned()))]);
    }
}
