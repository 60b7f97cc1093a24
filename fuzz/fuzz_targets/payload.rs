//! A verified body of any kind becomes JSON that can be parsed and split, or is refused.

#![no_main]

use libfuzzer_sys::fuzz_target;
use savio_relay::event::Headers;
use savio_relay::intake::payload::{self, Each, Format, Limits, Packing};

const KINDS: [(&str, Option<Format>); 4] = [
    ("application/json", None),
    ("application/x-www-form-urlencoded", None),
    ("multipart/form-data; boundary=b", None),
    ("text/xml", Some(Format::Xml)),
];

const LIMITS: Limits = Limits { bytes_max: 100_000, depth_max: 64, key_bytes_max: 1_024 };

fuzz_target!(|input: (u8, bool, &[u8])| {
    let (kind, gzipped, body) = input;
    let (content_type, format) = KINDS[usize::from(kind) % KINDS.len()];
    let mut headers = Headers::from([("content-type".to_owned(), content_type.to_owned())]);
    if gzipped {
        headers.insert("content-encoding".to_owned(), "gzip".to_owned());
    }
    let packing =
        Packing { format, json_fields: vec!["a".to_owned()], lists: vec!["b".to_owned()] };
    let Ok(text) = payload::decode(&packing, &headers, body, &LIMITS) else { return };
    let parsed = payload::parse(&text);
    assert!(parsed.is_ok() || content_type != "text/xml", "our own JSON is not JSON");
    for each in ["$[*]", "$.a[*]"] {
        for range in payload::split(&text, Each::parse(each).as_ref()).into_iter().flatten() {
            let part = payload::parse(&text[range]);
            assert!(part.is_ok() || parsed.is_err(), "a part of JSON is not JSON");
        }
    }
});
