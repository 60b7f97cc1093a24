//! The table `[signature]`: as it is written, and as the signature that it describes.

use std::ops::Range;
use std::time::Duration;

use super::keywords::{SCHEMES, SECRET_ENCODINGS, SchemeName, field, header_name, listed, word};
use super::timestamp_config::TimestampConfig;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::intake::signature::{
    Algorithm, CredentialLocation, Encoding, HashClaim, Jwt, MessagePart, MessageSignature,
    MessageTemplate, Scheme, SecretEncoding, SecretFormat, Signature, SigningMethod,
};

/// Not yet checked as a whole: a mapping file may still put its own keys over a provider's.
#[derive(Debug, Clone, Default)]
pub struct SignatureConfig {
    place: Range<usize>,
    scheme: Option<SpannedText>,
    algorithm: Option<SpannedText>,
    header: Option<Vec<SpannedText>>,
    query: Option<SpannedText>,
    field: Option<SpannedText>,
    bearer: Option<bool>,
    separator: Option<SpannedText>,
    prefix: Option<SpannedText>,
    encoding: Option<SpannedText>,
    signed: Option<SpannedText>,
    any_port: Option<bool>,
    url_decoded: Option<SpannedText>,
    decompressed: Option<bool>,
    body_hash: Option<SpannedText>,
    id: Option<Vec<SpannedText>>,
    timestamp: TimestampConfig,
    secret_encoding: Option<SpannedText>,
    secret_prefix: Option<Vec<SpannedText>>,
    weak: Option<SpannedText>,
}

/// How far a JWT's times may be off where the recipe does not say.
const LEEWAY: Duration = Duration::from_mins(1);

impl SignatureConfig {
    pub(super) fn read(mut table: TomlTable<'_>, mistakes: &mut Diagnostics) -> SignatureConfig {
        let recipe = SignatureConfig {
            place: table.place.clone(),
            scheme: table.text("scheme", mistakes),
            algorithm: table.text("algorithm", mistakes),
            header: table.texts("header", mistakes),
            query: table.text("query", mistakes),
            field: table.text("field", mistakes),
            bearer: table.boolean("bearer", mistakes),
            separator: table.text("separator", mistakes),
            prefix: table.text("prefix", mistakes),
            encoding: table.text("encoding", mistakes),
            signed: table.text("signed", mistakes),
            any_port: table.boolean("any_port", mistakes),
            url_decoded: table.text("url_decoded", mistakes),
            decompressed: table.boolean("decompressed", mistakes),
            body_hash: table.text("body_hash", mistakes),
            id: table.texts("id", mistakes),
            timestamp: TimestampConfig::read(&mut table, mistakes),
            secret_encoding: table.text("secret_encoding", mistakes),
            secret_prefix: table.texts("secret_prefix", mistakes),
            weak: table.text("weak", mistakes),
        };
        table.finish(mistakes);
        recipe
    }

    pub(super) fn over(self, base: SignatureConfig) -> SignatureConfig {
        if self.scheme.is_some() {
            return self;
        }
        // Where the proof lies is one statement, whichever of its keys makes it.
        let places_own = self.header.is_some()
            || self.query.is_some()
            || self.field.is_some()
            || self.bearer.is_some();
        let (header, query, field, bearer) = if places_own {
            (self.header, self.query, self.field, self.bearer)
        } else {
            (base.header, base.query, base.field, base.bearer)
        };
        SignatureConfig {
            place: self.place,
            scheme: base.scheme,
            algorithm: self.algorithm.or(base.algorithm),
            header,
            query,
            field,
            bearer,
            separator: self.separator.or(base.separator),
            prefix: self.prefix.or(base.prefix),
            encoding: self.encoding.or(base.encoding),
            signed: self.signed.or(base.signed),
            any_port: self.any_port.or(base.any_port),
            url_decoded: self.url_decoded.or(base.url_decoded),
            decompressed: self.decompressed.or(base.decompressed),
            body_hash: self.body_hash.or(base.body_hash),
            id: self.id.or(base.id),
            timestamp: self.timestamp.over(base.timestamp),
            secret_encoding: self.secret_encoding.or(base.secret_encoding),
            secret_prefix: self.secret_prefix.or(base.secret_prefix),
            weak: self.weak.or(base.weak),
        }
    }

