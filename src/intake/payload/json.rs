//! JSON text, and its limits, which are checked before it is parsed.

use std::borrow::Cow;

use serde_json::Value;

use super::error::{DecodeError, malformed, not_json};
use super::limits::PayloadLimits;
use crate::json;
use crate::parse_memory::{parsed_bytes, parsed_bytes_max, string_end};

/// A body as JSON text: not parsed yet, but within the limits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'b> {
    pub text: Cow<'b, str>,
    /// Texts that were not in their declared encoding.
    pub notes: Vec<String>,
}

impl<'b> Decoded<'b> {
    pub(super) fn as_it_is(text: &'b str) -> Decoded<'b> {
        Decoded { text: Cow::Borrowed(text), notes: Vec::new() }
    }

    pub(super) fn into_owned(self) -> Decoded<'static> {
        Decoded { text: Cow::Owned(self.text.into_owned()), notes: self.notes }
    }
}

pub fn parse(text: &str) -> Result<Value, DecodeError> {
    serde_json::from_str(text).map_err(|error| not_json(&error))
}

/// Removes the byte order mark that some editors and tools write.
pub(in crate::intake) fn without_bom(text: &str) -> &str {
    text.trim_start_matches('\u{feff}')
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, DecodeError> {
    if json::is_utf16(body) {
        return Err(malformed("it is UTF-16: JSON and forms are sent as UTF-8"));
    }
    std::str::from_utf8(body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// Returns the memory that the text takes once it is parsed; an error if it is too much.
pub(in crate::intake) fn weight(text: &str, limits: &PayloadLimits) -> Result<usize, DecodeError> {
    let weight = parsed_bytes(text);
    if weight > limits.parsed_bytes_max {
        return Err(DecodeError::TooHeavy(weight, limits.parsed_bytes_max));
    }
    Ok(weight)
}

/// Checks that the text does not take too much memory once it is parsed.
pub(in crate::intake) fn check_weight(
    text: &str,
    limits: &PayloadLimits,
) -> Result<(), DecodeError> {
    // Without reading the text, if any text of its length would do.
    if parsed_bytes_max(text.len()) > limits.parsed_bytes_max {
        weight(text, limits)?;
    }
    Ok(())
}

/// Checks nesting and the length of keys, in one pass.
pub(super) fn check_limits(text: &str, limits: &PayloadLimits) -> Result<(), DecodeError> {
    // Not a validator: brackets and strings of invalid JSON give some result, and the parser
    // refuses it.
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at + 1);
                if end - at - 1 > limits.key_bytes_max && is_key(bytes, end) {
                    return Err(beyond(
                        text,
                        at,
                        &format!("a key is longer than {} bytes", limits.key_bytes_max),
                    ));
                }
                at = end;
            }
            _ => {}
        }
        if depth > limits.depth_max {
            return Err(beyond(
                text,
                at,
                &format!("nested deeper than {} levels", limits.depth_max),
            ));
        }
        at += 1;
    }
    Ok(())
}

fn is_key(bytes: &[u8], string_end: usize) -> bool {
    let after = bytes.get(string_end + 1..).unwrap_or_default();
    after.trim_ascii_start().first() == Some(&b':')
}

fn beyond(text: &str, at: usize, what: &str) -> DecodeError {
    let before = &text.as_bytes()[..at.min(text.len())];
    let line = before.split(|byte| *byte == b'\n').count();
    let column = before.iter().rev().take_while(|byte| **byte != b'\n').count() + 1;
    DecodeError::Malformed(format!("{what} at line {line} column {column}"))
}
