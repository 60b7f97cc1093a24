//! Lines of an input of any size. A line ends with LF, CR LF or CR.

use std::io::{self, BufRead};

use memchr::memchr2;

pub(super) struct LineInput<R> {
    input: R,
    /// Whether the last line ended with a CR, whose LF would be of the same line end.
    // Not looked for at once: a terminal or a pipe may have nothing more to read.
    is_after_return: bool,
}

/// Where a read has stopped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ReadStop {
    /// Within a line, at the end of what was buffered.
    InLine,
    LineEnd,
    InputEnd,
}

impl<R: BufRead> LineInput<R> {
    pub(super) fn new(input: R) -> LineInput<R> {
        LineInput { input, is_after_return: false }
    }

    /// Reads a part of a line, and adds it to `line` without its end. Returns the number of bytes
    /// that were read.
    pub(super) fn read_part(
        &mut self,
        line: Option<&mut Vec<u8>>,
    ) -> io::Result<(usize, ReadStop)> {
        let buffer = self.input.fill_buf()?;
        if buffer.is_empty() {
            return Ok((0, ReadStop::InputEnd));
        }
        if std::mem::take(&mut self.is_after_return) && buffer[0] == b'\n' {
            self.input.consume(1);
            return Ok((1, ReadStop::InLine));
        }
        let end = memchr2(b'\n', b'\r', buffer);
        let text = &buffer[..end.unwrap_or(buffer.len())];
        if let Some(line) = line {
            line.extend_from_slice(text);
        }
        self.is_after_return = end.is_some_and(|at| buffer[at] == b'\r');
        let read = text.len() + usize::from(end.is_some());
        self.input.consume(read);
        Ok((read, if end.is_some() { ReadStop::LineEnd } else { ReadStop::InLine }))
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufReader;

    use super::*;

    fn lines(text: &str) -> Vec<String> {
        // A small buffer, so that line ends are cut in two.
        let mut input = LineInput::new(BufReader::with_capacity(2, text.as_bytes()));
        let (mut lines, mut line) = (Vec::new(), Vec::new());
        loop {
            let (_, stop) = input.read_part(Some(&mut line)).unwrap();
            if stop != ReadStop::InLine {
                lines.push(String::from_utf8(std::mem::take(&mut line)).unwrap());
            }
            if stop == ReadStop::InputEnd {
                return lines;
            }
        }
    }

    #[test]
    fn line_ends_with_lf_crlf_or_cr() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "a\n\nbcd\ne".replace('\n', end);
            assert_eq!(lines(&text), ["a", "", "bcd", "e"], "{end:?}");
        }
        assert_eq!(lines("a\n\rb\r\r\nc\n"), ["a", "", "b", "", "c", ""]);
    }
}
