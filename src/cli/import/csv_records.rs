//! CSV: each row becomes an object with the headings as keys.

use std::collections::{HashMap, HashSet};
use std::io::BufRead;
use std::rc::Rc;

use csv::{ErrorKind, Reader, ReaderBuilder, StringRecord};
use serde_json::{Map, Value};

use super::metered_input::{MeteredInput, ReadMeter};
use super::record::{ImportRecord, RecordError};

pub(super) struct CsvRecords {
    reader: Reader<MeteredInput>,
    meter: Rc<ReadMeter>,
    headings: Vec<String>,
    row: StringRecord,
    has_ended: bool,
}

impl CsvRecords {
    pub(super) fn new(
        mut bytes: MeteredInput,
        meter: Rc<ReadMeter>,
    ) -> Result<CsvRecords, RecordError> {
        let separator = separator(bytes.fill_buf()?);
        let mut reader = ReaderBuilder::new().delimiter(separator).from_reader(bytes);
        let headings = reader.headers().map(headings).map_err(|_| RecordError::Rest {
            line: 1,
            reason: "the headings cannot be read: save the file as CSV in UTF-8".to_owned(),
        })?;
        Ok(CsvRecords { reader, meter, headings, row: StringRecord::new(), has_ended: false })
    }

    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        if self.has_ended {
            return None;
        }
        self.meter.begin_record();
        let before = self.reader.position().line();
        match self.reader.read_record(&mut self.row) {
            Ok(true) => Some(Ok(self.record())),
            Ok(false) => None,
            Err(error) => {
                let error = self.record_error(before, error);
                self.has_ended = !matches!(error, RecordError::Record { .. });
                Some(Err(error))
            }
        }
    }

    fn record(&self) -> ImportRecord {
        let line = self.row.position().map_or(0, csv::Position::line);
        let cells = self.headings.iter().zip(&self.row);
        let object: Map<String, Value> =
            cells.map(|(heading, cell)| (heading.clone(), Value::from(cell))).collect();
        let value = Value::Object(object);
        ImportRecord { line, text: value.to_string(), value }
    }

    fn record_error(&self, before: u64, error: csv::Error) -> RecordError {
        let line = error.position().map_or(before, csv::Position::line);
        let reason = match error.kind() {
            ErrorKind::Utf8 { err, .. } => {
                let heading = self.headings.get(err.field()).map_or("", String::as_str);
                format!("`{heading}` is not UTF-8: save the file as UTF-8")
            }
            ErrorKind::UnequalLengths { expected_len, len, .. } => {
                format!("it has {len} cells, and there are {expected_len} headings")
            }
            // A quote that is not closed makes the rest of the file one cell: it is not read to its
            // end.
            _ if self.meter.is_used_up() => {
                let reason = "the row is too long: does a quote not end?".to_owned();
                return RecordError::Rest { line, reason };
            }
            _ => return RecordError::File(std::io::Error::other(error)),
        };
        RecordError::Record { line, reason }
    }
}

/// Returns the separator that occurs most often in the line of headings.
// Spreadsheets use a semicolon in countries that write decimals with a comma.
fn separator(beginning: &[u8]) -> u8 {
    let mut counts = [(b',', 0_usize), (b';', 0), (b'\t', 0)];
    let mut is_quoted = false;
    for byte in beginning {
        match byte {
            b'"' => is_quoted = !is_quoted,
            b'\n' if !is_quoted => break,
            _ if is_quoted => {}
            _ => counts.iter_mut().filter(|(it, _)| it == byte).for_each(|(_, count)| *count += 1),
        }
    }
    // `max_by_key` returns the last of equal ones, and the comma is the most likely.
    counts.reverse();
    counts.into_iter().max_by_key(|(_, count)| *count).map_or(b',', |(separator, _)| separator)
}

/// Returns the headings as unique keys.
fn headings(row: &StringRecord) -> Vec<String> {
    let mut headings: Vec<String> = Vec::with_capacity(row.len());
    let mut taken: HashSet<String> = HashSet::with_capacity(row.len());
    // The next number for each name: counted from 2 each time, very many columns of one name would
    // take quadratic time.
    let mut repeats: HashMap<String, usize> = HashMap::new();
    for (index, text) in row.iter().enumerate() {
        let text = text.trim();
        let name = if text.is_empty() { format!("column {}", index + 1) } else { text.to_owned() };
        let mut heading = name.clone();
        while taken.contains(&heading) {
            let repeat = repeats.entry(name.clone()).or_insert(2);
            heading = format!("{name} ({repeat})");
            *repeat += 1;
        }
        taken.insert(heading.clone());
        headings.push(heading);
    }
    headings
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn separator_is_detected_from_the_headings() {
        assert_eq!(separator(b"Name,E-mail\nAda;Lovelace;x"), b',');
        assert_eq!(separator(b"\"Name, first\";E-mail\n"), b';');
        assert_eq!(separator(b"Name\tE-mail\n"), b'\t');
        assert_eq!(separator(b"Name\n"), b',');
    }

    #[test]
    fn column_names_are_unique() {
        let row = StringRecord::from(vec![" Other ", "", "Other", "Other"]);

        assert_eq!(headings(&row), ["Other", "column 2", "Other (2)", "Other (3)"]);
        let row = StringRecord::from(vec!["a", "a (2)", "a", "a", "a (2)", "column 7", ""]);
        let expected = ["a", "a (2)", "a (3)", "a (4)", "a (2) (2)", "column 7", "column 7 (2)"];
        assert_eq!(headings(&row), expected);
    }

    // If each heading were compared with all before it, this would take hours.
    #[test]
    fn headings_are_read_in_linear_time() {
        let row: StringRecord = std::iter::repeat_n("a", 200_000).collect();
        let begun = std::time::Instant::now();

        let headings = headings(&row);

        assert_eq!(headings[199_999], "a (200000)");
        assert!(begun.elapsed() < std::time::Duration::from_mins(1), "{:?}", begun.elapsed());
    }
}
