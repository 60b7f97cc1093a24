//! `POST /hooks/{source}`: find the source, verify, decode, keep, answer.

mod answer;
mod body;
pub mod client;
mod greet;
pub mod handshake;
mod headers;
mod hint;
mod journal;
mod pace;
pub mod payload;
pub mod provider;
pub mod rejected;
pub mod setup;
pub mod signature;
pub mod source;
pub mod unpack;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::error_handling::HandleErrorLayer;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::request::Parts;
use axum::http::{Method, StatusCode};
use axum::response::{IntoResponse, Json, Response};
use axum::routing::{any, get};
use serde_json::json;
use tokio::sync::{Semaphore, watch};
use tower::limit::GlobalConcurrencyLimitLayer;
use tower::{BoxError, ServiceBuilder};
use tower_http::catch_panic::CatchPanicLayer;
use tracing::{debug, error};

use self::answer::{Rejection, Taken};
use self::body::{Bodies, Held};
use self::client::Network;
use self::greet::{Asker, Call};
use self::handshake::Greeting;
use self::hint::Doubted;
use self::pace::{HINTS, Paces};
use self::payload::Limits;
use self::rejected::Rejected;
use self::setup::Setup;
use self::signature::{Presented, Unproven};
use self::source::{Registry, Source, Sources, Standing};
use self::unpack::{Received, Unpacked};
use crate::clock;
use crate::event::SourceName;
use crate::store::{Origin, Store, Webhook};
use crate::telemetry::metrics::Webhooks;
use crate::telemetry::traces::Traces;

/// How much JSON is parsed at a time; its values take up to some forty times the room of its text.
const DECODING_BYTES_MAX: usize = 8 * 1024 * 1024;

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
    /// How many webhooks are worked on at a time; more are answered 503. Fewer than the listener takes
    /// connections, so that health is answered all the same.
    pub requests_max: usize,
    /// How many bytes of bodies are held at a time; what exceeds it is answered 503.
    pub bodies_bytes_max: usize,
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
        }
    }
}

impl Settings {
    pub fn limits(&self) -> Limits {
        Limits {
            bytes_max: self.body_bytes_max,
            depth_max: self.json_depth_max,
            key_bytes_max: self.key_bytes_max,
        }
    }
}

/// Where webhooks come in.
pub struct Door {
    pub sources: Registry,
    pub rejected: Rejected,
    pub webhooks: Webhooks,
    traces: Traces,
    settings: Settings,
    store: Arc<dyn Store>,
    /// Turns true when the relay shuts down.
    closing: watch::Receiver<bool>,
    paces: Paces,
    bodies: Bodies,
    decoding: Semaphore,
}

