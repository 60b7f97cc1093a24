//! The escapes of a URL that a provider decodes before it signs.

use data_encoding::BASE64;
use savio_relay::clock;

use super::{BODY, Fixture, PUBLIC_URL, post};
use crate::support::server::Request;

/// The characters that HubSpot's documentation lists.
const DECODED: &str = ":/?@!$'()*,;";

/// Returns HubSpot's request to `path` with a signature of the URL `signed`.
fn sent(fixture: &Fixture, path: &str, signed: &str) -> Request {
    let time = clock::now().as_millisecond().to_string();
    let message = [format!("POST{PUBLIC_URL}{signed}").as_bytes(), BODY, time.as_bytes()].concat();
    post(path)
        .header("x-hubspot-request-timestamp", &time)
        .header("x-hubspot-signature-v3", &BASE64.encode(&fixture.mac(&message)))
        .body(BODY)
}

#[tokio::test]
async fn hubspots_twelve_escapes_are_decoded() {
    let fixture = Fixture::new("provider = \"hubspot\"", "a-secret").await;
    let mut refused = 0;
    for byte in 0..=255_u8 {
        let escapes = [format!("%{byte:02X}"), format!("%{byte:02x}")];
        for escape in escapes {
            let path = format!("/hooks/fixture?a=1{escape}2&b={escape}");
            fixture.accepts(&sent(&fixture, &path, &path), &format!("{escape} as it is")).await;
            let character = char::from(byte);
            let plain = format!("/hooks/fixture?a=1{character}2&b={character}");
            let verdict = fixture.verdict(&sent(&fixture, &path, &plain)).await;
            let expected = if DECODED.contains(character) { 202 } else { 401 };
            assert_eq!(verdict.0, expected, "{escape} decoded: {verdict:?}");
            refused += usize::from(expected == 401);
        }
    }
    assert_eq!(refused, 2 * (256 - 12));
}

#[tokio::test]
async fn all_escapes_are_decoded_once() {
    let fixture = Fixture::new("provider = \"hubspot\"", "a-secret").await;
    for (path, signed) in [
        (
            "/hooks/fixture?u=https%3A%2F%2Fa.example%2F%3Fx",
            "/hooks/fixture?u=https://a.example/?x",
        ),
        ("/hooks/fixture?u=a%20b%2Cc%26d", "/hooks/fixture?u=a%20b,c%26d"),
        ("/hooks/fixture?u=%253A", "/hooks/fixture?u=%253A"),
        ("/hooks/fixture?u=%25%33%41", "/hooks/fixture?u=%25%33%41"),
        ("/hooks/f%69xture?u=%21", "/hooks/f%69xture?u=!"),
        ("/hooks/fixture?u=%3", "/hooks/fixture?u=%3"),
        ("/hooks/fixture?u=%%3A", "/hooks/fixture?u=%:"),
    ] {
        fixture.accepts(&sent(&fixture, path, signed), path).await;
    }
    for (path, signed) in [
        ("/hooks/fixture?u=%253A", "/hooks/fixture?u=%3A"),
        ("/hooks/fixture?u=%253A", "/hooks/fixture?u=:"),
        ("/hooks/fixture?u=%3A%2C", "/hooks/fixture?u=:%2C"),
    ] {
        let verdict = fixture.verdict(&sent(&fixture, path, signed)).await;
        assert_eq!(verdict.0, 401, "{path} as {signed}: {verdict:?}");
    }
}
