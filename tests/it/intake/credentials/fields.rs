//! Credentials in a field of the body, beside fields in other character sets.

use savio_relay::clock;
use savio_relay::store::Archive;

use super::{BODY, Fixture, WRONG, post};
use crate::support::server::Request;

const FORM: &str = "application/x-www-form-urlencoded";
const MULTIPART: &str = "multipart/form-data; boundary=\"a b\"";

/// Returns the part of one field, with further headers.
fn part(name: &str, headers: &str, value: &[u8]) -> Vec<u8> {
    let head = format!("--a b\r\nContent-Disposition: form-data; name=\"{name}\"\r\n{headers}\r\n");
    [head.as_bytes(), value, b"\r\n"].concat()
}

fn multipart(parts: &[Vec<u8>]) -> Vec<u8> {
    [parts.concat().as_slice(), b"--a b--\r\n"].concat()
}

fn request(content_type: &str, body: &[u8]) -> Request {
    Request::new("POST", "/hooks/fixture").header("content-type", content_type).body(body)
}

/// Returns the fields as a form and as multipart, without changing their bytes.
fn bodies(fields: &[(&str, &[u8])]) -> [(&'static str, Vec<u8>); 2] {
    let pair = |(name, value): &(&str, &[u8])| [name.as_bytes(), b"=", value].concat();
    let form: Vec<Vec<u8>> = fields.iter().map(pair).collect();
    let parts: Vec<Vec<u8>> = fields.iter().map(|(name, value)| part(name, "", value)).collect();
    [(FORM, form.join(&b'&')), (MULTIPART, multipart(&parts))]
}

#[tokio::test]
async fn token_is_found_beside_text_in_another_charset() {
    let fixture =
        Fixture::new("[signature]\nscheme = \"token\"\nfield = \"Key\"", "a-secret").await;
    for (content_type, body) in bodies(&[("x", b"Gr\xf6\xdfe"), ("Key", b"a-secret"), ("y", b"1")])
    {
        for content_type in [content_type.to_owned(), format!("{content_type}; charset=iso-8859-1")]
        {
            let answer = fixture.server.send(&request(&content_type, &body)).await;
            assert_eq!(answer.status, 202, "{content_type}: {answer:?}");
            let id = answer.events()[0].parse().unwrap();
            let stored = Archive::event(&*fixture.server.store, id).await.unwrap();
            let payload = stored.unwrap().event.payload;
            assert!(payload.contains(r#""Key":"********""#), "{payload}");
            assert!(!payload.contains("a-secret"), "{payload}");
            assert_eq!(payload.contains("Größe"), content_type.ends_with("8859-1"), "{payload}");
        }
    }
    for (content_type, body) in bodies(&[("x", b"\xf6"), ("Key", b"another-secret")]) {
        fixture.refuses(&request(content_type, &body), (WRONG, None), content_type).await;
    }
}

#[tokio::test]
async fn token_in_a_transfer_encoded_part_is_found() {
    let fixture =
        Fixture::new("[signature]\nscheme = \"token\"\nfield = \"Key\"", "a-secret").await;
    for (encoding, written) in
        [("base64", "YS1zZWNyZXQ="), ("quoted-printable", "a=2Dsecr=\r\net"), ("8bit", "a-secret")]
    {
        let head = format!("Content-Transfer-Encoding: {encoding}\r\n");
        let body = multipart(&[part("x", "", b"1"), part("Key", &head, written.as_bytes())]);
        let answer = fixture.server.send(&request(MULTIPART, &body)).await;
        assert_eq!(answer.status, 202, "{encoding}: {answer:?}");
        let id = answer.events()[0].parse().unwrap();
        let stored = Archive::event(&*fixture.server.store, id).await.unwrap().unwrap();
        assert!(stored.notes.is_empty(), "{encoding}: {:?}", stored.notes);
        assert!(stored.event.payload.contains(&"*".repeat(8)), "{encoding}");
    }
}

#[tokio::test]
async fn signature_over_fields_of_forms_and_parts_verifies() {
    let own = "[signature]\nscheme = \"hmac\"\nfield = \"signature\"\n\
               signed = \"{field:timestamp}{field:name}\"\n\
               timestamp = { from = \"field:timestamp\", unit = \"seconds\", window = \"5m\" }";
    let fixture = Fixture::new(own, "a-secret").await;
    let now = clock::now().as_second();
    // The bytes are signed, in whatever character set.
    let signed =
        |time: i64, name: &[u8]| fixture.hex(&[time.to_string().as_bytes(), name].concat());
    let with = |time: i64, name: &[u8]| {
        let (signature, time) = (signed(time, name), time.to_string());
        bodies(&[
            ("timestamp", time.as_bytes()),
            ("name", b"Gr\xf6\xdfe"),
            ("signature", signature.as_bytes()),
        ])
    };
    for (content_type, body) in with(now, b"Gr\xf6\xdfe") {
        fixture.accepts(&request(content_type, &body), content_type).await;
    }
    for (content_type, body) in with(now, b"Groesse") {
        let verdict = fixture.verdict(&request(content_type, &body)).await;
        assert_eq!((verdict.0, verdict.1.as_str()), (401, WRONG), "{content_type}");
    }
    for (content_type, body) in with(now - 9_000, b"Gr\xf6\xdfe") {
        let verdict = fixture.verdict(&request(content_type, &body)).await;
        assert_eq!(verdict.1, "the signature is outside its time window", "{content_type}");
    }
}

#[tokio::test]
async fn sorted_form_is_signed_in_its_own_charset() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{form}\"";
    let fixture = Fixture::new(own, "a-secret").await;
    let credential = fixture.hex(b"a1xGr\xf6\xdfe");
    for body in [b"x=Gr%F6%DFe&a=1".as_slice(), b"x=Gr\xf6\xdfe&a=1"] {
        for content_type in [FORM.to_owned(), format!("{FORM}, {FORM}; charset=latin1")] {
            let request = request(&content_type, body).header("x-a", &credential);
            fixture.accepts(&request, &content_type).await;
        }
    }
}

#[tokio::test]
async fn body_without_fields_is_named() {
    const MISSING: &str = "the signature is missing";
    let of_form =
        Fixture::new("[signature]\nscheme = \"token\"\nfield = \"Key\"", "a-secret").await;
    let why = "the body is compressed, and a proof in a field of it is read before that is undone";
    let hint = (MISSING, Some(why));
    let compressed = request(FORM, b"\x1f\x8b\x08").header("content-encoding", "gzip");
    of_form.refuses(&compressed, hint, "gzip").await;
    let unsplit = request("multipart/form-data", b"Key=a-secret");
    let why = "the fields of the body cannot be read: the content type names no usable boundary";
    of_form.refuses(&unsplit, (MISSING, Some(why)), "no boundary").await;
    for (content_type, body) in bodies(&[("x", b"1")]) {
        of_form.refuses(&request(content_type, &body), (MISSING, None), content_type).await;
    }
    let of_json =
        Fixture::new("[signature]\nscheme = \"token\"\nfield = \"$.k\"", "a-secret").await;
    let why = "the body is no JSON, in which `field` is looked for";
    of_json.refuses(&request(FORM, b"k=a-secret"), (MISSING, Some(why)), "a form").await;
    of_json.refuses(&post("/hooks/fixture").body(BODY), (MISSING, None), "no such field").await;
    let latin = post("/hooks/fixture").body(b"{\"k\":\"a-secret\",\"x\":\"\xf6\"}");
    let why = "the body is not UTF-8, in which `field` is looked for";
    of_json.refuses(&latin, (MISSING, Some(why)), "no UTF-8").await;
    let why = "the body is not a form, in which `field` is looked for";
    for (content_type, body) in [
        ("application/json", b"{\"Key\":\"a-secret\"}".as_slice()),
        ("application/vnd.x+json; charset=utf-8", b"[{\"Key\":1}]"),
        (FORM, b"\xef\xbb\xbf {\"Key\":\"a-secret\"}"),
        ("text/xml", b"<Key>a-secret</Key>"),
        ("application/soap+xml", b"<Key>a-secret</Key>"),
    ] {
        of_form.refuses(&request(content_type, body), (MISSING, Some(why)), content_type).await;
    }
}

#[tokio::test]
async fn absent_signed_field_is_named() {
    let header = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\n";
    for (own, body, hint) in [
        (
            "signed = \"{field:name}\"",
            "x=1",
            "it covers the field `name` of the body, which is not there",
        ),
        (
            "signed = \"{field:$.a['b c'][0].d}{body}\"",
            "{\"a\":1}",
            "it covers the field `$.a['b c'][0].d` of the body, which is not there",
        ),
        (
            "timestamp = { from = \"field:at\", unit = \"seconds\", window = \"5m\" }",
            "x=1",
            "its time is not there: the field of the body that `timestamp` names",
        ),
    ] {
        let fixture = Fixture::new(&format!("{header}{own}"), "a-secret").await;
        let content_type = if body.starts_with('{') { "application/json" } else { FORM };
        let signed = request(content_type, body.as_bytes()).header("x-a", &"0".repeat(64));
        fixture.refuses(&signed, (WRONG, Some(hint)), own).await;
    }
}
