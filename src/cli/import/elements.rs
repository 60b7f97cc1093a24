//! JSON: the elements of an array, found as the file is read and never all at once.

use std::io::{self, BufRead};
use std::rc::Rc;

use super::input::{Bytes, Meter};
use super::record::{Record, Unread};

pub(super) struct Elements {
    bytes: Bytes,
    meter: Rc<Meter>,
    /// The member of an object that lists the records.
    list: Option<String>,
    line: u64,
    place: Place,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// Before a value that stands by itself.
    Outside,
    InList,
    End,
}

/// What is wrong with the text at this place.
enum Broken {
    Ends,
    TooLong,
    File(io::Error),
}

impl From<io::Error> for Broken {
    fn from(error: io::Error) -> Broken {
        Broken::File(error)
    }
}

impl Elements {
    pub(super) fn new(bytes: Bytes, meter: Rc<Meter>, list: Option<&str>) -> Elements {
        let list = list.map(str::to_owned);
        Elements { bytes, meter, list, line: 1, place: Place::Outside }
    }

    pub(super) fn next(&mut self) -> Option<Result<Record, Unread>> {
        self.meter.begin_record();
        let (mut line, mut text) = (self.line, Vec::new());
        match self.find(&mut line, &mut text) {
            Ok(true) => Some(Record::parse(line, text)),
            Ok(false) => {
                self.place = Place::End;
                None
            }
            Err(broken) => {
                self.place = Place::End;
                Some(Err(self.unread(line, broken)))
            }
        }
    }

    fn unread(&self, line: u64, broken: Broken) -> Unread {
        match broken {
            Broken::Ends => {
                let reason = "the file ends in the middle of a value".to_owned();
                Unread::Rest { line, reason }
            }
            Broken::TooLong => Unread::Rest { line, reason: "the value is too long".to_owned() },
            Broken::File(_) if self.meter.is_used_up() => self.unread(line, Broken::TooLong),
            Broken::File(error) => Unread::File(error),
        }
    }

    /// The next record's text and line; false if there is none.
    fn find(&mut self, line: &mut u64, text: &mut Vec<u8>) -> Result<bool, Broken> {
        loop {
            let next = self.after_space()?;
            *line = self.line;
            match (self.place, next) {
                (Place::End, _) | (Place::Outside, None) | (Place::InList, Some(b']')) => {
                    return Ok(false);
                }
                (Place::InList, None) => return Err(Broken::Ends),
                (Place::Outside, Some(b'[')) => {
                    self.take()?;
                    self.place = Place::InList;
                }
                (Place::Outside, Some(b'{')) => {
                    if self.object(text)? {
                        return Ok(true);
                    }
                    text.clear();
                    self.place = Place::InList;
                }
                (Place::InList, Some(b',')) => drop(self.take()?),
                (Place::Outside | Place::InList, Some(_)) => {
                    self.value(text)?;
                    return Ok(true);
                }
            }
        }
    }

    /// An object that stands by itself is a record, unless it lists them: then reading goes on inside
    /// of its list, and this is false.
    fn object(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
        text.push(self.take()?);
        loop {
            match self.peek()?.ok_or(Broken::Ends)? {
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

    /// Goes behind the bracket with which a list begins, if one follows as a member's value.
    fn enters_list(&mut self, text: &mut Vec<u8>) -> Result<bool, Broken> {
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

    /// One value of any kind, as it is written.
    fn value(&mut self, text: &mut Vec<u8>) -> Result<(), Broken> {
        let mut depth = 0_usize;
        loop {
            let Some(byte) = self.peek()? else {
                return if depth == 0 { Ok(()) } else { Err(Broken::Ends) };
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

    fn string(&mut self, text: &mut Vec<u8>) -> Result<(), Broken> {
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

    fn after_space(&mut self) -> Result<Option<u8>, Broken> {
        while let Some(byte) = self.peek()? {
            if !byte.is_ascii_whitespace() {
                return Ok(Some(byte));
            }
            self.take()?;
        }
        Ok(None)
    }

    fn peek(&mut self) -> Result<Option<u8>, Broken> {
        Ok(self.bytes.fill_buf()?.first().copied())
    }

    fn take(&mut self) -> Result<u8, Broken> {
        let byte = self.peek()?.ok_or(Broken::Ends)?;
        self.bytes.consume(1);
        if byte == b'\n' {
            self.line += 1;
        }
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::super::input;
    use super::*;

    /// What is read of a text: the line and text of each record, or the line and reason.
    fn read(text: &str, list: Option<&str>) -> Vec<(u64, String)> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(text.as_bytes()).unwrap();
        let (bytes, meter) = input::open(file.path(), 1000).unwrap_or_else(|_| panic!("it opens"));
        let mut elements = Elements::new(bytes, meter, list);
        let mut found = Vec::new();
        while let Some(next) = elements.next() {
            found.push(match next {
                Ok(record) => (record.line, record.text),
                Err(Unread::Record { line, reason } | Unread::Rest { line, reason }) => {
                    (line, reason)
                }
                Err(Unread::File(error)) => panic!("{error}"),
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
    fn an_export_lists_its_records_in_a_member() {
        check(
            "{\"n\": 2, \"items\":\n[{\"a\":1}\n,{\"a\":2}], \"rest\": []}",
            &[(2, "{\"a\":1}"), (3, "{\"a\":2}")],
        );
    }

    #[test]
    fn an_object_without_the_list_is_a_record() {
        check(
            "{\"a\": {\"items\": [1]}, \"items\": 7}",
            &[(1, "{\"a\": {\"items\": [1]}, \"items\": 7}")],
        );
        check("{\"a\": 1}\n{\"a\": 2}", &[(1, "{\"a\": 1}"), (2, "{\"a\": 2}")]);
    }

    #[test]
    fn a_bad_element_harms_no_other() {
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
    fn what_ends_too_soon_or_never_is_told() {
        check("[1, {\"a\": 2", &[(1, "1"), (1, "the file ends in the middle of a value")]);
        check(&format!("[\"{}\"]", "x".repeat(300_000)), &[(1, "the value is too long")]);
    }
}
