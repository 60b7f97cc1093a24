//! Tables of credentials as providers send them, over HTTP: which are accepted, and the hints for the others.

mod tokens;
mod escapes;
mod fields;
mod hashes;
mod times;

use std::sync::Arc;

use data_encoding::{BASE64, BASE64URL_NOPAD, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use savio_relay::clock;
use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::intake::Settings;
use savio_relay::intake::registry::{SourceStatus, Sources};
use savio_relay::mapping_file::file::MappingFile;
use savio_relay::secret::Environment;
use savio_relay::store::RejectionFilter;
use sha2::{Digest, Sha256};

use crate::support::server::{Answer, Request, TestIntake};

const PUBLIC_URL: &str = "https://relay.example.com";

/// A relay with one source, whose credential `own` describes, and its secret.
struct Fixture {
    server: TestIntake,
    secret: &'static str,
}

/// Status, reason and hint for one request.
type Verdict = (u16, String, Option<String>);

impl Fixture {
    async fn new(own: &str, secret: &'static str) -> Fixture {
        let text = format!("secrets = \"env:SECRET\"\n{own}\n[[feedback]]\nproblem = \"$.x\"\n");
        let environment = Environment::from([("SECRET".to_owned(), secret.to_owned())]);
        let document = Document { name: "fixture.toml".to_owned(), text };
        let file = MappingFile::read(document, &environment);
        let source = file.source.unwrap_or_else(|| panic!("{own}: {:?}", file.mistakes));
        let live = SourceStatus::Live(Arc::clone(&source));
        let sources: Sources = [(source.name.clone(), live)].into();
        let settings = Settings { public_url: Some(PUBLIC_URL.to_owned()), ..Settings::default() };
        Fixture { server: TestIntake::with_sources(settings, sources).await, secret }
    }

    /// Sends the request. The hint is from the list of rejections, as no response has it.
    async fn verdict(&self, request: &Request) -> Verdict {
        let answer: Answer = self.server.send(request).await;
        let refused =
            self.server.intake.rejected.latest(&RejectionFilter::of("fixture".parse().unwrap()));
        let hint = refused.first().filter(|_| answer.status == 401).and_then(|it| it.hint.clone());
        (answer.status, answer.reason().to_owned(), hint)
    }

    async fn accepts(&self, request: &Request, case: &str) {
        let verdict = self.verdict(request).await;
        assert_eq!(verdict.0, 202, "{case}: {verdict:?}");
    }

    /// Checks that the request is refused with this reason and hint.
    async fn refuses(&self, request: &Request, why: (&str, Option<&str>), case: &str) {
        let verdict = self.verdict(request).await;
        assert_eq!(verdict, (401, why.0.to_owned(), why.1.map(str::to_owned)), "{case}");
    }

    fn mac(&self, message: &[u8]) -> Vec<u8> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret.as_bytes()).unwrap();
        mac.update(message);
        mac.finalize().into_bytes().to_vec()
    }

    fn hex(&self, message: &[u8]) -> String {
        HEXLOWER.encode(&self.mac(message))
    }

    fn jwt(&self, claims: &serde_json::Value) -> String {
        let [header, claims] = [r#"{"alg":"HS256","typ":"JWT"}"#, &claims.to_string()]
            .map(|part| BASE64URL_NOPAD.encode(part.as_bytes()));
        let signed = format!("{header}.{claims}");
        format!("{signed}.{}", BASE64URL_NOPAD.encode(&self.mac(signed.as_bytes())))
    }
}

fn post(path: &str) -> Request {
    Request::new("POST", path).header("content-type", "application/json")
}

const WRONG: &str = "the signature is wrong";
const BODY: &[u8] = br#"{"x":"y"}"#;

/// Places of the credential, and letters for `request_with`.
const PLACES: [(&str, &str); 5] = [
    ("header = [\"X-A\", \"X-B\"]", "ab"),
    ("header = [\"X-A\", \"X-B\", \"X-C\"]", "abc"),
    ("header = \"X-A\"\nquery = \"sig\"", "aq"),
    ("header = \"X-A\"\nbearer = true", "az"),
    ("query = \"sig\"\nbearer = true", "qz"),
];

