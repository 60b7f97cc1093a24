//! JSON: the elements of an array, read one by one, so that a file of any size can be imported.

use std::io::{self, BufRead};
use std::rc::Rc;

use super::metered_input::{MeteredInput, ReadMeter};
use super::record::{ImportRecord, RecordError};

pub(super) struct JsonRecords {
    bytes: MeteredInput,
    meter: Rc<ReadMeter>,
    /// Member of the outer object that has the list of records.
    list: Option<String>,
    line: u64,
    /// Whether the last byte was a carriage return, whose line feed ends the same line.
    is_after_return: bool,
    state: ArrayState,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ArrayState {
    /// Before a value that is not in a list.
    Outside,
    InList,
    End,
}

/// Error at the current position.
enum JsonReadError {
    UnexpectedEnd,
    TooLong,
    File(io::Error),
}

impl From<io::Error> for JsonReadError {
    fn from(error: io::Error) -> JsonReadError {
        JsonReadError::File(error)
    }
}

impl JsonRecords {
    pub(super) fn new(
        bytes: MeteredInput,
        meter: Rc<ReadMeter>,
        list: Option<&str>,
    ) -> JsonRecords {
        let list = list.map(str::to_owned);
        JsonRecords {
            bytes,
            meter,
            list,
            line: 1,
            is_after_return: false,
            state: ArrayState::Outside,
        }
    }

    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        self.meter.begin_record();
        let (mut line, mut text) = (self.line, Vec::new());
        match self.find(&mut line, &mut text) {
            Ok(true) => Some(ImportRecord::parse(line, text)),
            Ok(false) => {
                self.state = ArrayState::End;
                None
            }
            Err(error) => {
                // No position is known from which reading could continue.
                self.state = ArrayState::End;
                Some(Err(self.record_error(line, error)))
            }
        }
    }

    fn record_error(&self, line: u64, error: JsonReadError) -> RecordError {
        match error {
            JsonReadError::UnexpectedEnd => {
                let reason = "the file ends in the middle of a value".to_owned();
                RecordError::Rest { line, reason }
            }
            JsonReadError::TooLong => {
                RecordError::Rest { line, reason: "the value is too long".to_owned() }
            }
            JsonReadError::File(_) if self.meter.is_used_up() => {
                self.record_error(line, JsonReadError::TooLong)
            }
            JsonReadError::File(error) => RecordError::File(error),
        }
    }

    /// Finds the text and line of the next record; false if there is none.
    fn find(&mut self, line: &mut u64, text: &mut Vec<u8>) -> Result<bool, JsonReadError> {
        loop {
            let next = self.after_space()?;
            *line = self.line;
            match (self.state, next) {
                (ArrayState::End, _)
                | (ArrayState::Outside, None)
                | (ArrayState::InList, Some(b']')) => {
                    return Ok(false);
                }
                (ArrayState::InList, None) => return Err(JsonReadError::UnexpectedEnd),
                (ArrayState::Outside, Some(b'[')) => {
                    self.take()?;
                    self.state = ArrayState::InList;
                }
                (ArrayState::Outside, Some(b'{')) => {
                    if self.object(text)? {
                        return Ok(true);
                    }
                    text.clear();
                    self.state = ArrayState::InList;
                }
                (ArrayState::InList, Some(b',')) => drop(self.take()?),
                (ArrayState::Outside | ArrayState::InList, Some(_)) => {
                    self.value(text)?;
                    return Ok(true);
                }
            }
        }
    }

    /// Reads an object outside a list. If it has the list of records, stops inside that and returns
    /// false.
    fn object(&mut self, text: &mut Vec<u8>) -> Result<bool, JsonReadError> {
        text.push(self.take()?);
        loop {
            match self.peek()?.ok_or(JsonReadError::UnexpectedEnd)? {
                b'}' => {
                    text.push(self.take()?);
                    return Ok(true);
                }
                b'"' => {
                    let start = text.len();
                    self.string(text)?;
                    if self.is_list_name(&text[start..]) && self.enters_list(text)? {
                        return Ok(false);
                    }
                }
                b'{' | b'[' => self.value(text)?,
                _ => text.push(self.take()?),
            }
        }
    }

    fn is_list_name(&self, string: &[u8]) -> bool {
        let Some(list) = &self.list else { return false };
        serde_json::from_slice::<String>(string).is_ok_and(|name| name == *list)
    }

    /// Reads the opening bracket of a list, if that is the value of the member; otherwise returns
    /// false.
    fn enters_list(&mut self, text: &mut Vec<u8>) -> Result<bool, JsonReadError> {
        let mut is_member = false;
        while let Some(byte) = self.peek()? {
            match byte {
                b':' => is_member = true,
                b'[' if is_member => {
                    self.take()?;
                    return Ok(true);
                }
                byte if byte.is_ascii_whitespace() => {}
                _ => return Ok(false),
            }
            text.push(self.take()?);
        }
        Ok(false)
    }

