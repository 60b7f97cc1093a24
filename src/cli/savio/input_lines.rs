//! Lines of a file or of standard input, read one at a time, so that the input may be of any size.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use tokio::sync::mpsc::{Receiver, channel};

use crate::cli::error::CommandError;

/// Length of the longest line that is read. No contact or company is longer.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
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
        let mut reader = LineReader { input: BufReader::new(file), number: 0, end: 0 };
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
    input: R,
    number: u64,
    end: u64,
}

impl<R: BufRead> LineReader<R> {
    /// Returns the next line that is not blank.
    fn next(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            let mut bytes = Vec::new();
            // One byte more than a line may have, so that its line end is read with the longest
            // one.
            let read = (&mut self.input).take(LINE_BYTES_MAX + 1).read_until(b'\n', &mut bytes)?;
            if read == 0 {
                return Ok(None);
            }
            self.number += 1;
            self.end += read as u64;
            let is_too_long = read as u64 > LINE_BYTES_MAX && !bytes.ends_with(b"\n");
            if is_too_long {
                self.skip()?;
                return Ok(Some(InputLine { number: self.number, bytes: None, end: self.end }));
            }
            // Editors may write a byte order mark before the first line, which is not JSON.
            let text = bytes.strip_prefix("\u{feff}".as_bytes()).filter(|_| self.number == 1);
            let text = text.unwrap_or(&bytes).trim_ascii();
            if !text.is_empty() {
                let bytes = Some(text.to_vec());
                return Ok(Some(InputLine { number: self.number, bytes, end: self.end }));
            }
        }
    }

    /// Reads to the end of the line.
    fn skip(&mut self) -> io::Result<()> {
        loop {
            let buffer = self.input.fill_buf()?;
            let at = buffer.iter().position(|byte| *byte == b'\n');
            let (used, is_done) = (at.map_or(buffer.len(), |at| at + 1), at.is_some());
            let is_end = buffer.is_empty();
            self.input.consume(used);
            self.end += used as u64;
            if is_done || is_end {
                return Ok(());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Vec<(u64, Option<String>)> {
        let mut reader = LineReader { input: text.as_bytes(), number: 0, end: 0 };
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
    fn overlong_line_is_returned_without_its_bytes() {
        let long = "x".repeat(2 * 1024 * 1024);

        assert_eq!(read(&format!("{long}\n{{}}\n")), [(1, None), (2, Some("{}".to_owned()))]);
    }
}
