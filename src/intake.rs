//! `POST /hooks/{source}`: find the source, verify, decode, keep, answer.

mod access_log;
mod admission;
mod body;
pub mod client_ip;
pub mod events;
pub mod handshake;
mod headers;
mod log_limit;
pub mod payload;
pub mod provider;
mod rate_limit;
mod readiness;
pub mod recent_rejections;
pub mod registry;
pub mod request;
mod response;
pub mod setup;
pub mod signature;
mod signature_hint;
pub mod source;

use std::fmt;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::clock;
use crate::parse_memory::ParseMemory;
use crate::store::{Inbox, Webhook, WebhookOrigin};
use crate::telemetry::metrics::Webhooks;
use crate::telemetry::traces::Traces;
use access_log::{AccessLog, AnsweredRequest};
use admission::Admission;
use body::{BodyReader, Expected};
use client_ip::{Clients, Network};
use events::ExtractedEvents;
use handshake::{HandshakeResponse, HandshakeRule};
use payload::PayloadLimits;
use readiness::{Readiness, not_ready_reasons};
use recent_rejections::RecentRejections;
use registry::{Registry, SourceStatus, Sources};
use request::{BufferedRequest, TargetSource, source_name};
use response::{Acknowledgement, Rejection};
use signature::VerifyError;
use source::Source;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Without a final slash; a source's address is this and `/hooks/NAME`.
    pub public_url: Option<String>,
    pub body_bytes_max: usize,
    pub json_depth_max: usize,
    pub key_bytes_max: usize,
    pub body_timeout: Duration,
    /// Proxies whose `X-Forwarded-For` header is trusted.
    pub trusted_proxies: Vec<Network>,
    /// How many webhooks are worked on at a time, counted once their bodies are there; more are answered
    /// 503. Fewer than the listener takes connections, so that health is answered all the same.
    pub requests_max: usize,
    /// How many bytes of bodies are held at a time; what exceeds it is answered 503.
    pub bodies_bytes_max: usize,
    /// How much memory the JSON of one webhook may take once it is parsed, and all JSON that this process
    /// parses at the same time.
    pub parsed_bytes_max: usize,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            public_url: None,
            body_bytes_max: 5 * 1024 * 1024,
            json_depth_max: 64,
            key_bytes_max: 1024,
            body_timeout: Duration::from_secs(30),
            trusted_proxies: Vec::new(),
            // The listener takes 512 connections. With as many webhooks, this limit would never be met, and `/healthz`
            // would wait behind slow senders; 64 connections stay free for it.
            requests_max: 448,
            bodies_bytes_max: 128 * 1024 * 1024,
            parsed_bytes_max: 128 * 1024 * 1024,
        }
    }
}

impl Settings {
    /// Whether a proxy stands before the relay, which serves no https itself, and is not named.
    pub fn has_unnamed_proxy(&self) -> bool {
        let is_https = |url: &String| url.starts_with("https:");
        self.public_url.as_ref().is_some_and(is_https) && self.trusted_proxies.is_empty()
    }

    pub fn limits(&self) -> PayloadLimits {
        PayloadLimits {
            bytes_max: self.body_bytes_max,
            depth_max: self.json_depth_max,
            key_bytes_max: self.key_bytes_max,
            parsed_bytes_max: self.parsed_bytes_max,
        }
    }
}

/// Receives the webhooks of all sources and stores them.
pub struct Intake {
    pub sources: Registry,
    pub rejected: Arc<RecentRejections>,
    pub webhooks: Webhooks,
    settings: Settings,
    store: Arc<dyn Inbox>,
    /// Turns true when the relay shuts down.
    closing: watch::Receiver<bool>,
    clients: Clients,
    admission: Admission,
    access_log: AccessLog,
    readiness: Readiness,
    bodies: BodyReader,
    /// One permit for each webhook that may be worked on.
    requests: Semaphore,
    /// One permit for each thread that may verify and decode at a time.
    threads: Semaphore,
    parse_memory: Arc<ParseMemory>,
}

/// The result for a request whose body is whole.
enum RequestOutcome {
    Handshake(HandshakeResponse),
    Unauthenticated(VerifyError),
    Events(ExtractedEvents),
}

impl fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Intake").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The public listener's routes.
pub fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readiness))
        .route("/hooks/{source}", any(receive))
        .route("/hooks/{source}/", any(receive))
        .fallback(|| async { Rejection::NoRoute })
        .method_not_allowed_fallback(|| async { Rejection::GetRequired })
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request was not answered: internal error");
            Rejection::Internal.into_response()
        }))
        .with_state(intake)
}

