//! A record of a file, and the errors of reading one.

use std::borrow::Cow;
use std::io;

use serde::de::IgnoredAny;
use serde_json::Value;

use crate::json::without_lone_surrogates;

/// One record of a file.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ImportRecord {
    /// Line at which it begins.
    pub(super) line: u64,
    /// The record as JSON text.
    pub(super) text: String,
    pub(super) value: Value,
}

#[derive(Debug, thiserror::Error)]
pub(super) enum RecordError {
    /// This record cannot be read; those after it can.
    #[error("{reason}")]
    Record { line: u64, reason: String },
    /// Neither this record nor the rest of the file can be read.
    #[error("{reason}; what follows was not read")]
    Rest { line: u64, reason: String },
    #[error("{0}")]
    File(#[from] io::Error),
}

impl ImportRecord {
    pub(super) fn parse(line: u64, bytes: Vec<u8>) -> Result<ImportRecord, RecordError> {
        let wrong = |line: u64, reason: String| RecordError::Record { line, reason };
        let text = String::from_utf8(bytes)
            .map_err(|_| wrong(line, "it is not UTF-8: save the file as UTF-8".to_owned()))?;
        let text = without_lone_surrogates(Cow::Owned(text)).into_owned();
        match serde_json::from_str(&text) {
            Ok(value) => Ok(ImportRecord { line, text, value }),
            // The parser counts only line feeds, and the lines of a file may end with CR alone.
            // Between values both are white space, and within texts both are mistakes.
            Err(error) => {
                let text = text.replace("\r\n", "\n").replace('\r', "\n");
                let error = serde_json::from_str::<IgnoredAny>(&text).err().unwrap_or(error);
                let at = line + (error.line() as u64).saturating_sub(1);
                let reason = error.to_string();
                let reason = reason.split(" at line ").next().unwrap_or_default();
                Err(wrong(at, format!("not JSON: {reason} at column {}", error.column())))
            }
        }
    }
}