    /// Reads the text of one value without parsing it.
    // Only brackets and strings matter. A value that is invalid otherwise is still found whole, and
    // does not affect the records after it.
    fn value(&mut self, text: &mut Vec<u8>) -> Result<(), JsonReadError> {
        let mut depth = 0_usize;
        loop {
            let Some(byte) = self.peek()? else {
                return if depth == 0 { Ok(()) } else { Err(JsonReadError::UnexpectedEnd) };
            };
            match byte {
                b'"' => self.string(text)?,
                b'{' | b'[' => {
                    depth += 1;
                    text.push(self.take()?);
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    text.push(self.take()?);
                }
                b',' | b'}' | b']' if depth == 0 && !text.is_empty() => return Ok(()),
                byte if depth == 0 && byte.is_ascii_whitespace() => return Ok(()),
                _ => text.push(self.take()?),
            }
            if depth == 0 && matches!(text.last(), Some(b'}' | b']' | b'"')) {
                return Ok(());
            }
        }
    }

    fn string(&mut self, text: &mut Vec<u8>) -> Result<(), JsonReadError> {
        text.push(self.take()?);
        loop {
            let byte = self.take()?;
            text.push(byte);
            match byte {
                b'"' => return Ok(()),
                b'\\' => text.push(self.take()?),
                _ => {}
            }
        }
    }

    fn after_space(&mut self) -> Result<Option<u8>, JsonReadError> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.take()?;
        }
        Ok(None)
    }

    fn peek(&mut self) -> Result<Option<u8>, JsonReadError> {
        Ok(self.bytes.fill_buf()?.first().copied())
    }

    fn take(&mut self) -> Result<u8, JsonReadError> {
        let byte = self.peek()?.ok_or(JsonReadError::UnexpectedEnd)?;
        self.bytes.consume(1);
        if byte == b'\r' || (byte == b'\n' && !self.is_after_return) {
            self.line += 1;
        }
        self.is_after_return = byte == b'\r';
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::*;
    use crate::cli::import::metered_input;

    /// Reads a text, and returns the line and text of each record, or the line and reason.
    fn read(text: &str, list: Option<&str>) -> Vec<(u64, String)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (bytes, meter) =
            metered_input::open(file.path(), 1000).unwrap_or_else(|_| panic!("it opens"));
        let mut elements = JsonRecords::new(bytes, meter, list);
        let mut found = Vec::new();
        while let Some(next) = elements.next() {
            found.push(match next {
                Ok(record) => (record.line, record.text),
                Err(RecordError::Record { line, reason } | RecordError::Rest { line, reason }) => {
                    (line, reason)
                }
                Err(RecordError::File(error)) => panic!("{error}"),
            });
        }
        found
    }

    #[track_caller]
    fn check(text: &str, expected: &[(u64, &str)]) {
        let found = read(text, Some("items"));
        let found: Vec<(u64, &str)> = found.iter().map(|(line, text)| (*line, &**text)).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn elements_are_found_one_by_one() {
        check("[]", &[]);
        check(
            "[{\"a\":\"]},\\\"\"},\n [1, 2], 3]",
            &[(1, "{\"a\":\"]},\\\"\"}"), (2, "[1, 2]"), (2, "3")],
        );
    }

    #[test]
    fn line_of_an_element_is_right_for_every_line_end() {
        for end in ["\n", "\r\n", "\r"] {
            let text = "[\n1,\n{\"a\":\n nope},\n\n2]".replace('\n', end);
            let lines: Vec<u64> = read(&text, None).iter().map(|(line, _)| *line).collect();
            assert_eq!(lines, [2, 4, 6], "{end:?}");
        }
    }

    #[test]
    fn records_are_read_from_the_member_of_an_export() {
        check(
            "{\"n\": 2, \"items\":\n[{\"a\":1}\n,{\"a\":2}], \"rest\": []}",
            &[(2, "{\"a\":1}"), (3, "{\"a\":2}")],
        );
    }

    #[test]
    fn object_without_the_list_is_a_record() {
        check(
            "{\"a\": {\"items\": [1]}, \"items\": 7}",
            &[(1, "{\"a\": {\"items\": [1]}, \"items\": 7}")],
        );
        check("{\"a\": 1}\n{\"a\": 2}", &[(1, "{\"a\": 1}"), (2, "{\"a\": 2}")]);
    }

    #[test]
    fn invalid_element_does_not_affect_others() {
        check(
            "[{\"a\": nope},\n{\"a\": 1 2},{\"a\": 1}]",
            &[
                (1, "not JSON: expected ident at column 8"),
                (2, "not JSON: expected `,` or `}` at column 9"),
                (2, "{\"a\": 1}"),
            ],
        );
    }

    #[test]
    fn truncated_or_endless_value_is_reported() {
        check("[1, {\"a\": 2", &[(1, "1"), (1, "the file ends in the middle of a value")]);
        check(&format!("[\"{}\"]", "x".repeat(300_000)), &[(1, "the value is too long")]);
    }
}
