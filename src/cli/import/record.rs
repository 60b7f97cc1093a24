//! The records of a file, one after the other, however many there are.

use std::io;
use std::rc::Rc;

use serde_json::Value;

use super::elements::Elements;
use super::input::{Bytes, Format, Meter};
use super::lines::Lines;
use super::rows::Rows;

/// One record of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Record {
    /// Where it begins.
    pub(super) line: u64,
    /// As JSON.
    pub(super) text: String,
    pub(super) value: Value,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum Unread {
    /// The record alone cannot be read.
    #[error("{reason}")]
    Record { line: u64, reason: String },
    /// Nor can what stands behind it.
    #[error("{reason}; what follows was not read")]
    Rest { line: u64, reason: String },
    #[error("{0}")]
    File(#[from] io::Error),
}

pub(super) enum Records {
    Csv(Box<Rows>),
    Json(Elements),
    Ndjson(Lines),
}

impl Records {
    pub(super) fn of(
        format: Format,
        bytes: Bytes,
        meter: Rc<Meter>,
        list: Option<&str>,
    ) -> Result<Records, Unread> {
        Ok(match format {
            Format::Csv => Records::Csv(Box::new(Rows::new(bytes, meter)?)),
            Format::Json => Records::Json(Elements::new(bytes, meter, list)),
            Format::Ndjson => Records::Ndjson(Lines::new(bytes, meter)),
        })
    }

    /// None at the end.
    pub(super) fn next(&mut self) -> Option<Result<Record, Unread>> {
        match self {
            Records::Csv(rows) => rows.next(),
            Records::Json(elements) => elements.next(),
            Records::Ndjson(lines) => lines.next(),
        }
    }
}

impl Record {
    pub(super) fn parse(line: u64, bytes: Vec<u8>) -> Result<Record, Unread> {
        let wrong = |line: u64, reason: String| Unread::Record { line, reason };
        let text = String::from_utf8(bytes)
            .map_err(|_| wrong(line, "it is not UTF-8: save the file as UTF-8".to_owned()))?;
        match serde_json::from_str(&text) {
            Ok(value) => Ok(Record { line, text, value }),
            Err(error) => {
                let at = line + (error.line() as u64).saturating_sub(1);
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                Err(wrong(at, format!("not JSON: {reason} at column {}", error.column())))
            }
        }
    }
}
