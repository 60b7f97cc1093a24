//! Suggests `[signature]` for a header that looks like the signature of an unknown tool. Pure.

use super::event_identity::canonical;
use super::toml_text::quoted;
use super::words::{has, words};
use crate::event::Headers;

/// What a signature looks like.
#[derive(Debug, PartialEq, Eq)]
struct SignatureShape<'h> {
    prefix: &'h str,
    algorithm: &'static str,
    encoding: &'static str,
}

/// Returns a comment with the tables to write instead of a token; `None` if no header is a signature.
pub(super) fn comment(headers: &Headers) -> Option<String> {
    let (name, shape) = headers.iter().find_map(|(name, value)| {
        let is_signature = has(&words(name), "signature hmac digest sign hash");
        Some((canonical(name), shape(value).filter(|_| is_signature)?))
    })?;
    let SignatureShape { prefix, algorithm, encoding } = shape;
    let mut comment = format!(
        "# The header {name} looks like an HMAC. If the tool's documentation says so, write this\n\
         # instead of the token:\n#   [signature]\n#   scheme    = \"hmac\"\n#   algorithm = \"{algorithm}\"\n\
         #   header    = {}\n",
        quoted(&name)
    );
    if !prefix.is_empty() {
        comment += &format!("#   prefix    = {}\n", quoted(prefix));
    }
    Some(comment + &format!("#   encoding  = \"{encoding}\"\n"))
}

fn shape(value: &str) -> Option<SignatureShape<'_>> {
    let start = value.find('=').filter(|at| *at < 8 && *at + 1 < value.trim_end_matches('=').len());
    let (prefix, digest) = value.split_at(start.map_or(0, |at| at + 1));
    if digest.len() >= 40 && digest.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        let algorithm = algorithm(digest.len() / 2)?;
        return (digest.len() % 2 == 0).then_some(SignatureShape {
            prefix,
            algorithm,
            encoding: "hex",
        });
    }
    let is_base64 = |byte: u8| byte.is_ascii_alphanumeric() || b"+/=".contains(&byte);
    let padding = digest.len() - digest.trim_end_matches('=').len();
    let is_whole = digest.len() % 4 == 0 && padding <= 2 && digest.bytes().all(is_base64);
    let algorithm = algorithm((digest.len() / 4 * 3).checked_sub(padding)?)?;
    is_whole.then_some(SignatureShape { prefix, algorithm, encoding: "base64" })
}

fn algorithm(bytes: usize) -> Option<&'static str> {
    match bytes {
        20 => Some("sha1"),
        32 => Some("sha256"),
        64 => Some("sha512"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(value: &str, expected: Option<(&str, &'static str, &'static str)>) {
        let expected = expected.map(|(prefix, algorithm, encoding)| SignatureShape {
            prefix,
            algorithm,
            encoding,
        });
        assert_eq!(shape(value), expected, "{value}");
    }

    #[test]
    fn digest_is_recognised_by_its_length_and_letters() {
        check(&"0a".repeat(32), Some(("", "sha256", "hex")));
        check(&format!("sha1={}", "0a".repeat(20)), Some(("sha1=", "sha1", "hex")));
        check("47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Some(("", "sha256", "base64")));
        check("v1=47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=", Some(("v1=", "sha256", "base64")));
        for other in ["", "secret", "t=1769860800,v1=2c64", "Bearer abc"] {
            check(other, None);
        }
    }
}
