//! The schemes, with signatures that others computed.

mod tampering;

use super::*;
use crate::event::Headers;

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

fn headers(pairs: &[(&str, &str)]) -> Headers {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn request<'r>(headers: &'r Headers, body: &'r [u8]) -> SignedRequest<'r> {
    SignedRequest { method: "POST", url: None, query: None, headers, body }
}

fn hmac(algorithm: Algorithm, encoding: Encoding, prefix: &str) -> MessageSignature {
    MessageSignature {
        method: SigningMethod::Hmac(algorithm),
        places: vec![CredentialLocation::Header("x-sig".to_owned())],
        separator: None,
        prefix: prefix.to_owned(),
        encoding,
        message: MessageTemplate::parse("{body}").unwrap(),
        any_port: false,
        url_decoded: String::new(),
        body_hash: None,
        id: Vec::new(),
        clock: None,
    }
}

/// Stripe's header: `t=...,v1=...`, with a window of five minutes.
fn timed() -> MessageSignature {
    let clock = TimestampRule {
        places: vec![TimestampLocation::Part("t".to_owned())],
        unit: TimestampUnit::Seconds,
        window: Some(std::time::Duration::from_mins(5)),
    };
    MessageSignature {
        separator: Some(",".to_owned()),
        message: MessageTemplate::parse("{timestamp}.{body}").unwrap(),
        clock: Some(clock),
        ..hmac(Algorithm::Sha256, Encoding::Hex, "v1=")
    }
}

fn signature(scheme: Scheme) -> Signature {
    Signature { scheme, secret: SecretFormat::default(), decompressed: false, weak: None }
}

fn token(places: &[CredentialLocation]) -> Signature {
    signature(Scheme::Token { places: places.to_vec(), prefix: String::new() })
}

/// Signs the body, and returns the headers.
fn signed(signature: &Signature, key: &SigningKey, body: &[u8]) -> Headers {
    let parts = signature.sign(key, &request(&Headers::new(), body), at(1_000)).unwrap();
    parts.headers.into_iter().collect()
}

fn keys(signature: &Signature, secrets: &[&str]) -> Vec<Key> {
    let key = |(at, secret): (usize, &&str)| signature.key(&(*secret).into(), None, at).unwrap();
    secrets.iter().enumerate().map(key).collect()
}

fn signing(key: &Key) -> SigningKey {
    key.signing_key().unwrap()
}

#[track_caller]
fn check(
    seal: MessageSignature,
    secret: &str,
    sent: (&str, &str),
    expected: Result<usize, VerifyError>,
) {
    let (header, body) = sent;
    let signature = signature(Scheme::Message(seal));
    let headers = headers(&[("x-sig", header)]);
    let keys = keys(&signature, &["another", secret]);
    let verified = signature.verify(&keys, &request(&headers, body.as_bytes()), at(0));
    assert_eq!(verified.map(|position| position.unwrap()), expected);
}

#[test]
fn published_signatures_verify() {
    let sha256 = || hmac(Algorithm::Sha256, Encoding::Hex, "sha256=");
    let github = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17";
    check(sha256(), "It's a Secret to Everybody", (github, "Hello, World!"), Ok(1));
    check(sha256(), "It's a Secret to Everybody", (&github.to_uppercase(), "Hello, World!"), WRONG);
    let upper = github.replace(['a', 'b', 'c', 'd', 'e', 'f'], "A");
    check(sha256(), "It's a Secret to Everybody", (&upper, "Hello, World!"), WRONG);
    let base64 = "16FUVH58NeMcTIIOICN2UJOcPTTa4TbjCndXymGrtM8=";
    let plain = || hmac(Algorithm::Sha256, Encoding::Base64, "");
    check(plain(), "Convoy", (base64, "Test Payload Body"), Ok(1));
    check(plain(), "Convoy", (base64.trim_end_matches('='), "Test Payload Body"), Ok(1));
    let sha1 = hmac(Algorithm::Sha1, Encoding::Hex, "");
    check(sha1, "secret", ("B17E04CBB22AFA8FFBFF8796FC1894ED27BADD9E", "{\"a\": \"z\"}"), Ok(1));
}

const WRONG: Result<usize, VerifyError> = Err(VerifyError::Mismatch);

#[test]
fn malformed_signature_is_wrong() {
    let sha256 = || hmac(Algorithm::Sha256, Encoding::Hex, "sha256=");
    for header in ["foo", "sha256=", "sha256=zz", "sha256=\u{fffd}", "sha256=7571", "="] {
        check(sha256(), "It's a Secret to Everybody", (header, "Hello, World!"), WRONG);
    }
    check(sha256(), "s", (" ", ""), Err(VerifyError::Missing));
}

#[test]
fn one_valid_signature_in_a_list_is_enough() {
    let list = || MessageSignature {
        separator: Some(",".to_owned()),
        ..hmac(Algorithm::Sha1, Encoding::Hex, "sha1=")
    };
    let right = "sha1=b17e04cbb22afa8ffbff8796fc1894ed27badd9e";
    check(list(), "secret", (&format!("sha1=XXX, {right}"), "{\"a\": \"z\"}"), Ok(1));
    check(list(), "secret", (&format!("{right},md5=0"), "{\"a\": \"z\"}"), Ok(1));
    check(
        list(),
        "secret",
        ("md5=b17e04cbb22afa8ffbff8796fc1894ed27badd9e", "{\"a\": \"z\"}"),
        Err(VerifyError::Missing),
    );
}

#[test]
fn at_most_four_signatures_are_verified_with_a_public_key() {
    let seal = MessageSignature {
        method: SigningMethod::KeyPair,
        separator: Some(",".to_owned()),
        ..hmac(Algorithm::Sha256, Encoding::Hex, "")
    };
    let secret =
        SecretFormat { encoding: SecretEncoding::Key(Curve::Ed25519), ..SecretFormat::default() };
    let signature = Signature { secret, ..signature(Scheme::Message(seal)) };
    let (public, private) = signature.generate_trial(&[7; 32]).unwrap();
    let keys = [signature.key(&public, None, 0).unwrap()];
    let right = &signed(&signature, &signature.signing_key(&private).unwrap(), b"{}")["x-sig"];
    let verify = |wrong: usize| {
        let list = format!("{}{right}", format!("{},", "00".repeat(64)).repeat(wrong));
        let headers = headers(&[("x-sig", &list)]);
        signature.verify(&keys, &request(&headers, b"{}"), at(0))
    };

    assert_eq!(verify(3), Ok(Some(0)));
    assert_eq!(verify(4), Err(VerifyError::Mismatch));
}

#[test]
fn window_is_checked_in_both_directions() {
    let signature = signature(Scheme::Message(timed()));
    let keys = keys(&signature, &["s"]);
    let parts =
        signature.sign(&signing(&keys[0]), &request(&Headers::new(), b"{}"), at(1_000)).unwrap();
    let headers: Headers = parts.headers.into_iter().collect();
    let verify = |second| signature.verify(&keys, &request(&headers, b"{}"), at(second));

    assert!(headers["x-sig"].starts_with("t=1000,v1="), "{headers:?}");
    assert_eq!([verify(700), verify(1_000), verify(1_300)], [Ok(Some(0)); 3]);
    assert_eq!([verify(699), verify(1_301)], [Err(VerifyError::OutsideTolerance); 2]);
}

#[test]
fn malformed_time_is_refused() {
    for time in ["t=Infinity,", "t=-1,", "t=,", "t=99999999999999999999,", "t= 1000,"] {
        check(timed(), "s", (&format!("{time}v1=00"), "{}"), WRONG);
    }
    check(timed(), "s", ("v1=00", "{}"), Err(VerifyError::Missing));
}

fn seal(change: impl FnOnce(MessageSignature) -> MessageSignature) -> Signature {
    signature(Scheme::Message(change(hmac(Algorithm::Sha256, Encoding::Hex, ""))))
}

/// Signs a request, and verifies it unchanged and with each change.
#[track_caller]
fn check_changed(
    signature: &Signature,
    request: &SignedRequest<'_>,
    changes: &[(&SignedRequest<'_>, Result<usize, VerifyError>)],
) {
    let key = signature.key(&"s".into(), None, 0).unwrap();
    let parts = signature.sign(&signing(&key), request, at(1_000)).unwrap();
    let body = parts.body.as_deref().unwrap_or(request.body);
    let same = SignedRequest { body, ..*request };
    for (request, expected) in [(&same, Ok(0))].iter().chain(changes) {
        let mut headers = request.headers.clone();
        headers.extend(parts.headers.iter().cloned());
        let request = SignedRequest { headers: &headers, ..**request };
        let verified = signature.verify(std::slice::from_ref(&key), &request, at(1_000));
        assert_eq!(verified.map(Option::unwrap), *expected, "{request:?}");
    }
}

#[test]
fn form_is_signed_by_its_fields_and_json_by_its_hash() {
    let signature = seal(|seal| MessageSignature {
        message: MessageTemplate::parse("{url}{form}").unwrap(),
        body_hash: Some(CredentialLocation::Query("h".to_owned())),
        any_port: true,
        ..seal
    });
    let form = headers(&[("content-type", "application/x-www-form-urlencoded; charset=utf-8")]);
    let url = Some("https://a.com/x");
    let sent = SignedRequest { url, ..request(&form, b"b=2&a=1&b=1") };
    let sorted = SignedRequest { body: b"a=1&b=1&b=2&a=%31", ..sent };
    let port = SignedRequest { url: Some("https://a.com:443/x"), ..sent };
    let other = SignedRequest { body: b"a=1&b=1&b=3", ..sent };
    check_changed(&signature, &sent, &[(&sorted, Ok(0)), (&port, Ok(0)), (&other, WRONG)]);

    let json = Headers::new();
    let bare = SignedRequest { url, ..request(&json, b"{}") };
    let key = signature.key(&"s".into(), None, 0).unwrap();
    // A hash that is present already is not added.
    let proof = signed_url(&signature, &key, &SignedRequest { query: Some("h=0"), ..bare });
    let verify =
        |request: SignedRequest| signature.verify(std::slice::from_ref(&key), &request, at(0));
    assert_eq!(verify(SignedRequest { headers: &proof, ..bare }), Err(VerifyError::Missing));
    let hash = "44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";
    let query = format!("h={hash}");
    let hashed = SignedRequest { headers: &proof, query: Some(&query), ..bare };
    assert_eq!(verify(hashed), Ok(Some(0)));
    assert_eq!(verify(SignedRequest { body: b"[]", ..hashed }), Err(VerifyError::Mismatch));
}

fn signed_url(signature: &Signature, key: &Key, request: &SignedRequest<'_>) -> Headers {
    let parts = signature.sign(&signing(key), request, at(0)).unwrap();
    parts.headers.into_iter().collect()
}

#[test]
fn signature_of_the_first_element_verifies() {
    let signature = seal(|seal| MessageSignature {
        message: MessageTemplate::parse("{first}").unwrap(),
        ..seal
    });
    let none = Headers::new();
    let list = request(&none, b"[ {\"a\":1} ,2]");
    let rest = SignedRequest { body: b"[{\"a\":1}]", ..list };
    let alone = SignedRequest { body: b"{\"a\":1}", ..list };
    let other = SignedRequest { body: b"[{\"a\":2},2]", ..list };
    check_changed(&signature, &list, &[(&rest, Ok(0)), (&alone, Ok(0)), (&other, WRONG)]);
}

#[test]
fn time_in_the_body_is_checked() {
    let clock = TimestampRule {
        places: vec![TimestampLocation::Field(BodyField::parse("$.at").unwrap())],
        unit: TimestampUnit::Milliseconds,
        window: Some(std::time::Duration::from_mins(1)),
    };
    let signature = seal(|seal| MessageSignature { clock: Some(clock), ..seal });
    let none = Headers::new();
    check_changed(&signature, &request(&none, b"{\"x\":1}"), &[]);

    let key = signature.key(&"s".into(), None, 0).unwrap();
    let parts = signature.sign(&signing(&key), &request(&none, b"{}"), at(1_000)).unwrap();
    let headers: Headers = parts.headers.into_iter().collect();
    let body = parts.body.unwrap();
    assert_eq!(body, b"{\"at\":1000000}");
    let late = signature.verify(&[key], &request(&headers, &body), at(1_061));
    assert_eq!(late, Err(VerifyError::OutsideTolerance));
}

#[test]
fn only_the_credential_in_the_body_is_overwritten() {
    let hidden = |field: &str, body: &str| {
        let mut bytes = body.as_bytes().to_vec();
        token(&[CredentialLocation::Field(BodyField::parse(field).unwrap())])
            .redact(&Headers::new(), &mut bytes);
        String::from_utf8(bytes).unwrap()
    };

    assert_eq!(hidden("Key", "a=s3cret&Key=s3cret"), "a=s3cret&Key=******");
    assert_eq!(hidden("$.key", r#"{"key":"s3cret"}"#), r#"{"key":"******"}"#);
    assert_eq!(hidden("$.key", "no json"), "no json");
}

#[test]
fn token_in_a_field_of_the_body_verifies() {
    let signature = token(&[CredentialLocation::Field(BodyField::parse("Key").unwrap())]);
    let none = Headers::new();
    let sent = request(&none, b"a=1");
    let wrong = SignedRequest { body: b"a=1&Key=t", ..sent };
    let last = SignedRequest { body: b"Key=t&Key=s", ..sent };
    let missing = Err(VerifyError::Missing);
    check_changed(&signature, &sent, &[(&sent, missing), (&wrong, WRONG), (&last, Ok(0))]);
}

#[test]
fn token_that_cannot_be_overwritten_is_not_accepted() {
    let signature = token(&[CredentialLocation::Field(BodyField::parse("$.a.k").unwrap())]);
    let keys = keys(&signature, &["1234567890"]);
    for (body, expected) in [
        (r#"{"a":{"k":"1234567890"}}"#, Ok(Some(0))),
        (r#"{"a":{"k":"x","k":"1234567890"}}"#, Ok(Some(0))),
        (r#"{"a":{"k":1234567890}}"#, Err(VerifyError::Missing)),
        (r#"{"a":{"k":"x","k":1234567890}}"#, Err(VerifyError::Missing)),
        (r#"{"a":{"k":1234567890,"k":"1234567890"}}"#, Err(VerifyError::Missing)),
        (r#"{"a":{"k":1234567890},"a":{"k":"1234567890"}}"#, Err(VerifyError::Missing)),
        (r#"{"a":{"k":["1234567890"],"k":"1234567890"}}"#, Err(VerifyError::Missing)),
    ] {
        let mut stored = body.as_bytes().to_vec();
        let found = signature.verify(&keys, &request(&Headers::new(), body.as_bytes()), at(0));
        signature.redact(&Headers::new(), &mut stored);

        assert_eq!(found, expected, "{body}");
        let stored = String::from_utf8(stored).unwrap();
        assert!(found.is_err() || !stored.contains("1234567890"), "{stored}");
    }
}

#[test]
fn trial_secret_signs_and_verifies() {
    for signature in [seal(|seal| seal), signature(Scheme::Basic)] {
        let (secret, signs) = signature.generate_trial(&[7; 32]).unwrap();
        let key = signature.key(&secret, None, 0).unwrap();
        let signing = signature.signing_key(&signs).unwrap();
        let headers = signed(&signature, &signing, b"{}");

        assert_eq!(signature.verify(&[key], &request(&headers, b"{}"), at(0)), Ok(Some(0)));
        assert_eq!(signing.public_key(), None);
    }
}

#[test]
fn token_in_any_of_its_places_verifies() {
    let places = [
        CredentialLocation::Query("token".to_owned()),
        CredentialLocation::Header("x-t".to_owned()),
        CredentialLocation::Bearer,
    ];
    let signature = token(&places);
    let keys = keys(&signature, &["a b"]);
    let verify = |query, pairs: &[(&str, &str)]| {
        let headers = headers(pairs);
        signature.verify(&keys, &SignedRequest { query, ..request(&headers, b"") }, at(0))
    };

    assert_eq!(verify(Some("x=1&token=a+b"), &[]), Ok(Some(0)));
    assert_eq!(verify(None, &[("x-t", "a b")]), Ok(Some(0)));
    assert_eq!(verify(None, &[("authorization", "bearer a b")]), Ok(Some(0)));
    assert_eq!(verify(Some("token=a"), &[]), Err(VerifyError::Mismatch));
    assert_eq!(verify(Some("token="), &[]), Err(VerifyError::Missing));
    assert_eq!(verify(None, &[]), Err(VerifyError::Missing));
}

#[test]
fn basic_authentication_is_user_and_password() {
    let signature = signature(Scheme::Basic);
    let keys = keys(&signature, &["me:pass"]);
    let verify = |written: &str| {
        signature.verify(&keys, &request(&headers(&[("authorization", written)]), b""), at(0))
    };

    assert_eq!(verify("Basic bWU6cGFzcw=="), Ok(Some(0)));
    assert_eq!(verify("Basic bWU6cGFzcg=="), Err(VerifyError::Mismatch));
    assert_eq!(verify("Bearer bWU6cGFzcw=="), Err(VerifyError::Mismatch));
}

#[test]
fn secret_is_valid_through_its_last_day() {
    let signature = token(&[CredentialLocation::Header("x-t".to_owned())]);
    let key = signature.key(&"s".into(), Some("2027-01-31".parse().unwrap()), 3).unwrap();
    let verify = |now: &str| {
        let headers = headers(&[("x-t", "s")]);
        signature.verify(std::slice::from_ref(&key), &request(&headers, b""), now.parse().unwrap())
    };

    assert_eq!(verify("2027-01-31T23:59:59Z"), Ok(Some(3)));
    assert_eq!(verify("2027-02-01T00:00:00Z"), Err(VerifyError::Mismatch));
}

#[test]
fn secrets_are_decoded_as_the_provider_writes_them() {
    let encoding = SecretEncoding::Encoded(Encoding::Base64);
    let form = SecretFormat { encoding, prefixes: vec!["whsec_".to_owned()] };
    let signature = Signature { secret: form, ..signature(Scheme::Basic) };
    let key = |secret: &str| signature.key(&secret.into(), None, 0);

    assert_eq!(key("whsec_AQI=").unwrap().secret(), Some(&[1, 2][..]));
    assert_eq!(key("AQI").unwrap().secret(), Some(&[1, 2][..]));
    assert_eq!(key("a:b").unwrap_err(), InvalidSecret::Form("base64"));
    assert_eq!(key("").unwrap_err(), InvalidSecret::Empty);
}

#[test]
fn debug_output_of_a_key_hides_it() {
    let key = signature(Scheme::Basic).key(&"hush".into(), None, 0).unwrap();

    let shown = format!("{key:?}");

    assert!(!shown.contains("hush") && !shown.contains("104"), "{shown}");
}
