//! What the traces tell of an attempt.

use super::Delivery;
use super::outcome::Verdict;
use super::plan::{RequestPlan, SentRequest};
use crate::savio::SendResult;
use crate::telemetry::traces;

impl Delivery {
    /// Before the verdict changes the work.
    pub(super) fn trace(&self, work: &RequestPlan, sent: &SentRequest, verdict: &Verdict) {
        let Some(parent) = work.span else { return };
        let request = work.request(sent.position).kind;
        let client = self.destination.client.as_ref();
        self.traces.attempt(
            parent,
            &traces::AttemptSpan {
                at: sent.at,
                ms: sent.ms,
                request,
                url: client.ok().map(|client| client.url(request)),
                destination: &self.destination.name,
                number: work.attempt_number(),
                outcome: verdict.outcome,
                status: sent.answer.as_ref().and_then(SendResult::status),
                summary: &verdict.summary,
            },
        );
    }
}