    pub(super) fn signature(&self, mistakes: &mut Diagnostics) -> Option<Signature> {
        let Some(scheme) = &self.scheme else {
            let message = "[signature] has no `scheme`";
            let help = format!("write one of: {}", listed(&SCHEMES));
            mistakes.push(Diagnostic::error(self.place.clone(), message).help(help));
            return None;
        };
        let before = errors(mistakes);
        let word = word(Some(scheme), &SCHEMES, SchemeName::None, mistakes);
        let secret = self.secret_form(word, mistakes);
        if errors(mistakes) > before {
            return None;
        }
        self.refuse_idle_keys(word, mistakes);
        self.check_places(mistakes);
        let scheme = match word {
            SchemeName::Hmac => {
                Scheme::Seal(self.seal(SigningMethod::Hmac(self.digest(mistakes)), mistakes))
            }
            SchemeName::Hash => Scheme::Seal(self.hash(mistakes)),
            SchemeName::Pair(_) => Scheme::Seal(self.pair(mistakes)),
            SchemeName::Jwt => Scheme::Jwt(self.jwt(mistakes)),
            SchemeName::Token => Scheme::Token {
                places: self.places(mistakes),
                prefix: written(self.prefix.as_ref()),
            },
            SchemeName::Basic => Scheme::Basic,
            SchemeName::None => Scheme::None,
        };
        let weak = self.weak.as_ref().map(|weak| weak.text.clone());
        let decompressed = self.decompressed.unwrap_or_default();
        (errors(mistakes) == before).then_some(Signature { scheme, secret, decompressed, weak })
    }

    fn secret_form(&self, scheme: SchemeName, mistakes: &mut Diagnostics) -> SecretFormat {
        let written = self.secret_encoding.as_ref();
        let encoding = match scheme {
            SchemeName::Pair(curve) => SecretEncoding::Key(curve),
            _ => word(written, &SECRET_ENCODINGS, SecretEncoding::Text, mistakes),
        };
        let prefixes = self.secret_prefix.iter().flatten().map(|prefix| prefix.text.clone());
        SecretFormat { encoding, prefixes: prefixes.collect() }
    }

    /// Keys that say something which the scheme does not do.
    fn refuse_idle_keys(&self, scheme: SchemeName, mistakes: &mut Diagnostics) {
        let text = |text: &Option<SpannedText>| text.as_ref().map(|text| text.place.clone());
        let list = |texts: &Option<Vec<SpannedText>>| Some(texts.as_ref()?.first()?.place.clone());
        let flag = |flag: Option<bool>| flag.map(|_| self.place.clone());
        let (message, place) = (scheme.has_message(), scheme.has_place());
        let token = scheme == SchemeName::Jwt;
        let decodes = !matches!(scheme, SchemeName::Pair(_) | SchemeName::None);
        let keys = [
            ("algorithm", scheme.has_algorithm(), text(&self.algorithm)),
            ("encoding", message || (token && self.body_hash.is_some()), text(&self.encoding)),
            ("separator", message, text(&self.separator)),
            ("signed", message, text(&self.signed)),
            ("any_port", message, flag(self.any_port)),
            ("url_decoded", message, text(&self.url_decoded)),
            ("decompressed", message || token, flag(self.decompressed)),
            ("body_hash", message || token, text(&self.body_hash)),
            ("id", message, list(&self.id)),
            ("timestamp", message || token, self.timestamp.place.clone()),
            ("header", place, list(&self.header)),
            ("query", place, text(&self.query)),
            ("field", place, text(&self.field)),
            ("bearer", place, flag(self.bearer)),
            ("prefix", place, text(&self.prefix)),
            ("secret_encoding", decodes, text(&self.secret_encoding)),
        ];
        let name = self.scheme.as_ref().map_or("", |scheme| scheme.text.as_str());
        for (key, _, place) in keys.into_iter().filter(|(_, used, _)| !used) {
            if let Some(place) = place {
                let message = format!("`{key}` means nothing with the scheme \"{name}\"");
                mistakes.push(Diagnostic::error(place, message));
            }
        }
    }

    fn digest(&self, mistakes: &mut Diagnostics) -> Algorithm {
        word(self.algorithm.as_ref(), &Algorithm::NAMES, Algorithm::Sha256, mistakes)
    }

    fn hash(&self, mistakes: &mut Diagnostics) -> MessageSignature {
        let seal = self.seal(SigningMethod::Hash(self.digest(mistakes)), mistakes);
        if !seal.message.contains(&MessagePart::Secret) {
            let message = "a plain hash that does not cover the secret proves nothing";
            let help = "put {secret} into `signed`, or write scheme = \"hmac\"";
            mistakes.push(Diagnostic::error(self.signed_place(), message).help(help));
        }
        seal
    }

    fn pair(&self, mistakes: &mut Diagnostics) -> MessageSignature {
        let seal = self.seal(SigningMethod::KeyPair, mistakes);
        if seal.message.contains(&MessagePart::Secret) {
            let message = "a private key is never part of what it signs";
            let help = "leave {secret} out of `signed`";
            mistakes.push(Diagnostic::error(self.signed_place(), message).help(help));
        }
        seal
    }

