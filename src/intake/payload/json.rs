//! JSON text, and its limits, which are checked before it is parsed.

use std::borrow::Cow;

use serde_json::Value;

use super::error::{DecodeError, malformed, not_json};
use super::limits::PayloadLimits;
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
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, DecodeError> {
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

/// Replaces escapes of lone surrogates by U+FFFD.
pub(super) fn without_lone_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    // JavaScript cuts a preview text inside an emoji and sends the half as `\ud83d`, which is no
    // character and which serde_json refuses. The event must not be lost for it.
    let mut replaced: Option<String> = None;
    let mut copied = 0;
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find('\\')) {
        at += found;
        let width = match escaped_unit(&text, at) {
            Some(0xD800..=0xDBFF)
                if matches!(escaped_unit(&text, at + 6), Some(0xDC00..=0xDFFF)) =>
            {
                12
            }
            Some(0xD800..=0xDFFF) => {
                let replaced = replaced.get_or_insert_default();
                replaced.push_str(&text[copied..at]);
                replaced.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // Skips the escaped character, which may be a backslash or have several bytes.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += width;
    }
    match replaced {
        Some(replaced) => Cow::Owned(replaced + &text[copied..]),
        None => text,
    }
}

/// Returns the code unit of a `\uXXXX` at this position.
fn escaped_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u16::from_str_radix(digits, 16).ok())?
}
