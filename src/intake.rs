//! `POST /hooks/{source}`: find the source, verify, decode, keep, answer.

mod response;
mod request;
pub mod client_ip;
mod admission;
mod signature_hint;
mod access_log;
mod rate_limit;
pub mod recent_rejections;
pub mod events;
mod body;
pub mod handshake;
mod headers;
mod log_limit;
pub mod payload;
pub mod provider;
mod readiness;
pub mod setup;
pub mod signature;
pub mod source;

use std::net::{IpAddr, SocketAddr};
use std::num::NonZero;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::available_parallelism;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tokio::task::spawn_blocking;
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error, warn};

use crate::clock;
use crate::event::SourceName;
use crate::parse_memory::ParseMemory;
use crate::rate::client_key::ClientKey;
use crate::store::{Inbox, StoreError, Webhook, WebhookOrigin};
use crate::telemetry::metrics::Webhooks;
use crate::telemetry::traces::Traces;
use admission::{Caller, WebhookRequest};
use body::BodyReader;
use client_ip::{Network, Sender};
use events::ExtractedEvents;
use handshake::{HandshakeResponse, HandshakeRule};
use log_limit::LogLimit;
use payload::Limits;
use rate_limit::{HINTS, Handshakes, RateLimiters};
use readiness::Readiness;
use recent_rejections::RecentRejections;
use request::{Arrived, Judged, Target};
use response::{Acknowledgement, Rejection};
use setup::PendingSetup;
use signature::{SignedRequest, VerifyError};
use signature_hint::Diagnoses;
use source::{Registry, Source, SourceStatus, Sources};

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Without a final slash; a source's address is this and `/hooks/NAME`.
    pub public_url: Option<String>,
    pub body_bytes_max: usize,
    pub json_depth_max: usize,
    pub key_bytes_max: usize,
    pub body_timeout: Duration,
    /// Who is believed about where a request came from.
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

    pub fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.body_bytes_max,
            depth_max: self.json_depth_max,
            key_bytes_max: self.key_bytes_max,
            parsed_bytes_max: self.parsed_bytes_max,
        }
    }
}

/// Where webhooks come in.
pub struct Intake {
    pub sources: Registry,
    pub rejected: RecentRejections,
    pub webhooks: Webhooks,
    traces: Traces,
    settings: Settings,
    store: Arc<dyn Inbox>,
    /// Turns true when the relay shuts down.
    closing: watch::Receiver<bool>,
    paces: RateLimiters,
    handshakes: Handshakes,
    diagnoses: Diagnoses,
    log_limit: LogLimit,
    readiness: Readiness,
    bodies: BodyReader,
    /// One permit for each webhook that may be worked on.
    requests: Semaphore,
    /// One permit for each thread that may verify and decode at a time.
    threads: Semaphore,
    parse_memory: Arc<ParseMemory>,
    /// Whether a proxy was seen that is not among `trusted_proxies`.
    has_told_of_proxy: AtomicBool,
}

impl std::fmt::Debug for Intake {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Door").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The public listener's routes.
pub fn router(door: Arc<Intake>) -> Router {
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readiness))
        .route("/hooks/{source}", any(receive))
        .route("/hooks/{source}/", any(receive))
        .fallback(|| async { Rejection::NoRoute })
        .method_not_allowed_fallback(|| async { Rejection::GetRequired })
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request was not answered: the relay made a mistake");
            Rejection::Internal.into_response()
        }))
        .with_state(door)
}

async fn receive(State(door): State<Arc<Intake>>, request: Request) -> Response {
    let began = clock::now();
    let (parts, body) = request.into_parts();
    let parts = Arc::new(parts);
    match door.receive(&parts, body).await {
        Ok(taken) => {
            door.log(&parts, began, &taken);
            taken.into_response()
        }
        Err(rejection) => {
            door.note(&parts, began, &rejection);
            rejection.into_response()
        }
    }
}

impl Intake {
    pub fn new(
        settings: Settings,
        sources: Sources,
        store: Arc<dyn Inbox>,
        closing: watch::Receiver<bool>,
    ) -> Intake {
        Intake {
            sources: Registry::new(sources),
            rejected: RecentRejections::default(),
            webhooks: Webhooks::default(),
            traces: Traces::default(),
            paces: RateLimiters::default(),
            handshakes: Handshakes::default(),
            diagnoses: Diagnoses::default(),
            log_limit: LogLimit::default(),
            readiness: Readiness::default(),
            bodies: BodyReader::new(
                settings.body_bytes_max,
                settings.bodies_bytes_max,
                settings.body_timeout,
            ),
            requests: Semaphore::new(settings.requests_max),
            threads: Semaphore::new(available_parallelism().map_or(1, NonZero::get)),
            parse_memory: Arc::new(ParseMemory::new(settings.parsed_bytes_max)),
            has_told_of_proxy: AtomicBool::new(false),
            settings,
            store,
            closing,
        }
    }

    /// Telling of each webhook there.
    #[must_use]
    pub fn tracing(mut self, traces: Traces) -> Intake {
        self.traces = traces;
        self
    }