/// Returns a request with a valid credential in one place, and a wrong one or none in the others.
fn request_with(places: &str, right: char, credentials: (&str, Option<&str>)) -> Request {
    let mut query = String::new();
    let mut headers = Vec::new();
    for place in places.chars() {
        let Some(credential) = (if place == right { Some(credentials.0) } else { credentials.1 })
        else {
            continue;
        };
        match place {
            'q' => query = format!("?sig={credential}"),
            'z' => headers.push(("authorization".to_owned(), format!("Bearer {credential}"))),
            name => headers.push((format!("x-{name}"), credential.to_owned())),
        }
    }
    let request = post(&format!("/hooks/fixture{query}")).body(BODY);
    headers.iter().fold(request, |it, (name, value)| it.header(name, value))
}

#[tokio::test]
async fn valid_credential_in_any_place_is_accepted() {
    for scheme in ["hmac", "token", "jwt"] {
        for (places, letters) in PLACES {
            let own = format!("[signature]\nscheme = \"{scheme}\"\n{places}");
            let fixture = Fixture::new(&own, "a-secret").await;
            let right = match scheme {
                "hmac" => fixture.hex(BODY),
                "jwt" => fixture.jwt(&serde_json::json!({})),
                _ => fixture.secret.to_owned(),
            };
            let other =
                Fixture { secret: "another-secret", ..Fixture::new(&own, "a-secret").await };
            let signed_by_another = match scheme {
                "hmac" => other.hex(BODY),
                "jwt" => other.jwt(&serde_json::json!({})),
                _ => other.secret.to_owned(),
            };
            for place in letters.chars() {
                for wrong in [None, Some("garbage"), Some(signed_by_another.as_str())] {
                    let case = format!("{scheme}, {places}, right in {place}, else {wrong:?}");
                    let request = request_with(letters, place, (&right, wrong));
                    fixture.accepts(&request, &case).await;
                }
            }
            let none_right = request_with(letters, '-', ("", Some(&signed_by_another)));
            let verdict = fixture.verdict(&none_right).await;
            assert_eq!((verdict.0, verdict.1.as_str()), (401, WRONG), "{scheme}, {places}");
        }
    }
}

#[tokio::test]
async fn each_header_is_read_with_its_own_time() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = [\"X-A\", \"X-B\"]\nseparator = \",\"\n\
               prefix = \"v1=\"\nsigned = \"{timestamp}.{body}\"\n\
               timestamp = { from = \"part:t\", window = \"5m\" }";
    let fixture = Fixture::new(own, "a-secret").await;
    let now = clock::now().as_second();
    let at = |time: i64| {
        let message = [format!("{time}.").as_bytes(), BODY].concat();
        format!("t={time},v1={}", fixture.hex(&message))
    };
    let with =
        |a: &str, b: &str| post("/hooks/fixture").header("x-a", a).header("x-b", b).body(BODY);

    fixture.accepts(&with("t=1,v1=00", &at(now)), "wrong and right").await;
    fixture.accepts(&with(&at(now - 9_000), &at(now)), "late and right").await;
    let late = fixture.verdict(&with("t=1,v1=00", &at(now - 9_000))).await;
    assert_eq!(late.1, "the signature is outside its time window");
    assert!(late.2.unwrap().starts_with("right, but signed 900"));
}

