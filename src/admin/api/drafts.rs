//! Drafts of mapping files from a payload. Nothing is stored or sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::Json;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use crate::admin::error::ApiError;
use crate::admin::params::JsonBody;
use crate::admin::state::AdminState;
use crate::diagnostics::suggestion::nearest;
use crate::draft::{self, Advice, Draft, DraftInput, Guess, saved_request};
use crate::event::{Request, SourceName};
use crate::intake::provider::Provider;
use crate::mapping_file::file::SamplePayload;
use crate::parse_memory::{NoMemory, bytes_to_reserve};

/// A payload, and what is known about it.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct DraftBody {
    /// The payload as JSON. A text is the payload as it was sent, such as a form or XML, or a whole
    /// request that was saved with its headers.
    #[schema(value_type = serde_json::Value)]
    payload: Box<RawValue>,
    /// Headers of the webhook, which tell most about its tool.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    /// Provider of the payload; by default it is guessed.
    provider: Option<String>,
    /// Name of the source; by default that of the provider.
    #[schema(value_type = Option<String>)]
    name: Option<SourceName>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Draft)]
pub(crate) struct DraftView {
    /// Name of the source.
    name: SourceName,
    /// Text of the mapping file.
    mapping: String,
    /// Null if no tool is known that sends this.
    provider: Option<RecognizedProvider>,
    /// What was found for each field of feedback.
    guesses: Vec<FieldGuess>,
    /// What the mapping makes of the payload.
    requests: Vec<Request>,
    /// What is left for a person to do.
    left: Vec<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RecognizedProvider {
    name: String,
    title: String,
    /// Why it is taken for this one; null if the request named it.
    why: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct FieldGuess {
    field: &'static str,
    /// The value as the mapping file writes it; null if nothing was sure enough.
    taken: Option<String>,
    why: Option<String>,
    /// Other values that were found.
    others: Vec<OtherValue>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct OtherValue {
    /// As the mapping file would write it.
    written: String,
    /// What it is in the payload.
    value: String,
}

/// Largest payload. Each of some fifty providers decodes it, and its shape is compared with theirs.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;
/// Most values of a payload: webhooks of the known tools have up to some hundred.
const VALUES_MAX: usize = 1_000;
const HEADERS_MAX: usize = 200;
/// Longest wait for memory that webhooks and deliveries use for parsed JSON.
const MEMORY_WAIT: Duration = Duration::from_secs(10);

/// Draft a mapping file from one payload
#[utoipa::path(post, path = "/api/v1/draft", request_body = DraftBody,
    responses((status = 200, description = "The drafted mapping file, and what was guessed",
        body = DraftView)))]
pub(crate) async fn draft(
    State(admin): State<Arc<AdminState>>,
    JsonBody(body): JsonBody<DraftBody>,
) -> Result<Json<DraftView>, ApiError> {
    let DraftBody { payload, headers, provider, name } = body;
    if let Some(provider) = &provider {
        check_provider(provider)?;
    }
    let sample = sample(&payload, headers)?;
    let weight = str::from_utf8(&sample.body).map_or(0, |text| bytes_to_reserve(&[text]));
    let (limits, memory) = (admin.intake.limits(), Arc::clone(admin.intake.parse_memory()));
    // It compiles mapping files and maps, and the wait for memory blocks.
    let drafted = spawn_blocking(move || {
        let _taken = memory.acquire_within(MEMORY_WAIT, weight).map_err(|NoMemory| {
            let reason = "not enough memory to parse the payload now: try again in a few seconds";
            ApiError::Unavailable(reason.to_owned())
        })?;
        let values_max = VALUES_MAX;
        let input = DraftInput { sample, provider, file_name: "", name, values_max };
        let draft = draft::draft(input, &limits);
        draft.map(|draft| view(&draft)).map_err(|error| ApiError::BadRequest(error.to_string()))
    });
    drafted.await.map_err(|_| ApiError::Internal)?.map(Json)
}

fn check_provider(name: &str) -> Result<(), ApiError> {
    if Provider::builtin(name).is_some() {
        return Ok(());
    }
    let help = match nearest(name, Provider::names()) {
        Some(known) => format!("did you mean {known}?"),
        None => "GET /api/v1/providers lists them".to_owned(),
    };
    Err(ApiError::BadRequest(format!("there is no provider {name}; {help}")))
}

fn sample(
    payload: &RawValue,
    headers: BTreeMap<String, String>,
) -> Result<SamplePayload, ApiError> {
    let is_text = payload.get().starts_with('"');
    let saved = if is_text {
        let text: Result<String, _> = serde_json::from_str(payload.get());
        text.map_err(|error| ApiError::BadRequest(format!("`payload`: {error}")))?.into_bytes()
    } else {
        payload.get().as_bytes().to_vec()
    };
    if saved.len() > PAYLOAD_BYTES_MAX {
        return Err(ApiError::BadRequest(format!(
            "the payload is larger than {} KiB: leave a part of it out",
            PAYLOAD_BYTES_MAX / 1024
        )));
    }
    let mut sample = saved_request::read(saved);
    sample.headers.extend(headers.into_iter().map(|(name, value)| (name.to_lowercase(), value)));
    if sample.headers.len() > HEADERS_MAX {
        return Err(ApiError::BadRequest(format!("there are more than {HEADERS_MAX} headers")));
    }
    saved_request::complete(&mut sample);
    Ok(sample)
}

fn view(draft: &Draft) -> DraftView {
    let provider = draft.provider().map(|(name, why)| RecognizedProvider {
        name: name.to_owned(),
        title: Provider::title_of(name),
        why: (!why.is_empty()).then(|| why.to_owned()),
    });
    let guess = |guess: Guess| FieldGuess {
        field: guess.field,
        taken: guess.taken,
        why: guess.why,
        others: guess
            .others
            .into_iter()
            .map(|(written, value)| OtherValue { written, value })
            .collect(),
    };
    DraftView {
        name: draft.name().clone(),
        mapping: draft.text(),
        provider,
        guesses: draft.guesses().into_iter().map(guess).collect(),
        requests: draft.requests.clone(),
        left: draft.advice().iter().filter_map(step).collect(),
    }
}

/// Returns a step that is left; none for what is only to be known.
fn step(advice: &Advice) -> Option<String> {
    Some(match advice {
        Advice::TakenFor { .. } => return None,
        Advice::UnknownTool => {
            "no tool that is known sends this, so the draft asks for a token: look at [signature]"
                .to_owned()
        }
        Advice::Bundled { title, name } => format!(
            "a finished mapping for {title} is part of the program, which may fit better than a \
             draft: {name}"
        ),
        Advice::MissingHeader { title, header } => format!(
            "{title} says in the header {header} what kind of event it is: add it to `headers`"
        ),
        Advice::NoText => {
            "nothing in it reads like a person's words: name the text in `problem` of [[feedback]]"
                .to_owned()
        }
        Advice::NotFound(fields) => format!(
            "not found: {}; comments in the draft say what else is there",
            fields.join(", ")
        ),
    })
}
