//! The digest of a mapping file's text, by which the versions of the file are told apart.

use std::fmt;
use std::str::FromStr;

use data_encoding::HEXLOWER_PERMISSIVE;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::{Digest, Sha256};
use utoipa::ToSchema;

const BYTES: usize = 32;

/// The SHA-256 digest of a mapping file's bytes, as they were written.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, ToSchema)]
#[schema(value_type = String, pattern = "^[0-9a-f]{64}$")]
pub struct MappingDigest([u8; BYTES]);

/// The beginning of a digest, or all of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DigestPrefix {
    /// Hexadecimal digits in lower case.
    digits: String,
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("write a digest, or at least its first four digits, such as 3f2a")]
pub struct InvalidDigestPrefix;

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a digest has 64 hexadecimal digits")]
pub struct InvalidMappingDigest;

impl MappingDigest {
    /// Number of digits that people are shown.
    const SHORT_DIGITS: usize = 12;

    pub fn of(text: &str) -> MappingDigest {
        MappingDigest(Sha256::digest(text).into())
    }

    pub fn as_bytes(&self) -> &[u8; BYTES] {
        &self.0
    }

    pub fn from_bytes(bytes: [u8; BYTES]) -> MappingDigest {
        MappingDigest(bytes)
    }

    /// Returns the first digits, by which a version of one file is found again.
    pub fn short(&self) -> String {
        let mut text = self.to_string();
        text.truncate(MappingDigest::SHORT_DIGITS);
        text
    }
}

impl fmt::Display for MappingDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&HEXLOWER_PERMISSIVE.encode(&self.0))
    }
}

impl fmt::Debug for MappingDigest {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "MappingDigest({self})")
    }
}

impl FromStr for MappingDigest {
    type Err = InvalidMappingDigest;

    fn from_str(text: &str) -> Result<MappingDigest, InvalidMappingDigest> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
        let bytes = bytes.and_then(|it| it.try_into().ok());
        bytes.map(MappingDigest).ok_or(InvalidMappingDigest)
    }
}

impl Serialize for MappingDigest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for MappingDigest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<MappingDigest, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl DigestPrefix {
    /// Number of digits below which a prefix says too little, as of an event's id.
    const DIGITS_MIN: usize = 4;

    /// Returns the first and the last digest that begin so.
    pub fn range(&self) -> [MappingDigest; 2] {
        ['0', 'f'].map(|digit| {
            let digits = self.digits.chars().chain(std::iter::repeat(digit));
            let text: String = digits.take(BYTES * 2).collect();
            // 64 hexadecimal digits are a digest; any other would find nothing.
            text.parse().unwrap_or(MappingDigest([0; BYTES]))
        })
    }
}

impl FromStr for DigestPrefix {
    type Err = InvalidDigestPrefix;

    fn from_str(text: &str) -> Result<DigestPrefix, InvalidDigestPrefix> {
        let digits = text.trim().to_ascii_lowercase();
        let fits = (DigestPrefix::DIGITS_MIN..=BYTES * 2).contains(&digits.len())
            && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        if fits { Ok(DigestPrefix { digits }) } else { Err(InvalidDigestPrefix) }
    }
}

impl fmt::Display for DigestPrefix {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.digits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digest_is_that_of_the_bytes_and_survives_a_round_trip() {
        let digest = MappingDigest::of("abc");

        let text = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert_eq!(digest.to_string(), text);
        assert_eq!((text.parse(), digest.short().as_str()), (Ok(digest), "ba7816bf8f01"));
        assert_ne!(MappingDigest::of("abc\r\n"), MappingDigest::of("abc\n"));
        for bad in ["", "ba78", "x", &text[1..], &format!("{text}00")] {
            assert_eq!(bad.parse::<MappingDigest>(), Err(InvalidMappingDigest), "{bad}");
        }
    }

    #[test]
    fn prefix_spans_all_digests_that_begin_so() {
        let digest = MappingDigest::of("abc");
        let spans = |prefix: &str| {
            let [first, last] = prefix.parse::<DigestPrefix>().unwrap().range();
            (first..=last).contains(&digest)
        };

        assert!(spans("ba78") && spans("BA7816") && spans(&digest.to_string()));
        assert!(!spans("ba79") && !spans("ba77"));
        for bad in ["", "ba7", "ba7g", "ba78 16"] {
            assert_eq!(bad.parse::<DigestPrefix>(), Err(InvalidDigestPrefix), "{bad}");
        }
    }
}