    /// In the memory that all of the process parses in.
    #[must_use]
    pub fn parsing_in(mut self, memory: Arc<ParseMemory>) -> Intake {
        self.parse_memory = memory;
        self
    }

    pub fn limits(&self) -> Limits {
        self.settings.limits()
    }

    pub fn parse_memory(&self) -> &Arc<ParseMemory> {
        &self.parse_memory
    }

    async fn receive(
        self: &Arc<Self>,
        parts: &Arc<Parts>,
        body: Body,
    ) -> Result<Acknowledgement, Rejection> {
        let target = self.find(parts)?;
        let headers = headers::collect(&parts.headers);
        let expected = self.expect(&target, parts, &headers)?;
        let body = self.bodies.read(&parts.headers, body, expected).await?;
        let _request = self.requests.try_acquire().map_err(|_| Rejection::Overloaded)?;
        let (parts, now) = (Arc::clone(parts), clock::now());
        let arrived = Arrived { target, parts, headers, body, now };
        let (arrived, judged) = self.judge(arrived).await?;
        let ExtractedEvents { decoded, events, notes, ignored } = match judged {
            Judged::Greeted(greeting) => return Ok(Acknowledgement::Greeted(greeting)),
            Judged::Unproven(unproven) => return Err(self.refuse(arrived, unproven).await),
            Judged::Unpacked(unpacked) => unpacked,
        };
        let Arrived { target: Target { source, .. }, headers, mut body, .. } = arrived;
        let answer = source.answer.clone();
        if events.is_empty() {
            let reason = ignored.unwrap_or_else(|| "it carries no events".to_owned());
            return Ok(Acknowledgement::Ignored { reason, answer });
        }
        body.take_room(decoded.as_ref().map_or(0, String::len))?;
        let headers = headers::without_secrets(headers, &source);
        // The room stays taken until the webhook is kept.
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

    /// Verifies and decodes what is whole: in place where that takes no longer than handing it to another
    /// thread, else on one of the few threads for that.
    async fn judge(self: &Arc<Self>, mut arrived: Arrived) -> Result<(Arrived, Judged), Rejection> {
        if arrived.is_light() {
            let judged = self.judge_now(&mut arrived)?;
            return Ok((arrived, judged));
        }
        let evicted = arrived.body.evicted();
        let _thread = tokio::select! {
            thread = self.threads.acquire() => thread.expect("never closed"),
            () = evicted.notified() => return Err(Rejection::Overloaded),
        };
        let door = Arc::clone(self);
        let work = spawn_blocking(move || {
            let judged = door.judge_now(&mut arrived)?;
            Ok((arrived, judged))
        });
        work.await.unwrap_or(Err(Rejection::Internal))
    }

    fn judge_now(&self, arrived: &mut Arrived) -> Result<Judged, Rejection> {
        match self.admit(&arrived.call(), arrived.target.setup.as_deref()) {
            Ok(None) => {}
            Ok(Some(greeting)) => return Ok(Judged::Greeted(greeting)),
            // What is probably wrong is found out apart from this, and not while others wait for it.
            Err(Rejection::Unauthenticated { unproven, .. }) => {
                return Ok(Judged::Unproven(unproven));
            }
            Err(rejection) => return Err(rejection),
        }
        arrived.body.verified()?;
        let source = &arrived.target.source;
        source.signature.redact(&arrived.headers, &mut arrived.body.bytes);
        let limits = self.settings.limits();
        let unpacked = events::extract(source, &arrived.received(), &limits, &self.parse_memory)?;
        Ok(Judged::Unpacked(unpacked))
    }

    /// The source, if it may be spoken to now and in this way; with what it awaits, if it does.
    fn find(&self, parts: &Parts) -> Result<Target, Rejection> {
        let name = source_name(parts).ok_or(Rejection::NoSource)?;
        let sources = self.sources.current();
        let standing = sources.get(&name).ok_or(Rejection::NoSource)?;
        let (source, setup) = match standing {
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
        Ok(Target { source: Arc::clone(source), setup })
    }

    /// Why the source cannot be used with these settings, if so.
    fn unusable(&self, source: &Source) -> Option<&'static str> {
        let lacks_url = source.signature.covers_url() && self.settings.public_url.is_none();
        lacks_url.then_some("its provider signs the URL, set public_url")
    }

    /// Lets a webhook of the source pass, or says what a handshake is answered.
    fn admit(
        &self,
        call: &WebhookRequest<'_>,
        setup: Option<&PendingSetup>,
    ) -> Result<Option<HandshakeResponse>, Rejection> {
        if call.parts.method != Method::POST {
            return self.answer_unauthenticated(call)?.ok_or(Rejection::PostRequired).map(Some);
        }
        if let Some(setup) = setup {
            return self.complete_setup(setup, call).map(Some);
        }
        if let Err(unproven) = self.verify(call) {
            let rejection = Rejection::Unauthenticated { unproven, hint: None };
            return self.answer_unauthenticated(call)?.ok_or(rejection).map(Some);
        }
        if let Some(rate) = call.source.rate {
            self.pace(call, rate_limit::webhooks(rate))?;
        }
        Ok(self.greeting(call, Caller::Authenticated))
    }

    /// Before this, nothing of the body is parsed, kept or logged.
    fn verify(&self, call: &WebhookRequest<'_>) -> Result<(), VerifyError> {
        let (source, url) = (call.source, self.signed_url(call.parts));
        let bytes_max = self.settings.body_bytes_max;
        let body = call.covered(bytes_max).ok_or(VerifyError::Mismatch)?;
        let presented = SignedRequest { body: &body, ..call.presented(url.as_deref()) };
        let matched = source.signature.verify(&source.keys, &presented, call.received.now)?;
        if let Some(position) = matched {
            self.webhooks.matched(source.name.as_str(), position);
            debug!(source = %source.name, secret = position, "the signature is right");
        }
        Ok(())
    }

    /// The address as the provider knows it.
    fn signed_url(&self, parts: &Parts) -> Option<String> {
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        self.settings.public_url.as_ref().map(|public_url| format!("{public_url}{address}"))
    }

    /// With a hint at what is probably wrong; a flood of wrong signatures is not looked into.
    async fn refuse(&self, arrived: Arrived, unproven: VerifyError) -> Rejection {
        let hint = match unproven {
            VerifyError::Missing => {
                signature_hint::missing(&arrived, self.signed_url(&arrived.parts).as_deref())
            }
            _ if self.pace(&arrived.call(), HINTS).is_err() => None,
            VerifyError::UnreadableTime | VerifyError::OutsideTolerance => {
                signature_hint::time(&arrived, self.signed_url(&arrived.parts).as_deref(), unproven)
            }
            VerifyError::Mismatch => {
                let url = self.signed_url(&arrived.parts);
                self.diagnoses.run(arrived, url).await
            }
        };
        Rejection::Unauthenticated { unproven, hint }
    }

    /// Why a webhook would not be kept now, as strangers may know it; the log has it in full.
    async fn not_ready_reasons(&self) -> Vec<&'static str> {
        let mut hindrances = Vec::new();
        if *self.closing.borrow() {
            hindrances.push("the relay is shutting down");
        }
        let stored = self.store.ready().await;
        hindrances.extend(stored.as_ref().err().map(StoreError::outline));
        let now = clock::now();
        let live = |standing: &SourceStatus| match standing {
            SourceStatus::Live(source) => source.off(now).is_none(),
            SourceStatus::AwaitingSecret(_) => true,
            SourceStatus::Off { .. } => false,
        };
        if !self.sources.current().values().any(live) {
            hindrances.push("no source is live");
        }
        self.readiness.note(&hindrances, stored.err());
        hindrances
    }

