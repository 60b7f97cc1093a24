//! The table `[signature]`: each scheme takes its own keys, and all others are mistakes.

use super::location_config::credential_locations;
use super::message_config::message_signature;
use super::timestamp_config::leeway;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, TomlTable, word};
use crate::intake::signature::{
    Algorithm, Curve, Encoding, HashClaim, Jwt, Scheme, SecretEncoding, SecretFormat, Signature,
    SigningMethod,
};

#[derive(Clone, Copy)]
enum SchemeName {
    Hmac,
    Hash,
    KeyPair(Curve),
    Jwt,
    Token,
    Basic,
    None,
}

const SCHEMES: [(&str, SchemeName); 8] = [
    ("hmac", SchemeName::Hmac),
    ("hash", SchemeName::Hash),
    ("ed25519", SchemeName::KeyPair(Curve::Ed25519)),
    ("ecdsa-p256", SchemeName::KeyPair(Curve::P256)),
    ("jwt", SchemeName::Jwt),
    ("token", SchemeName::Token),
    ("basic", SchemeName::Basic),
    ("none", SchemeName::None),
];

const SECRET_ENCODINGS: [(&str, SecretEncoding); 4] = [
    ("text", SecretEncoding::Text),
    (Encoding::Hex.as_str(), SecretEncoding::Encoded(Encoding::Hex)),
    (Encoding::Base64.as_str(), SecretEncoding::Encoded(Encoding::Base64)),
    (Encoding::Base64Url.as_str(), SecretEncoding::Encoded(Encoding::Base64Url)),
];

/// Reads how requests are signed; `None` if a key is wrong.
pub(super) fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Signature> {
    // A signature with a mere warning is used.
    let errors = |mistakes: &Diagnostics| mistakes.iter().filter(|it| it.is_error()).count();
    let errors_before = errors(mistakes);
    let written = table.text("scheme", mistakes);
    // Not `written`, which is `None` for a value of another type too, and that is reported already.
    if table.value("scheme").is_none() {
        let names = SCHEMES.map(|(name, _)| name).join(", ");
        let mistake = Diagnostic::error(table.place.clone(), "[signature] has no `scheme`");
        let help = format!("write one of: {names}");
        mistakes.push(mistake.help(help).missing(vec!["scheme"]));
    }
    let scheme = written.as_ref().and_then(|written| word(written, &SCHEMES, mistakes));
    let Some((written, scheme)) = written.zip(scheme) else {
        // Any scheme may be meant. Only a key that none of them takes is a mistake for certain.
        for (_, scheme) in SCHEMES {
            read_scheme(scheme, &mut table, &mut Diagnostics::new());
        }
        table.finish(mistakes);
        return None;
    };
    let signature = read_scheme(scheme, &mut table, mistakes);
    report_idle_keys(&written.text, &mut table, mistakes);
    table.finish(mistakes);
    (errors(mistakes) == errors_before).then_some(signature)
}

/// Reports the keys that only other schemes take.
fn report_idle_keys(scheme: &str, table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) {
    let unknown = table.unknown();
    if unknown.is_empty() {
        return;
    }
    // The code that reads a scheme is the only list of its keys, so it reads the table once more.
    let readers = SCHEMES.map(|(name, other)| {
        let mut table = table.unread();
        read_scheme(other, &mut table, &mut Diagnostics::new());
        (name, table)
    });
    for key in unknown {
        let takes_it = readers.iter().filter(|(_, table)| table.knows(key));
        let takers: Vec<&str> = takes_it.map(|(name, _)| *name).collect();
        if takers.is_empty() {
            continue;
        }
        // Counts the key as known, so that `finish` does not report it again.
        table.value(key);
        let message = format!("`{key}` has no effect with the scheme \"{scheme}\"");
        let mistake = Diagnostic::error(table.value_place(key), message);
        mistakes.push(mistake.help(format!("leave it out; it is for: {}", takers.join(", "))));
    }
}

