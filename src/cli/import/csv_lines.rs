//! Positions in a CSV file that the parser does not know: the line at which a row begins, for every
//! kind of line end, and a quote that does not close.

use std::cell::RefCell;
use std::collections::VecDeque;
use std::io::{self, Read};
use std::rc::Rc;

/// Place inside a field, as the parser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FieldState {
    Start,
    Plain,
    /// In quotes that were opened in this line.
    Quoted {
        line: u64,
    },
    /// After a quote in quotes, which ends them unless another one follows.
    QuoteInQuotes {
        line: u64,
    },
}

/// Lines and quotes of the bytes that were read.
#[derive(Debug)]
pub(super) struct CsvLines {
    separator: u8,
    /// Position and number of each line that is not blank and that no row was asked for yet.
    starts: VecDeque<(u64, u64)>,
    position: u64,
    line: u64,
    is_line_start: bool,
    /// Whether the last byte was a carriage return, whose line feed ends the same line.
    is_after_return: bool,
    field: FieldState,
    pub(super) has_ended: bool,
}

impl CsvLines {
    /// Begins before the line with this number.
    pub(super) fn new(separator: u8, line: u64) -> CsvLines {
        CsvLines {
            separator,
            starts: VecDeque::new(),
            position: 0,
            line,
            is_line_start: true,
            is_after_return: false,
            field: FieldState::Start,
            has_ended: false,
        }
    }

    /// Returns the line of the first row at or after this position, and forgets those before it.
    pub(super) fn line_at(&mut self, position: u64) -> u64 {
        // The parser's position of a row is before the blank lines that it skips.
        while self.starts.front().is_some_and(|(start, _)| *start < position) {
            self.starts.pop_front();
        }
        self.starts.front().map_or(self.line, |(_, line)| *line)
    }

    /// Returns the line of the quote that is open after all that was read; `None` if none is.
    pub(super) fn open_quote(&self) -> Option<u64> {
        match self.field {
            FieldState::Quoted { line } => Some(line),
            FieldState::Start | FieldState::Plain | FieldState::QuoteInQuotes { .. } => None,
        }
    }

    fn read(&mut self, bytes: &[u8]) {
        self.has_ended = bytes.is_empty();
        for byte in bytes {
            let is_end = matches!(byte, b'\r' | b'\n');
            if self.is_line_start && !is_end {
                self.starts.push_back((self.position, self.line));
                self.is_line_start = false;
            }
            self.field = self.field_after(*byte);
            if is_end && !(*byte == b'\n' && self.is_after_return) {
                self.line += 1;
                self.is_line_start = true;
            }
            self.is_after_return = *byte == b'\r';
            self.position += 1;
        }
    }

    fn field_after(&self, byte: u8) -> FieldState {
        let is_end = byte == self.separator || matches!(byte, b'\r' | b'\n');
        match (self.field, byte) {
            (FieldState::Start, b'"') => FieldState::Quoted { line: self.line },
            (FieldState::Quoted { line }, b'"') => FieldState::QuoteInQuotes { line },
            (FieldState::QuoteInQuotes { line }, b'"') => FieldState::Quoted { line },
            (quoted @ FieldState::Quoted { .. }, _) => quoted,
            _ if is_end => FieldState::Start,
            _ => FieldState::Plain,
        }
    }
}

/// Reader that notes the lines of what passes through.
pub(super) struct CsvLineReader<R> {
    pub(super) inner: R,
    pub(super) lines: Rc<RefCell<CsvLines>>,
}

impl<R: Read> Read for CsvLineReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.inner.read(buffer)?;
        self.lines.borrow_mut().read(&buffer[..count]);
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns the line of each row that the parser finds.
    fn rows(text: &str) -> Vec<u64> {
        let lines = Rc::new(RefCell::new(CsvLines::new(b',', 1)));
        let inner = CsvLineReader { inner: text.as_bytes(), lines: Rc::clone(&lines) };
        let mut builder = csv::ReaderBuilder::new();
        // A small buffer, so that line ends and quotes are cut in two.
        let builder = builder.has_headers(false).flexible(true).buffer_capacity(3);
        let mut reader = builder.from_reader(inner);
        let mut row = csv::StringRecord::new();
        let mut found = Vec::new();
        while reader.read_record(&mut row).unwrap() {
            let position = row.position().unwrap().byte();
            found.push(lines.borrow_mut().line_at(position));
        }
        found
    }

    #[test]
    fn line_of_a_row_is_right_for_every_line_end() {
        let text = "a,b\n1,\"two\nlines\n\"\n\n\n2,x\n\"3\",y";
        for end in ["\n", "\r\n", "\r"] {
            assert_eq!(rows(&text.replace('\n', end)), [1, 2, 7, 8], "{end:?}");
        }
        assert_eq!(rows("a\r\nb\rc\nd\r\n\r\ne"), [1, 2, 3, 4, 6]);
    }

    #[test]
    fn quote_counts_as_open_only_at_the_beginning_of_a_field() {
        let check = |text: &str, open: Option<u64>| {
            let mut lines = CsvLines::new(b';', 1);
            lines.read(text.as_bytes());
            assert_eq!(lines.open_quote(), open, "{text}");
        };
        check("a;\"b\";c\n", None);
        check("a;\"b\"\"c\";d", None);
        check("a 5\" screen;\"b\"\n", None);
        check("a;b\nc;\"d\ne;f\n", Some(2));
        check("\"a\"\"\nb", Some(1));
    }
}
