//! What happened to a body on the way. Pure.

use std::io::Read;

use flate2::read::GzDecoder;
use serde_json::Value;

/// Why a body that arrived is not the one that was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BodyChange {
    Lost,
    Cut,
    Decompressed,
    LineEnds,
    Trimmed,
    MarkAdded,
    Recoded,
    WrittenAgain,
    Other,
}

impl BodyChange {
    /// Compares the bodies, which differ.
    pub(super) fn of(sent: &[u8], received: &[u8]) -> BodyChange {
        let as_json = |bytes: &[u8]| serde_json::from_slice::<Value>(bytes).ok();
        let is_recoded = || recoded(sent) == received || recoded(received) == sent;
        match received {
            [] => BodyChange::Lost,
            _ if decompressed(sent).is_some_and(|it| it == received) => BodyChange::Decompressed,
            _ if received.strip_prefix(b"\xef\xbb\xbf") == Some(sent) => BodyChange::MarkAdded,
            _ if sent.trim_ascii() == received.trim_ascii() => BodyChange::Trimmed,
            _ if sent.starts_with(received) => BodyChange::Cut,
            _ if in_lines(sent) == in_lines(received) => BodyChange::LineEnds,
            _ if is_recoded() => BodyChange::Recoded,
            _ if as_json(sent).is_some() && as_json(received).is_some() => BodyChange::WrittenAgain,
            _ => BodyChange::Other,
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            BodyChange::Lost => "it arrives without its body",
            BodyChange::Cut => "its body is cut off",
            BodyChange::Decompressed => "its body is decompressed on the way",
            BodyChange::LineEnds => "the line ends of its body are changed",
            BodyChange::Trimmed => "space at the ends of its body is removed or added",
            BodyChange::MarkAdded => "a byte order mark is put before its body",
            BodyChange::Recoded => "the character set of its body is changed",
            BodyChange::WrittenAgain => "its JSON is parsed and written again",
            BodyChange::Other => "its body is changed",
        }
    }
}

fn decompressed(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    GzDecoder::new(bytes).read_to_end(&mut text).ok()?;
    Some(text)
}

fn in_lines(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().copied().filter(|byte| !matches!(byte, b'\r' | b'\n')).collect()
}

/// Returns the bytes as UTF-8, if each is taken for a character of Latin-1.
fn recoded(bytes: &[u8]) -> Vec<u8> {
    bytes.iter().map(|byte| char::from(*byte)).collect::<String>().into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_changes_are_named() {
        let sent = "{ \"a\": \"\u{e9}\",\r\n \"b\": 1.0 }\n".as_bytes();
        let check =
            |received: &[u8], expected| assert_eq!(BodyChange::of(sent, received), expected);

        check(b"", BodyChange::Lost);
        check(&sent[..10], BodyChange::Cut);
        check(&sent[..sent.len() - 1], BodyChange::Trimmed);
        check("{ \"a\": \"\u{e9}\",\n \"b\": 1.0 }\n".as_bytes(), BodyChange::LineEnds);
        check("{\"a\":\"\u{e9}\",\"b\":1.0}".as_bytes(), BodyChange::WrittenAgain);
        check("{\"b\":1,\"a\":\"\\u00e9\"}".as_bytes(), BodyChange::WrittenAgain);
        check(&[b"\xef\xbb\xbf", sent].concat(), BodyChange::MarkAdded);
        check(&recoded(sent), BodyChange::Recoded);
        check(b"something else", BodyChange::Other);
    }

    #[test]
    fn decompressed_body_is_named() {
        let mut encoder = flate2::read::GzEncoder::new(&b"{}"[..], flate2::Compression::fast());
        let mut sent = Vec::new();
        encoder.read_to_end(&mut sent).unwrap();

        assert_eq!(BodyChange::of(&sent, b"{}"), BodyChange::Decompressed);
    }
}
