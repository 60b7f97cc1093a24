//! What a stranger writes into the headers, the query and the body, under each provider's scheme.

#![no_main]

use jiff::Timestamp;
use libfuzzer_sys::fuzz_target;
use savio_relay::event::Headers;
use savio_relay::intake::provider::Provider;
use savio_relay::intake::signature::{Presented, Signature};
use savio_relay::mistake::Document;
use savio_relay::table::{self, Mistakes, Table};

fn signature(name: &str) -> Option<Signature> {
    let document = Document { name: name.to_owned(), text: Provider::builtin(name)?.to_owned() };
    let mut mistakes = Mistakes::new();
    let root = table::parse(&document, &mut mistakes);
    let provider = Provider::read(&mut Table::root(&document, &root), &mut mistakes);
    provider.signature(0..0, &mut mistakes)
}

fuzz_target!(|input: (u8, String, String, String, Vec<u8>)| {
    let (which, value, other, query, body) = input;
    let names: Vec<&str> = Provider::names().collect();
    let Some(signature) = signature(names[usize::from(which) % names.len()]) else { return };
    let Some((secret, _)) = signature.invent(&[7; 32]) else { return };
    let Ok(key) = signature.key(&secret, None, 0) else { return };
    let mut headers: Headers =
        signature.proof_headers().into_iter().map(|it| (it.to_owned(), value.clone())).collect();
    for name in ["authorization", "webhook-timestamp", "x-slack-request-timestamp"] {
        headers.entry(name.to_owned()).or_insert_with(|| other.clone());
    }
    let presented = Presented {
        method: "POST",
        url: Some("https://relay.example.com/hooks/x?a=b"),
        query: Some(&query),
        headers: &headers,
        body: &body,
    };
    let now = Timestamp::UNIX_EPOCH;
    // Nobody guesses an HMAC; a token is guessed only by who knows it.
    let _ = signature.verify(&[key], &presented, now);
    let mut body = body.clone();
    let length = body.len();
    signature.conceal(&mut body);
    assert_eq!(body.len(), length);
});
