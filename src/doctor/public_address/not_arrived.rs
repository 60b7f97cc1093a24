//! Findings about webhooks that do not arrive: who answered instead of the relay. Pure.

use super::advice::{ProxyFault, advice};
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::responder::Responder;
use super::test_request::Subject;
use super::way::RelayAddresses;
use crate::doctor::finding::{Finding, FindingLevel};
use crate::http_client::CallFailure;

/// A test webhook that did not arrive.
#[derive(Debug, Clone, Copy)]
pub(super) struct LostTest {
    pub(super) subject: Subject,
    pub(super) bytes: usize,
    /// Whether a small one arrived directly after it.
    pub(super) is_small_arriving: bool,
}

/// Returns the finding about a test webhook that somebody else answered.
pub(super) fn finding(
    test: LostTest,
    by: &Responder,
    (kind, place): (ProxyKind, &RelayAddresses),
) -> Finding {
    let found = format!("{} does not arrive: {}", test.subject.words(), reason(test, by, kind));
    let level = match (test.subject, by) {
        // The relay itself, at its limits: it may work in a minute.
        (_, Responder::RelayRefusal { status: 503, .. }) => FindingLevel::Unseen,
        (Subject::Plain | Subject::Headers, _) => FindingLevel::Wrong,
        // It works for all that send otherwise, and may be intended.
        _ => FindingLevel::Warning,
    };
    Finding::at(level, PUBLIC, found).advice(match fault(by, test) {
        Some(fault) => advice(fault, kind, place.listen),
        None => other_advice(by, place),
    })
}

/// Returns the finding about a test webhook to which there was no answer.
pub(super) fn unanswered(
    test: LostTest,
    failure: &CallFailure,
    (kind, place): (ProxyKind, &RelayAddresses),
) -> Finding {
    let LostTest { subject, bytes, is_small_arriving } = test;
    let words = subject.words();
    if subject == Subject::Large && is_small_arriving {
        // Many close the connection as soon as a body is too large for them, and their answer is lost.
        let found = format!("{words} ({bytes} bytes) gets no answer: {failure}");
        let fault = ProxyFault::TooLarge { bytes_max: bytes };
        return Finding::warning(PUBLIC, found).advice(advice(fault, kind, place.listen));
    }
    let found = format!("{words} gets no answer: {failure}");
    Finding::wrong(PUBLIC, found).advice("look at the proxy's log, and its rules for /hooks/")
}

/// Returns the finding about a proxy that refuses a test webhook, and its repetition too, for the rate of requests.
pub(super) fn limited(
    subject: Subject,
    status: u16,
    (kind, place): (ProxyKind, &RelayAddresses),
) -> Finding {
    let (proxy, words) = (kind.as_str(), subject.words());
    let found = format!(
        "{proxy} answers {status} to {words}, which seems to be a limit of requests: the rest was not tested"
    );
    Finding::unseen(PUBLIC, found).advice(advice(ProxyFault::RateLimit, kind, place.listen))
}

/// Returns the finding about a proxy that let a test webhook pass only when it was repeated.
pub(super) fn limited_at_first(
    status: u16,
    (kind, place): (ProxyKind, &RelayAddresses),
) -> Finding {
    let proxy = kind.as_str();
    let found = format!(
        "{proxy} answers {status} to webhooks that follow each other fast, which seems to be a limit of requests"
    );
    Finding::warning(PUBLIC, found).advice(advice(ProxyFault::RateLimit, kind, place.listen))
}

/// Returns the finding about a proxy that forwards the address of this source, and not that of a test webhook.
pub(super) fn other_name(source: &str, kind: ProxyKind) -> Finding {
    let proxy = kind.as_str();
    let found = format!(
        "what arrives of a webhook was not tested: {proxy} forwards /hooks/{source}, but not any name"
    );
    Finding::unseen(PUBLIC, found).advice(
        "right if it is to forward certain names only; let it forward all of /hooks/ while doctor runs, to test \
         the rest",
    )
}

/// Returns the finding about a report of which it is not known who wrote it.
pub(super) fn unsigned(subject: Subject) -> Finding {
    let words = subject.words();
    let found = format!(
        "the relay's answer is changed on the way back, so what arrives of {words} was not tested"
    );
    Finding::warning(PUBLIC, found).advice(ANSWER_ADVICE)
}

/// What to do about answers that are changed on the way back.
pub(super) const ANSWER_ADVICE: &str = "providers that test the address by a handshake read its answer: let the \
    proxy pass status, headers and body on as they come";

/// Statuses with which proxies refuse a body for its size, where smaller ones arrive.
// Not only 413: Caddy 2.6 answers 502, other programs 400 or 403.
fn is_for_size(test: LostTest, by: &Responder) -> Option<u16> {
    match by {
        Responder::TooLarge => Some(413),
        Responder::Unavailable { status } | Responder::Refusal { status }
            if test.subject == Subject::Large && test.is_small_arriving =>
        {
            Some(*status)
        }
        _ => None,
    }
}

