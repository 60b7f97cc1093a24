//! Tokens with a hash of the body, and bodies that were signed before compression.

use std::io::Write as _;

use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use flate2::Compression;
use flate2::write::GzEncoder;
use savio_relay::clock;
use serde_json::json;

use super::{BODY, Fixture, WRONG, post, sha256};
use crate::support::server::Request;

const MISSING: &str = "the signature is missing";

/// Four providers: keys for the place of the token, its header, the claim, and the encoding of the hash.
const PROVIDERS: [(&str, &str, &str, &str, &str); 4] = [
    ("QStash", "header = \"Upstash-Signature\"", "upstash-signature", "body", "base64url"),
    ("LiveKit", "header = \"Authorization\"", "authorization", "sha256", "base64"),
    ("Vonage", "bearer = true", "authorization", "payload_hash", "hex"),
    (
        "MessageBird",
        "header = \"MessageBird-Signature-JWT\"",
        "messagebird-signature-jwt",
        "payload_hash",
        "hex",
    ),
];

/// Returns all encodings of the hash that are equal to a decoder.
fn written(hash: &[u8], encoding: &str) -> Vec<String> {
    match encoding {
        "hex" => vec![HEXLOWER.encode(hash), HEXUPPER.encode(hash)],
        "base64" => vec![BASE64.encode(hash), BASE64_NOPAD.encode(hash)],
        _ => vec![BASE64URL.encode(hash), BASE64URL_NOPAD.encode(hash)],
    }
}

/// Returns a body whose hash differs between the two alphabets of base64.
fn body_with_symbols_in_its_hash() -> Vec<u8> {
    let bodies = (0..1_000).map(|n| format!("{{\"x\":{n}}}").into_bytes());
    bodies.into_iter().find(|body| BASE64.encode(&sha256(body)).contains(['+', '/'])).unwrap()
}

#[tokio::test]
async fn claim_of_a_token_covers_the_body() {
    let body = body_with_symbols_in_its_hash();
    for (name, places, header, claim, encoding) in PROVIDERS {
        let own = format!(
            "[signature]\nscheme = \"jwt\"\n{places}\nbody_hash = \"claim:{claim}\"\n\
             encoding = \"{encoding}\""
        );
        let fixture = Fixture::new(&own, "a-secret").await;
        let soon = clock::now().as_second() + 60;
        let request = |hash: serde_json::Value, body: &[u8]| {
            let mut claims = json!({ "iss": name, "exp": soon, "iat": soon - 60 });
            claims[claim] = hash;
            let word = if places.starts_with("bearer") { "Bearer " } else { "" };
            let token = format!("{word}{}", fixture.jwt(&claims));
            post("/hooks/fixture").header(header, &token).body(body)
        };
        for hash in written(&sha256(&body), encoding) {
            fixture.accepts(&request(json!(hash), &body), name).await;
            fixture.refuses(&request(json!(hash), BODY), (WRONG, None), name).await;
        }
        for other in ["hex", "base64", "base64url"].into_iter().filter(|it| *it != encoding) {
            let hash = written(&sha256(&body), other).remove(0);
            let verdict = fixture.verdict(&request(json!(hash), &body)).await;
            assert_eq!((verdict.0, verdict.1.as_str()), (401, WRONG), "{name} in {other}");
        }
        for bad in [json!(""), json!("zz"), json!(7), json!([]), json!("x".repeat(64))] {
            let verdict = fixture.verdict(&request(bad.clone(), &body)).await;
            assert_eq!((verdict.0, verdict.1.as_str()), (401, WRONG), "{name} {bad}");
        }
        let hint = format!("right, but without the claim {claim}, the hash of the body");
        fixture.refuses(&request(json!(null), &body), (MISSING, Some(&hint)), name).await;
    }
}

#[tokio::test]
async fn token_with_a_prefix_is_accepted() {
    let own = "[signature]\nscheme = \"jwt\"\nheader = \"X-Token\"\nprefix = \"v1:\"";
    let fixture = Fixture::new(own, "a-secret").await;
    let token = fixture.jwt(&json!({}));
    let with = |value: &str| post("/hooks/fixture").header("x-token", value).body(BODY);

    fixture.accepts(&with(&format!("v1:{token}")), "with it").await;
    let hint = Some("right, but without the prefix `v1:`");
    fixture.refuses(&with(&token), (WRONG, hint), "without it").await;
    fixture.refuses(&with(&format!("v2:{token}")), (WRONG, None), "with another").await;
}

fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Returns a credential that covers the body.
fn covering(scheme: &str, fixture: &Fixture, body: &[u8]) -> String {
    match scheme {
        "jwt" => fixture.jwt(&json!({ "body": HEXLOWER.encode(&sha256(body)) })),
        _ => fixture.hex(body),
    }
}

#[tokio::test]
async fn signature_of_the_uncompressed_body_verifies() {
    for scheme in ["hmac", "jwt"] {
        let hash = if scheme == "jwt" { "\nbody_hash = \"claim:body\"" } else { "" };
        let own = format!("[signature]\nscheme = \"{scheme}\"\nheader = \"X-A\"{hash}");
        let after = Fixture::new(&own, "a-secret").await;
        let before = Fixture::new(&format!("{own}\ndecompressed = true"), "a-secret").await;
        let packed = gzip(BODY);
        let request = |credential: &str, encoding: Option<&str>, body: &[u8]| {
            let request = post("/hooks/fixture").header("x-a", credential).body(body);
            encoding.into_iter().fold(request, |it, value| it.header("content-encoding", value))
        };
        let plain = covering(scheme, &before, BODY);
        let compressed = covering(scheme, &before, &packed);
        for encoding in ["gzip", "x-gzip", "GZIP"] {
            before.accepts(&request(&plain, Some(encoding), &packed), encoding).await;
            after.accepts(&request(&compressed, Some(encoding), &packed), encoding).await;
            check_wrong(&before, &request(&compressed, Some(encoding), &packed)).await;
            check_wrong(&after, &request(&plain, Some(encoding), &packed)).await;
        }
        before.accepts(&request(&plain, None, BODY), "as it is").await;
        before.accepts(&request(&plain, Some("identity"), BODY), "identity").await;
        check_wrong(&before, &request(&plain, Some("gzip"), &gzip(b"{\"x\":\"z\"}"))).await;
        check_wrong(&before, &request(&plain, Some("gzip"), b"no gzip")).await;
        check_wrong(&before, &request(&plain, Some("br"), &packed)).await;
        let bomb = gzip(&vec![b' '; 50_000_000]);
        check_wrong(&before, &request(&plain, Some("gzip"), &bomb)).await;
    }
}

async fn check_wrong(fixture: &Fixture, request: &Request) {
    let verdict = fixture.verdict(request).await;
    assert_eq!((verdict.0, verdict.1.as_str()), (401, WRONG), "{verdict:?}");
}

#[tokio::test]
async fn signature_of_the_other_form_of_the_body_is_named() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"";
    let after = Fixture::new(own, "a-secret").await;
    let before = Fixture::new(&format!("{own}\ndecompressed = true"), "a-secret").await;
    let packed = gzip(BODY);
    let request = |credential: &str| {
        let request = post("/hooks/fixture").header("content-encoding", "gzip");
        request.header("x-a", credential).body(&packed)
    };

    let hint = "right over the body before it was compressed: set decompressed = true";
    after.refuses(&request(&after.hex(BODY)), (WRONG, Some(hint)), "before").await;
    let hint = "right over the compressed body: leave `decompressed` out";
    before.refuses(&request(&before.hex(&packed)), (WRONG, Some(hint)), "after").await;
}
