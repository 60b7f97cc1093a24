//! What differs between a webhook that was sent and what arrived of it. Pure.

use percent_encoding::percent_decode_str;

use super::body_change::BodyChange;
use super::test_request::{Subject, TestRequest};
use crate::intake::echo::EchoReport;

/// A difference.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    /// The relay would find no source by this path, in which `NAME` stands for the source.
    Misrouted {
        received: String,
    },
    /// Other escapes in the path.
    PathEscapes {
        received: String,
    },
    QueryLost,
    QueryEscapes,
    Query {
        received: String,
    },
    Body(BodyChange),
    HeadersLost(Vec<String>),
    HeadersChanged(Vec<String>),
}

/// Compares what was sent to this last segment of a path.
pub(super) fn compare(test: &TestRequest, segment: &str, report: &EchoReport) -> Vec<Change> {
    let sent = test.target(segment);
    let mut changes = Vec::new();
    changes.extend(path_change(&sent, &report.target, segment));
    changes.extend(query_change(&sent, &report.target));
    let body = (EchoReport::digest(&test.body) != report.body_digest)
        .then(|| body_change(&test.body, report));
    changes.extend(body.map(Change::Body));
    // Proxies are to set the headers of that, not to pass them on.
    if test.subject != Subject::MadeUpSender {
        // What is decompressed has to lose this one.
        let is_kept = |(name, _): &&(String, String)| {
            body != Some(BodyChange::Decompressed) || name != "content-encoding"
        };
        changes.extend(header_changes(test.headers.iter().filter(is_kept), report));
    }
    changes
}

fn split(target: &str) -> (&str, Option<&str>) {
    target.split_once('?').map_or((target, None), |(path, query)| (path, Some(query)))
}

fn path_change(sent: &str, received: &str, segment: &str) -> Option<Change> {
    let ((sent, _), (received, _)) = (split(sent), split(received));
    if sent == received {
        return None;
    }
    let decoded = percent_decode_str(received).decode_utf8_lossy().to_lowercase();
    // The segment admits no further request, and would only be in the way of the reader.
    let shown = decoded.replace(segment, "NAME");
    let is_routed = ["/hooks/NAME", "/hooks/NAME/"].contains(&shown.as_str());
    Some(if is_routed {
        Change::PathEscapes { received: shown }
    } else {
        Change::Misrouted { received: shown }
    })
}

fn query_change(sent: &str, received: &str) -> Option<Change> {
    let (sent, received) = (split(sent).1?, split(received).1.unwrap_or_default());
    let decoded = |query: &str| -> Vec<(String, String)> {
        form_urlencoded::parse(query.as_bytes()).into_owned().collect()
    };
    match received {
        _ if sent == received => None,
        "" => Some(Change::QueryLost),
        _ if decoded(sent) == decoded(received) => Some(Change::QueryEscapes),
        _ => Some(Change::Query { received: received.to_owned() }),
    }
}

fn body_change(sent: &[u8], report: &EchoReport) -> BodyChange {
    let received = report.body.as_ref();
    match received.and_then(|it| data_encoding::BASE64.decode(it.as_bytes()).ok()) {
        Some(received) => BodyChange::of(sent, &received),
        None if report.body_bytes < sent.len() => BodyChange::Cut,
        None => BodyChange::Other,
    }
}

fn header_changes<'h>(
    sent: impl Iterator<Item = &'h (String, String)>,
    report: &EchoReport,
) -> Vec<Change> {
    let (mut lost, mut changed) = (Vec::new(), Vec::new());
    for (name, value) in sent {
        match report.header_digests.get(name) {
            None => lost.push(name.clone()),
            Some(digest) if *digest != EchoReport::digest(value.as_bytes()) => {
                changed.push(name.clone());
            }
            Some(_) => {}
        }
    }
    let lost = (!lost.is_empty()).then_some(Change::HeadersLost(lost));
    lost.into_iter()
        .chain((!changed.is_empty()).then_some(Change::HeadersChanged(changed)))
        .collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::doctor::public_address::test_request::BODY;

    const SEGMENT: &str = "~00ab";

    fn report(target: &str, body: &[u8], headers: &[(&str, &str)]) -> EchoReport {
        let digest = |value: &str| EchoReport::digest(value.as_bytes());
        let digests = headers.iter().map(|(name, value)| ((*name).to_owned(), digest(value)));
        EchoReport {
            target: target.to_owned(),
            http_version: "HTTP/1.1".to_owned(),
            body_bytes: body.len(),
            body_digest: EchoReport::digest(body),
            body: Some(data_encoding::BASE64.encode(body)),
            headers: BTreeMap::new(),
            header_digests: digests.collect(),
            peer: None,
            is_peer_trusted: false,
            client: None,
        }
    }

    const TYPE: (&str, &str) = ("content-type", "application/json; charset=utf-8");

    #[track_caller]
    fn check_target(test: &TestRequest, received: &str, expected: &[Change]) {
        let report = report(received, BODY.as_bytes(), &[TYPE]);
        assert_eq!(compare(test, SEGMENT, &report), expected);
    }

    #[test]
    fn changed_path_is_told_with_the_path_that_arrived() {
        let plain = TestRequest::plain();
        let misrouted = |received: &str| [Change::Misrouted { received: received.to_owned() }];

        check_target(&plain, "/hooks/~00ab", &[]);
        check_target(&plain, "/relay/hooks/~00ab", &misrouted("/relay/hooks/NAME"));
        check_target(&plain, "/~00ab", &misrouted("/NAME"));
        check_target(&plain, "//hooks/~00ab", &misrouted("//hooks/NAME"));
        let received = "/hooks/NAME/".to_owned();
        check_target(&plain, "/hooks/~00ab/", &[Change::PathEscapes { received }]);
    }

    #[test]
    fn changed_query_is_told_apart_from_other_escapes() {
        let others = TestRequest::others(&[], 100);
        let target = others.iter().find(|it| it.subject == Subject::Target).unwrap();
        let sent = target.target(SEGMENT);
        let (path, query) = split(&sent);

        check_target(target, &sent, &[]);
        check_target(target, path, &[Change::QueryLost]);
        let reencoded = format!("{path}?{}", query.unwrap().replace("%2f", "%2F"));
        check_target(target, &reencoded, &[Change::QueryEscapes]);
        let received = "a=1".to_owned();
        check_target(target, &format!("{path}?a=1"), &[Change::Query { received }]);
        let received = "/hooks/NAME".to_owned();
        let decoded = format!("/hooks/{SEGMENT}?{}", query.unwrap());
        check_target(target, &decoded, &[Change::PathEscapes { received }]);
    }

    #[test]
    fn lost_and_changed_headers_are_named() {
        let plain = TestRequest::plain();
        let changes =
            |headers| compare(&plain, SEGMENT, &report("/hooks/~00ab", BODY.as_bytes(), headers));
        let names = vec!["content-type".to_owned()];

        assert_eq!(changes(&[]), [Change::HeadersLost(names.clone())]);
        let other = [("content-type", "application/json")];
        assert_eq!(changes(&other), [Change::HeadersChanged(names)]);
    }
}