    fn jwt(&self, mistakes: &mut Diagnostics) -> Jwt {
        let algorithm = self.digest(mistakes);
        if let Some(written) = self.algorithm.as_ref().filter(|_| algorithm == Algorithm::Sha1) {
            let message = "no JWT is signed with sha1";
            let help = "write \"sha256\" for HS256 or \"sha512\" for HS512";
            mistakes.push(Diagnostic::error(written.place.clone(), message).help(help));
        }
        Jwt {
            algorithm,
            places: self.places(mistakes),
            prefix: written(self.prefix.as_ref()),
            leeway: self.timestamp.leeway(mistakes).unwrap_or(LEEWAY),
            body_hash: self.hash_claim(mistakes),
        }
    }

    /// For a token, which has the hash in itself.
    fn hash_claim(&self, mistakes: &mut Diagnostics) -> Option<HashClaim> {
        let written = self.body_hash.as_ref()?;
        let encoding = word(self.encoding.as_ref(), &Encoding::NAMES, Encoding::Hex, mistakes);
        let name = written.text.strip_prefix("claim:").filter(|name| !name.is_empty());
        if name.is_none() {
            let message = "`body_hash` is no claim of the token";
            mistakes.push(
                Diagnostic::error(written.place.clone(), message).help("write \"claim:NAME\""),
            );
        }
        Some(HashClaim { name: name?.to_owned(), encoding })
    }

    fn seal(&self, method: SigningMethod, mistakes: &mut Diagnostics) -> MessageSignature {
        let seal = MessageSignature {
            method,
            places: self.places(mistakes),
            separator: self.separator(mistakes),
            prefix: written(self.prefix.as_ref()),
            encoding: word(self.encoding.as_ref(), &Encoding::NAMES, Encoding::Hex, mistakes),
            message: self.message(method, mistakes),
            any_port: self.any_port.unwrap_or_default(),
            url_decoded: written(self.url_decoded.as_ref()),
            body_hash: self.body_hash(mistakes),
            id: self.ids(mistakes),
            clock: self.timestamp.clock(mistakes),
        };
        self.check_message(&seal, mistakes);
        seal
    }

    fn places(&self, mistakes: &mut Diagnostics) -> Vec<CredentialLocation> {
        let mut places: Vec<CredentialLocation> = self
            .header
            .iter()
            .flatten()
            .filter_map(|name| header_name(&name.text, &name.place, mistakes))
            .map(CredentialLocation::Header)
            .collect();
        places.extend(self.query.iter().map(|name| CredentialLocation::Query(name.text.clone())));
        let field = self.field.as_ref().and_then(|name| field(name, 0, mistakes));
        places.extend(field.map(CredentialLocation::Field));
        places.extend(self.bearer.filter(|bearer| *bearer).map(|_| CredentialLocation::Bearer));
        if places.is_empty() {
            let message = "[signature] does not say where the proof is";
            let help = "write header = \"X-Signature\", query = \"token\", field = \"Key\" or bearer = true";
            mistakes.push(Diagnostic::error(self.place.clone(), message).help(help));
        }
        places
    }

    /// Where the proof lies may be said twice, or so that it is overlooked.
    fn check_places(&self, mistakes: &mut Diagnostics) {
        if let Some(field) = self.field.as_ref().filter(|_| self.decompressed == Some(true)) {
            let message = "a proof in a compressed body cannot be overwritten in what is stored";
            let help = "leave `decompressed` or `field` out";
            mistakes.push(Diagnostic::error(field.place.clone(), message).help(help));
        }
        if self.bearer != Some(true) {
            return;
        }
        let named = self.header.iter().flatten();
        for name in named.filter(|name| name.text.trim().eq_ignore_ascii_case("authorization")) {
            let message = "`bearer = true` reads the header Authorization already";
            let mistake = Diagnostic::warning(name.place.clone(), message);
            mistakes.push(mistake.help("leave this name out"));
        }
        let is_bearer = |prefix: &&SpannedText| prefix.text.trim().eq_ignore_ascii_case("bearer");
        if let Some(prefix) = self.prefix.as_ref().filter(is_bearer) {
            let message = "`bearer = true` takes `Bearer ` off before `prefix` is looked for";
            mistakes.push(
                Diagnostic::warning(prefix.place.clone(), message).help("leave `prefix` out"),
            );
        }
    }

    fn separator(&self, mistakes: &mut Diagnostics) -> Option<String> {
        let separator = self.separator.as_ref()?;
        if separator.text.is_empty() {
            let message = "`separator` is empty";
            let help = "leave it out where the header is one signature";
            mistakes.push(Diagnostic::error(separator.place.clone(), message).help(help));
            return None;
        }
        Some(separator.text.clone())
    }

