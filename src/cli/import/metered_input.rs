//! The imported file as bytes: detects its format, measures progress, and limits the size of a
//! record.

use std::cell::Cell;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;
use std::rc::Rc;

use clap::ValueEnum;
use serde::de::IgnoredAny;
use serde_json::Value;

use crate::cli::error::CommandError;
use crate::file;
use crate::json;

/// Number of bytes from which the format is detected.
const PEEK_BYTES: usize = 64 * 1024;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum FileFormat {
    /// Columns with a header row, separated by commas, semicolons or tabs
    Csv,
    /// JSON array, single object, or an export that contains a list of records
    Json,
    /// One JSON value per line
    Ndjson,
}

impl FileFormat {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            FileFormat::Csv => "csv",
            FileFormat::Json => "json",
            FileFormat::Ndjson => "ndjson",
        }
    }
}

/// Counts the bytes that are read.
#[derive(Debug)]
pub(super) struct ReadMeter {
    read: Cell<u64>,
    /// Number of bytes that may still be read for the current record.
    left: Cell<u64>,
    record_bytes_max: u64,
    /// Size of the file; none for standard input.
    pub(super) total: Option<u64>,
}

impl ReadMeter {
    fn new(record_bytes_max: usize, total: Option<u64>) -> ReadMeter {
        let record_bytes_max = u64::try_from(record_bytes_max).unwrap_or(u64::MAX);
        let meter = ReadMeter { read: Cell::new(0), left: Cell::new(0), record_bytes_max, total };
        meter.begin_record();
        meter
    }

    pub(super) fn read(&self) -> u64 {
        self.read.get()
    }

    /// Allows the full size for the next record.
    pub(super) fn begin_record(&self) {
        // Readers fill a buffer ahead: up to two buffers more than the record itself may be read.
        self.left.set(self.record_bytes_max.saturating_add(2 * PEEK_BYTES as u64));
    }

    pub(super) fn is_used_up(&self) -> bool {
        self.left.get() == 0
    }
}

/// Reader that counts its bytes, and fails once a record is too long.
pub(super) struct MeteredReader {
    inner: Box<dyn Read>,
    meter: Rc<ReadMeter>,
}

impl Read for MeteredReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let left = usize::try_from(self.meter.left.get()).unwrap_or(usize::MAX);
        if left == 0 && !buffer.is_empty() {
            return Err(io::Error::other("a record is too long"));
        }
        let end = buffer.len().min(left);
        let count = self.inner.read(&mut buffer[..end])?;
        let bytes = count as u64;
        self.meter.read.set(self.meter.read.get() + bytes);
        self.meter.left.set(self.meter.left.get().saturating_sub(bytes));
        Ok(count)
    }
}

pub(super) type MeteredInput = BufReader<MeteredReader>;

/// Opens the file, or standard input for `-`. A byte order mark is skipped.
pub(super) fn open(
    path: &Path,
    record_bytes_max: usize,
) -> Result<(MeteredInput, Rc<ReadMeter>), CommandError> {
    let failed = |error: io::Error| {
        let reason = file::explain(&error, path);
        CommandError::InvalidInput(format!("{}: {reason}", path.display()))
    };
    let (inner, total): (Box<dyn Read>, _) = if path == Path::new("-") {
        (Box::new(io::stdin()), None)
    } else {
        let file = File::open(path).map_err(failed)?;
        let metadata = file.metadata().map_err(failed)?;
        // A folder can be opened, and only its first read would fail.
        if metadata.is_dir() {
            let reason = "it is a folder: name a file in it";
            return Err(CommandError::InvalidInput(format!("{}: {reason}", path.display())));
        }
        let total = metadata.is_file().then_some(metadata.len());
        (Box::new(file), total)
    };
    let meter = Rc::new(ReadMeter::new(record_bytes_max, total));
    let metered = MeteredReader { inner, meter: Rc::clone(&meter) };
    let mut bytes = BufReader::with_capacity(PEEK_BYTES, metered);
    // Looked at before any reader, and not consumed: the file may be a pipe, which cannot be opened
    // twice.
    let beginning = bytes.fill_buf().map_err(failed)?;
    if let Some(reason) = unreadable(beginning) {
        return Err(CommandError::InvalidInput(format!("{}: {reason}", path.display())));
    }
    let marks = beginning.len() - json::without_bom(beginning).len();
    bytes.consume(marks);
    Ok((bytes, meter))
}

