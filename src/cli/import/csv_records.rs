//! CSV: each row becomes an object with the headings as keys. A line of Excel before them may name
//! the separator.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::rc::Rc;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::csv_lines::{CsvLineReader, CsvLines};
use super::metered_input::{MeteredInput, ReadMeter};
use super::record::{ImportRecord, RecordError};
use crate::mapping_file::file::Heading;

pub(super) struct CsvRecords {
    reader: Reader<CsvLineReader<MeteredInput>>,
    lines: Rc<RefCell<CsvLines>>,
    meter: Rc<ReadMeter>,
    headings: Vec<Heading>,
    row: StringRecord,
    has_ended: bool,
}

impl CsvRecords {
    pub(super) fn new(
        mut bytes: MeteredInput,
        meter: Rc<ReadMeter>,
    ) -> Result<CsvRecords, RecordError> {
        let (separator, line, skipped) = match named_separator(bytes.fill_buf()?) {
            Some((separator, length)) => (separator, 2, length),
            None => (separator(bytes.fill_buf()?), 1, 0),
        };
        bytes.consume(skipped);
        let lines = Rc::new(RefCell::new(CsvLines::new(separator, line)));
        let inner = CsvLineReader { inner: bytes, lines: Rc::clone(&lines) };
        let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(inner);
        let read = reader.headers().map(headings);
        if let Some(line) = lines.borrow().open_quote().filter(|_| is_cut(&lines, &meter)) {
            return Err(unclosed(line));
        }
        let headings = read.map_err(|_| RecordError::Rest {
            line,
            reason: "the headings cannot be read: save the file as CSV in UTF-8".to_owned(),
        })?;
        let row = StringRecord::new();
        Ok(CsvRecords { reader, lines, meter, headings, row, has_ended: false })
    }

    pub(super) fn headings(&self) -> &[Heading] {
        &self.headings
    }

    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        if self.has_ended {
            return None;
        }
        self.meter.begin_record();
        let position = self.reader.position().byte();
        let read = self.reader.read_record(&mut self.row);
        let line = self.lines.borrow_mut().line_at(position);
        // The parser takes all that follows such a quote for one cell, without an error at the end of
        // the file.
        let open = self.lines.borrow().open_quote();
        if let Some(line) = open.filter(|_| is_cut(&self.lines, &self.meter)) {
            self.has_ended = true;
            return Some(Err(unclosed(line)));
        }
        match read {
            Ok(true) => Some(Ok(self.record(line))),
            Ok(false) => None,
            Err(error) => {
                let error = self.record_error(line, error);
                self.has_ended = !matches!(error, RecordError::Record { .. });
                Some(Err(error))
            }
        }
    }

    fn record(&self, line: u64) -> ImportRecord {
        let cells = self.headings.iter().zip(&self.row);
        let object: Map<String, Value> =
            cells.map(|(heading, cell)| (heading.key.clone(), Value::from(cell))).collect();
        let value = Value::Object(object);
        ImportRecord { line, text: value.to_string(), value }
    }

    fn record_error(&self, line: u64, error: csv::Error) -> RecordError {
        let reason = match error.kind() {
            ErrorKind::Utf8 { err, .. } => {
                let heading = self.headings.get(err.field()).map_or("", |it| it.key.as_str());
                format!("`{heading}` is not UTF-8: save the file as UTF-8")
            }
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("it has {len} cells, and there are {expected_len} headings")
            }
            _ if self.meter.is_used_up() => {
                return RecordError::Rest { line, reason: "the row is too long".to_owned() };
            }
            _ => return RecordError::File(std::io::Error::other(error)),
        };
        RecordError::Record { line, reason }
    }
}

/// Returns whether nothing follows: the file has ended, or the row is too long.
fn is_cut(lines: &RefCell<CsvLines>, meter: &ReadMeter) -> bool {
    lines.borrow().has_ended || meter.is_used_up()
}

/// Error of a quote that opens in this line and does not close.
fn unclosed(line: u64) -> RecordError {
    let reason = "the quotation mark that opens a cell here is not closed; write \"\" for one that \
                  is part of a text";
    RecordError::Rest { line, reason: reason.to_owned() }
}