    fn message(&self, method: SigningMethod, mistakes: &mut Diagnostics) -> MessageTemplate {
        let default = match method {
            SigningMethod::Hmac(_) | SigningMethod::KeyPair => "{body}",
            SigningMethod::Hash(_) => "{secret}{body}",
        };
        let text = self.signed.as_ref().map_or(default, |signed| signed.text.as_str());
        MessageTemplate::parse(text).unwrap_or_else(|bad| {
            let place =
                self.signed.as_ref().map_or(self.place.clone(), |signed| signed.part(bad.place));
            mistakes.push(Diagnostic::error(place, bad.message).help(bad.help));
            MessageTemplate::default()
        })
    }

    fn body_hash(&self, mistakes: &mut Diagnostics) -> Option<CredentialLocation> {
        let written = self.body_hash.as_ref()?;
        let place = match written.text.split_once(':') {
            Some(("header", name)) => {
                return header_name(name, &written.place, mistakes).map(CredentialLocation::Header);
            }
            Some(("query", name)) if !name.is_empty() => {
                Some(CredentialLocation::Query(name.to_owned()))
            }
            _ => None,
        };
        if place.is_none() {
            let message = "`body_hash` is no place of a hash";
            let help = "write \"query:NAME\" or \"header:NAME\"";
            mistakes.push(Diagnostic::error(written.place.clone(), message).help(help));
        }
        place
    }

    /// What is underlined where the message is wrong.
    fn signed_place(&self) -> Range<usize> {
        self.signed.as_ref().map_or(&self.place, |signed| &signed.place).clone()
    }

    fn ids(&self, mistakes: &mut Diagnostics) -> Vec<String> {
        let mut ids = Vec::new();
        for text in self.id.iter().flatten() {
            if let Some(name) = text.text.strip_prefix("header:") {
                ids.extend(header_name(name, &text.place, mistakes));
            } else {
                let message = "`id` is no header";
                let help = "write \"header:NAME\"";
                mistakes.push(Diagnostic::error(text.place.clone(), message).help(help));
            }
        }
        ids
    }

    /// What the message covers and what the other keys say have to fit together.
    fn check_message(&self, seal: &MessageSignature, mistakes: &mut Diagnostics) {
        let place = self.signed_place();
        let signs_time = seal.message.contains(&MessagePart::Timestamp);
        if signs_time && seal.clock.is_none() {
            let message = "`signed` covers {timestamp}, and nothing says where that is";
            let help = "write timestamp = { from = \"header:X-Timestamp\", unit = \"seconds\" }";
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
        }
        let timed = seal.clock.as_ref().filter(|clock| clock.window.is_some());
        if timed.is_some_and(|clock| !signs_time && !clock.is_in_body(&seal.message)) {
            let place = self.timestamp.place.as_ref().unwrap_or(&place);
            let message = "a time window proves nothing about a time that is not signed";
            let help = "put {timestamp} into `signed`, or leave `window` out";
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
        }
        if seal.message.contains(&MessagePart::Id) && seal.id.is_empty() {
            let message = "`signed` covers {id}, and nothing says where that is";
            let help = "write id = \"header:X-Id\"";
            mistakes.push(Diagnostic::error(place.clone(), message).help(help));
        }
        self.check_hash(seal, mistakes);
        self.check_decoded(seal, mistakes);
    }

    fn check_decoded(&self, seal: &MessageSignature, mistakes: &mut Diagnostics) {
        let Some(written) = &self.url_decoded else { return };
        let (message, help) = if !seal.message.contains(&MessagePart::Url) {
            ("`url_decoded` means nothing where {url} is not signed", "put {url} into `signed`")
        } else if !written.text.bytes().all(|byte| byte.is_ascii_graphic()) {
            ("an escape in a URL is decoded to an ASCII character here", "write such as \":/?\"")
        } else {
            return;
        };
        mistakes.push(Diagnostic::error(written.place.clone(), message).help(help));
    }

    fn check_hash(&self, seal: &MessageSignature, mistakes: &mut Diagnostics) {
        let signed = |piece| seal.message.contains(&piece);
        let covered = match &seal.body_hash {
            Some(CredentialLocation::Header(name)) => signed(MessagePart::Header(name.clone())),
            Some(CredentialLocation::Query(name)) => {
                signed(MessagePart::Url) || signed(MessagePart::Query(name.clone()))
            }
            Some(CredentialLocation::Bearer | CredentialLocation::Field(_)) | None => true,
        };
        if !covered {
            let place = self.body_hash.as_ref().map_or(self.signed_place(), |it| it.place.clone());
            let message = "a hash of the body proves nothing where it is not signed";
            let help = "put {url}, or {query:NAME} or {header:NAME}, into `signed`";
            mistakes.push(Diagnostic::error(place, message).help(help));
        }
    }
}

fn errors(mistakes: &Diagnostics) -> usize {
    mistakes.iter().filter(|mistake| mistake.is_error()).count()
}

fn written(text: Option<&SpannedText>) -> String {
    text.map(|text| text.text.clone()).unwrap_or_default()
}
