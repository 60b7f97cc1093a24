//! Reads the records of a file in any format, one by one.

use std::rc::Rc;

use super::csv_records::CsvRecords;
use super::json_records::JsonRecords;
use super::metered_input::{FileFormat, MeteredInput, ReadMeter};
use super::ndjson_records::NdjsonRecords;
use super::record::{ImportRecord, RecordError};
use crate::mapping_file::file::Heading;

pub(super) enum RecordReader {
    Csv(Box<CsvRecords>),
    Json(JsonRecords),
    Ndjson(NdjsonRecords),
}

impl RecordReader {
    pub(super) fn of(
        format: FileFormat,
        bytes: MeteredInput,
        meter: Rc<ReadMeter>,
        list: Option<&str>,
    ) -> Result<RecordReader, RecordError> {
        Ok(match format {
            FileFormat::Csv => RecordReader::Csv(Box::new(CsvRecords::new(bytes, meter)?)),
            FileFormat::Json => RecordReader::Json(JsonRecords::new(bytes, meter, list)),
            FileFormat::Ndjson => RecordReader::Ndjson(NdjsonRecords::new(bytes, meter)),
        })
    }

    /// Returns the headings of a table.
    pub(super) fn headings(&self) -> Option<&[Heading]> {
        match self {
            RecordReader::Csv(rows) => Some(rows.headings()),
            RecordReader::Json(_) | RecordReader::Ndjson(_) => None,
        }
    }

    /// Reads the next record; none at the end of the file.
    pub(super) fn next(&mut self) -> Option<Result<ImportRecord, RecordError>> {
        match self {
            RecordReader::Csv(rows) => rows.next(),
            RecordReader::Json(elements) => elements.next(),
            RecordReader::Ndjson(lines) => lines.next(),
        }
    }
}
