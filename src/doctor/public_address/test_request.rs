//! The webhooks that are sent through the public address, each with what careless proxies damage.

use std::io::Write;
use std::time::Duration;

use flate2::Compression;
use flate2::write::GzEncoder;

/// Longest time for a body of the largest size, the same as the default of `server.body_timeout`.
const LARGE_TIME_MAX: Duration = Duration::from_secs(30);

/// Address of the sender that a test makes up. It is reserved for documentation (RFC 5737).
pub(super) const MADE_UP_ADDRESS: &str = "192.0.2.123";

/// JSON that a program which parses it and writes it again changes: its spaces, line ends, order, repeated key,
/// numbers and escapes.
pub(super) const BODY: &str = "{ \"b\" : 1.0,\r\n\t\"a\":  [ ],\n  \"text\": \"\\u00e9\u{e9} \\/ & <b>\u{1f600}\",\
     \"a\": 1e2 , \"n\":12345678901234567890 }\n\n";

/// Escapes in either case, some of which are not necessary; a repeated, an empty and a valueless key.
const QUERY: &str = "b=%2fhooks%2Fx&a=1&a=2&empty=&flag&text=%c3%A9+%20%7E&sign=ab%3D%3D";

/// What a test is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// A webhook with nothing unusual but the layout of its JSON.
    Plain,
    /// Escapes in path and query.
    Target,
    Headers,
    Gzip,
    Chunked,
    /// An `X-Forwarded-For` that the sender made up.
    MadeUpSender,
    Large,
}

#[derive(Debug, Clone)]
pub(super) struct TestRequest {
    pub(super) subject: Subject,
    query: &'static str,
    is_path_escaped: bool,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    pub(super) is_chunked: bool,
    /// None for the usual.
    pub(super) time_max: Option<Duration>,
}

impl TestRequest {
    pub(super) fn plain() -> TestRequest {
        TestRequest::of(Subject::Plain)
    }

    /// Returns all others. `credentials` are the headers in which the sources have their signatures.
    pub(super) fn others(credentials: &[String], body_bytes_max: usize) -> Vec<TestRequest> {
        let target =
            TestRequest { query: QUERY, is_path_escaped: true, ..TestRequest::of(Subject::Target) };
        let mut headers = TestRequest::of(Subject::Headers);
        let names = ["authorization", "x-relay-token", "x-hub-signature-256", "webhook-signature"];
        let names = names.map(str::to_owned).into_iter().chain(credentials.iter().cloned());
        for name in names {
            if !headers.headers.iter().any(|(other, _)| *other == name) {
                // No scheme such as `Bearer`: a proxy that checks it would refuse this one for its own sake.
                headers.headers.push((name, "t=1,v1=c2lnbg==  v1;\"test\"".to_owned()));
            }
        }
        let mut gzip = TestRequest { body: gzip(BODY), ..TestRequest::of(Subject::Gzip) };
        gzip.headers.push(("content-encoding".to_owned(), "gzip".to_owned()));
        let chunked = TestRequest { is_chunked: true, ..TestRequest::of(Subject::Chunked) };
        let mut made_up = TestRequest::of(Subject::MadeUpSender);
        for name in ["x-forwarded-for", "x-real-ip"] {
            made_up.headers.push((name.to_owned(), MADE_UP_ADDRESS.to_owned()));
        }
        let time_max = Some(LARGE_TIME_MAX);
        let body = large(body_bytes_max);
        let large = TestRequest { body, time_max, ..TestRequest::of(Subject::Large) };
        vec![target, headers, gzip, chunked, made_up, large]
    }

    fn of(subject: Subject) -> TestRequest {
        let content_type =
            ("content-type".to_owned(), "application/json; charset=utf-8".to_owned());
        TestRequest {
            subject,
            query: "",
            is_path_escaped: false,
            headers: vec![content_type],
            body: BODY.as_bytes().to_vec(),
            is_chunked: false,
            time_max: None,
        }
    }

    /// Returns path and query below the public address.
    pub(super) fn target(&self, segment: &str) -> String {
        let segment = if self.is_path_escaped {
            segment.to_uppercase().replace('~', "%7E")
        } else {
            segment.to_owned()
        };
        match self.query {
            "" => format!("/hooks/{segment}"),
            query => format!("/hooks/{segment}?{query}"),
        }
    }
}

impl Subject {
    /// Completes "a webhook ... ".
    pub(super) fn words(self) -> &'static str {
        match self {
            Subject::Plain => "a webhook",
            Subject::Target => "a webhook with parameters and escapes in its URL",
            Subject::Headers => "a webhook with signature headers",
            Subject::Gzip => "a webhook with a gzip body",
            Subject::Chunked => "a webhook without Content-Length (chunked)",
            Subject::MadeUpSender => "a webhook with an X-Forwarded-For of its sender",
            Subject::Large => "a webhook of the largest size",
        }
    }
}

fn gzip(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(text.as_bytes()).expect("a vector takes all bytes");
    encoder.finish().expect("a vector takes all bytes")
}

/// Returns JSON of exactly this size.
fn large(bytes: usize) -> Vec<u8> {
    let (begin, end) = ("{\"text\":\"", "\"}");
    let filling = bytes.saturating_sub(begin.len() + end.len());
    let mut body = Vec::with_capacity(bytes);
    body.extend_from_slice(begin.as_bytes());
    // Not one character: what compresses to nothing is refused by some firewalls as a bomb.
    body.extend((0..filling).map(|at| b'a' + u8::try_from(at * at / 7 % 26).unwrap_or_default()));
    body.extend_from_slice(end.as_bytes());
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_changes_if_it_is_parsed_and_written_again() {
        let parsed: serde_json::Value = serde_json::from_str(BODY).unwrap();

        assert_ne!(parsed.to_string(), BODY);
        assert_ne!(serde_json::to_string_pretty(&parsed).unwrap(), BODY);
    }

    #[test]
    fn largest_body_is_json_of_the_size() {
        let body = large(100_000);

        assert_eq!(body.len(), 100_000);
        assert!(serde_json::from_slice::<serde_json::Value>(&body).is_ok());
    }

    #[test]
    fn each_credential_header_is_sent_once() {
        let credentials = ["x-sign".to_owned(), "webhook-signature".to_owned()];
        let tests = TestRequest::others(&credentials, 100);

        let headers = tests.iter().find(|it| it.subject == Subject::Headers).unwrap();
        let count = |name| headers.headers.iter().filter(|(it, _)| it == name).count();
        assert_eq!(
            (count("x-sign"), count("webhook-signature"), count("x-relay-token")),
            (1, 1, 1)
        );
    }
}
