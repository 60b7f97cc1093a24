//! Who answered a request to the public address, by its answer.

use reqwest::Url;
use serde::Deserialize;

use super::call::Answer;
use crate::diagnostics::shorten;
use crate::intake::echo::{EchoKey, EchoReport, SIGNATURE_HEADER};
use crate::json;

/// Whoever answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Responder {
    /// The relay of this configuration.
    Relay(Box<EchoReport>),
    /// The same, but its answer has another status. The report is as the relay wrote it.
    RelayAltered(Box<EchoReport>),
    /// A report that the relay did not write, or not so: nothing in it can be trusted.
    RelayUnsigned,
    /// A relay that refuses the request, for one that has the key too.
    RelayRefusal {
        status: u16,
        error: String,
        reason: String,
    },
    /// A relay to which the key is not known.
    OtherRelay,
    /// `GET /healthz` or `/readyz` of a relay.
    RelayHealth,
    /// The admin API of a relay.
    AdminApi,
    Redirect {
        status: u16,
        to: String,
    },
    /// A check that only a browser passes.
    Challenge {
        status: u16,
    },
    /// A proxy that wants a login.
    Login {
        status: u16,
    },
    TooLarge,
    /// A proxy that does not forward the path.
    NotFound,
    /// A proxy that gets no answer of the relay.
    Unavailable {
        status: u16,
    },
    /// A page, or another program.
    Page {
        status: u16,
    },
    Refusal {
        status: u16,
    },
}

/// Errors of a relay.
#[derive(Debug, Deserialize)]
struct ErrorAnswer {
    error: String,
    reason: String,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthAnswer {
    status: String,
}

/// Longest text of an answer that is shown.
const SHOWN_CHARS: usize = 120;

impl Responder {
    /// Returns the status of an answer that may be due to the rate of requests. Not only 429: nginx answers 503.
    pub(super) fn rate_limit_status(&self) -> Option<u16> {
        match self {
            Responder::Unavailable { status: status @ 503 }
            | Responder::Refusal { status: status @ 429 } => Some(*status),
            _ => None,
        }
    }

