//! The stream of changes, as server-sent events.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, header};
use axum::response::{IntoResponse as _, Response};
use futures_util::stream::unfold;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::logins::LoginChanges;
use crate::admin::params::{NoParams, QueryParams};
use crate::admin::role::Role;
use crate::admin::state::AdminState;
use crate::admin::streams::batch_ring::NextBatch;
use crate::admin::streams::{StreamPhase, StreamSlot};

/// Time without a batch after which a comment is sent, so that nothing between takes the stream for
/// broken.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Interval at which it is asked whether the client would still be admitted: its session may have
/// ended on another node.
const CHECKED_EVERY: Duration = Duration::from_secs(2);

/// Time after which a browser connects again, in milliseconds.
const RETRY_MS: u64 = 2000;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// Follow what changes: events, counts, sources, destinations and issues, as server-sent events
///
/// At most two batches a second. The `event` of each message says what its `data` is: `events`
/// (`StreamedEvents`), `counts` (`StreamedCounts`), `sources` (`StreamedSources`), `destinations`
/// (`StreamedDestinations`), `issues` (`StreamedIssues`), or `reset`: something was missed, so read all again.
/// With the header `Last-Event-ID` it goes on after that batch, or begins with `reset`. A comment is sent
/// after 15 s without a batch. It ends with the session or token, and when the relay stops.
#[utoipa::path(get, path = "/api/v1/stream",
    params(("Last-Event-ID" = Option<String>, Header, description = "The `id` of the last batch that was read")),
    responses((status = 200, description = "What changes from now on", body = String,
               content_type = "text/event-stream"),
        (status = 503, description = "256 streams are open, or the store cannot be read at present. `Retry-After` \
                                      says when to try again")))]
pub(crate) async fn stream(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    QueryParams(NoParams {}, _): QueryParams<NoParams>,
    request: Parts,
) -> Result<Response, ApiError> {
    let slot = admin.streams.open().await?;
    let newest = admin.streams.position();
    let (position, opening) = match last_id(&request.headers) {
        // The id alone is no event for a browser, which sends it when it connects again.
        None => (newest, format!("retry: {RETRY_MS}\nid: {}\n\n", admin.streams.id(newest)).into()),
        // One that is not known leaves a gap, which the first read finds.
        Some(id) => (admin.streams.number(id).unwrap_or(u64::MAX), opening()),
    };
    let open = OpenStream {
        phase: admin.streams.subscribe(),
        logins: admin.logins.changes(),
        check_at: Instant::now() + CHECKED_EVERY,
        opening: Some(opening),
        admin,
        caller,
        request,
        position,
        _slot: slot,
    };
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        // nginx would collect some kilobytes first.
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    let body = unfold(open, |mut open| async move {
        let text = open.next().await?;
        Some((Ok::<_, Infallible>(text), open))
    });
    Ok((headers, Body::from_stream(body)).into_response())
}

fn opening() -> Bytes {
    format!("retry: {RETRY_MS}\n\n").into()
}

fn last_id(headers: &HeaderMap) -> Option<&str> {
    // One that cannot be read is unknown.
    let id = headers.get(LAST_EVENT_ID)?.to_str().unwrap_or("?");
    // A browser that has read none may send an empty one.
    (!id.is_empty()).then_some(id)
}

/// The stream of one client. It has only its position in what all streams send.
struct OpenStream {
    admin: Arc<AdminState>,
    caller: ApiCaller,
    /// The request without its body, to see whether it would still be admitted.
    request: Parts,
    phase: watch::Receiver<StreamPhase>,
    logins: LoginChanges,
    check_at: Instant,
    opening: Option<Bytes>,
    /// Number of the last batch that was sent.
    position: u64,
    _slot: StreamSlot,
}

impl OpenStream {
    /// Waits for what to send next; none at the end.
    async fn next(&mut self) -> Option<Bytes> {
        if let Some(opening) = self.opening.take() {
            return Some(opening);
        }
        let keep_alive = sleep(KEEP_ALIVE);
        tokio::pin!(keep_alive);
        loop {
            if *self.phase.borrow_and_update() == StreamPhase::Ended {
                return None;
            }
            // Before each batch: there may always be one for a slow client.
            if (self.check_at <= Instant::now() || self.logins.have_changed())
                && !self.is_admitted().await
            {
                return None;
            }
            match self.admin.streams.after(self.position) {
                NextBatch::Batch(batch) => {
                    self.position += 1;
                    return Some(batch);
                }
                NextBatch::Missed => {
                    self.position = self.admin.streams.position();
                    return Some(self.admin.streams.reset_to(self.position));
                }
                NextBatch::NotYet => {}
            }
            tokio::select! {
                changed = self.phase.changed() => changed.ok()?,
                () = self.logins.changed() => self.check_at = Instant::now(),
                () = sleep_until(self.check_at) => {}
                () = &mut keep_alive => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }

    async fn is_admitted(&mut self) -> bool {
        self.logins.mark_seen();
        self.check_at = Instant::now() + CHECKED_EVERY;
        self.admin.logins.still_admits(&self.request, &self.caller, Role::Read).await
    }
}
