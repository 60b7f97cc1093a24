//! Sending again what a person chose, and ending what is held.

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde::Serialize;
use tokio::time::sleep;
use utoipa::ToSchema;
use uuid::Uuid;

use super::{EventFilter, PlannedRequest, RequestState, Store, StoreError};
use crate::event::{Request, State};

/// Between two steps others have their turn at the disk for at least so long.
const REST: Duration = Duration::from_millis(20);

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, ToSchema)]
#[serde(transparent)]
pub struct ReplayId(Uuid);

impl ReplayId {
    /// Two ids made at one `now` differ.
    pub fn new(now: Timestamp) -> ReplayId {
        let seconds = u64::try_from(now.as_second()).unwrap_or(0);
        ReplayId(Uuid::new_v7(uuid::Timestamp::from_unix(uuid::NoContext, seconds, 0)))
    }

    pub fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }

    pub fn from_bytes(bytes: [u8; 16]) -> ReplayId {
        ReplayId(Uuid::from_bytes(bytes))
    }
}

impl fmt::Display for ReplayId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.hyphenated().fmt(formatter)
    }
}

impl FromStr for ReplayId {
    type Err = uuid::Error;

    fn from_str(text: &str) -> Result<ReplayId, uuid::Error> {
        text.parse().map(ReplayId)
    }
}

/// What a person ordered: to send again the settled and held events of the filter that are there at
/// that moment, from the oldest on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplayRequest {
    pub id: ReplayId,
    pub filter: EventFilter,
    /// Between the due times of two events; zero: all at once.
    pub every: Duration,
    pub begun_at: Timestamp,
}

/// How far a replay is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayProgress {
    pub id: ReplayId,
    pub begun_at: Timestamp,
    /// Found so far, those that were queued already included.
    pub matched: u64,
    pub replayed: u64,
    /// Those of them that were not begun yet.
    pub waiting: u64,
    /// Those that are again what they were, since it was canceled.
    pub given_back: u64,
    pub canceled_at: Option<Timestamp>,
    /// Whether `replay_on` has more to do.
    pub has_steps: bool,
}

/// Carries a replay out, or its cancellation, telling how far it is after each step. The steps of
/// two who do so at once add up to the same.
pub async fn run_replay(
    store: &dyn Store,
    id: ReplayId,
    mut tell: impl FnMut(&ReplayProgress),
) -> Result<Option<ReplayProgress>, StoreError> {
    loop {
        let start = Instant::now();
        let replay = store.step_replay(id).await?;
        if let Some(replay) = &replay {
            tell(replay);
        }
        if !replay.is_some_and(|replay| replay.has_steps) {
            return Ok(replay);
        }
        sleep(start.elapsed().max(REST)).await;
    }
}

/// What a person says of a request that was sent and got no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoldDecision {
    /// Savio has it.
    Arrived,
    /// It is to be sent again.
    Again,
}

/// What a person's word did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReleaseOutcome {
    /// The event goes on.
    Queued,
    /// That was its last request.
    Delivered,
    /// Nothing: only what is held can be released.
    NotHeld(State),
    NotFound,
}

impl PlannedRequest {
    /// What the mapping just made. A request that equals one of `earlier` has its past: what is done
    /// stays done, and what may have arrived may repeat.
    pub fn replan(requests: &[Request], mut earlier: Vec<PlannedRequest>) -> Vec<PlannedRequest> {
        earlier.sort_by_key(|planned| planned.state != RequestState::Done);
        let mut planned = Vec::with_capacity(requests.len());
        for request in requests {
            let past = earlier.iter().position(|past| past.was(request));
            planned.push(match past.map(|at| earlier.remove(at)) {
                Some(past) => past.again(request),
                None => PlannedRequest::waiting(request.clone()),
            });
        }
        planned
    }

    fn waiting(request: Request) -> PlannedRequest {
        PlannedRequest {
            request,
            state: RequestState::Waiting,
            savio_id: None,
            may_repeat: false,
            left_out: Vec::new(),
        }
    }

    /// Whether this is what the mapping made, but for what Savio refused of it.
    fn was(&self, request: &Request) -> bool {
        if self.left_out.is_empty() {
            return self.request == *request;
        }
        let mut shorter = request.clone();
        shorter.leave_out(&self.left_out);
        self.request == shorter
    }

    /// What is to be sent again is sent whole: Savio may take it now.
    fn again(self, request: &Request) -> PlannedRequest {
        let may_repeat = match self.state {
            RequestState::Done => return self,
            RequestState::Sending => true,
            RequestState::Waiting | RequestState::Refused => self.may_repeat,
        };
        PlannedRequest { may_repeat, ..PlannedRequest::waiting(request.clone()) }
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
        PlannedRequest { state, may_repeat, ..PlannedRequest::waiting(request(problem)) }
    }

    fn check(earlier: &[PlannedRequest], problems: &[&str], expected: &[(RequestState, bool)]) {
        let requests: Vec<Request> = problems.iter().map(|problem| request(problem)).collect();

        let anew = PlannedRequest::replan(&requests, earlier.to_vec());

        let states: Vec<_> = anew.iter().map(|one| (one.state, one.may_repeat)).collect();
        assert_eq!(states, expected);
        assert!(anew.iter().zip(requests).all(|(one, request)| one.request == request));
    }

    #[test]
    fn a_request_keeps_its_past_where_it_is_still_the_same() {
        use RequestState::{Done, Refused, Sending, Waiting};
        check(&[], &["a"], &[(Waiting, false)]);
        check(&[planned("a", Done, false)], &["a", "b"], &[(Done, false), (Waiting, false)]);
        check(&[planned("a", Done, false)], &["changed"], &[(Waiting, false)]);
        check(&[planned("a", Refused, false)], &["a"], &[(Waiting, false)]);
        check(&[planned("a", Waiting, true)], &["a"], &[(Waiting, true)]);
        check(&[planned("a", Sending, false)], &["a"], &[(Waiting, true)]);
    }

    #[test]
    fn request_that_was_sent_without_what_savio_refused_is_the_same() {
        let mut whole = request("a");
        whole.body.insert("source_url".to_owned(), "/pricing".into());
        for (state, expected) in [
            (RequestState::Done, (RequestState::Done, false, &request("a"))),
            (RequestState::Sending, (RequestState::Waiting, true, &whole)),
            (RequestState::Refused, (RequestState::Waiting, false, &whole)),
        ] {
            let left_out = vec!["source_url".to_owned()];
            let past = PlannedRequest { left_out, ..planned("a", state, false) };
            let anew = PlannedRequest::replan(std::slice::from_ref(&whole), vec![past]);
            assert_eq!((anew[0].state, anew[0].may_repeat, &anew[0].request), expected);
        }
    }

    #[test]
    fn one_done_request_spares_one_send() {
        use RequestState::{Done, Waiting};
        let earlier = [planned("a", Waiting, true), planned("a", Done, false)];

        check(&earlier, &["a"], &[(Done, false)]);
        check(&earlier[1..], &["a", "a"], &[(Done, false), (Waiting, false)]);
    }
}
