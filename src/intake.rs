//! `POST /hooks/{source}`: finds the source, verifies, decodes, stores, responds.

mod access_log;
mod admission;
mod admitted;
mod body;
mod body_size;
pub mod client_ip;
pub mod activity;
pub mod echo;
pub mod events;
pub mod handshake;
mod headers;
mod ignored_webhooks;
mod log_limit;
pub mod payload;
pub mod provider;
mod rate_limit;
mod readiness;
pub mod recent_rejections;
pub mod registry;
mod rejection_writer;
pub mod request;
pub(crate) mod response;
pub mod response_config;
pub mod setup;
pub mod signature;
mod signature_hint;
pub mod source;
mod settings;
mod tested;

use std::fmt;
use std::net::IpAddr;
use std::num::NonZero;
use std::sync::Arc;
use std::thread::available_parallelism;
use std::time::Instant;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::sync::Semaphore;
use tokio::task::spawn_blocking;
use tokio_util::sync::CancellationToken;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::error;

use crate::clock;
use crate::parse_memory::ParseMemory;
use crate::store::{Arrival, Inbox, StoreError, Webhook, WebhookOrigin};
use crate::telemetry::metrics::Webhooks;
use crate::telemetry::traces::Traces;
use access_log::{AccessLog, AnsweredRequest};
use activity::Activities;
use admission::{Admission, Admitted};
use admitted::{AdmittedRequest, AdmittedWebhook, RequestOutcome};
use body::{BodyReader, Expected};
use body_size::BodySize;
use client_ip::Clients;
use echo::{EchoKey, Echoes};
use events::ExtractedEvents;
use ignored_webhooks::IgnoredWebhooks;
use payload::PayloadLimits;
use readiness::{NotReady, Readiness, not_ready_reasons, without_parameters};
use recent_rejections::RecentRejections;
use registry::{Registry, SourceStatus, Sources};
use rejection_writer::RejectionWriter;
use request::{BufferedRequest, TargetSource, is_used, origin, source_name};
use response::{Acknowledgement, Rejection};
pub use settings::Settings;
pub use tested::{TestedContent, TestedWebhook};

/// Receives the webhooks of all sources and stores them.
pub struct Intake {
    pub sources: Registry,
    pub rejected: Arc<RecentRejections>,
    pub activities: Arc<Activities>,
    pub webhooks: Webhooks,
    /// Tests of the way to this relay.
    pub echoes: Echoes,
    settings: Settings,
    store: Arc<dyn Inbox>,
    /// Turns true when the relay shuts down.
    closing: CancellationToken,
    clients: Clients,
    admission: Admission,
    access_log: AccessLog,
    readiness: Readiness,
    ignored: IgnoredWebhooks,
    rejection_writer: RejectionWriter,
    bodies: BodyReader,
    /// One permit for each webhook that may be processed.
    requests: Semaphore,
    /// One permit for each blocking thread that may verify and decode at the same time.
    threads: Semaphore,
    parse_memory: Arc<ParseMemory>,
}

impl fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Intake").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// Returns the routes of the public listener.
pub fn router(intake: Arc<Intake>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readiness))
        .route_layer(from_fn(without_parameters))
        // All methods, since `receive` answers 405 or 503 itself, depending on the state of the
        // source.
        .route("/hooks/{source}", any(receive))
        .route("/hooks/{source}/", any(receive))
        .fallback(|| async { Rejection::NoRoute })
        .method_not_allowed_fallback(|| async { Rejection::GetRequired })
        // Before the routes: a proxy may have changed the path.
        .layer(from_fn_with_state(Arc::clone(&intake), answer_echo))
        // The panic hook logs the place already; the payload of a panic may quote the webhook.
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request was not answered: internal error");
            Rejection::Internal.into_response()
        }))
        .with_state(intake)
}

