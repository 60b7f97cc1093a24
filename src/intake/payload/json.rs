//! JSON text: checked against the limits before a parser sees it.

use std::borrow::Cow;

use serde_json::Value;

use super::error::{DecodeError, malformed, not_json};
use super::limits::PayloadLimits;
use crate::parse_memory::weigh;

/// A body as JSON text, not yet parsed but safe to parse.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decoded<'b> {
    pub text: Cow<'b, str>,
    /// Which of its texts are not what they are declared to be.
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

/// A text without the byte order mark that some editors and tools write before it.
pub(in crate::intake) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

pub(super) fn utf8(body: &[u8]) -> Result<&str, DecodeError> {
    std::str::from_utf8(body)
        .map_err(|error| malformed(format!("not UTF-8 at byte {}", error.valid_up_to())))
}

/// How much memory the text takes once it is parsed, if that is allowed.
pub(in crate::intake) fn weight(text: &str, limits: &PayloadLimits) -> Result<usize, DecodeError> {
    let weight = weigh(text);
    if weight > limits.parsed_bytes_max {
        return Err(DecodeError::TooHeavy(weight, limits.parsed_bytes_max));
    }
    Ok(weight)
}

/// One pass over the text, before a parser may recurse into it or keep its keys.
pub(super) fn check_limits(text: &str, limits: &PayloadLimits) -> Result<(), DecodeError> {
    let bytes = text.as_bytes();
    let mut depth = 0_usize;
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth = depth.saturating_sub(1),
            b'"' => {
                let end = string_end(bytes, at);
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

/// Where the string that starts at the quote `start` has its closing quote, else the text's end.
fn string_end(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    at.min(bytes.len()).max(start + 1)
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

/// JavaScript cuts emoji in two and sends half of them as `\ud83d`, which is no character. Such a
/// half becomes U+FFFD, so that a cut-off preview text does not cost the event.
pub(super) fn without_lone_surrogates(text: Cow<'_, str>) -> Cow<'_, str> {
    let mut mended: Option<String> = None;
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
                let mended = mended.get_or_insert_default();
                mended.push_str(&text[copied..at]);
                mended.push_str("\\ufffd");
                copied = at + 6;
                6
            }
            Some(_) => 6,
            // The escaped character may be longer than a byte; it is never a backslash's half.
            None => 1 + text[at + 1..].chars().next().map_or(0, char::len_utf8),
        };
        at += width;
    }
    match mended {
        Some(mended) => Cow::Owned(mended + &text[copied..]),
        None => text,
    }
}

/// The code unit of a `\uXXXX` that stands at `at`.
fn escaped_unit(text: &str, at: usize) -> Option<u16> {
    let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
    let plain = digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    plain.then(|| u16::from_str_radix(digits, 16).ok())?
}
