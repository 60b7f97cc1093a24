//! JSON Web Tokens that are signed with the secret. They prove who sent, and cover no body.

use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeOwned, IgnoredAny};
use serde_json::{Number, json};
use subtle::ConstantTimeEq;

use super::{
    Algorithm, Encoding, Keyring, Place, Presented, SigningKey, Stamp, Unproven, Unsignable,
};

/// How long a token lasts that is made here.
const LASTS_SECONDS: i64 = 300;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Jwt {
    /// The one that counts, whatever a token says of itself.
    pub algorithm: Algorithm,
    pub places: Vec<Place>,
    /// By how much the clocks may differ.
    pub leeway: Duration,
}

#[derive(Deserialize)]
struct Header {
    alg: String,
    /// Conditions that have to be understood; none is.
    crit: Option<IgnoredAny>,
}

#[derive(Deserialize)]
struct Claims {
    exp: Option<Number>,
    nbf: Option<Number>,
}

impl Jwt {
    pub(super) fn verify(
        &self,
        keyring: &Keyring<'_>,
        presented: &Presented<'_>,
        now: Timestamp,
    ) -> Result<usize, Unproven> {
        let mut tokens = self.places.iter().flat_map(|place| place.values(presented));
        let token = tokens.next().ok_or(Unproven::Missing)?;
        let (signed, signature) = token.trim().rsplit_once('.').ok_or(Unproven::Wrong)?;
        let signature = Encoding::Base64Url.decode(signature).ok_or(Unproven::Wrong)?;
        let mut matched = Err(Unproven::Wrong);
        for key in keyring.keys.iter().take_while(|_| keyring.spend()) {
            let Some(secret) = key.secret() else { continue };
            let expected = self.algorithm.mac(secret, &[signed.as_bytes()]);
            if bool::from(expected.ct_eq(&signature)) {
                matched = Ok(key.position);
            }
        }
        let position = matched?;
        self.check(signed, now)?;
        Ok(position)
    }

    fn check(&self, signed: &str, now: Timestamp) -> Result<(), Unproven> {
        let (header, claims) = signed.split_once('.').ok_or(Unproven::Wrong)?;
        let header: Header = decoded(header)?;
        if header.alg != self.name() || header.crit.is_some() {
            return Err(Unproven::Wrong);
        }
        let claims: Claims = decoded(claims)?;
        let now = now.as_second();
        let leeway = i64::try_from(self.leeway.as_secs()).unwrap_or(i64::MAX);
        if let Some(end) = claims.exp
            && now >= seconds(&end)?.saturating_add(leeway)
        {
            return Err(Unproven::OutsideWindow);
        }
        if let Some(start) = claims.nbf
            && now < seconds(&start)?.saturating_sub(leeway)
        {
            return Err(Unproven::OutsideWindow);
        }
        Ok(())
    }

    pub(super) fn sign(
        &self,
        key: &SigningKey,
        body: &[u8],
        now: Timestamp,
    ) -> Result<Stamp, Unsignable> {
        let secret = key.secret().ok_or(Unsignable::WrongKey)?;
        let place = self.places.first().ok_or(Unsignable::NoField)?;
        let made = now.as_second();
        let header = json!({ "alg": self.name(), "typ": "JWT" });
        let claims = json!({ "iat": made, "exp": made.saturating_add(LASTS_SECONDS) });
        let [header, claims] =
            [header, claims].map(|part| Encoding::Base64Url.encode(part.to_string().as_bytes()));
        let signed = format!("{header}.{claims}");
        let signature = self.algorithm.mac(secret, &[signed.as_bytes()]);
        place.stamp(format!("{signed}.{}", Encoding::Base64Url.encode(&signature)), body)
    }

    fn name(&self) -> &'static str {
        match self.algorithm {
            // No JWT has this one: the recipe refuses it.
            Algorithm::Sha1 => "HS1",
            Algorithm::Sha256 => "HS256",
            Algorithm::Sha512 => "HS512",
        }
    }
}