/// Takes the scheme's keys out of the table.
fn read_scheme(
    scheme: SchemeName,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> Signature {
    let secret = secret_format(scheme, table, mistakes);
    let scheme = match scheme {
        SchemeName::Hmac => {
            let method = SigningMethod::Hmac(algorithm(table, mistakes));
            Scheme::Message(message_signature(method, table, mistakes))
        }
        SchemeName::Hash => {
            let method = SigningMethod::Hash(algorithm(table, mistakes));
            Scheme::Message(message_signature(method, table, mistakes))
        }
        SchemeName::KeyPair(_) => {
            Scheme::Message(message_signature(SigningMethod::KeyPair, table, mistakes))
        }
        SchemeName::Jwt => Scheme::Jwt(jwt(table, mistakes)),
        SchemeName::Token => Scheme::Token {
            places: credential_locations(table, mistakes),
            prefix: table.text_or("prefix", "", mistakes),
        },
        SchemeName::Basic => Scheme::Basic,
        SchemeName::None => Scheme::None,
    };
    let decompressed = match &scheme {
        Scheme::Message(_) | Scheme::Jwt(_) => is_decompressed(table, mistakes),
        // These do not cover the body. Unread, the key is reported as one of other schemes.
        Scheme::Token { .. } | Scheme::Basic | Scheme::None => false,
    };
    let weak = table.text("weak", mistakes).map(|weak| weak.text);
    Signature { scheme, secret, decompressed, weak }
}

fn secret_format(
    scheme: SchemeName,
    table: &mut TomlTable<'_>,
    mistakes: &mut Diagnostics,
) -> SecretFormat {
    let encoding = match scheme {
        // Keys have formats of their own, which are detected: `secret_encoding` has no meaning
        // here.
        SchemeName::KeyPair(curve) => SecretEncoding::Key(curve),
        SchemeName::None => SecretEncoding::Text,
        SchemeName::Hmac
        | SchemeName::Hash
        | SchemeName::Jwt
        | SchemeName::Token
        | SchemeName::Basic => {
            let encoding = table.keyword("secret_encoding", &SECRET_ENCODINGS, mistakes);
            encoding.unwrap_or(SecretEncoding::Text)
        }
    };
    let prefixes = table.texts("secret_prefix", mistakes).unwrap_or_default();
    SecretFormat { encoding, prefixes: prefixes.into_iter().map(|prefix| prefix.text).collect() }
}

fn algorithm(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Algorithm {
    table.keyword("algorithm", &Algorithm::NAMES, mistakes).unwrap_or(Algorithm::Sha256)
}

fn jwt(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Jwt {
    let algorithm = algorithm(table, mistakes);
    // RFC 7518, section 3.2, has HMAC with SHA-2 only.
    if algorithm == Algorithm::Sha1 {
        let message = "no JWT is signed with sha1";
        let help = "write \"sha256\" for HS256 or \"sha512\" for HS512";
        mistakes.push(Diagnostic::error(table.value_place("algorithm"), message).help(help));
    }
    Jwt {
        algorithm,
        places: credential_locations(table, mistakes),
        prefix: table.text_or("prefix", "", mistakes),
        leeway: leeway(table, mistakes),
        body_hash: hash_claim(table, mistakes),
    }
}

fn hash_claim(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<HashClaim> {
    let written = table.text("body_hash", mistakes)?;
    let encoding = table.keyword("encoding", &Encoding::NAMES, mistakes).unwrap_or(Encoding::Hex);
    let name = written.text.strip_prefix("claim:").filter(|name| !name.is_empty());
    if name.is_none() {
        let message = "`body_hash` is not a claim of the token";
        let mistake = Diagnostic::error(written.place.clone(), message);
        mistakes.push(mistake.help("write \"claim:NAME\""));
    }
    Some(HashClaim { name: name?.to_owned(), encoding })
}

/// Reads `decompressed`: the proof covers the body before it was compressed.
fn is_decompressed(table: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> bool {
    let decompressed = table.boolean("decompressed", mistakes) == Some(true);
    if decompressed && table.value("field").is_some() {
        let message = "a proof in a compressed body cannot be overwritten in what is stored";
        let mistake = Diagnostic::error(table.value_place("field"), message);
        mistakes.push(mistake.help("leave `decompressed` or `field` out"));
    }
    decompressed
}
