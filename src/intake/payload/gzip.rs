//! Undoes gzip, and stops where the result would be too large.

use std::io::Read as _;

use flate2::read::MultiGzDecoder;

use super::{Undecodable, malformed};

pub(super) fn inflate(body: &[u8], bytes_max: usize) -> Result<Vec<u8>, Undecodable> {
    let mut inflated = Vec::new();
    let one_more = u64::try_from(bytes_max).unwrap_or(u64::MAX).saturating_add(1);
    let read = MultiGzDecoder::new(body).take(one_more).read_to_end(&mut inflated);
    read.map_err(|error| malformed(format!("not gzip: {error}")))?;
    if inflated.len() > bytes_max {
        return Err(Undecodable::TooLarge(bytes_max));
    }
    Ok(inflated)
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
    fn what_was_compressed_is_as_it_was() {
        check(&gzip(b"{}"), 2, Ok("{}"));
        check(&[gzip(b"{"), gzip(b"}")].concat(), 2, Ok("{}"));
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![b' '; 50_000_000]);
        assert!(bomb.len() < 60_000);

        let reason = "the body is larger than 1000 bytes once it is decompressed";
        check(&bomb, 1_000, Err(reason));
    }

    #[test]
    fn what_is_no_gzip_is_refused() {
        check(b"{}", 9, Err("not gzip: unexpected end of file"));
        check(b"a text of some length", 99, Err("not gzip: invalid gzip header"));
        check(&gzip(b"{}")[..15], 9, Err("not gzip: unexpected end of file"));
    }
}
