//! A verified body of any kind becomes JSON that can be parsed and split, or is refused. The first line
//! is the kind, `0` to `3`, with a `g` behind it where the body is compressed.

#![no_main]

use libfuzzer_sys::fuzz_target;
use savio_relay::event::Headers;
use savio_relay::intake::payload::{self, BatchPath, BodyConfig, BodyFormat, PayloadLimits};

const KINDS: [(&str, Option<BodyFormat>); 4] = [
    ("application/json", None),
    ("application/x-www-form-urlencoded", None),
    ("multipart/form-data; boundary=b", None),
    ("text/xml", Some(BodyFormat::Xml)),
];

const LIMITS: PayloadLimits =
    PayloadLimits { bytes_max: 100_000, depth_max: 64, key_bytes_max: 1_024, parsed_bytes_max: 1 << 26 };

fuzz_target!(|input: &[u8]| {
    let mut lines = input.splitn(2, |byte| *byte == b'\n');
    let (Some(kind), Some(body)) = (lines.next(), lines.next()) else { return };
    let number = kind.first().map_or(0, |digit| usize::from(*digit));
    let (content_type, format) = KINDS[number % KINDS.len()];
    let mut headers = Headers::from([("content-type".to_owned(), content_type.to_owned())]);
    if kind.ends_with(b"g") {
        headers.insert("content-encoding".to_owned(), "gzip".to_owned());
    }
    let packing = BodyConfig {
        format,
        json_fields: vec!["a".to_owned()],
        lists: vec!["b".to_owned()],
        charsets: Some("c".to_owned()),
    };
    let Ok(decoded) = payload::decode(&packing, &headers, body, &LIMITS) else { return };
    let text = decoded.text;
    let parsed = payload::parse(&text);
    // Others may be the sender's own JSON: a form whose one field `payload` holds it.
    assert!(parsed.is_ok() || content_type != "text/xml", "our own JSON is not JSON");
    for each in ["$[*]", "$.a[*]"] {
        for range in payload::split(&text, BatchPath::parse(each).as_ref()).into_iter().flatten() {
            let part = payload::parse(&text[range]);
            assert!(part.is_ok() || parsed.is_err(), "a part of JSON is not JSON");
        }
    }
});