#[tokio::test]
async fn byte_order_mark_before_a_token_in_the_body_is_skipped() {
    for (field, content_type, body) in [
        ("$.key", "application/json", r#"{"key":"a-secret","x":1}"#),
        ("Key", "application/x-www-form-urlencoded", "Key=a-secret&x=1"),
        ("x", "application/x-www-form-urlencoded", "Key=1&x=a-secret"),
    ] {
        let own = format!("[signature]\nscheme = \"token\"\nfield = \"{field}\"");
        let fixture = Fixture::new(&own, "a-secret").await;
        for mark in ["", "\u{feff}"] {
            let request =
                Request::new("POST", "/hooks/fixture").header("content-type", content_type);
            let request = request.body(format!("{mark}{body}").as_bytes());
            let answer = fixture.server.send(&request).await;
            assert_eq!(answer.status, 202, "{field} {mark:?}: {answer:?}");
            let id = answer.events()[0].parse().unwrap();
            let stored =
                savio_relay::store::Archive::event(&*fixture.server.store, id).await.unwrap();
            let payload = stored.unwrap().event.payload;
            assert!(payload.contains("********") && !payload.contains("secret"), "{payload}");
        }
    }
}

#[tokio::test]
async fn id_and_type_of_an_event_hold_no_credential_wherever_they_are_read() {
    let token = "[signature]\nscheme = \"token\"\nheader = \"X-Key\"";
    let basic = "[signature]\nscheme = \"basic\"";
    let encoded = format!("Basic {}", BASE64.encode(b"relay:a-secret"));
    for (signature, credential, read) in [
        (token, ("x-key", "a-secret"), "header:X-Key"),
        (token, ("x-key", "a-secret"), "x {{ headers['x-key'] }}"),
        // In another header too, such as that of a gateway.
        (token, ("x-key", "a-secret"), "header:Referer"),
        (token, ("x-key", "a-secret"), "header:X-Forwarded-Access-Token"),
        (basic, ("authorization", encoded.as_str()), "header:Authorization"),
    ] {
        let own = format!("{signature}\n[event]\nid = \"{read}\"\ntype = \"{read}\"");
        let secret = if signature == basic { "relay:a-secret" } else { "a-secret" };
        let fixture = Fixture::new(&own, secret).await;
        let request = post("/hooks/fixture").header(credential.0, credential.1);
        let request = request.header("referer", "https://a.example/?key=a-secret");
        let request = request.header("x-forwarded-access-token", "of the gateway");

        let first = fixture.server.send(&request.clone().body(b"{\"x\":1}")).await;
        let second = fixture.server.send(&request.body(b"{\"x\":2}")).await;

        assert_eq!((first.status, second.status), (202, 202), "{read}: {first:?} {second:?}");
        // With the same id, the second would be taken for a repeat and lost.
        for answer in [first, second] {
            let id = answer.events()[0].parse().unwrap();
            let stored = savio_relay::store::Archive::event(&*fixture.server.store, id).await;
            let event = stored.unwrap().unwrap().event;
            assert_eq!((event.delivery_id, event.event_type), (None, None), "{read}");
            let name = read.strip_prefix("header:").map_or("x-key".to_owned(), str::to_lowercase);
            assert_eq!(event.headers[&name], "*", "{read}");
        }
    }
}

#[tokio::test]
async fn byte_order_mark_before_signed_json_is_skipped() {
    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\n\
               timestamp = { from = \"field:$.at\", window = \"5m\" }";
    let fixture = Fixture::new(own, "a-secret").await;
    let body = format!("\u{feff}{{\"at\":{}}}", clock::now().as_second());
    let request = post("/hooks/fixture").header("x-a", &fixture.hex(body.as_bytes()));
    fixture.accepts(&request.body(body.as_bytes()), "time").await;

    let own = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\nsigned = \"{first}\"";
    let fixture = Fixture::new(own, "a-secret").await;
    let request = post("/hooks/fixture").header("x-a", &fixture.hex(b"{\"x\":1}"));
    fixture.accepts(&request.body("\u{feff}[{\"x\":1},2]".as_bytes()), "first element").await;
}

#[tokio::test]
async fn plus_sign_read_as_a_space_is_named() {
    const SECRET: &str = "ab+cd/ef+gh+ij==";
    let hint = Some("right, but with `+`, which is a space in a URL or a form: write %2B");
    let fixture = Fixture::new("[signature]\nscheme = \"token\"\nquery = \"token\"", SECRET).await;
    let with = |token: &str| post(&format!("/hooks/fixture?token={token}")).body(BODY);
    fixture.accepts(&with("ab%2Bcd/ef%2Bgh%2Bij=="), "escaped").await;
    fixture.accepts(&with("ab%2bcd%2Fef%2Bgh%2bij%3D%3D"), "all escaped").await;
    fixture.refuses(&with("ab+cd/ef+gh+ij=="), (WRONG, hint), "as it is").await;
    fixture.refuses(&with("ab+cd/ef%2Bgh+ij=="), (WRONG, hint), "one of three escaped").await;
    fixture.refuses(&with("ab+cd/ef+gh+kl=="), (WRONG, None), "another").await;

    let own = "[signature]\nscheme = \"token\"\nquery = \"token\"\nprefix = \"Key \"";
    let fixture = Fixture::new(own, SECRET).await;
    fixture.accepts(&with("Key+ab%2Bcd/ef%2Bgh%2Bij=="), "its own space").await;

    let fixture = Fixture::new("[signature]\nscheme = \"token\"\nfield = \"Key\"", SECRET).await;
    let form = Request::new("POST", "/hooks/fixture")
        .header("content-type", "application/x-www-form-urlencoded")
        .body(b"a=1+2&Key=ab+cd/ef+gh+ij==");
    fixture.refuses(&form, (WRONG, hint), "in a form").await;

    let own = "[signature]\nscheme = \"hmac\"\nquery = \"sig\"\nencoding = \"base64\"";
    let fixture = Fixture::new(own, "a-secret").await;
    let (body, written) = (0..1_000)
        .map(|n| format!("{{\"x\":{n}}}"))
        .map(|body| (body.clone(), BASE64.encode(&fixture.mac(body.as_bytes()))))
        .find(|(_, written)| written.contains('+'))
        .unwrap();
    let signed = post(&format!("/hooks/fixture?sig={written}")).body(body.as_bytes());
    fixture.refuses(&signed, (WRONG, hint), "signature").await;
    let escaped = written.replace('+', "%2B");
    let signed = post(&format!("/hooks/fixture?sig={escaped}")).body(body.as_bytes());
    fixture.accepts(&signed, "escaped signature").await;
}

fn sha256(bytes: &[u8]) -> Vec<u8> {
    Sha256::digest(bytes).to_vec()
}

#[tokio::test]
async fn missing_part_of_a_signature_is_named() {
    const MISSING: &str = "the signature is missing";
    let hmac = "[signature]\nscheme = \"hmac\"\nheader = \"X-A\"\n";
    let cases = [
        (
            "signed = \"{timestamp}.{body}\"\ntimestamp = { from = \"header:X-T\", window = \"5m\" }",
            "it is there, but not its time: the header x-t",
        ),
        (
            "prefix = \"v1=\"\nseparator = \",\"\nsigned = \"{timestamp}.{body}\"\n\
             timestamp = { from = \"part:t\", unit = \"seconds\", window = \"5m\" }",
            "it is there, but not its time: `t=` in its list",
        ),
        (
            "id = \"header:X-Id\"\nsigned = \"{id}.{body}\"",
            "it is there, but not its id: the header x-id",
        ),
        (
            "signed = \"{header:X-Topic}{body}\"",
            "it is there, but not the header x-topic, which it covers",
        ),
    ];
    for (own, hint) in cases {
        let fixture = Fixture::new(&format!("{hmac}{own}"), "a-secret").await;
        let signed = post("/hooks/fixture").header("x-a", "v1=00").body(BODY);
        fixture.refuses(&signed, (MISSING, Some(hint)), own).await;
        fixture.refuses(&post("/hooks/fixture").body(BODY), (MISSING, None), own).await;
    }

    let list = "[signature]\nscheme = \"hmac\"\nheader = [\"X-A\", \"X-B\"]\nprefix = \"v1=\"\nseparator = \",\"\n\
                timestamp = { from = \"part:t\", unit = \"seconds\", window = \"5m\" }\n";
    let now = clock::now().as_second();
    for signed in ["{timestamp}.{body}", "{timestamp}{query:q}"] {
        let fixture = Fixture::new(&format!("{list}signed = \"{signed}\""), "a-secret").await;
        for credential in [format!("t={now}"), format!("t={now},v0=00"), "00".to_owned()] {
            let request = post("/hooks/fixture").header("x-a", &credential).body(BODY);
            let hint = "its list has no part `v1=`";
            fixture.refuses(&request, (MISSING, Some(hint)), &credential).await;
        }
    }
    let fixture =
        Fixture::new(&format!("{list}signed = \"{{timestamp}}{{query:q}}\""), "a-secret").await;
    let request = post("/hooks/fixture").header("x-a", "t=1").header("x-b", "t=1,v1=00").body(BODY);
    let hint = "it is there, but not the URL's parameter q, which it covers";
    fixture.refuses(&request, (MISSING, Some(hint)), "in the second header").await;

    let own = "[signature]\nscheme = \"jwt\"\nbearer = true\nbody_hash = \"claim:payload_hash\"";
    let fixture = Fixture::new(own, "a-secret").await;
    let token = format!("Bearer {}", fixture.jwt(&serde_json::json!({})));
    let signed = post("/hooks/fixture").header("authorization", &token).body(BODY);
    let hint = Some("right, but without the claim payload_hash, the hash of the body");
    fixture.refuses(&signed, (MISSING, hint), own).await;
}
