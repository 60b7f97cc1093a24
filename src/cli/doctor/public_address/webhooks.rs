//! Sends test webhooks through the public address, and judges what arrives of them.

use std::mem::discriminant;

use super::comparison::{Change, compare};
use super::heading::PUBLIC;
use super::proxy_kind::ProxyKind;
use super::responder::{self, Responder};
use super::test_request::{Subject, TestRequest};
use super::way::{TestKey, Way};
use super::{changed, not_arrived, sender};
use crate::cli::doctor::finding::Finding;
use crate::intake::echo::EchoReport;

/// Test webhooks without an answer, after which no further one is sent: each takes a time limit.
const UNANSWERED_MAX: usize = 2;

/// Findings of the tests so far.
struct Judgement<'j> {
    way: &'j Way<'j>,
    kind: ProxyKind,
    changes: Vec<Change>,
    findings: &'j mut Vec<Finding>,
}

/// Tests the way.
pub(super) async fn test(way: &Way<'_>, issued: &TestKey, findings: &mut Vec<Finding>) {
    let mut judgement = Judgement { way, kind: ProxyKind::Other, changes: Vec::new(), findings };
    let plain = TestRequest::plain();
    let Some(report) = judgement.send(&plain, (issued, 0)).await else { return };
    judgement.findings.extend(sender::judge(&report, judgement.kind, way.place));
    let others = TestRequest::others(&way.needs.credentials, issued.body_bytes_max);
    let (mut arrived, mut unanswered) = (vec![Subject::Plain], 0);
    for (number, test) in (1..).zip(&others) {
        match judgement.send(test, (issued, number)).await {
            Some(report) => {
                arrived.push(test.subject);
                if test.subject == Subject::MadeUpSender {
                    let from = (judgement.kind, way.own);
                    judgement.findings.extend(sender::judge_made_up(&report, from, way.place));
                }
            }
            None => unanswered += 1,
        }
        if unanswered == UNANSWERED_MAX {
            break;
        }
    }
    judgement.sum_up(&report, &arrived, issued.body_bytes_max);
}

impl Judgement<'_> {
    /// Sends a test and judges its answer; none if nothing arrived.
    async fn send(
        &mut self,
        test: &TestRequest,
        (issued, number): (&TestKey, u8),
    ) -> Option<EchoReport> {
        let segment = issued.key.segment(number);
        let answer = match self.way.caller.post(&segment, test).await {
            Ok(answer) => answer,
            Err(failure) => {
                let about = (test.subject, test.body.len());
                let place = (self.kind, self.way.place);
                self.findings.push(not_arrived::unanswered(about, &failure, place));
                return None;
            }
        };
        if test.subject == Subject::Plain {
            self.kind = ProxyKind::of(self.way.host, &answer);
        }
        match responder::of(&answer, Some(&issued.key)) {
            Responder::Relay(report) => {
                self.kind = self.kind.or_by_arrived(&report.header_digests);
                self.compare(test, &segment, &report);
                Some(*report)
            }
            Responder::RelayAltered(report) => {
                if test.subject == Subject::Plain {
                    self.findings.push(altered(answer.status));
                }
                self.compare(test, &segment, &report);
                Some(*report)
            }
            other => {
                let bytes = test.body.len();
                let about = (test.subject, bytes);
                self.findings.push(not_arrived::finding(
                    about,
                    &other,
                    (self.kind, self.way.place),
                ));
                None
            }
        }
    }

    fn compare(&mut self, test: &TestRequest, segment: &str, report: &EchoReport) {
        for change in compare(test, segment, report) {
            // A fault of the proxy shows in each test.
            if self.changes.iter().any(|it| discriminant(it) == discriminant(&change)) {
                continue;
            }
            let about = (test.subject, &change);
            self.findings.push(changed::finding(about, self.kind, self.way));
            self.changes.push(change);
        }
    }

    fn is_body_changed(&self) -> bool {
        self.changes.iter().any(|it| matches!(it, Change::Body(_)))
    }

    fn sum_up(&mut self, plain: &EchoReport, arrived: &[Subject], bytes_max: usize) {
        if arrived.contains(&Subject::Large) && !self.is_body_changed() {
            let found = format!("a body of {}, the largest, arrives whole", size(bytes_max));
            self.findings.push(Finding::ok(PUBLIC, found));
        }
        let harmless = |it: &Change| matches!(it, Change::PathEscapes { .. });
        if self.changes.iter().all(harmless) && arrived.len() == 7 {
            let found = format!(
                "webhooks arrive unchanged: parameters, headers, JSON, gzip, chunked ({})",
                plain.http_version
            );
            self.findings.push(Finding::ok(PUBLIC, found));
        }
    }
}

/// Formats a size as people write it into the configuration.
fn size(bytes: usize) -> String {
    match bytes {
        _ if bytes.is_multiple_of(1024 * 1024) => format!("{} MiB", bytes / 1024 / 1024),
        _ if bytes.is_multiple_of(1024) => format!("{} KiB", bytes / 1024),
        _ => format!("{bytes} bytes"),
    }
}

fn altered(status: u16) -> Finding {
    let found = match status {
        200 => "the relay's answers are changed on the way back".to_owned(),
        status => format!("the relay's answer 200 is changed to {status} on the way back"),
    };
    Finding::warning(PUBLIC, found).advice(
        "providers that test the address by a handshake read its answer: let the proxy pass status, headers \
         and body on as they come",
    )
}
