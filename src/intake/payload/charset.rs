//! Decodes text of forms and XML: in the declared character set, unless the bytes are UTF-8. Labels are those of
//! the WHATWG Encoding Standard, which browsers and mail programs use.

use std::borrow::Cow;
use std::fmt::Display;

use crate::diagnostics::counted;
use encoding_rs::{Encoding, UTF_8, UTF_16BE, UTF_16LE};

pub(super) type Charset = &'static Encoding;

/// Notes of one body that are stored.
const NOTES_MAX: usize = 20;

/// Returns the character set of a label; none if it is unknown.
pub(super) fn of_label(label: &str) -> Option<Charset> {
    let label = label.trim_ascii();
    // Some programs write single quotes, which are ordinary characters in a header.
    let quoted = label.strip_prefix('\'').and_then(|label| label.strip_suffix('\''));
    Encoding::for_label_no_replacement(quoted.unwrap_or(label).as_bytes())
}

/// Returns the character set that the first bytes of an XML document show: a byte order mark, or UTF-16 without one.
fn marked(body: &[u8]) -> Option<Charset> {
    let of_two_bytes = match body {
        [b'<', 0, b'?', 0, ..] => Some(UTF_16LE),
        [0, b'<', 0, b'?', ..] => Some(UTF_16BE),
        _ => None,
    };
    Encoding::for_bom(body).map(|(charset, _)| charset).or(of_two_bytes)
}

/// Returns the label in `<?xml version="1.0" encoding="LABEL"?>`.
fn declaration(body: &[u8]) -> Option<String> {
    // Found before the parser runs, which needs text. The declaration is the first thing in a
    // document.
    const BYTES_MAX: usize = 256;
    let beginning = String::from_utf8_lossy(&body[..body.len().min(BYTES_MAX)]);
    let (declaration, _) = beginning.trim_ascii_start().strip_prefix("<?xml")?.split_once("?>")?;
    let (_, value) = declaration.split_once("encoding")?;
    let value = value.trim_ascii_start().strip_prefix('=')?.trim_ascii_start();
    let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    value[1..].split_once(quote).map(|(label, _)| label.to_owned())
}

/// Decodes the texts of one body, and notes those that are not as declared.
#[derive(Debug, Default)]
pub(super) struct TextReader {
    notes: Vec<String>,
    unnoted: usize,
}

impl TextReader {
    pub(super) fn read<'b>(
        &mut self,
        what: impl Display,
        bytes: &'b [u8],
        declared: Option<Charset>,
    ) -> Cow<'b, str> {
        let text = str::from_utf8(bytes).ok();
        match (text, declared) {
            (Some(text), None) => Cow::Borrowed(text),
            (Some(text), Some(charset)) if charset == UTF_8 => Cow::Borrowed(text),
            // Bytes that are valid UTF-8 beyond ASCII are hardly ever meant as anything else, while
            // wrong declarations are frequent.
            (Some(text), Some(charset)) if !text.is_ascii() => {
                let charset = charset.name();
                self.note(format!(
                    "{what} is declared as {charset} and is UTF-8: it is read as UTF-8"
                ));
                Cow::Borrowed(text)
            }
            // .NET declares UTF-16, its representation in memory, for documents that it sends as
            // UTF-8.
            (Some(text), Some(charset)) if is_utf16(charset) && !bytes.contains(&0) => {
                Cow::Borrowed(text)
            }
            (_, Some(charset)) => {
                let (text, is_wrong) = charset.decode_with_bom_removal(bytes);
                if is_wrong {
                    let charset = charset.name();
                    self.note(format!(
                        "{what} is not {charset}, as which it is declared: what cannot be read is \u{fffd}"
                    ));
                }
                text
            }
            (None, None) => {
                self.note(format!(
                    "{what} is not UTF-8 and declares no known character set: what cannot be read is \u{fffd}"
                ));
                String::from_utf8_lossy(bytes)
            }
        }
    }

    /// Returns the character set of an XML document, in the order of RFC 7303: byte order mark, content type of the
    /// request, declaration in the document.
    pub(super) fn charset_of_xml(
        &mut self,
        body: &[u8],
        of_request: Option<Charset>,
    ) -> Option<Charset> {
        if let Some(charset) = marked(body) {
            return Some(charset);
        }
        // Many senders declare UTF-8 for every body. One that is not UTF-8 is read by its own
        // declaration.
        let own = || of_label(&declaration(body)?);
        if of_request != Some(UTF_8) || str::from_utf8(body).is_ok() {
            return of_request.or_else(own);
        }
        let Some(own) = own().filter(|own| *own != UTF_8) else { return of_request };
        let name = own.name();
        self.note(format!(
            "the XML is not UTF-8, as which the request declares it: it is read as {name}, as it declares itself"
        ));
        Some(own)
    }

    pub(super) fn note(&mut self, note: String) {
        if self.notes.len() < NOTES_MAX {
            self.notes.push(note);
        } else {
            self.unnoted += 1;
        }
    }

    pub(super) fn into_notes(mut self) -> Vec<String> {
        if self.unnoted > 0 {
            let texts = counted(self.unnoted as u64, "more text");
            let were = if self.unnoted == 1 { "was" } else { "were" };
            self.notes.push(format!("{texts} {were} not as declared"));
        }
        self.notes
    }
}

fn is_utf16(charset: Charset) -> bool {
    charset == UTF_16LE || charset == UTF_16BE
}

#[cfg(test)]
mod tests;