fn decoded<T: DeserializeOwned>(part: &str) -> Result<T, Unproven> {
    let bytes = Encoding::Base64Url.decode(part).ok_or(Unproven::Wrong)?;
    crate::json::from_slice(&bytes).map_err(|_| Unproven::Wrong)
}

/// Whole seconds of a time that may have a fraction.
fn seconds(time: &Number) -> Result<i64, Unproven> {
    let written = time.to_string();
    let whole = written.split('.').next().unwrap_or_default();
    whole.parse().map_err(|_| Unproven::Wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::intake::signature::{Scheme, SecretForm, Signature};

    fn signature() -> Signature {
        let places = vec![Place::Bearer];
        let leeway = Duration::from_mins(1);
        let scheme = Scheme::Jwt(Jwt { algorithm: Algorithm::Sha256, places, leeway });
        Signature { scheme, secret: SecretForm::default(), weak: None }
    }

    fn token(header: &str, claims: &str) -> String {
        let [header, claims] = [header, claims].map(|it| Encoding::Base64Url.encode(it.as_bytes()));
        let signed = format!("{header}.{claims}");
        let proof = Algorithm::Sha256.mac(b"s", &[signed.as_bytes()]);
        format!("{signed}.{}", Encoding::Base64Url.encode(&proof))
    }

    #[track_caller]
    fn check(token: &str, expected: Result<Option<usize>, Unproven>) {
        let signature = signature();
        let key = signature.key(&"s".into(), None, 2).unwrap();
        let headers = [("authorization".to_owned(), token.to_owned())].into();
        let request =
            Presented { method: "POST", url: None, query: None, headers: &headers, body: b"" };
        let now = Timestamp::from_second(1_000).unwrap();
        assert_eq!(signature.verify(&[key], &request, now), expected, "{token}");
    }

    const HEADER: &str = r#"{"alg":"HS256"}"#;

    #[test]
    fn a_token_counts_in_its_time() {
        check(&token(HEADER, "{}"), Ok(Some(2)));
        check(&format!("Bearer {}", token(HEADER, r#"{"exp":941,"nbf":1060.9}"#)), Ok(Some(2)));
        check(&token(HEADER, r#"{"exp":940}"#), Err(Unproven::OutsideWindow));
        check(&token(HEADER, r#"{"nbf":1061}"#), Err(Unproven::OutsideWindow));
        check(&token(HEADER, r#"{"exp":"soon"}"#), Err(Unproven::Wrong));
        check(&token(HEADER, r#"{"exp":1e300}"#), Err(Unproven::Wrong));
    }

    #[test]
    fn a_token_does_not_choose_how_it_is_verified() {
        check(&token(r#"{"alg":"none"}"#, "{}"), Err(Unproven::Wrong));
        check(&token(r#"{"alg":"HS512"}"#, "{}"), Err(Unproven::Wrong));
        check(&token(r#"{"alg":"HS256","crit":["b64"]}"#, "{}"), Err(Unproven::Wrong));
        let unsigned = token(HEADER, "{}");
        let unsigned = unsigned.rsplit_once('.').unwrap().0;
        for bad in [unsigned, &format!("{unsigned}."), "..", "a.b.c", "x", "Basic czpz"] {
            check(bad, Err(Unproven::Wrong));
        }
        check("", Err(Unproven::Missing));
    }

    #[test]
    fn what_is_signed_here_verifies() {
        let signature = signature();
        let key = signature.signing_key(&"s".into()).unwrap();
        let now = Timestamp::from_second(1_000).unwrap();
        let headers = crate::event::Headers::new();
        let request =
            Presented { method: "POST", url: None, query: None, headers: &headers, body: b"" };

        let stamp = signature.sign(&key, &request, now).unwrap();

        check(&stamp.headers[0].1, Ok(Some(2)));
    }
}
