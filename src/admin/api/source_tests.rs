//! Test webhooks: a payload, signed as the provider of a source does, is handled as if it had sent it.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderName, HeaderValue, Request as HttpRequest};
use axum::response::Json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::{JsonBody, PathSegment, no_event};
use crate::admin::state::AdminState;
use crate::clock;
use crate::diagnostics::document::Document;
use crate::event::{EventId, Headers, Request, SourceName};
use crate::intake::payload::PayloadLimits;
use crate::intake::registry::SourceStatus;
use crate::intake::source::Source;
use crate::intake::{TestedContent, TestedWebhook};
use crate::mapping_file::bundle;
use crate::mapping_file::file::{MappingFile, MappingTest, SamplePayload};
use crate::outgoing_webhook::{OutgoingWebhook, PreparedWebhook, PrivateKeyMissing, signing_key};
use crate::parse_memory::{ParseMemory, bytes_to_reserve};
use crate::store::AuditAction;

/// What to send: a sample, a stored event or a payload; by default the first sample.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TestBody {
    /// A part of the name of a sample of the source's mapping file.
    sample: Option<String>,
    /// A stored event of the source, whose webhook is sent again.
    event: Option<EventId>,
    /// Any JSON; a text is the body as it is sent.
    #[schema(value_type = Option<serde_json::Value>)]
    payload: Option<Box<RawValue>>,
    /// Further headers of the webhook.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Keeps the webhook, so that its events are delivered to Savio. By default it is only verified
    /// and mapped, and nothing is stored or sent.
    #[serde(default)]
    deliver: bool,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = SourceTest)]
pub(crate) struct SourceTestView {
    /// Status of the response that the provider would get.
    status: u16,
    /// How long the response took.
    ms: u64,
    /// Name of the sample that was sent.
    sample: Option<String>,
    /// Reason why it was refused, ignored or not mapped, or why there are no requests.
    reason: Option<String>,
    /// The probable cause of a wrong signature.
    hint: Option<String>,
    /// What the mapping makes of it.
    requests: Vec<Request>,
    /// Fields that were left out, and why.
    notes: Vec<String>,
    /// The events that were stored, with `deliver`. Their delivery ids begin with `test:`.
    events: Vec<EventId>,
}

/// What is sent.
struct TestPayload {
    sample: SamplePayload,
    /// Name of the sample, if it is one.
    name: Option<String>,
}

/// Headers that belong to a connection and not to the webhook.
const OF_CONNECTION: [&str; 6] =
    ["connection", "content-length", "expect", "host", "te", "transfer-encoding"];
const HEADERS_MAX: usize = 200;
/// Longest wait for memory that webhooks and deliveries use for parsed JSON.
const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// Send a test webhook to a source, signed as its provider does
#[utoipa::path(post, path = "/api/v1/sources/{name}/test", request_body = TestBody,
    params(("name" = SourceName, Path, description = "Name of the source")),
    responses((status = 200, description = "What came of it, also if it was refused",
            body = SourceTestView),
        (status = 404, description = "There is no such source or event"),
        (status = 409, description = "The source is off, or its provider signs with a private key, \
            which only the provider has")))]
pub(crate) async fn test(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    PathSegment(name): PathSegment,
    JsonBody(body): JsonBody<TestBody>,
) -> Result<Json<SourceTestView>, ApiError> {
    let name = admin.source(&name)?;
    let source = live_source(&admin, &name)?;
    let file = compiled(&admin, &name).await?;
    let deliver = body.deliver;
    let TestPayload { sample, name: sample_name } = payload(&admin, &name, &file, body).await?;
    let (webhook, source_url) = (sample, format!("{}/hooks/{name}", admin.url));
    let prepared = spawn_blocking(move || prepare(&source, &webhook, &source_url)).await;
    let prepared = prepared.map_err(|_| ApiError::Internal)??;
    let request = request(&name, &prepared)?;
    let began = Instant::now();
    let tested = admin.intake.test(request, deliver).await;
    let ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    if deliver {
        let entry = caller.did(AuditAction::TestSource).on(&format!("source {name}"));
        admin.record(entry).await;
    }
    let TestedWebhook { status, accepted, events, reason, hint } = tested;
    let mut mapped = Mapped { reason, ..Mapped::default() };
    // Not what was sent: a mapping must not be able to show the secret.
    if let Some(TestedContent { headers, body }) = accepted {
        let sample = SamplePayload { headers, body };
        let memory = Arc::clone(admin.intake.parse_memory());
        let limits = admin.intake.limits();
        let mapping = spawn_blocking(move || map(&file, &sample, &limits, &memory));
        mapped = mapping.await.map_err(|_| ApiError::Internal)?;
    }
    let Mapped { requests, notes, reason } = mapped;
    let sample = sample_name;
    Ok(Json(SourceTestView { status, ms, sample, reason, hint, requests, notes, events }))
}

