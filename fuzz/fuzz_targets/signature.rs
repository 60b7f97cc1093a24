//! What a stranger writes into the headers, the query and the body, under each provider's scheme. Lines:
//! the provider, the proof's headers, the other ones, the query; the rest is the body.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::table::{self, Diagnostics, TomlTable};
use savio_relay::event::Headers;
use savio_relay::intake::provider::Provider;
use savio_relay::intake::signature::{Scheme, Signature, SignedRequest};

fn signature(name: &str) -> Option<Signature> {
    let document = Document { name: name.to_owned(), text: Provider::builtin(name)?.to_owned() };
    let mut mistakes = Diagnostics::new();
    let root = table::parse(&document, &mut mistakes);
    Provider::read(&mut TomlTable::root(&document, &root), &mut mistakes).signature
}

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(5, |byte| *byte == b'\n');
    let mut line = || lines.next().unwrap_or_default();
    let [which, value, other, query] =
        [line(), line(), line(), line()].map(String::from_utf8_lossy);
    let body = line();
    let names: Vec<&str> = Provider::names().collect();
    let drawn = which.bytes().next().map_or(0, usize::from) % names.len();
    let name = names.iter().find(|name| **name == which).unwrap_or(&names[drawn]);
    let Some(signature) = signature(name) else { return };
    let Some((secret, _)) = signature.generate_trial(&[7; 32]) else { return };
    let Ok(key) = signature.key(&secret, None, 0) else { return };
    let mut headers: Headers = signature
        .credential_headers()
        .into_iter()
        .map(|it| (it.to_owned(), value.to_string()))
        .collect();
    for name in ["authorization", "webhook-timestamp", "x-slack-request-timestamp"] {
        headers.entry(name.to_owned()).or_insert_with(|| other.to_string());
    }
    let presented = SignedRequest {
        method: "POST",
        url: Some("https://relay.example.com/hooks/x?a=b"),
        query: Some(&query),
        headers: &headers,
        body,
    };
    let verified = signature.verify(&[key], &presented, Timestamp::UNIX_EPOCH);
    let is_computed = matches!(signature.scheme, Scheme::Message(_) | Scheme::Jwt(_));
    // A token is guessed by who knows it, as this program does.
    assert!(verified.is_err() || !is_computed, "nobody guesses a signature");
    let mut concealed = body.to_vec();
    signature.redact(&headers, &mut concealed);
    assert_eq!(concealed.len(), body.len());
});
