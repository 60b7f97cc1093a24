//! Decompresses gzip, up to a size.

use std::io::Read as _;

use flate2::bufread::GzDecoder;

use super::error::{DecodeError, malformed};

/// Members of one body.
// An empty member is 20 bytes and costs far more to begin than to read: 5 MiB of them kept a thread
// busy for 23 s in a debug build. Files of compressors that work in blocks have far fewer members.
const MEMBERS_MAX: usize = 1_000;

/// Decompresses all members, to `bytes_max` bytes at most.
pub(super) fn inflate(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, DecodeError> {
    let mut inflated = Vec::new();
    let mut rest = body;
    for _ in 0..MEMBERS_MAX {
        let room = u64::try_from(bytes_max - inflated.len()).unwrap_or(u64::MAX);
        // One byte more than allowed tells a body that is too large from one that just fits,
        // without decompressing the rest of a bomb.
        let mut member = GzDecoder::new(rest).take(room.saturating_add(1));
        let read = member.read_to_end(&mut inflated);
        read.map_err(|error| malformed(format!("not gzip: {error}")))?;
        if inflated.len() > bytes_max {
            return Err(DecodeError::TooLarge(bytes_max));
        }
        rest = member.into_inner().into_inner();
        if rest.is_empty() {
            return Ok(inflated);
        }
    }
    Err(malformed(format!("the body has more than {MEMBERS_MAX} gzip members")))
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn gzip(body: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[track_caller]
    fn check(body: &[u8], bytes_max: usize, expected: Result<&str, &str>) {
        let inflated = inflate(body, bytes_max).map_err(|error| error.to_string());
        let text = inflated.map(|bytes| String::from_utf8(bytes).unwrap());
        assert_eq!(text.as_deref().map_err(String::as_str), expected);
    }

    #[test]
    fn members_are_decompressed() {
        check(&gzip(b"{}"), 2, Ok("{}"));
        check(&[gzip(b"{"), gzip(b"}")].concat(), 2, Ok("{}"));
    }

    #[test]
    fn bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 60_000);

        let reason = "the body is larger than 1000 bytes once it is decompressed";
        check(&bomb, 1_000, Err(reason));
    }

    #[test]
    fn too_many_members_are_refused() {
        check(&gzip(b"").repeat(1_000), 9, Ok(""));
        let reason = "the body has more than 1000 gzip members";
        check(&gzip(b"").repeat(1_001), 9, Err(reason));
    }

    #[test]
    fn invalid_gzip_is_refused() {
        check(b"{}", 9, Err("not gzip: unexpected end of file"));
        check(b"a text of some length", 99, Err("not gzip: invalid gzip header"));
        check(&gzip(b"{}")[..15], 9, Err("not gzip: unexpected end of file"));
    }
}
