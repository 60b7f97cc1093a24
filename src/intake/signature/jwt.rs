//! JSON Web Tokens (RFC 7519) that are signed with the secret. They authenticate the sender, but cover the body
//! only if a claim holds its hash.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Map, Value, json};

use super::digest::Algorithm;
use super::encoding::Encoding;
use super::key::SigningKey;
use super::keyring::Keyring;
use super::location::CredentialLocation;
use super::message_signature::SigningMethod;
use super::request::{SignError, SignedParts, SignedRequest, VerifyError, any_of};
use super::signed_message::SignedMessage;

/// Lifetime of the tokens that `sign` makes.
const LASTS_SECONDS: i64 = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The algorithm that a token must use.
    pub algorithm: Algorithm,
    /// Places of the token; each is tried.
    pub places: Vec<CredentialLocation>,
    /// Text before the token.
    pub prefix: String,
    /// Tolerance for clocks that differ.
    pub leeway: Duration,
    pub body_hash: Option<HashClaim>,
}

#[derive(Deserialize)]
struct JwtHeader {
    alg: String,
    /// Critical extensions (RFC 7515, 4.1.11). A token with any must be refused, since none is implemented.
    crit: Option<IgnoredAny>,
}

/// A claim that holds the SHA-256 of the body.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HashClaim {
    pub name: String,
    pub encoding: Encoding,
}

impl Jwt {
    pub(super) fn verify(
        &self,
        keyring: &Keyring<'_>,
        request: &SignedRequest<'_>,
    ) -> Result<usize, VerifyError> {
        let written: Vec<String> =
            self.places.iter().filter_map(|place| place.first(request)).collect();
        any_of(&written, |written| {
            let token = written.strip_prefix(self.prefix.as_str()).ok_or(VerifyError::Mismatch)?;
            let (signed, signature) = token.trim().rsplit_once('.').ok_or(VerifyError::Mismatch)?;
            let signature = Encoding::Base64Url.decode(signature).ok_or(VerifyError::Mismatch)?;
            let message = SignedMessage::from(signed);
            let matched =
                SigningMethod::Hmac(self.algorithm).matching(keyring, &message, &[signature]);
            let position = matched.ok_or(VerifyError::Mismatch)?;
            // Only after the signature: before that, header and claims are not to be parsed.
            self.check(signed, request.body, keyring.now)?;
            Ok(position)
        })
    }