fn live_source(admin: &AdminState, name: &SourceName) -> Result<Arc<Source>, ApiError> {
    match admin.intake.sources.current().get(name) {
        Some(SourceStatus::Live(source)) => match source.off_reason(clock::now()) {
            None => Ok(Arc::clone(source)),
            Some(reason) => Err(ApiError::Conflict(format!("{name} is off: {reason}"))),
        },
        Some(SourceStatus::AwaitingSecret(_)) => Err(ApiError::Conflict(format!(
            "{name} waits for the first request of its provider, which brings the secret: there is \
             none to sign with yet"
        ))),
        Some(SourceStatus::Off { reason }) => {
            Err(ApiError::Conflict(format!("{name} is off: {reason}")))
        }
        None => Err(ApiError::NotFound(format!("there is no source {name}"))),
    }
}

/// Compiles the mapping file in service.
async fn compiled(admin: &AdminState, name: &SourceName) -> Result<Arc<MappingFile>, ApiError> {
    let in_service = admin.mapping_of(name);
    let text = in_service.map(|mapping| mapping.text.text.to_string()).ok_or_else(|| {
        ApiError::Conflict(format!("the mapping file of {name} is gone: it maps nothing"))
    })?;
    let document = Document { name: format!("{name}.toml"), text };
    let folder = Some(admin.files.current().folder.clone());
    // Without the secrets that it names, and only with samples from where samples are.
    let compiled = move || MappingFile::of_text(document).with_samples_of(folder.as_deref());
    let file = spawn_blocking(move || Arc::new(compiled())).await;
    file.map_err(|_| ApiError::Internal)
}

/// Returns what is to be sent.
async fn payload(
    admin: &AdminState,
    source: &SourceName,
    file: &Arc<MappingFile>,
    body: TestBody,
) -> Result<TestPayload, ApiError> {
    let TestBody { sample, event, payload, headers, .. } = body;
    let mut chosen = match (sample, event, payload) {
        (sample, None, None) => {
            let file = Arc::clone(file);
            let read = spawn_blocking(move || of_sample(&file, sample.as_deref())).await;
            read.map_err(|_| ApiError::Internal)??
        }
        (None, Some(id), None) => of_event(admin, source, id).await?,
        (None, None, Some(payload)) => {
            let text: Option<String> = serde_json::from_str(payload.get()).ok();
            let body = text.unwrap_or_else(|| payload.get().to_owned()).into_bytes();
            TestPayload { sample: SamplePayload { headers: Headers::new(), body }, name: None }
        }
        _ => {
            let reason = "give one of `sample`, `event` and `payload`";
            return Err(ApiError::BadRequest(reason.to_owned()));
        }
    };
    let own = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
    chosen.sample.headers.extend(own);
    chosen.sample.headers.retain(|name, _| !OF_CONNECTION.contains(&name.as_str()));
    if chosen.sample.headers.len() > HEADERS_MAX {
        return Err(ApiError::BadRequest(format!("there are more than {HEADERS_MAX} headers")));
    }
    Ok(chosen)
}

/// Reads a sample of the mapping's tests: the first, or the one with this text in its name.
fn of_sample(file: &MappingFile, name: Option<&str>) -> Result<TestPayload, ApiError> {
    let name_of =
        |test: &MappingTest| test.payload.text.rsplit('/').next().unwrap_or_default().to_owned();
    // A source that was added by the API has no tests of its own at first.
    let bundled = bundled_of_provider(file).filter(|_| file.tests.is_empty());
    let file = bundled.as_ref().unwrap_or(file);
    let found = match name {
        None => file.tests.first(),
        Some(name) => file.tests.iter().find(|test| name_of(test).contains(name)),
    };
    let test = found.ok_or_else(|| {
        let names: Vec<String> = file.tests.iter().map(name_of).collect();
        ApiError::BadRequest(match name {
            Some(name) if !names.is_empty() => {
                format!("no sample is called {name}; there are: {}", names.join(", "))
            }
            _ => "the mapping file has no [[test]] with a sample: give a `payload`".to_owned(),
        })
    })?;
    let body = file.test_file(&test.payload.text).map_err(ApiError::Conflict)?;
    let sample = SamplePayload { headers: test.headers.clone(), body };
    Ok(TestPayload { sample, name: Some(name_of(test)) })
}