/// Returns the separator that Excel names in a line before the headings, `sep=;`, and the length of
/// that line with its end.
fn named_separator(beginning: &[u8]) -> Option<(u8, usize)> {
    let end = beginning.iter().position(|byte| matches!(byte, b'\r' | b'\n'))?;
    let line = beginning[..end].trim_ascii_end();
    let quoted = line.strip_prefix(b"\"").and_then(|line| line.strip_suffix(b"\""));
    // A tab at the end counts as white space.
    let named = if quoted.is_some() { quoted } else { Some(&beginning[..end]) };
    let (name, separator) = named?.split_at_checked(4)?;
    let &[separator] = separator else { return None };
    let is_separator =
        separator == b'\t' || (separator.is_ascii_punctuation() && separator != b'"');
    let is_named = name.eq_ignore_ascii_case(b"sep=") && is_separator;
    let length = if beginning[end..].starts_with(b"\r\n") { end + 2 } else { end + 1 };
    is_named.then_some((separator, length))
}

/// Returns the separator that occurs most often in the line of headings.
// Spreadsheets use a semicolon in countries that write decimals with a comma.
fn separator(beginning: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in beginning {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' | b'\r' if !is_quoted => break,
            _ if is_quoted => {}
            _ => counts.iter_mut().filter(|(it, _)| it == byte).for_each(|(_, count)| *count += 1),
        }
    }
    // `max_by_key` returns the last of equal ones, and the comma is the most likely.
    counts.reverse();
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// Returns the headings with unique keys.
fn headings(row: &StringRecord) -> Vec<Heading> {
    let mut headings: Vec<Heading> = Vec::with_capacity(row.len());
    let mut taken: HashSet<String> = HashSet::with_capacity(row.len());
    // The next number for each name: counted from 2 each time, very many columns of one name would
    // take quadratic time.
    let mut repeats: HashMap<String, usize> = HashMap::new();
    for (index, text) in row.iter().enumerate() {
        let text = text.trim();
        let name = if text.is_empty() { format!("column {}", index + 1) } else { text.to_owned() };
        let mut key = name.clone();
        while taken.contains(&key) {
            let repeat = repeats.entry(name.clone()).or_insert(2);
            key = format!("{name} ({repeat})");
            *repeat += 1;
        }
        taken.insert(key.clone());
        headings.push(Heading { key, name });
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keys(row: &StringRecord) -> Vec<String> {
        headings(row).into_iter().map(|heading| heading.key).collect()
    }

    #[test]
    fn line_of_excel_names_the_separator() {
        assert_eq!(named_separator(b"sep=;\r\nName;E-mail"), Some((b';', 7)));
        assert_eq!(named_separator(b"SEP=,\nName"), Some((b',', 6)));
        assert_eq!(named_separator(b"sep=\t\rName"), Some((b'\t', 6)));
        assert_eq!(named_separator(b"\"sep=|\"\nName"), Some((b'|', 8)));
        for headings in ["sep=\nName", "Name;sep=;\n", "sep=;", "sep=;;\n", "sep=\u{e4}\n"] {
            assert_eq!(named_separator(headings.as_bytes()), None, "{headings}");
        }
    }

    #[test]
    fn separator_is_detected_from_the_headings() {
        assert_eq!(separator(b"Name,E-mail\nAda;Lovelace;x"), b',');
        assert_eq!(separator(b"\"Name, first\";E-mail\n"), b';');
        assert_eq!(separator(b"Name\tE-mail\n"), b'\t');
        assert_eq!(separator(b"Name\n"), b',');
        assert_eq!(separator(b"Name,E-mail\rAda;Lovelace;x;y"), b',');
    }

    #[test]
    fn column_names_are_unique() {
        let row = StringRecord::from(vec![" Other ", "", "Other", "Other"]);

        assert_eq!(keys(&row), ["Other", "column 2", "Other (2)", "Other (3)"]);
        let row = StringRecord::from(vec!["a", "a (2)", "a", "a", "a (2)", "column 7", ""]);
        let expected = ["a", "a (2)", "a (3)", "a (4)", "a (2) (2)", "column 7", "column 7 (2)"];
        assert_eq!(keys(&row), expected);
        assert_eq!(headings(&row)[2].name, "a");
    }

    // If each heading were compared with all before it, this would take hours.
    #[test]
    fn headings_are_read_in_linear_time() {
        let row: StringRecord = std::iter::repeat_n("a", 200_000).collect();
        let begun = std::time::Instant::now();

        let headings = headings(&row);

        assert_eq!(headings[199_999].key, "a (200000)");
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