fn reason(test: LostTest, by: &Responder, kind: ProxyKind) -> String {
    let (proxy, bytes) = (kind.as_str(), test.bytes);
    if let Some(status) = is_for_size(test, by) {
        return format!("{proxy} answers {status} to {bytes} bytes, which the relay would accept");
    }
    match by {
        Responder::Relay(_)
        | Responder::RelayAltered(_)
        | Responder::RelayUnsigned
        | Responder::RelayHealth
        | Responder::TooLarge => {
            "the relay gives an answer that it does not give to webhooks".to_owned()
        }
        Responder::RelayRefusal { status, error, reason } => {
            format!("the relay answers {status} ({error}: {reason})")
        }
        Responder::OtherRelay => {
            "a relay answers, and not the one of this configuration".to_owned()
        }
        Responder::AdminApi => "the admin API of a relay answers".to_owned(),
        Responder::Redirect { status, to } => {
            format!("{proxy} answers {status}, a redirect to {to}")
        }
        Responder::Challenge { status } => {
            format!("{proxy} answers {status}, with a check that only a browser passes")
        }
        Responder::Login { status } => format!("{proxy} answers {status}, and wants a login"),
        Responder::NotFound => format!("{proxy} itself answers 404, and does not forward /hooks/"),
        Responder::Unavailable { status } => {
            format!("{proxy} answers {status}, and gets no answer of the relay")
        }
        Responder::Page { status } => {
            format!("{proxy} answers {status} with a page of its own, or of another program")
        }
        Responder::Refusal { status } => format!("{proxy} answers {status}"),
    }
}

/// Returns the fault of the proxy, if it is one with a setting to change.
fn fault(by: &Responder, test: LostTest) -> Option<ProxyFault> {
    if is_for_size(test, by).is_some() {
        return Some(ProxyFault::TooLarge { bytes_max: test.bytes });
    }
    match by {
        Responder::Refusal { .. } | Responder::NotFound if test.subject == Subject::Chunked => {
            Some(ProxyFault::Chunked)
        }
        Responder::NotFound | Responder::Page { .. } => Some(ProxyFault::NotForwarded),
        Responder::Unavailable { .. } => Some(ProxyFault::Unavailable),
        Responder::Login { .. } => Some(ProxyFault::Login),
        Responder::Challenge { .. } => Some(ProxyFault::Challenge),
        Responder::Relay(_)
        | Responder::RelayAltered(_)
        | Responder::RelayUnsigned
        | Responder::RelayHealth
        | Responder::RelayRefusal { .. }
        | Responder::OtherRelay
        | Responder::AdminApi
        | Responder::Redirect { .. }
        | Responder::Refusal { .. }
        | Responder::TooLarge => None,
    }
}

fn other_advice(by: &Responder, place: &RelayAddresses) -> String {
    let RelayAddresses { listen, admin, .. } = place;
    match by {
        Responder::AdminApi => {
            format!("let the proxy forward to server.listen ({listen}), not to {admin}")
        }
        Responder::OtherRelay => {
            format!("does the proxy forward to {listen}? is there another relay, or another machine?")
        }
        Responder::Redirect { .. } => {
            "a redirected POST loses its body: give providers, and server.public_url, the address that does \
             not redirect"
                .to_owned()
        }
        Responder::RelayRefusal { .. } => "run doctor again when less arrives".to_owned(),
        Responder::Relay(_)
        | Responder::RelayAltered(_)
        | Responder::RelayUnsigned
        | Responder::RelayHealth
        | Responder::Challenge { .. }
        | Responder::Login { .. }
        | Responder::TooLarge
        | Responder::NotFound
        | Responder::Unavailable { .. }
        | Responder::Page { .. }
        | Responder::Refusal { .. } => "look at the proxy's log, and its rules for /hooks/".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_answered_decides_level_and_advice() {
        let place = RelayAddresses {
            listen: "127.0.0.1:8080".parse().unwrap(),
            admin: "127.0.0.1:8081".parse().unwrap(),
            admin_at_host: None,
            may_be_direct: false,
        };
        let check = |subject, by: &Responder, level| {
            let test = LostTest { subject, bytes: 100, is_small_arriving: true };
            let found = finding(test, by, (ProxyKind::Other, &place));
            assert_eq!(found.level, level, "{}", found.found);
        };
        check(Subject::Plain, &Responder::NotFound, FindingLevel::Wrong);
        check(Subject::Headers, &Responder::Refusal { status: 400 }, FindingLevel::Wrong);
        check(Subject::Large, &Responder::TooLarge, FindingLevel::Warning);
        check(Subject::Chunked, &Responder::Refusal { status: 411 }, FindingLevel::Warning);
        let overloaded = Responder::RelayRefusal {
            status: 503,
            error: "overloaded".to_owned(),
            reason: "the relay is overloaded".to_owned(),
        };
        check(Subject::Plain, &overloaded, FindingLevel::Unseen);
    }

    #[test]
    fn refusal_is_for_size_only_if_a_small_webhook_arrives_directly_after_it() {
        let is_for_size = |subject, is_small_arriving, by: &Responder| {
            is_for_size(LostTest { subject, bytes: 100, is_small_arriving }, by)
        };
        let unavailable = Responder::Unavailable { status: 502 };

        assert_eq!(is_for_size(Subject::Large, true, &unavailable), Some(502));
        assert_eq!(is_for_size(Subject::Large, false, &unavailable), None);
        assert_eq!(is_for_size(Subject::Gzip, true, &unavailable), None);
        assert_eq!(is_for_size(Subject::Large, false, &Responder::TooLarge), Some(413));
    }
}