/// Returns the bundled mapping of the same provider, with its samples in the program; none for a source
/// of a bundled name, whose file would have these tests itself.
fn bundled_of_provider(file: &MappingFile) -> Option<MappingFile> {
    let name = file.name.as_ref()?;
    if bundle::of(name.as_str()).is_some() {
        return None;
    }
    let provider = file.proof.provider.as_deref()?;
    let name = *bundle::of_provider(provider).first()?;
    let document = Document { name: format!("{name}.toml"), text: bundle::of(name)?.to_owned() };
    Some(MappingFile::of_text(document).with_samples_of(None))
}

/// Reads the webhook of a stored event.
async fn of_event(
    admin: &AdminState,
    source: &SourceName,
    id: EventId,
) -> Result<TestPayload, ApiError> {
    let record = admin.store.event(id).await?.ok_or_else(|| no_event(id))?;
    if record.event.source != *source {
        let reason = format!("event {id} is of the source {}", record.event.source);
        return Err(ApiError::Conflict(reason));
    }
    let body = admin.store.body(id).await?.ok_or_else(|| no_event(id))?;
    let sample = SamplePayload { headers: record.event.headers, body };
    Ok(TestPayload { sample, name: None })
}

/// Signs the webhook as the provider of the source does.
fn prepare(
    source: &Source,
    sample: &SamplePayload,
    url: &str,
) -> Result<PreparedWebhook, ApiError> {
    let now = clock::now();
    let key = signing_key(source, now).map_err(|PrivateKeyMissing| {
        ApiError::Conflict(
            "the provider signs with a private key, which only the provider has: let the tool send \
             a test, or use `savio-relay send --private-key FILE`"
                .to_owned(),
        )
    })?;
    let webhook = OutgoingWebhook { source, sample, signed_url: Some(url), key: key.as_ref() };
    webhook.prepare(url, now).map_err(|error| ApiError::BadRequest(error.to_string()))
}

/// Returns the request of the webhook, as it reaches the relay.
fn request(name: &SourceName, webhook: &PreparedWebhook) -> Result<HttpRequest<Body>, ApiError> {
    let query = webhook.url.split_once('?').map_or(String::new(), |(_, query)| format!("?{query}"));
    // Behind a proxy, the public URL may have a prefix that the relay never sees.
    let mut request = HttpRequest::post(format!("/hooks/{name}{query}"));
    for (name, value) in &webhook.headers {
        let header = HeaderName::try_from(name).ok().zip(HeaderValue::try_from(value).ok());
        let (header, value) =
            header.ok_or_else(|| ApiError::BadRequest(format!("`{name}` is not a header")))?;
        request = request.header(header, value);
    }
    request.body(Body::from(webhook.body.clone())).map_err(|_| ApiError::Internal)
}

#[derive(Default)]
struct Mapped {
    requests: Vec<Request>,
    notes: Vec<String>,
    reason: Option<String>,
}

/// Maps the webhook, as its delivery does.
fn map(
    file: &MappingFile,
    sample: &SamplePayload,
    limits: &PayloadLimits,
    memory: &Arc<ParseMemory>,
) -> Mapped {
    let mut mapped = Mapped::default();
    let weight = str::from_utf8(&sample.body).map_or(0, |text| bytes_to_reserve(&[text]));
    let Ok(_taken) = memory.acquire_within(MEMORY_WAIT, weight) else {
        mapped.reason = Some("there is not enough memory to map it now".to_owned());
        return mapped;
    };
    let events = match file.sample_events(sample, limits, clock::now()) {
        Some(Ok(carried)) => carried,
        Some(Err(error)) => {
            mapped.reason = Some(error.to_string());
            return mapped;
        }
        None => return mapped,
    };
    mapped.reason = events.ignored;
    mapped.notes = events.notes;
    for (event, payload) in &events.events {
        match file.mapping.apply(event, payload) {
            Ok(made) => {
                mapped.requests.extend(made.requests);
                mapped.notes.extend(made.notes);
            }
            Err(unmappable) => mapped.reason = Some(unmappable.to_string()),
        }
    }
    if mapped.requests.is_empty() && mapped.reason.is_none() {
        mapped.reason = Some("the mapping makes no request of it".to_owned());
    }
    mapped
}
