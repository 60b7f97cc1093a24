//! The lines of a file or of standard input, one at a time, however long it is.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use tokio::sync::mpsc::{Receiver, channel};

use crate::cli::error::CommandError;

/// No contact or company is longer than this.
const LINE_BYTES_MAX: u64 = 1024 * 1024;
const AHEAD: usize = 64;

#[derive(Debug)]
pub(super) struct InputLine {
    /// From 1.
    pub(super) number: u64,
    /// None if it is too long.
    pub(super) bytes: Option<Vec<u8>>,
    /// Where the line ends in the input.
    pub(super) end: u64,
}

#[derive(Debug)]
pub(super) struct InputLines {
    pub(super) read: Receiver<io::Result<InputLine>>,
    /// How many bytes there are, where that can be known.
    pub(super) bytes: Option<u64>,
}

/// Begins to read; `-` is standard input.
pub(super) fn open(path: &Path) -> Result<InputLines, CommandError> {
    let failed =
        |error: io::Error| CommandError::InvalidInput(format!("{}: {error}", path.display()));
    let file = if path == Path::new("-") {
        File::from(io::stdin().as_fd().try_clone_to_owned().map_err(failed)?)
    } else {
        File::open(path).map_err(failed)?
    };
    let known = file.metadata().map_err(failed)?;
    if known.is_dir() {
        return Err(CommandError::InvalidInput(format!("{}: this is a folder", path.display())));
    }
    let bytes = known.is_file().then_some(known.len());
    let (tell, read) = channel(AHEAD);
    // A read may wait for a person, and nothing else has to.
    tokio::task::spawn_blocking(move || {
        let mut reader = LineReader { input: BufReader::new(file), number: 0, end: 0 };
        while let Some(line) = reader.next().transpose() {
            let is_last = line.is_err();
            if tell.blocking_send(line).is_err() || is_last {
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
    /// The next line that is not blank.
    fn next(&mut self) -> io::Result<Option<InputLine>> {
        loop {
            let mut bytes = Vec::new();
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
    fn blank_lines_count_and_say_nothing() {
        let lines = read("\u{feff}{\"a\":1}\r\n\n  \n{}");

        assert_eq!(lines, [(1, Some("{\"a\":1}".to_owned())), (4, Some("{}".to_owned()))]);
    }

    #[test]
    fn a_line_that_is_too_long_is_skipped() {
        let long = "x".repeat(2 * 1024 * 1024);

        assert_eq!(read(&format!("{long}\n{{}}\n")), [(1, None), (2, Some("{}".to_owned()))]);
    }
}
