//! NDJSON: each line is a record of its own, so that an invalid one does not affect the others.

use std::io::{self, BufRead};
use std::rc::Rc;

use super::metered_input::{MeteredInput, ReadMeter};
use super::record::{ImportRecord, RecordError};

pub(super) struct NdjsonRecords {
    bytes: MeteredInput,
    meter: Rc<ReadMeter>,
    /// Number of lines read.
    line: u64,
}

impl NdjsonRecords {
    pub(super) fn new(bytes: MeteredInput, meter: Rc<ReadMeter>) -> NdjsonRecords {
        NdjsonRecords { bytes, meter, line: 0 }
    }

    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        loop {
            self.meter.begin_record();
            let mut line = Vec::new();
            let read = self.bytes.read_until(b'\n', &mut line);
            self.line += 1;
            match read {
                Ok(0) => return None,
                Ok(_) if line.trim_ascii().is_empty() => {}
                Ok(_) => return Some(ImportRecord::parse(self.line, line.trim_ascii().to_vec())),
                Err(_) if self.meter.is_used_up() => return Some(Err(self.skip_long_line())),
                Err(error) => return Some(Err(error.into())),
            }
        }
    }

    /// Skips the rest of a line that is too long, and returns the error for it.
    fn skip_long_line(&mut self) -> RecordError {
        let line = self.line;
        match self.skip_line() {
            Ok(()) => RecordError::Record { line, reason: "the line is too long".to_owned() },
            Err(error) => error.into(),
        }
    }

    fn skip_line(&mut self) -> io::Result<()> {
        loop {
            // Each buffer anew: the rest of the line may be of any length, but is not kept in
            // memory.
            self.meter.begin_record();
            let buffer = self.bytes.fill_buf()?;
            let end = buffer.iter().position(|byte| *byte == b'\n');
            let (skipped, is_end) = match end {
                Some(at) => (at + 1, true),
                None => (buffer.len(), buffer.is_empty()),
            };
            self.bytes.consume(skipped);
            if is_end {
                return Ok(());
            }
        }
    }
}
