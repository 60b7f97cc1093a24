//! The `Content-Transfer-Encoding` of a part. RFC 7578 deprecates it for forms, but senders that build parts with
//! mail libraries use it.

use std::borrow::Cow;

use data_encoding::BASE64_NOPAD;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TransferEncoding {
    /// `7bit`, `8bit` and `binary`, which do not change the content.
    Identity,
    Base64,
    QuotedPrintable,
    Unknown,
}

impl TransferEncoding {
    pub(super) fn named(label: &str) -> TransferEncoding {
        match label.trim_ascii().to_ascii_lowercase().as_str() {
            "" | "7bit" | "8bit" | "binary" => TransferEncoding::Identity,
            "base64" => TransferEncoding::Base64,
            "quoted-printable" => TransferEncoding::QuotedPrintable,
            _ => TransferEncoding::Unknown,
        }
    }

    /// Decodes the content, or returns why that is not possible.
    pub(super) fn decoded(self, content: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
        // A credential that `redact` has overwritten: asterisks are no base64, and a note about
        // that at each event would help nobody.
        if content.iter().all(|byte| *byte == b'*') {
            return Ok(Cow::Borrowed(content));
        }
        match self {
            TransferEncoding::Identity => Ok(Cow::Borrowed(content)),
            TransferEncoding::Base64 => base64(content).map(Cow::Owned).ok_or("is no base64"),
            TransferEncoding::QuotedPrintable => {
                quoted_printable(content).map(Cow::Owned).ok_or("is not quoted-printable text")
            }
            TransferEncoding::Unknown => Err("has a transfer encoding that is not known"),
        }
    }
}

/// Decodes base64 with lines of any length and optional padding.
fn base64(content: &[u8]) -> Option<Vec<u8>> {
    let mut digits: Vec<u8> = content.to_vec();
    digits.retain(|byte| !byte.is_ascii_whitespace());
    let padding = digits.iter().rev().take(2).take_while(|byte| **byte == b'=').count();
    digits.truncate(digits.len() - padding);
    BASE64_NOPAD.decode(&digits).ok()
}

fn quoted_printable(content: &[u8]) -> Option<Vec<u8>> {
    let mut decoded = Vec::with_capacity(content.len());
    let mut rest = content;
    while let Some((byte, after)) = rest.split_first() {
        let (spaces, behind) = rest.split_at(spaces_before(rest));
        if !spaces.is_empty() {
            // White space at the end of a line was added in transport (RFC 2045, 6.7, rule 3).
            let is_added = matches!(behind, [] | [b'\n', ..] | [b'\r', b'\n', ..]);
            decoded.extend_from_slice(if is_added { &[] } else { spaces });
            rest = behind;
            continue;
        }
        rest = after;
        if *byte != b'=' {
            decoded.push(*byte);
        } else if let [high, low, after @ ..] = rest
            && let (Some(high), Some(low)) = (digit(*high), digit(*low))
        {
            decoded.push(high << 4 | low);
            rest = after;
        } else {
            rest = after_soft_line_end(rest)?;
        }
    }
    Some(decoded)
}

fn digit(hex: u8) -> Option<u8> {
    char::from(hex).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Skips a soft line break, which may have white space before it.
fn after_soft_line_end(rest: &[u8]) -> Option<&[u8]> {
    match &rest[spaces_before(rest)..] {
        [] => Some(&[]),
        [b'\r', b'\n', after @ ..] | [b'\n', after @ ..] => Some(after),
        _ => None,
    }
}

fn spaces_before(rest: &[u8]) -> usize {
    rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(label: &str, content: &str, expected: Option<&str>) {
        let decoded = TransferEncoding::named(label).decoded(content.as_bytes()).ok();
        assert_eq!(decoded.as_deref(), expected.map(str::as_bytes), "{label}: {content:?}");
    }

    #[test]
    fn encodings_are_decoded() {
        check(
            " Quoted-Printable ",
            "Gr=C3=b6=C3=9Fe =3D=\r\n 1=  \n2\r\n=",
            Some("Größe = 12\r\n"),
        );
        check("quoted-printable", "a \t\r\nb c=20 \nd  e\t ", Some("a\r\nb c \nd  e"));
        check("quoted-printable", " \r\n \t", Some("\r\n"));
        check("BASE64", "R3LDtsOf\r\nZQ==\r\n", Some("Größe"));
        check("base64", "R3LDtsOfZQ", Some("Größe"));
        for label in ["", "7bit", "8BIT", "binary"] {
            check(label, "=C3=B6", Some("=C3=B6"));
        }
    }

    #[test]
    fn malformed_content_is_not_decoded() {
        for malformed in ["a=G0", "1 = 2", "=é", "=\r3D", "=4"] {
            check("quoted-printable", malformed, None);
        }
        for malformed in ["R3LDtsOfZ", "R3L-tsOf", "R3LD====", "=R3LD", "é"] {
            check("base64", malformed, None);
        }
        check("x-uuencode", "abc", None);
    }
}