async fn receive(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let began = clock::now();
    let (parts, body) = request.into_parts();
    let parts = Arc::new(parts);
    let received = intake.receive(&parts, body).await;
    let client = intake.clients.address(&parts);
    let request = AnsweredRequest { parts: &parts, began, client };
    match received {
        Ok(acknowledgement) => {
            intake.access_log.accepted(&request, &acknowledgement);
            acknowledgement.into_response()
        }
        Err(rejection) => {
            intake.access_log.rejected(&request, &rejection, &intake.sources.current());
            rejection.into_response()
        }
    }
}

/// At its limit it is ready all the same: who stops it is a stranger, and a balancer that takes it out for
/// that would do the stranger's work.
async fn readiness(State(intake): State<Arc<Intake>>) -> Response {
    let is_closing = *intake.closing.borrow();
    let not_ready = not_ready_reasons(&*intake.store, &intake.sources.current(), is_closing).await;
    intake.readiness.note(&not_ready);
    let (reasons, at_limit) = (not_ready.reasons, intake.is_at_limit());
    if reasons.is_empty() {
        return Json(json!({ "status": "ready", "at_limit": at_limit })).into_response();
    }
    let body = json!({ "status": "not ready", "at_limit": at_limit, "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

impl Intake {
    pub fn new(
        settings: Settings,
        sources: Sources,
        store: Arc<dyn Inbox>,
        closing: watch::Receiver<bool>,
    ) -> Intake {
        let (webhooks, rejected) = (Webhooks::default(), Arc::<RecentRejections>::default());
        let (limits, public_url) = (settings.limits(), settings.public_url.clone());
        Intake {
            sources: Registry::new(sources),
            clients: Clients::new(settings.trusted_proxies.clone()),
            admission: Admission::new(public_url, limits, webhooks.clone()),
            access_log: AccessLog::new(webhooks.clone(), Arc::clone(&rejected)),
            readiness: Readiness::default(),
            bodies: BodyReader::new(
                settings.body_bytes_max,
                settings.bodies_bytes_max,
                settings.body_timeout,
            ),
            requests: Semaphore::new(settings.requests_max),
            threads: Semaphore::new(available_parallelism().map_or(1, NonZero::get)),
            parse_memory: Arc::new(ParseMemory::new(settings.parsed_bytes_max)),
            rejected,
            webhooks,
            settings,
            store,
            closing,
        }
    }

    /// Sends a span for each webhook there.
    #[must_use]
    pub fn tracing(mut self, traces: Traces) -> Intake {
        self.access_log.traces = traces;
        self
    }

    /// In the memory that all of the process parses in.
    #[must_use]
    pub fn parsing_in(mut self, memory: Arc<ParseMemory>) -> Intake {
        self.parse_memory = memory;
        self
    }

    pub fn limits(&self) -> PayloadLimits {
        self.settings.limits()
    }

    pub fn parse_memory(&self) -> &Arc<ParseMemory> {
        &self.parse_memory
    }

    /// Whether webhooks are turned away at present because there are too many, signed ones or not.
    pub fn is_at_limit(&self) -> bool {
        self.requests.available_permits() == 0 || self.bodies.is_short_of_room()
    }

    /// Logs each minute how many rejected webhooks had no line of their own.
    pub async fn tell_left_out(self: Arc<Self>, closed: impl Future<Output = ()>) {
        self.access_log.log_left_out(closed).await;
    }

    async fn receive(
        self: &Arc<Self>,
        parts: &Arc<Parts>,
        body: Body,
    ) -> Result<Acknowledgement, Rejection> {
        let target = self.find(parts)?;
        let client = self.clients.key(parts);
        let headers = headers::collect(&parts.headers);
        let bytes_max = self.admission.body_bytes_max(&target, parts, &headers)?;
        let expected = Expected { bytes_max, client };
        let body = self.bodies.read(&parts.headers, body, expected).await?;
        // Counted only once the body is there: 448 connections that send slowly would shut out every signed webhook.
        // Who finds no permit is answered 503 at once, since waiting requests would only add to the load.
        let _request = self.requests.try_acquire().map_err(|_| Rejection::Overloaded)?;
        let (parts, now) = (Arc::clone(parts), clock::now());
        let arrived = BufferedRequest { target, parts, client, headers, body, now };
        let (arrived, decision) = self.decide(arrived).await?;
        let ExtractedEvents { decoded, events, notes, ignored } = match decision {
            RequestOutcome::Handshake(response) => return Ok(Acknowledgement::Handshake(response)),
            RequestOutcome::Unauthenticated(unproven) => {
                return Err(self.admission.refuse(arrived, unproven).await);
            }
            RequestOutcome::Events(extracted) => extracted,
        };
        let BufferedRequest { target: TargetSource { source, .. }, headers, mut body, .. } =
            arrived;
        let answer = source.answer.clone();
        if events.is_empty() {
            let reason = ignored.unwrap_or_else(|| "it carries no events".to_owned());
            return Ok(Acknowledgement::Ignored { reason, answer });
        }
        // A second time: the body took its room while it arrived, and its decoded text is held beside it until the
        // commit.
        body.take_room(decoded.as_ref().map_or(0, String::len))?;
        let headers = headers::without_secrets(headers, &source);
        // Only the bytes leave the body, whose room stays taken until the webhook is stored.
        let bytes = std::mem::take(&mut body.bytes);
        let webhook = Webhook {
            source: source.name.clone(),
            received_at: now,
            headers,
            body: bytes,
            decoded,
            notes,
            events,
            origin: WebhookOrigin::Sent,
        };
        let kept = self.store.store(webhook).await.map_err(Rejection::StoreUnavailable)?;
        Ok(match kept.new_events() {
            0 => Acknowledgement::Duplicate { kept, answer },
            _ => Acknowledgement::Accepted { kept, answer },
        })
    }

    /// The source, if it may be spoken to now and in this way; with what it awaits, if it does.
    fn find(&self, parts: &Parts) -> Result<TargetSource, Rejection> {
        let name = source_name(parts).ok_or(Rejection::NoSource)?;
        let sources = self.sources.current();
        let status = sources.get(&name).ok_or(Rejection::NoSource)?;
        let (source, setup) = match status {
            SourceStatus::Live(source) => (source, None),
            SourceStatus::AwaitingSecret(setup) => (&setup.source, Some(Arc::clone(setup))),
            SourceStatus::Off { reason } if is_used(&parts.method, &[]) => {
                return Err(Rejection::off(reason));
            }
            SourceStatus::Off { .. } => return Err(Rejection::PostRequired),
        };
        let off = source.off(clock::now()).filter(|_| setup.is_none());
        if let Some(reason) = off.or_else(|| self.unusable(source)) {
            let is_used = is_used(&parts.method, &source.handshakes);
            return Err(if is_used { Rejection::off(reason) } else { Rejection::PostRequired });
        }
        let is_greeted = source.handshakes.iter().any(|it| it.method == parts.method);
        if parts.method != Method::POST && !is_greeted {
            let waits = setup.is_some() && is_used(&parts.method, &[]);
            return Err(if waits { setup::waits() } else { Rejection::PostRequired });
        }
        if *self.closing.borrow() {
            return Err(Rejection::ShuttingDown);
        }
        Ok(TargetSource { source: Arc::clone(source), setup })
    }

    /// Why the source cannot be used with these settings, if so.
    fn unusable(&self, source: &Source) -> Option<&'static str> {
        let lacks_url = source.signature.covers_url() && self.settings.public_url.is_none();
        lacks_url.then_some("its provider signs the URL, set public_url")
    }

    /// Verifies and decodes what is whole: in place where that takes no longer than handing it to another
    /// thread, else on one of the few threads for that.
    async fn decide(
        self: &Arc<Self>,
        mut arrived: BufferedRequest,
    ) -> Result<(BufferedRequest, RequestOutcome), Rejection> {
        if arrived.is_light() {
            let decision = self.decide_now(&mut arrived)?;
            return Ok((arrived, decision));
        }
        let evicted = arrived.body.evicted();
        let _thread = tokio::select! {
            thread = self.threads.acquire() => thread.expect("never closed"),
            () = evicted.notified() => return Err(Rejection::Overloaded),
        };
        let intake = Arc::clone(self);
        let work = spawn_blocking(move || {
            let decision = intake.decide_now(&mut arrived)?;
            Ok((arrived, decision))
        });
        work.await.unwrap_or(Err(Rejection::Internal))
    }

    fn decide_now(&self, arrived: &mut BufferedRequest) -> Result<RequestOutcome, Rejection> {
        let setup = arrived.target.setup.as_deref();
        match self.admission.admit(&arrived.call(), setup, &self.sources) {
            Ok(None) => {}
            Ok(Some(response)) => return Ok(RequestOutcome::Handshake(response)),
            // What is probably wrong is found out apart from this, and not while others wait for it.
            Err(Rejection::Unauthenticated { unproven, .. }) => {
                return Ok(RequestOutcome::Unauthenticated(unproven));
            }
            Err(rejection) => return Err(rejection),
        }
        arrived.body.verified()?;
        let source = &arrived.target.source;
        // Before the events are extracted: what is stored, the body as it came and the text that it becomes, must not
        // hold the proof. The body keeps its length, so nothing that is read from it moves.
        source.signature.redact(&arrived.headers, &mut arrived.body.bytes);
        let limits = self.settings.limits();
        let extracted = events::extract(source, &arrived.received(), &limits, &self.parse_memory)?;
        Ok(RequestOutcome::Events(extracted))
    }
}

/// Whether a provider may use the method at an address that is right: to send, or to test the address, which
/// many do by GET or HEAD. A source that is off answers it so that the address is tested again later.
fn is_used(method: &Method, handshakes: &[HandshakeRule]) -> bool {
    [Method::POST, Method::GET, Method::HEAD].contains(method)
        || handshakes.iter().any(|it| it.method == *method)
}