    fn check(&self, signed: &str, body: &[u8], now: Timestamp) -> Result<(), VerifyError> {
        let (header, claims) = signed.split_once('.').ok_or(VerifyError::Mismatch)?;
        let header: JwtHeader = decoded(header)?;
        // The token does not choose its algorithm: with `none`, anybody could make one (RFC 8725,
        // 3.1).
        if header.alg != self.name() || header.crit.is_some() {
            return Err(VerifyError::Mismatch);
        }
        let claims: Map<String, Value> = decoded(claims)?;
        self.check_body(&claims, body)?;
        let now = now.as_second();
        let leeway = i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX);
        let time = |name: &str| claims.get(name).filter(|time| !time.is_null()).map(seconds);
        if let Some(end) = time("exp")
            && now >= end?.saturating_add(leeway)
        {
            return Err(VerifyError::OutsideTolerance);
        }
        if let Some(start) = time("nbf")
            && now < start?.saturating_sub(leeway)
        {
            return Err(VerifyError::OutsideTolerance);
        }
        Ok(())
    }

    /// Checks the hash of the body. An empty body needs none.
    fn check_body(&self, claims: &Map<String, Value>, body: &[u8]) -> Result<(), VerifyError> {
        let Some(HashClaim { name, encoding }) = &self.body_hash else { return Ok(()) };
        match claims.get(name) {
            None | Some(Value::Null) if body.is_empty() => Ok(()),
            None | Some(Value::Null) => Err(VerifyError::Missing),
            Some(stated) => {
                let stated = stated.as_str().and_then(|stated| encoding.decode(stated));
                let fits = stated.is_some_and(|hash| hash == Algorithm::Sha256.hash(&[body]));
                if fits { Ok(()) } else { Err(VerifyError::Mismatch) }
            }
        }
    }

    /// Describes the part that is missing in a token that is present.
    pub(super) fn missing_part(&self, request: &SignedRequest<'_>) -> Option<String> {
        let HashClaim { name, .. } = self.body_hash.as_ref()?;
        let is_there = self.places.iter().any(|place| place.first(request).is_some());
        is_there.then(|| format!("right, but without the claim {name}, the hash of the body"))
    }

    pub(super) fn sign(
        &self,
        key: &SigningKey,
        request: &SignedRequest<'_>,
        now: Timestamp,
    ) -> Result<SignedParts, SignError> {
        let secret = key.secret().ok_or(SignError::WrongKey)?;
        let place = self.places.first().ok_or(SignError::NoField)?;
        let made = now.as_second();
        let header = json!({ "alg": self.name(), "typ": "JWT" });
        let mut claims = json!({ "iat": made, "exp": made.saturating_add(LASTS_SECONDS) });
        if let Some(HashClaim { name, encoding }) = &self.body_hash {
            claims[name] = encoding.encode(&Algorithm::Sha256.hash(&[request.body])).into();
        }
        let [header, claims] =
            [header, claims].map(|part| Encoding::Base64Url.encode(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature =
            Encoding::Base64Url.encode(&self.algorithm.mac(secret, &[signed.as_bytes()]));
        place.write(format!("{}{signed}.{signature}", self.prefix), request)
    }

    fn name(&self) -> &'static str {
        match self.algorithm {
            // RFC 7518 has no such algorithm; reading the configuration refuses it.
            Algorithm::Sha1 => "HS1",
            Algorithm::Sha256 => "HS256",
            Algorithm::Sha512 => "HS512",
        }
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, VerifyError> {
    let bytes = Encoding::Base64Url.decode(part).ok_or(VerifyError::Mismatch)?;
    crate::json::from_slice(&bytes).map_err(|_| VerifyError::Mismatch)
}

/// Returns the whole seconds of a NumericDate, which may have a fraction (RFC 7519, 2).
fn seconds(time: &Value) -> Result<i64, VerifyError> {
    // By its digits: the cast of a float such as 1e300 to an integer would saturate silently.
    let written = time.as_number().map(ToString::to_string).unwrap_or_default();
    let whole = written.split('.').next().unwrap_or_default();
    whole.parse().map_err(|_| VerifyError::UnreadableTime)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::signature::{Scheme, SecretFormat, Signature};

    fn signature() -> Signature {
        let places = vec![CredentialLocation::Bearer];
        let leeway = Duration::from_mins(1);
        let (algorithm, prefix) = (Algorithm::Sha256, String::new());
        let scheme = Scheme::Jwt(Jwt { algorithm, places, prefix, leeway, body_hash: None });
        Signature { scheme, secret: SecretFormat::default(), decompressed: false, weak: None }
    }

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|it| Encoding::Base64Url.encode(it.as_bytes()));
        let signed = format!("{header}.{claims}");
        let proof = Algorithm::Sha256.mac(b"s", &[signed.as_bytes()]);
        format!("{signed}.{}", Encoding::Base64Url.encode(&proof))
    }

    #[track_caller]
    fn check(token: &str, expected: Result<Option<usize>, VerifyError>) {
        let signature = signature();
        let key = signature.key(&"s".into(), None, 2).unwrap();
        let headers = [("authorization".to_owned(), token.to_owned())].into();
        let request =
            SignedRequest { method: "POST", url: None, query: None, headers: &headers, body: b"" };
        let now = Timestamp::from_second(1_000).unwrap();
        assert_eq!(signature.verify(&[key], &request, now), expected, "{token}");
    }

    const HEADER: &str = r#"{"alg":"HS256"}"#;

    #[test]
    fn token_is_valid_between_nbf_and_exp() {
        check(&token(HEADER, "{}"), Ok(Some(2)));
        check(&format!("Bearer {}", token(HEADER, r#"{"exp":941,"nbf":1060.9}"#)), Ok(Some(2)));
        check(&token(HEADER, r#"{"exp":940}"#), Err(VerifyError::OutsideTolerance));
        check(&token(HEADER, r#"{"nbf":1061}"#), Err(VerifyError::OutsideTolerance));
        check(&token(HEADER, r#"{"exp":"soon"}"#), Err(VerifyError::UnreadableTime));
        check(&token(HEADER, r#"{"exp":1e300}"#), Err(VerifyError::UnreadableTime));
    }

    #[test]
    fn token_does_not_choose_its_algorithm() {
        check(&token(r#"{"alg":"none"}"#, "{}"), Err(VerifyError::Mismatch));
        check(&token(r#"{"alg":"HS512"}"#, "{}"), Err(VerifyError::Mismatch));
        check(&token(r#"{"alg":"HS256","crit":["b64"]}"#, "{}"), Err(VerifyError::Mismatch));
        let unsigned = token(HEADER, "{}");
        let unsigned = unsigned.rsplit_once('.').unwrap().0;
        for bad in [unsigned, &format!("{unsigned}."), "..", "a.b.c", "x", "Basic czpz"] {
            check(bad, Err(VerifyError::Mismatch));
        }
        check("", Err(VerifyError::Missing));
    }

    #[test]
    fn signed_token_verifies() {
        let signature = signature();
        let key = signature.signing_key(&"s".into()).unwrap();
        let now = Timestamp::from_second(1_000).unwrap();
        let headers = crate::event::Headers::new();
        let request =
            SignedRequest { method: "POST", url: None, query: None, headers: &headers, body: b"" };

        let parts = signature.sign(&key, &request, now).unwrap();

        check(&parts.headers[0].1, Ok(Some(2)));
    }

    /// The token is from the test data of MessageBird's SDK for Go.
    #[test]
    fn published_token_covers_its_body() {
        let token = "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJpc3MiOiJNZXNzYWdlQmlyZCIsIm5iZiI6MTYyNTQ3OTIwM\
            CwiZXhwIjoxNjI1NDc5MjYwLCJqdGkiOiI5M2U1NTAwNi1hMGU4LTQ1MjYtYTE5MC1mYTVmZjAwZWExMTYiLCJ1cmxfaGFza\
            CI6IjQxZjA1ZjBkZGQwYTIyYWIyMDlhYzQ2ZjQ3YzQ1NzJkOWNlZmEyNTdlZDc0YjI0MDA0YmFlNzUzZWNlNmMyNjAiLCJwY\
            Xlsb2FkX2hhc2giOiJkZmZkNjAyMWJiMmJkNWIwYWY2NzYyOTA4MDllYzNhNTMxOTFkZDgxYzdmNzBhNGIyODY4OGEzNjIxO\
            DI5ODZmIn0._H--TOuYFLpeEH39-rg5E3IHVkjHozBcaKVWPRC5m9I";
        let key = "36efdd1aace2e26cd490f0d951138253bef2f7c6d34d18981da781555cc4cebb";
        let hash = HashClaim { name: "payload_hash".to_owned(), encoding: Encoding::Hex };
        let mut signature = signature();
        if let Scheme::Jwt(jwt) = &mut signature.scheme {
            (jwt.places, jwt.body_hash) =
                (vec![CredentialLocation::Header("x".to_owned())], Some(hash));
        }
        let key = [signature.key(&key.into(), None, 0).unwrap()];
        let headers = [("x".to_owned(), token.to_owned())].into();
        let verify = |body, second| {
            let (method, url, query) = ("POST", None, None);
            let request = SignedRequest { method, url, query, headers: &headers, body };
            signature.verify(&key, &request, Timestamp::from_second(second).unwrap())
        };

        assert_eq!(verify(b"Hello, World!", 1_625_479_230), Ok(Some(0)));
        assert_eq!(verify(b"Hello, World?", 1_625_479_230), Err(VerifyError::Mismatch));
        assert_eq!(verify(b"Hello, World!", 1_625_479_330), Err(VerifyError::OutsideTolerance));
    }
}