async fn receive(State(intake): State<Arc<Intake>>, request: Request) -> Response {
    let began = clock::now();
    let (parts, body) = request.into_parts();
    // Shared with the blocking thread that verifies, while the access log still needs them here.
    let parts = Arc::new(parts);
    let client = intake.clients.address(&parts);
    let (size, body) = BodySize::of(&parts.headers, body);
    let received = intake.receive(&parts, body, client).await;
    let request = AnsweredRequest { parts: &parts, size: &size, began, client };
    intake.activities.note(&request, &received);
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

/// Middleware that answers the requests of whoever holds a key of the admin API, and passes all others on.
async fn answer_echo(
    State(intake): State<Arc<Intake>>,
    request: Request,
    next: Next,
) -> Result<Response, Rejection> {
    let (parts, body) = request.into_parts();
    match intake.echoes.admit(&parts, Instant::now()) {
        Some(key) => intake.echo(key, parts, body).await,
        None => Ok(next.run(Request::from_parts(parts, body)).await),
    }
}

async fn readiness(State(intake): State<Arc<Intake>>) -> Response {
    let not_ready = intake.not_ready().await;
    intake.readiness.note(&not_ready);
    // `at_limit` does not make it 503: unauthenticated senders can cause it, and a load balancer
    // that removes the relay for it would complete their attack.
    let (reasons, at_limit) = (not_ready.reasons, intake.is_at_limit());
    if reasons.is_empty() {
        return Json(json!({ "status": "ready", "at_limit": at_limit })).into_response();
    }
    let body = json!({ "status": "not ready", "at_limit": at_limit, "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}

impl Intake {
    /// Returns whether webhooks would be stored now.
    pub async fn is_ready(&self) -> bool {
        self.unready_reasons().await.is_empty()
    }

    /// Returns why webhooks would not be stored now.
    pub async fn unready_reasons(&self) -> Vec<&'static str> {
        self.not_ready().await.reasons
    }

    async fn not_ready(&self) -> NotReady {
        let is_closing = self.closing.is_cancelled();
        not_ready_reasons(&*self.store, &self.sources.current(), is_closing).await
    }

    pub fn new(
        settings: Settings,
        sources: Sources,
        store: Arc<dyn Inbox>,
        closing: CancellationToken,
    ) -> Intake {
        let (webhooks, rejected) = (Webhooks::default(), Arc::<RecentRejections>::default());
        let (limits, public_url) = (settings.limits(), settings.public_url.clone());
        let activities = Arc::<Activities>::default();
        Intake {
            sources: Registry::new(sources),
            clients: Clients::new(settings.trusted_proxies.clone()),
            admission: Admission::new(public_url, limits, webhooks.clone()),
            access_log: AccessLog::new(webhooks.clone(), Arc::clone(&rejected)),
            activities,
            readiness: Readiness::default(),
            ignored: IgnoredWebhooks::default(),
            rejection_writer: RejectionWriter::default(),
            bodies: BodyReader::new(
                settings.body_bytes_max,
                settings.bodies_bytes_max,
                settings.body_timeout,
            ),
            requests: Semaphore::new(settings.requests_max),
            // Tokio has up to 512 blocking threads. More at work than processors would only share
            // them, with a body and its decoded text in memory for each.
            threads: Semaphore::new(available_parallelism().map_or(1, NonZero::get)),
            parse_memory: Arc::new(ParseMemory::new(settings.parsed_bytes_max)),
            rejected,
            webhooks,
            echoes: Echoes::default(),
            settings,
            store,
            closing,
        }
    }

    /// Exports a span for each webhook.
    #[must_use]
    pub fn tracing(mut self, traces: Traces) -> Intake {
        self.access_log.traces = traces;
        self
    }

    /// Shares the bound on parsed JSON with the rest of the process.
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

    /// Returns whether webhooks are being refused, signed ones or not, because there are too many.
    pub fn is_at_limit(&self) -> bool {
        self.requests.available_permits() == 0 || self.bodies.is_short_of_memory()
    }

    /// Logs every minute how many rejected webhooks had no log line of their own.
    pub async fn log_suppressed(self: Arc<Self>, closed: impl Future<Output = ()>) {
        self.access_log.log_suppressed(closed).await;
    }

    async fn receive(
        self: &Arc<Self>,
        parts: &Arc<Parts>,
        body: Body,
        address: Option<IpAddr>,
    ) -> Result<Acknowledgement, Rejection> {
        match self.admit(parts, body).await? {
            AdmittedRequest::Answered(acknowledgement) => {
                self.ignored.note(parts, &acknowledgement);
                Ok(acknowledgement)
            }
            AdmittedRequest::Webhook(webhook) => self.keep(webhook, address, origin(parts)).await,
        }
    }

    /// Writes every few seconds how many webhooks were ignored.
    pub async fn count_ignored(self: Arc<Self>, closed: impl Future<Output = ()>) {
        self.ignored.write_all(&*self.store, closed).await;
    }

    /// Writes every second what was rejected.
    pub async fn record_rejections(self: Arc<Self>, closed: impl Future<Output = ()>) {
        self.rejection_writer.write_all(&self.rejected, &*self.store, closed).await;
    }

    /// Writes what was rejected up to now.
    pub async fn write_rejections(&self) -> Result<(), StoreError> {
        self.rejection_writer.write(&self.rejected, &*self.store).await
    }

    /// Finds the source, verifies and decodes: all that comes before a webhook is stored.
    async fn admit(
        self: &Arc<Self>,
        parts: &Arc<Parts>,
        body: Body,
    ) -> Result<AdmittedRequest<'_>, Rejection> {
        let target = self.find(parts)?;
        let client = self.clients.key(parts);
        let headers = headers::collect(&parts.headers);
        // Before the body is read: a request without its signature must not take memory for one.
        let bytes_max = self.admission.body_bytes_max(&target, parts, &headers)?;
        let expected = Expected { bytes_max, client };
        let body = self.bodies.read(&parts.headers, body, expected).await?;
        // Counted only once the body has arrived: otherwise 448 slow connections would shut out
        // every signed webhook. Without a permit the answer is 503 at once: a queue would only add
        // to the load.
        let permit = self.requests.try_acquire().map_err(|_| Rejection::Overloaded)?;
        let (parts, now) = (Arc::clone(parts), clock::now());
        let arrived = BufferedRequest { target, parts, client, headers, body, now };
        let (arrived, decision) = self.decide(arrived).await?;
        let (extracted, verified) = match decision {
            RequestOutcome::Handshake(response) => {
                return Ok(AdmittedRequest::Answered(Acknowledgement::Handshake(response)));
            }
            RequestOutcome::Unauthenticated(error) => {
                return Err(self.admission.refuse(arrived, error).await);
            }
            RequestOutcome::Events(extracted, verified) => (extracted, verified),
        };
        if extracted.events.is_empty() {
            let reason = extracted.ignored.unwrap_or_else(|| "it carries no events".to_owned());
            let answer = arrived.target.source.response.clone();
            return Ok(AdmittedRequest::Answered(Acknowledgement::Ignored { reason, answer }));
        }
        Ok(AdmittedRequest::Webhook(AdmittedWebhook {
            arrived,
            extracted,
            verified,
            _permit: permit,
        }))
    }

    async fn keep(
        &self,
        webhook: AdmittedWebhook<'_>,
        address: Option<IpAddr>,
        origin: WebhookOrigin,
    ) -> Result<Acknowledgement, Rejection> {
        let AdmittedWebhook { arrived, extracted, verified, _permit } = webhook;
        let ExtractedEvents { decoded, events, notes, .. } = extracted;
        let BufferedRequest { target: TargetSource { source, .. }, headers, mut body, now, .. } =
            arrived;
        let answer = source.response.clone();
        // A second reservation: the body reserved its own memory while it arrived, and the decoded
        // text is held beside it until the commit.
        body.reserve(decoded.as_ref().map_or(0, String::len))?;
        // Takes the bytes only: `body` is alive until the commit, and with it the reservation.
        let bytes = std::mem::take(&mut body.bytes);
        let webhook = Webhook {
            source: source.name.clone(),
            received_at: now,
            headers,
            body: bytes,
            decoded,
            notes,
            events,
            origin,
            arrival: Arrival::of(address, verified, response::accepted_status(answer.as_ref())),
        };
        let stored = self.store.store(webhook).await.map_err(Rejection::StoreUnavailable)?;
        Ok(match stored.new_events() {
            0 => Acknowledgement::Duplicate { stored, answer },
            _ => Acknowledgement::Accepted { stored, answer },
        })
    }

    /// Handles a webhook that a person of the relay made, as if its provider had sent it. Without
    /// `keep` nothing of it is stored or logged.
    pub async fn test(self: &Arc<Self>, request: Request, keep: bool) -> TestedWebhook {
        let began = clock::now();
        let (parts, body) = request.into_parts();
        let parts = Arc::new(parts);
        let (size, body) = BodySize::of(&parts.headers, body);
        let answered = AnsweredRequest { parts: &parts, size: &size, began, client: None };
        let mut content = None;
        let result = match self.admit(&parts, body).await {
            Ok(AdmittedRequest::Answered(acknowledgement)) => Ok(acknowledgement),
            Ok(AdmittedRequest::Webhook(mut webhook)) => {
                content = Some(tested::marked(&webhook.arrived, &mut webhook.extracted.events));
                if keep {
                    self.keep(webhook, None, WebhookOrigin::Made).await
                } else {
                    Ok(tested::unstored(&webhook.arrived))
                }
            }
            Err(rejection) => Err(rejection),
        };
        match &result {
            Ok(acknowledgement) if keep => self.access_log.accepted(&answered, acknowledgement),
            Err(rejection) if keep => {
                self.access_log.rejected(&answered, rejection, &self.sources.current());
            }
            Ok(_) | Err(_) => {}
        }
        tested::outcome(result, content)
    }

    /// Tells the holder of the key what arrived of the request, within the limits of a webhook. Nothing of it is
    /// stored, counted or logged.
    async fn echo(&self, key: EchoKey, parts: Parts, body: Body) -> Result<Response, Rejection> {
        let peer = self.clients.peer(&parts);
        let client = peer.map(|it| it.client.into());
        let expected = Expected { bytes_max: self.settings.body_bytes_max, client };
        let mut body = self.bodies.read(&parts.headers, body, expected).await?;
        let _request = self.requests.try_acquire().map_err(|_| Rejection::Overloaded)?;
        body.mark_verified()?;
        let _thread = self.threads.acquire().await.expect("the semaphore is never closed");
        let work = spawn_blocking(move || echo::answer(&key, &parts, peer, &body.bytes));
        work.await.map_err(|_| Rejection::Internal)
    }

    /// Finds the source of the request, if it accepts this method at this time.
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
        // A source that waits for its secret has no key yet, so `off` would always report it.
        let off = source.off_reason(clock::now()).filter(|_| setup.is_none());
        if let Some(reason) = off.or_else(|| source.unusable(self.settings.public_url.as_deref())) {
            let is_used = is_used(&parts.method, &source.handshakes);
            return Err(if is_used { Rejection::off(reason) } else { Rejection::PostRequired });
        }
        let is_handshake = source.handshakes.iter().any(|it| it.method == parts.method);
        if parts.method != Method::POST && !is_handshake {
            let waits = setup.is_some() && is_used(&parts.method, &[]);
            return Err(if waits { setup::awaiting_secret() } else { Rejection::PostRequired });
        }
        // Last, so that a wrong path or method gets 404 or 405, which no retry changes, and not
        // 503.
        if self.closing.is_cancelled() {
            return Err(Rejection::ShuttingDown);
        }
        if let Some(setup) = &setup {
            setup.check_code(parts.uri.query())?;
        }
        Ok(TargetSource { source: Arc::clone(source), setup })
    }

    /// Verifies and decodes: on this thread where that is cheaper than a change of threads, otherwise on
    /// one of the few blocking threads.
    async fn decide(
        self: &Arc<Self>,
        mut arrived: BufferedRequest,
    ) -> Result<(BufferedRequest, RequestOutcome), Rejection> {
        if arrived.is_light() {
            let decision = self.decide_now(&mut arrived)?;
            return Ok((arrived, decision));
        }
        // The body is still unverified while it waits for a thread, so it can still be evicted.
        let evicted = arrived.body.evicted();
        let _thread = tokio::select! {
            thread = self.threads.acquire() => thread.expect("the semaphore is never closed"),
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
        let verified = match self.admission.admit(&arrived.as_webhook(), setup, &self.sources) {
            Ok(Admitted::Webhook { verified }) => verified,
            Ok(Admitted::Handshake(response)) => return Ok(RequestOutcome::Handshake(response)),
            // The diagnosis comes later, without the permit for a thread: others wait for that.
            Err(Rejection::Unauthenticated { error, .. }) => {
                return Ok(RequestOutcome::Unauthenticated(error));
            }
            Err(rejection) => return Err(rejection),
        };
        arrived.body.mark_verified()?;
        let source = &arrived.target.source;
        // Before ids and types are read from them, and all is stored: nothing must hold the secret.
        // The body keeps its length, so the positions of events in it stay valid.
        source.signature.redact(&arrived.headers, &mut arrived.body.bytes);
        let secret = headers::take_secrets(&mut arrived.headers, source);
        let limits = self.settings.limits();
        let extracted = events::extract(source, &arrived.received(), &limits, &self.parse_memory)?;
        headers::complete(&mut arrived.headers, secret);
        Ok(RequestOutcome::Events(extracted, verified))
    }
}
