//! What a mapping that is not saved yet would make of a payload. Nothing is kept or sent.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use axum::response::{IntoResponse, Json, Response};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use tokio::task::spawn_blocking;
use utoipa::ToSchema;

use super::Inside;
use super::asked::{Order, no_event};
use super::refusal::{Any, BadBody, Refusal, Said};
use crate::clock;
use crate::event::{Event, EventId, Request, SourceName};
use crate::intake::payload::Limits;
use crate::mapping::FieldStory;
use crate::mistake::{Document, Mistake};
use crate::parse_memory::{NoMemory, weigh};
use crate::sources::{Sample, SourceFile};

/// A mapping file's text, and either a payload or a stored event.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct PreviewOrder {
    mapping: String,
    /// Any JSON: what a webhook would bring.
    #[schema(value_type = Option<Value>)]
    payload: Option<Box<RawValue>>,
    /// The headers that come with the payload.
    #[serde(default)]
    headers: BTreeMap<String, String>,
    event: Option<EventId>,
    /// The source's name; for a stored event its own, else "preview".
    #[schema(value_type = Option<String>)]
    source: Option<SourceName>,
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(super) enum Previewed {
    Mapped(Made),
    Mistaken(Mistakes),
}

#[derive(Debug, Default, Serialize, ToSchema)]
pub(super) struct Made {
    requests: Vec<Request>,
    /// For each field the query or template that gave its value, and all that were tried.
    explain: Vec<FieldStory>,
    /// What was left out, and why.
    notes: Vec<String>,
    /// Why there is no request, or not all.
    reason: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Mistakes {
    mistakes: Vec<Mistaken>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(super) struct Mistaken {
    /// From 1.
    line: usize,
    /// From 1, in characters.
    column: usize,
    message: String,
    /// What to write instead.
    help: Option<String>,
}

/// What there is to be mapped.
enum Given {
    Payload(Sample),
    Event(Box<Event>),
}

impl Given {
    /// How much memory it takes once it is parsed.
    fn weight(&self) -> usize {
        match self {
            Given::Payload(sample) => str::from_utf8(&sample.body).map_or(0, weigh),
            Given::Event(event) => weigh(&event.payload),
        }
    }
}

/// How long a preview waits for what webhooks and deliveries parse.
const MEMORY_WAIT: Duration = Duration::from_secs(10);
const NO_MEMORY: &str = "there is no memory to parse the payload now: try again in some seconds";

/// The requests that a mapping would make, or its mistakes
#[utoipa::path(post, path = "/api/v1/preview", request_body = PreviewOrder,
    responses(Any, BadBody, (status = 200, body = Previewed),
        (status = 404, description = "There is no such event", body = Said)))]
pub(super) async fn preview(
    State(inside): State<Arc<Inside>>,
    Order(order): Order<PreviewOrder>,
) -> Result<Response, Refusal> {
    let PreviewOrder { mapping, payload, headers, event, source } = order;
    let given = match (payload, event) {
        (Some(payload), None) => {
            let headers = headers.into_iter().map(|(name, value)| (name.to_lowercase(), value));
            Given::Payload(Sample { headers: headers.collect(), body: payload.get().into() })
        }
        (None, Some(id)) => {
            let record = inside.store.event(id).await?.ok_or_else(|| no_event(id))?;
            Given::Event(Box::new(record.event))
        }
        (Some(_), Some(_)) | (None, None) => {
            return Err(Refusal::Wrong("give either `payload` or `event`".to_owned()));
        }
    };
    let name = match (&source, &given) {
        (Some(name), _) => name.to_string(),
        (None, Given::Event(event)) => event.source.to_string(),
        (None, Given::Payload(_)) => "preview".to_owned(),
    };
    let document = Document { name: format!("{name}.toml"), text: mapping };
    let (limits, memory) = (inside.door.limits(), Arc::clone(inside.door.parse_memory()));
    let mapped = spawn_blocking(move || {
        let memory = memory.take_within(MEMORY_WAIT, given.weight());
        memory.map(|_taken| previewed(document, given, &limits))
    });
    let previewed = mapped.await.map_err(|_| Refusal::Panicked)?;
    let previewed = previewed.map_err(|NoMemory| Refusal::Away(NO_MEMORY.to_owned()))?;
    Ok(Json(previewed).into_response())
}

fn previewed(document: Document, given: Given, limits: &Limits) -> Previewed {
    let file = SourceFile::of_text(document);
    if file.mistakes.iter().any(Mistake::is_error) {
        return Previewed::Mistaken(Mistakes { mistakes: mistaken(&file) });
    }
    let mut made = Made::default();
    match given {
        Given::Event(event) => match serde_json::from_str::<Value>(&event.payload) {
            Ok(payload) => made.add(&file, &event, &Arc::new(payload)),
            Err(error) => made.reason = Some(format!("the payload is no JSON: {error}")),
        },
        Given::Payload(sample) => match file.carried(&sample, limits, clock::now()) {
            Some(Ok(carried)) => {
                made.reason = carried.ignored;
                made.notes = carried.notes;
                for (event, payload) in &carried.events {
                    made.add(&file, event, payload);
                }
            }
            Some(Err(error)) => made.reason = Some(error.to_string()),
            None => {}
        },
    }
    Previewed::Mapped(made)
}

impl Made {
    fn add(&mut self, file: &SourceFile, event: &Event, payload: &Arc<Value>) {
        let explanation = file.mapping.explain(event, payload);
        self.explain.extend(explanation.fields);
        match explanation.mapped {
            Some(Ok(mapped)) => {
                self.requests.extend(mapped.requests);
                self.notes.extend(mapped.notes);
            }
            Some(Err(unmappable)) => self.reason = Some(unmappable.to_string()),
            None => {}
        }
        if self.requests.is_empty() && self.reason.is_none() {
            let reasons = explanation.blocks.iter().flat_map(|block| &block.reasons);
            self.reason = Some(reasons.cloned().collect::<Vec<_>>().join("; "));
        }
    }
}

fn mistaken(file: &SourceFile) -> Vec<Mistaken> {
    let shown = |mistake: &Mistake| {
        let (line, column) = mistake.line_and_column(&file.document);
        Mistaken { line, column, message: mistake.message.clone(), help: mistake.help.clone() }
    };
    file.mistakes.iter().filter(|mistake| mistake.is_error()).map(shown).collect()
}