    /// Whether webhooks are turned away at present because there are too many, signed ones or not.
    pub fn is_at_limit(&self) -> bool {
        self.requests.available_permits() == 0 || self.bodies.is_short_of_room()
    }

    /// None where the listener does not say.
    fn client(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let trusted = &self.settings.trusted_proxies;
        Some(client_ip::address(peer.ip(), &parts.headers, trusted))
    }

    /// Whose share of the limits the request counts for; none where a proxy stands for its clients.
    fn share(&self, parts: &Parts) -> Option<ClientKey> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let trusted = &self.settings.trusted_proxies;
        match client_ip::sender(peer.ip(), &parts.headers, trusted) {
            Sender::Client(address) => Some(address.into()),
            Sender::TrustedProxy => None,
            Sender::UnknownProxy(address) => {
                if !self.has_told_of_proxy.swap(true, Ordering::Relaxed) {
                    warn!(
                        proxy = %address,
                        "{address} is a proxy that server.trusted_proxies does not name: its clients are not \
                         told apart; set trusted_proxies = [\"{address}\"]"
                    );
                }
                None
            }
        }
    }
}

/// Whether a provider may use the method at an address that is right: to send, or to test the address, which
/// many do by GET or HEAD. A source that is off answers it so that the address is tested again later.
fn is_used(method: &Method, handshakes: &[HandshakeRule]) -> bool {
    [Method::POST, Method::GET, Method::HEAD].contains(method)
        || handshakes.iter().any(|it| it.method == *method)
}

fn source_name(parts: &Parts) -> Option<SourceName> {
    let name = parts.uri.path().strip_prefix("/hooks/")?;
    // `%2D` is `-`, and some senders write it so.
    payload::form::unescape(name.strip_suffix('/').unwrap_or(name)).parse().ok()
}

/// At its limit it is ready all the same: who stops it is a stranger, and a balancer that takes it out for
/// that would do the stranger's work.
async fn readiness(State(door): State<Arc<Intake>>) -> Response {
    let reasons = door.not_ready_reasons().await;
    let at_limit = door.is_at_limit();
    if reasons.is_empty() {
        return Json(json!({ "status": "ready", "at_limit": at_limit })).into_response();
    }
    let body = json!({ "status": "not ready", "at_limit": at_limit, "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
