//! Encodings of signatures, secrets and keys as text.

use data_encoding::{
    BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Encoding {
    Hex,
    Base64,
    Base64Url,
}

impl Encoding {
    pub const ALL: [Encoding; 3] = [Encoding::Hex, Encoding::Base64, Encoding::Base64Url];

    /// Names in files.
    pub const NAMES: [(&'static str, Encoding); 3] = [
        (Encoding::Hex.as_str(), Encoding::Hex),
        (Encoding::Base64.as_str(), Encoding::Base64),
        (Encoding::Base64Url.as_str(), Encoding::Base64Url),
    ];

    pub const fn as_str(self) -> &'static str {
        match self {
            Encoding::Hex => "hex",
            Encoding::Base64 => "base64",
            Encoding::Base64Url => "base64url",
        }
    }

    /// Decodes strictly, except that hex digits may have either case and padding is optional.
    pub fn decode(self, text: &str) -> Option<Vec<u8>> {
        let text = text.as_bytes();
        // Padding is optional since senders differ: unpadded base64 was seen with Standard
        // Webhooks.
        let decoded = match self {
            Encoding::Hex => HEXLOWER_PERMISSIVE.decode(text),
            Encoding::Base64 => BASE64.decode(text).or_else(|_| BASE64_NOPAD.decode(text)),
            Encoding::Base64Url => BASE64URL.decode(text).or_else(|_| BASE64URL_NOPAD.decode(text)),
        };
        decoded.ok()
    }

    pub fn encode(self, bytes: &[u8]) -> String {
        match self {
            Encoding::Hex => HEXLOWER.encode(bytes),
            Encoding::Base64 => BASE64.encode(bytes),
            Encoding::Base64Url => BASE64URL_NOPAD.encode(bytes),
        }
    }
}
