//! The requests of a mapped event: their progress, and how much of it counts when the event is
//! mapped again.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::event::Request;

/// A request of a mapped event, with its progress.
#[derive(Debug, Clone, PartialEq)]
pub struct PlannedRequest {
    pub request: Request,
    pub state: RequestState,
    /// Savio's id of the record that the request made.
    pub savio_id: Option<Value>,
    /// Whether an earlier attempt may have arrived.
    pub may_repeat: bool,
    /// Fields that Savio refused and that were removed from the request.
    pub left_out: Vec<String>,
}

impl PlannedRequest {
    /// Plans the requests that a mapping just made. One that equals a request of `earlier`
    /// continues it: done stays done, and a possible repeat stays marked.
    pub fn replan(requests: &[Request], mut earlier: Vec<PlannedRequest>) -> Vec<PlannedRequest> {
        // Of two equal requests the one that is done is matched first: it saves a send.
        earlier.sort_by_key(|planned| planned.state != RequestState::Done);
        let mut planned = Vec::with_capacity(requests.len());
        for request in requests {
            let past = earlier.iter().position(|past| past.matches(request));
            // Removed: one earlier request stands for one new one, and no more.
            planned.push(match past.map(|at| earlier.remove(at)) {
                Some(past) => past.resend(request),
                None => PlannedRequest::unsent(request.clone()),
            });
        }
        planned
    }

    /// Marks that the request may have arrived already, unless it is done.
    pub fn mark_as_possible_repeat(&mut self) {
        self.may_repeat |= self.state != RequestState::Done;
    }

    fn unsent(request: Request) -> PlannedRequest {
        PlannedRequest {
            request,
            state: RequestState::Waiting,
            savio_id: None,
            may_repeat: false,
            left_out: Vec::new(),
        }
    }

    /// Returns whether this is the request, apart from the fields that Savio refused.
    fn matches(&self, request: &Request) -> bool {
        if self.left_out.is_empty() {
            return self.request == *request;
        }
        let mut shorter = request.clone();
        shorter.leave_out(&self.left_out);
        self.request == shorter
    }

    /// Returns the plan for sending it once more, with the fields that Savio refused before.
    fn resend(self, request: &Request) -> PlannedRequest {
        let may_repeat = match self.state {
            RequestState::Done => return self,
            // The process ended between the mark and the response, so the request may have arrived.
            RequestState::Sending => true,
            RequestState::Waiting | RequestState::Refused => self.may_repeat,
        };
        PlannedRequest { may_repeat, ..PlannedRequest::unsent(request.clone()) }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum RequestState {
    Waiting,
    /// Written before the first byte is sent. Found at a claim, the attempt was interrupted.
    Sending,
    Done,
    Refused,
}

impl RequestState {
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            RequestState::Waiting => "waiting",
            RequestState::Sending => "sending",
            RequestState::Done => "done",
            RequestState::Refused => "refused",
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::event::RequestKind;

    fn request(problem: &str) -> Request {
        let body = json!({ "problem": problem }).as_object().unwrap().clone();
        Request { kind: RequestKind::Feedback, body }
    }

    fn planned(problem: &str, state: RequestState, may_repeat: bool) -> PlannedRequest {
        PlannedRequest { state, may_repeat, ..PlannedRequest::unsent(request(problem)) }
    }

    fn check(earlier: &[PlannedRequest], problems: &[&str], expected: &[(RequestState, bool)]) {
        let requests: Vec<Request> = problems.iter().map(|problem| request(problem)).collect();

        let replanned = PlannedRequest::replan(&requests, earlier.to_vec());

        let states: Vec<_> = replanned.iter().map(|one| (one.state, one.may_repeat)).collect();
        assert_eq!(states, expected);
        assert!(replanned.iter().zip(requests).all(|(one, request)| one.request == request));
    }

    #[test]
    fn unchanged_request_keeps_its_past() {
        use RequestState::{Done, Refused, Sending, Waiting};
        check(&[], &["a"], &[(Waiting, false)]);
        check(&[planned("a", Done, false)], &["a", "b"], &[(Done, false), (Waiting, false)]);
        check(&[planned("a", Done, false)], &["changed"], &[(Waiting, false)]);
        check(&[planned("a", Refused, false)], &["a"], &[(Waiting, false)]);
        check(&[planned("a", Waiting, true)], &["a"], &[(Waiting, true)]);
        check(&[planned("a", Sending, false)], &["a"], &[(Waiting, true)]);
    }

    #[test]
    fn shortened_request_counts_as_unchanged() {
        let mut whole = request("a");
        whole.body.insert("source_url".to_owned(), "/pricing".into());
        for (state, expected) in [
            (RequestState::Done, (RequestState::Done, false, &request("a"))),
            (RequestState::Sending, (RequestState::Waiting, true, &whole)),
            (RequestState::Refused, (RequestState::Waiting, false, &whole)),
        ] {
            let left_out = vec!["source_url".to_owned()];
            let past = PlannedRequest { left_out, ..planned("a", state, false) };
            let replanned = PlannedRequest::replan(std::slice::from_ref(&whole), vec![past]);
            assert_eq!(
                (replanned[0].state, replanned[0].may_repeat, &replanned[0].request),
                expected
            );
        }
    }

    #[test]
    fn one_done_request_replaces_one_send() {
        use RequestState::{Done, Waiting};
        let earlier = [planned("a", Waiting, true), planned("a", Done, false)];

        check(&earlier, &["a"], &[(Done, false)]);
        check(&earlier[1..], &["a", "a"], &[(Done, false), (Waiting, false)]);
    }
}