impl std::fmt::Debug for Door {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Door").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// The public listener's routes.
pub fn router(door: Arc<Door>) -> Router {
    let shedding = Arc::clone(&door);
    let shed = move |parts: Parts, _: BoxError| async move {
        shedding.note(&parts, clock::now(), &Rejection::Overloaded);
        Rejection::Overloaded
    };
    let hooks = Router::new()
        .route("/hooks/{source}", any(receive))
        .route("/hooks/{source}/", any(receive))
        .layer(
            ServiceBuilder::new()
                .layer(HandleErrorLayer::new(shed))
                .load_shed()
                .layer(GlobalConcurrencyLimitLayer::new(door.settings.requests_max)),
        );
    Router::new()
        .route("/healthz", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/readyz", get(readiness))
        .merge(hooks)
        .fallback(|| async { Rejection::NoRoute })
        .method_not_allowed_fallback(|| async { Rejection::ReadOnly })
        .layer(CatchPanicLayer::custom(|_| {
            error!("a request was not answered: the relay made a mistake");
            Rejection::Panicked.into_response()
        }))
        .with_state(door)
}

async fn receive(State(door): State<Arc<Door>>, request: Request) -> Response {
    let began = clock::now();
    let (parts, body) = request.into_parts();
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

impl Door {
    pub fn new(
        settings: Settings,
        sources: Sources,
        store: Arc<dyn Store>,
        closing: watch::Receiver<bool>,
    ) -> Door {
        Door {
            sources: Registry::new(sources),
            rejected: Rejected::default(),
            webhooks: Webhooks::default(),
            traces: Traces::default(),
            paces: Paces::default(),
            bodies: Bodies::new(
                settings.body_bytes_max,
                settings.bodies_bytes_max,
                settings.body_timeout,
            ),
            decoding: Semaphore::new(settings.body_bytes_max.max(DECODING_BYTES_MAX)),
            settings,
            store,
            closing,
        }
    }

    /// Telling of each webhook there.
    #[must_use]
    pub fn tracing(mut self, traces: Traces) -> Door {
        self.traces = traces;
        self
    }

    pub fn limits(&self) -> Limits {
        self.settings.limits()
    }

    async fn receive(&self, parts: &Parts, body: Body) -> Result<Taken, Rejection> {
        let (source, setup) = self.find(parts)?;
        let headers = headers::collect(&parts.headers);
        let mut held = self.bodies.read(&parts.headers, body).await?;
        let now = clock::now();
        let received = Received { headers: &headers, body: &held.bytes, now };
        let call = Call { source: &source, parts, received };
        if let Some(greeting) = self.admit(&call, setup.as_deref())? {
            return Ok(Taken::Greeted(greeting));
        }
        source.signature.conceal(&mut held.bytes);
        let received = Received { headers: &headers, body: &held.bytes, now };
        let Unpacked { decoded, events, ignored } = self.unpack(&source, &received).await?;
        let answer = source.answer.clone();
        if events.is_empty() {
            let reason = ignored.unwrap_or_else(|| "it carries no events".to_owned());
            return Ok(Taken::Ignored { reason, answer });
        }
        self.bodies.make_room(&mut held, decoded.as_ref().map_or(0, String::len))?;
        let headers = headers::without_secrets(headers, &source);
        let Held { bytes: body, room: _room } = held;
        let name = source.name.clone();
        let origin = Origin::Sent;
        let webhook =
            Webhook { source: name, received_at: now, headers, body, decoded, events, origin };
        let kept = self.store.keep(webhook).await.map_err(Rejection::NotKept)?;
        Ok(match kept.new_events() {
            0 => Taken::Duplicate { kept, answer },
            _ => Taken::Accepted { kept, answer },
        })
    }

    /// The source, if it may be spoken to now and in this way; with what it awaits, if it does.
    fn find(&self, parts: &Parts) -> Result<(Arc<Source>, Option<Arc<Setup>>), Rejection> {
        let name = source_name(parts).ok_or(Rejection::NoSource)?;
        let sources = self.sources.current();
        let standing = sources.get(&name).ok_or(Rejection::NoSource)?;
        let (source, setup) = match standing {
            Standing::Live(source) => (source, None),
            Standing::Awaited(setup) => (&setup.source, Some(Arc::clone(setup))),
            Standing::Off { .. } if parts.method != Method::POST => return Err(Rejection::Method),
            Standing::Off { reason } => return Err(Rejection::Off(reason.clone())),
        };
        let is_greeted = source.handshakes.iter().any(|it| it.method == parts.method);
        if parts.method != Method::POST && !is_greeted {
            return Err(Rejection::Method);
        }
        if setup.is_none()
            && let Some(reason) = source.off(clock::now())
        {
            return Err(Rejection::Off(reason.to_owned()));
        }
        if source.signature.covers_url() && self.settings.public_url.is_none() {
            return Err(Rejection::Off("its provider signs the URL, set public_url".to_owned()));
        }
        if *self.closing.borrow() {
            return Err(Rejection::Closing);
        }
        Ok((Arc::clone(source), setup))
    }

    /// Lets a webhook of the source pass, or says what a handshake is answered.
    fn admit(&self, call: &Call<'_>, setup: Option<&Setup>) -> Result<Option<Greeting>, Rejection> {
        if call.parts.method != Method::POST {
            return self.greet_stranger(call)?.ok_or(Rejection::Method).map(Some);
        }
        if let Some(setup) = setup {
            return self.set_up(setup, call).map(Some);
        }
        if let Err(rejection) = self.verify(call) {
            return self.greet_stranger(call)?.ok_or(rejection).map(Some);
        }
        if let Some(rate) = call.source.rate {
            self.pace(call, pace::webhooks(rate))?;
        }
        Ok(self.greeting(call, Asker::Proven))
    }

    /// Before this, nothing of the body is parsed, kept or logged.
    fn verify(&self, call: &Call<'_>) -> Result<(), Rejection> {
        let Call { source, parts, received } = call;
        let address = parts.uri.path_and_query().map_or("", |address| address.as_str());
        let url =
            self.settings.public_url.as_ref().map(|public_url| format!("{public_url}{address}"));
        let presented = Presented {
            method: parts.method.as_str(),
            url: url.as_deref(),
            query: parts.uri.query(),
            headers: received.headers,
            body: received.body,
        };
        let verified = source.signature.verify(&source.keys, &presented, received.now);
        let matched = verified.map_err(|unproven| Rejection::Unproven {
            unproven,
            hint: self.hint(call, &presented, unproven),
        })?;
        if let Some(position) = matched {
            self.webhooks.matched(source.name.as_str(), position);
            debug!(source = %source.name, secret = position, "the signature is right");
        }
        Ok(())
    }

    /// A flood of wrong signatures is not looked into.
    fn hint(
        &self,
        call: &Call<'_>,
        presented: &Presented<'_>,
        unproven: Unproven,
    ) -> Option<String> {
        self.pace(call, HINTS).ok()?;
        let Source { signature, keys, .. } = call.source;
        hint::hint(&Doubted { signature, keys, presented, now: call.received.now }, unproven)
    }

    async fn unpack(
        &self,
        source: &Source,
        received: &Received<'_>,
    ) -> Result<Unpacked, Rejection> {
        let bytes = if payload::is_encoded(received.headers) {
            self.settings.body_bytes_max
        } else {
            received.body.len()
        };
        let permits = u32::try_from(bytes).map_err(|_| Rejection::Overloaded)?;
        let _permit = self.decoding.acquire_many(permits).await.expect("never closed");
        Ok(unpack::unpack(source, received, &self.settings.limits())?)
    }

    /// Why a webhook would not be kept now.
    async fn hindrances(&self) -> Vec<String> {
        let mut hindrances = Vec::new();
        if *self.closing.borrow() {
            hindrances.push(Rejection::Closing.to_string());
        }
        if let Err(error) = self.store.ready().await {
            hindrances.push(error.to_string());
        }
        let now = clock::now();
        let live = |standing: &Standing| match standing {
            Standing::Live(source) => source.off(now).is_none(),
            Standing::Awaited(_) => true,
            Standing::Off { .. } => false,
        };
        if !self.sources.current().values().any(live) {
            hindrances.push("no source is live".to_owned());
        }
        hindrances
    }

    /// None where the listener does not say.
    fn client(&self, parts: &Parts) -> Option<IpAddr> {
        let ConnectInfo(peer) = parts.extensions.get::<ConnectInfo<SocketAddr>>()?;
        let trusted = &self.settings.trusted_proxies;
        Some(client::address(peer.ip(), &parts.headers, trusted))
    }
}

fn source_name(parts: &Parts) -> Option<SourceName> {
    let name = parts.uri.path().strip_prefix("/hooks/")?;
    // `%2D` is `-`, and some senders write it so.
    payload::form::unescape(name.strip_suffix('/').unwrap_or(name)).parse().ok()
}

async fn readiness(State(door): State<Arc<Door>>) -> Response {
    let reasons = door.hindrances().await;
    if reasons.is_empty() {
        return Json(json!({ "status": "ready" })).into_response();
    }
    let body = json!({ "status": "not ready", "reasons": reasons });
    (StatusCode::SERVICE_UNAVAILABLE, Json(body)).into_response()
}