    /// Returns whether a relay has answered a GET at the address of one of its sources.
    pub(super) fn is_source(&self) -> bool {
        matches!(self, Responder::RelayRefusal { status: 405, .. })
    }
}

/// Finds out who answered. `key` is the one of the request, if it was made with one.
pub(super) fn of(answer: &Answer, key: Option<&EchoKey>) -> Responder {
    let of_relay = key.and_then(|key| echo(answer, key)).or_else(|| relay(answer));
    of_relay.unwrap_or_else(|| proxy(answer))
}

fn echo(answer: &Answer, key: &EchoKey) -> Option<Responder> {
    let report = Box::new(json::from_slice(&answer.body).ok()?);
    let is_signed = key.has_signed(&answer.body, answer.header(SIGNATURE_HEADER));
    Some(match (is_signed, answer.status) {
        (true, 200) => Responder::Relay(report),
        (true, _) => Responder::RelayAltered(report),
        (false, _) => Responder::RelayUnsigned,
    })
}

fn relay(answer: &Answer) -> Option<Responder> {
    let status = answer.status;
    if let Ok(HealthAnswer { status: word }) = json::from_slice(&answer.body) {
        return (status == 200 && word == "ok").then_some(Responder::RelayHealth);
    }
    let ErrorAnswer { error, reason } = json::from_slice(&answer.body).ok()?;
    match (status, error.as_str()) {
        (401, "unauthorized") if answer.header("www-authenticate") == "Bearer" => {
            Some(Responder::AdminApi)
        }
        (404, "not found") if ["no such source", "no such route"].contains(&reason.as_str()) => {
            Some(Responder::OtherRelay)
        }
        (405, "method not allowed") if reason == "method not allowed: use POST" => {
            Some(Responder::RelayRefusal { status, error, reason })
        }
        (413, "too large") | (503, "overloaded") | (408, "too slow") | (400, "incomplete body") => {
            let reason = shorten(&reason, SHOWN_CHARS);
            Some(Responder::RelayRefusal { status, error, reason })
        }
        _ => None,
    }
}

fn proxy(answer: &Answer) -> Responder {
    let status = answer.status;
    let is_challenge = answer.header("cf-mitigated") == "challenge";
    match status {
        _ if is_challenge => Responder::Challenge { status },
        300..=399 => redirect(status, answer.header("location")),
        401 | 407 => Responder::Login { status },
        404 | 410 => Responder::NotFound,
        413 => Responder::TooLarge,
        // 520 to 530 are Cloudflare's own, for a server that does not answer it.
        502..=504 | 520..=530 => Responder::Unavailable { status },
        200..=299 if has_login(answer) => Responder::Login { status },
        200..=299 => Responder::Page { status },
        _ => Responder::Refusal { status },
    }
}

fn redirect(status: u16, to: &str) -> Responder {
    // Where a person is to log in: of Cloudflare Access, oauth2-proxy, Authelia, authentik and others.
    let words =
        ["cloudflareaccess.com", "/login", "/signin", "/sign_in", "/oauth", "/auth", "/sso"];
    let lower = to.to_ascii_lowercase();
    if words.iter().any(|word| lower.contains(word)) {
        return Responder::Login { status };
    }
    Responder::Redirect { status, to: without_query(to) }
}

/// Drops what may hold a secret of the proxy, and shortens the rest.
fn without_query(to: &str) -> String {
    let short = to.split(['?', '#']).next().unwrap_or_default();
    let shown = match Url::parse(short) {
        Ok(url) => url.origin().ascii_serialization() + url.path(),
        Err(_) => short.to_owned(),
    };
    shorten(&shown, SHOWN_CHARS)
}

fn has_login(answer: &Answer) -> bool {
    let text = String::from_utf8_lossy(&answer.body).to_ascii_lowercase();
    answer.header("content-type").starts_with("text/html") && text.contains("type=\"password\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &str)], body: &str) -> Answer {
        let headers = headers
            .iter()
            .map(|(name, value)| (http::HeaderName::from_static(name), value.parse().unwrap()));
        Answer { status, headers: headers.collect(), body: body.as_bytes().to_vec() }
    }

    #[test]
    fn proxies_are_told_by_their_answers() {
        let check = |answer: &Answer, expected| assert_eq!(of(answer, None), expected);
        let redirect = |to: &str| answer(302, &[("location", to)], "");

        check(&answer(404, &[], "<html>"), Responder::NotFound);
        check(&answer(502, &[], ""), Responder::Unavailable { status: 502 });
        check(&answer(530, &[], "error code: 1033"), Responder::Unavailable { status: 530 });
        check(&answer(413, &[], "<html>"), Responder::TooLarge);
        check(&answer(200, &[], "<h1>Welcome to nginx!</h1>"), Responder::Page { status: 200 });
        let html = [("content-type", "text/html; charset=utf-8")];
        let login = "<input type=\"password\">";
        check(&answer(200, &html, login), Responder::Login { status: 200 });
        let challenge = [("cf-mitigated", "challenge")];
        check(&answer(403, &challenge, "Just a moment"), Responder::Challenge { status: 403 });
        check(&answer(403, &[], ""), Responder::Refusal { status: 403 });
        check(&redirect("https://x.cloudflareaccess.com/cdn"), Responder::Login { status: 302 });
        let to = "https://relay.example.com/hooks/x".to_owned();
        check(&redirect(&format!("{to}?a=secret")), Responder::Redirect { status: 302, to });
    }

    #[test]
    fn long_texts_of_an_answer_are_shortened() {
        for to in ["https://relay.example.com/", "/", ""] {
            let to = format!("{to}{}", "x".repeat(4000));
            let found = of(&answer(302, &[("location", &to)], ""), None);
            let Responder::Redirect { to, .. } = found else { panic!("{found:?}") };
            assert!(to.chars().count() <= SHOWN_CHARS, "{to}");
        }
        let body = format!(r#"{{"error":"too large","reason":"{}"}}"#, "x".repeat(4000));
        let found = of(&answer(413, &[], &body), None);
        let Responder::RelayRefusal { reason, .. } = found else { panic!("{found:?}") };
        assert!(reason.chars().count() <= SHOWN_CHARS, "{reason}");
    }

    #[test]
    fn report_without_a_valid_signature_is_not_trusted() {
        let key = EchoKey::from(secrecy::SecretString::from("a key".to_owned()));
        let report = r#"{"target":"/forged","http_version":"HTTP/1.1","body_bytes":0,"body_digest":"",
            "body":null,"headers":{},"header_digests":{},"peer":null,"is_peer_trusted":true,"client":null}"#;

        for headers in [&[][..], &[("x-relay-echo", "00")]] {
            assert_eq!(of(&answer(200, headers, report), Some(&key)), Responder::RelayUnsigned);
        }
    }

    #[test]
    fn limit_of_requests_is_told_by_its_status() {
        let status = |status| of(&answer(status, &[], ""), None).rate_limit_status();

        assert_eq!((status(503), status(429)), (Some(503), Some(429)));
        assert_eq!((status(502), status(403), status(413)), (None, None, None));
        let overloaded = r#"{"error":"overloaded","reason":"the relay is overloaded"}"#;
        assert_eq!(of(&answer(503, &[], overloaded), None).rate_limit_status(), None);
    }

    #[test]
    fn relays_are_told_from_other_programs() {
        let not_found = r#"{"error":"not found","reason":"no such source"}"#;
        assert_eq!(of(&answer(404, &[], not_found), None), Responder::OtherRelay);
        let other = r#"{"error":"not found","reason":"nothing here"}"#;
        assert_eq!(of(&answer(404, &[], other), None), Responder::NotFound);
        assert_eq!(of(&answer(200, &[], r#"{"status":"ok"}"#), None), Responder::RelayHealth);
        let more = r#"{"status":"ok","version":1}"#;
        assert_eq!(of(&answer(200, &[], more), None), Responder::Page { status: 200 });
        let unauthorized = r#"{"error":"unauthorized","reason":"send the header"}"#;
        let bearer = [("www-authenticate", "Bearer")];
        assert_eq!(of(&answer(401, &bearer, unauthorized), None), Responder::AdminApi);
        assert_eq!(of(&answer(401, &[], unauthorized), None), Responder::Login { status: 401 });
    }
}
