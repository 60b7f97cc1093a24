//! Sends test webhooks through the public address, and judges what arrives of them.

use std::mem::discriminant;
use std::time::Duration;

use tokio::time::sleep;

use super::call::Answer;
use super::comparison::{Change, compare};
use super::heading::PUBLIC;
use super::not_arrived::{self, LostTest};
use super::proxy_kind::ProxyKind;
use super::responder::{self, Responder};
use super::test_request::{Subject, TestRequest};
use super::way::{TestKey, Way};
use super::{changed, sender};
use crate::doctor::finding::Finding;
use crate::http_client::CallFailure;
use crate::intake::echo::{EchoKey, EchoReport};

/// Test webhooks that do not arrive, after which no further one is sent: each may take a time limit.
const LOST_MAX: usize = 2;

/// Pause before a test is repeated that was refused for the rate of requests, enough for a limit of 30 a minute.
const RATE_PAUSE: Duration = Duration::from_secs(2);

/// Sources of which it is asked whether the proxy forwards their address.
const SOURCES_MAX: usize = 4;

/// Findings of the tests so far.
struct Judgement<'j> {
    way: &'j Way<'j>,
    key: &'j EchoKey,
    /// Requests that were made with the key, which admits each number once.
    requests: u8,
    kind: ProxyKind,
    changes: Vec<Change>,
    limit: ProxyLimit,
    findings: &'j mut Vec<Finding>,
}

/// Whether the proxy limits the rate of requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProxyLimit {
    NotMet,
    /// A test passed after a pause.
    Met,
    /// A test did not pass after a pause either.
    Closed,
}

/// A test webhook that was answered.
struct Answered {
    segment: String,
    answer: Answer,
    by: Responder,
}

/// Tests the way.
pub(super) async fn test(way: &Way<'_>, issued: &TestKey, findings: &mut Vec<Finding>) {
    let mut judgement = Judgement {
        way,
        key: &issued.key,
        requests: 0,
        kind: ProxyKind::Other,
        changes: Vec::new(),
        limit: ProxyLimit::NotMet,
        findings,
    };
    let plain = TestRequest::plain();
    let Some(report) = judgement.send(&plain).await else { return };
    judgement.findings.extend(sender::judge(&report, judgement.kind, way.place));
    let others = TestRequest::others(&way.needs.credentials, issued.body_bytes_max);
    let (mut arrived, mut lost) = (vec![Subject::Plain], 0);
    for test in &others {
        match judgement.send(test).await {
            Some(report) => {
                arrived.push(test.subject);
                if test.subject == Subject::MadeUpSender {
                    let from = (judgement.kind, way.own);
                    judgement.findings.extend(sender::judge_made_up(&report, from, way.place));
                }
            }
            None => lost += 1,
        }
        if lost == LOST_MAX || judgement.limit == ProxyLimit::Closed {
            break;
        }
    }
    judgement.sum_up(&report, &arrived, issued.body_bytes_max);
}

impl Judgement<'_> {
    /// Sends a test and judges its answer; none if nothing arrived.
    async fn send(&mut self, test: &TestRequest) -> Option<EchoReport> {
        let Answered { segment, answer, by } = match self.post(test).await {
            Ok(answered) => answered,
            Err(failure) => {
                let lost = self.lost(test, test.subject == Subject::Large).await;
                let place = (self.kind, self.way.place);
                self.findings.push(not_arrived::unanswered(lost, &failure, place));
                return None;
            }
        };
        match by {
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
            Responder::RelayUnsigned => {
                self.findings.push(not_arrived::unsigned(test.subject));
                None
            }
            other => {
                let finding = self.not_arrived(test, &other).await;
                self.findings.push(finding);
                None
            }
        }
    }

    /// Posts a test, and once more after a pause if the rate of requests may be why it is refused.
    async fn post(&mut self, test: &TestRequest) -> Result<Answered, CallFailure> {
        let first = self.post_once(test).await?;
        if test.subject == Subject::Plain {
            self.kind = ProxyKind::of(self.way.host, &first.answer);
        }
        let Some(status) = first.by.rate_limit_status() else { return Ok(first) };
        sleep(RATE_PAUSE).await;
        let second = self.post_once(test).await?;
        let has_arrived = matches!(second.by, Responder::Relay(_) | Responder::RelayAltered(_));
        if has_arrived && self.limit == ProxyLimit::NotMet {
            self.limit = ProxyLimit::Met;
            let place = (self.kind, self.way.place);
            self.findings.push(not_arrived::limited_at_first(status, place));
        }
        Ok(second)
    }

    async fn post_once(&mut self, test: &TestRequest) -> Result<Answered, CallFailure> {
        let segment = self.key.segment(self.requests);
        self.requests += 1;
        let answer = self.way.caller.post(&segment, test).await?;
        let by = responder::of(&answer, Some(self.key));
        Ok(Answered { segment, answer, by })
    }

    async fn not_arrived(&mut self, test: &TestRequest, by: &Responder) -> Finding {
        let is_plain = test.subject == Subject::Plain;
        if is_plain && let Some(source) = self.forwarded_source(by).await {
            return not_arrived::other_name(source, self.kind);
        }
        let may_be_for_size =
            matches!(by, Responder::Unavailable { .. } | Responder::Refusal { .. });
        let lost = self.lost(test, test.subject == Subject::Large && may_be_for_size).await;
        let place = (self.kind, self.way.place);
        // If nothing has arrived before, 503 says more often that nothing does.
        let limit = by.rate_limit_status().filter(|status| *status == 429 || !is_plain);
        match limit.filter(|_| !lost.is_small_arriving) {
            Some(status) => {
                self.limit = ProxyLimit::Closed;
                not_arrived::limited(test.subject, status, place)
            }
            None => not_arrived::finding(lost, by, place),
        }
    }

    /// Describes a test that did not arrive, and if asked to, finds out whether a small one does now.
    async fn lost(&mut self, test: &TestRequest, with_small: bool) -> LostTest {
        let is_small_arriving = with_small && {
            let answered = self.post_once(&TestRequest::plain()).await;
            let is_relay =
                |it: Answered| matches!(it.by, Responder::Relay(_) | Responder::RelayAltered(_));
            answered.is_ok_and(is_relay)
        };
        LostTest { subject: test.subject, bytes: test.body.len(), is_small_arriving }
    }

    /// Returns a source whose address the proxy forwards, if it answers others itself for their name.
    async fn forwarded_source(&self, by: &Responder) -> Option<&str> {
        let is_by_proxy = matches!(
            by,
            Responder::NotFound
                | Responder::Refusal { .. }
                | Responder::Page { .. }
                | Responder::Login { .. }
                | Responder::Redirect { .. }
        );
        if !is_by_proxy {
            return None;
        }
        // A relay refuses GET at the address of a source by 405, and stores nothing.
        let mut found = None;
        for name in self.way.needs.names.iter().take(SOURCES_MAX) {
            if self.get(name).await?.is_source() {
                found = Some(name.as_str());
                break;
            }
        }
        let found = found?;
        // If GET arrives with the name of a test too, it is something else that keeps its POST out.
        let is_any_forwarded = self.get(&self.key.segment(0)).await? == Responder::OtherRelay;
        (!is_any_forwarded).then_some(found)
    }

    async fn get(&self, name: &str) -> Option<Responder> {
        let url = format!("{}/hooks/{name}", self.way.caller.base);
        let answer = self.way.caller.get(&url).await.ok()?;
        Some(responder::of(&answer, None))
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
    Finding::warning(PUBLIC, found).advice(not_arrived::ANSWER_ADVICE)
}
