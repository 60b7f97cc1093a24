//! Who answered a request to the public address, by its answer.

use reqwest::Url;
use serde::Deserialize;

use super::call::Answer;
use crate::intake::echo::{EchoKey, EchoReport, SIGNATURE_HEADER};
use crate::json;

/// Whoever answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Responder {
    /// The relay of this configuration.
    Relay(Box<EchoReport>),
    /// The same, but its answer was changed on the way back.
    RelayAltered(Box<EchoReport>),
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

/// Finds out who answered. `key` is the one of the request, if it was made with one.
pub(super) fn of(answer: &Answer, key: Option<&EchoKey>) -> Responder {
    let of_relay = key.and_then(|key| echo(answer, key)).or_else(|| relay(answer));
    of_relay.unwrap_or_else(|| proxy(answer))
}

fn echo(answer: &Answer, key: &EchoKey) -> Option<Responder> {
    let report = json::from_slice(&answer.body).ok()?;
    let is_signed = key.has_signed(&answer.body, answer.header(SIGNATURE_HEADER));
    let report = Box::new(report);
    let is_unchanged = is_signed && answer.status == 200;
    Some(if is_unchanged { Responder::Relay(report) } else { Responder::RelayAltered(report) })
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
        (413, "too large") | (503, "overloaded") | (408, "too slow") | (400, "incomplete body") => {
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

/// Drops what may be long, or hold a secret of the proxy.
fn without_query(to: &str) -> String {
    let short = to.split(['?', '#']).next().unwrap_or_default();
    match Url::parse(short) {
        Ok(url) => url.origin().ascii_serialization() + url.path(),
        Err(_) => short.to_owned(),
    }
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