/// Returns what to do with a file that is not a text file in UTF-8.
fn unreadable(beginning: &[u8]) -> Option<&'static str> {
    match beginning {
        [] => Some("it is empty"),
        [b'P', b'K', 3, 4, ..] => Some("it is a workbook or an archive: save it as CSV"),
        [0x1f, 0x8b, ..] => Some("it is packed with gzip: unpack it first"),
        _ if json::is_utf16(beginning) => Some("it is UTF-16: save it as UTF-8"),
        _ => None,
    }
}

/// Guesses the format from the beginning of a file. `list` is the member with the records of an
/// export.
pub(super) fn guess(beginning: &[u8], list: Option<&str>) -> FileFormat {
    let text = beginning.trim_ascii_start();
    let mut lines = text.split(|byte| matches!(byte, b'\n' | b'\r'));
    let first = lines.next().unwrap_or_default();
    match text.first() {
        Some(b'[') => FileFormat::Json,
        // An object that fills the first line is a record of NDJSON, unless it is an export in one
        // line.
        Some(b'{') => match serde_json::from_slice::<Value>(&json::repaired(first)) {
            Ok(value) if list.is_some_and(|list| value[list].is_array()) => FileFormat::Json,
            Ok(_) => FileFormat::Ndjson,
            Err(_) if are_objects(&mut lines) => FileFormat::Ndjson,
            Err(_) => FileFormat::Json,
        },
        // The first line of NDJSON may be broken.
        Some(_) | None if are_objects(&mut lines) => FileFormat::Ndjson,
        Some(_) | None => FileFormat::Csv,
    }
}

/// Returns whether each of the lines begins an object, and most of them are one.
fn are_objects(lines: &mut dyn Iterator<Item = &[u8]>) -> bool {
    const LINES_MAX: usize = 20;
    let (mut begun, mut whole) = (0, 0);
    for line in lines.map(<[u8]>::trim_ascii).filter(|line| !line.is_empty()).take(LINES_MAX) {
        // The lines inside of an object or a list begin with a name or a bracket too.
        if !line.starts_with(b"{") {
            return false;
        }
        begun += 1;
        whole += usize::from(serde_json::from_slice::<IgnoredAny>(&json::repaired(line)).is_ok());
    }
    2 * whole > begun
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn format_is_detected_from_the_beginning() {
        let check =
            |text: &str, expected| assert_eq!(guess(text.as_bytes(), Some("items")), expected);
        check("Name,E-mail\nAda,ada@example.com\n", FileFormat::Csv);
        check(" \n[{\"a\":1}]", FileFormat::Json);
        check("{\"a\":1}\n{\"a\":2}\n", FileFormat::Ndjson);
        check("{\n  \"a\": 1\n}\n", FileFormat::Json);
        check("{\"total_items\":1,\"items\":[]}", FileFormat::Json);
        check("{\"a\":\"half \\ud83d\"}\n", FileFormat::Ndjson);
        check("{\"items\": [\n{\"a\":1},\n{\"a\":2}\n]}", FileFormat::Json);
        check("{\"items\": [\n{\"a\":1}\n]}", FileFormat::Json);
    }

    #[test]
    fn ndjson_is_detected_although_its_first_line_is_broken() {
        for broken in ["{\"a\":", "{\"a\": 1", "a\":1}", "{'a': 1}", "{\"a\": nope,"] {
            let text = format!("{broken}\n{{\"a\":2}}\r\n\n{{\"a\":3}}\n{{\"a\"");
            assert_eq!(guess(text.as_bytes(), None), FileFormat::Ndjson, "{broken}");
        }
    }

    #[test]
    fn file_that_is_no_text_has_advice() {
        assert!(unreadable(b"PK\x03\x04rest").is_some_and(|it| it.contains("CSV")));
        assert!(unreadable(b"\xff\xfea\0").is_some_and(|it| it.contains("UTF-8")));
        assert_eq!(unreadable(b"Name"), None);
    }
}
