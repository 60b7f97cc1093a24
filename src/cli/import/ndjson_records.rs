//! NDJSON: each line is a record of its own, so that an invalid one does not affect the others.

use std::io;
use std::rc::Rc;

use super::metered_input::{MeteredInput, ReadMeter};
use super::record::{ImportRecord, RecordError};
use crate::cli::line_input::{LineInput, ReadStop};

pub(super) struct NdjsonRecords {
    lines: LineInput<MeteredInput>,
    meter: Rc<ReadMeter>,
    /// Number of lines read.
    line: u64,
}

impl NdjsonRecords {
    pub(super) fn new(bytes: MeteredInput, meter: Rc<ReadMeter>) -> NdjsonRecords {
        NdjsonRecords { lines: LineInput::new(bytes), meter, line: 0 }
    }

    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        loop {
            self.meter.begin_record();
            self.line += 1;
            let mut line = Vec::new();
            let stop = match self.read_line(&mut line) {
                Ok(stop) => stop,
                Err(_) if self.meter.is_used_up() => return Some(Err(self.skip_long_line())),
                Err(error) => return Some(Err(error.into())),
            };
            let text = line.trim_ascii();
            if !text.is_empty() {
                return Some(ImportRecord::parse(self.line, text.to_vec()));
            }
            if stop == ReadStop::InputEnd {
                return None;
            }
        }
    }

    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<ReadStop> {
        loop {
            let (_, stop) = self.lines.read_part(Some(line))?;
            if stop != ReadStop::InLine {
                return Ok(stop);
            }
        }
    }

    /// Skips the rest of a line that is too long, and returns the error for it.
    fn skip_long_line(&mut self) -> RecordError {
        loop {
            // Each part anew: the rest of the line may be of any length, but is not kept in memory.
            self.meter.begin_record();
            match self.lines.read_part(None) {
                Ok((_, ReadStop::InLine)) => {}
                Ok((_, ReadStop::LineEnd | ReadStop::InputEnd)) => {
                    let reason = "the line is too long".to_owned();
                    return RecordError::Record { line: self.line, reason };
                }
                Err(error) => return error.into(),
            }
        }
    }
}
