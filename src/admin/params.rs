//! What a caller asked for: parameters and JSON bodies, with their mistakes told.

use std::str::FromStr;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::Uri;
use axum::http::request::Parts;
use axum::response::Json;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;
use super::state::AdminState;
use crate::event::{EventId, State};
use crate::json::Object;
use crate::store::EventFilter;

/// The parameters of a query, in two parts.
pub(crate) struct QueryParams<A, B = NoParams>(pub(super) A, pub(super) B);

#[derive(Debug, Deserialize)]
pub(crate) struct NoParams {}

impl<S, A, B> FromRequestParts<S> for QueryParams<A, B>
where
    S: Sync,
    A: DeserializeOwned,
    B: DeserializeOwned,
{
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<QueryParams<A, B>, ApiError> {
        let given: Vec<(String, String)> = read(&parts.uri)?;
        for (key, value) in &given {
            not_blank(key, value)?;
        }
        Ok(QueryParams(read(&parts.uri)?, read(&parts.uri)?))
    }
}

fn read<T: DeserializeOwned>(address: &Uri) -> Result<T, ApiError> {
    let read = Query::try_from_uri(address);
    read.map(|Query(asked)| asked).map_err(|error| ApiError::Wrong(error.body_text()))
}

/// An empty value is mostly that of a variable that is not set, and would mean everything.
fn not_blank(key: &str, value: &str) -> Result<(), ApiError> {
    if value.trim().is_empty() {
        return Err(ApiError::Wrong(format!("`{key}` is empty: leave it out or give it a value")));
    }
    Ok(())
}

/// A body that is a JSON object; none at all counts as `{}`.
pub(crate) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, ApiError> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            let empty = serde_json::from_str("{}");
            return empty.map(JsonBody).map_err(|error| ApiError::Wrong(error.to_string()));
        }
        let read = Json::from_request(request, state).await;
        read.map(|Json(Object(order))| JsonBody(order)).map_err(|rejection| match rejection {
            JsonRejection::MissingJsonContentType(_) => ApiError::ContentType,
            JsonRejection::BytesRejection(error) if error.status().as_u16() == 413 => {
                ApiError::TooLarge
            }
            other => ApiError::Wrong(other.body_text()),
        })
    }
}

/// Which events are meant: those that are all of it.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    #[param(inline)]
    pub(super) state: Option<State>,
    /// Of this source.
    pub(super) source: Option<String>,
    /// Of the sources that send to this destination.
    pub(super) destination: Option<String>,
    /// Received then or later.
    pub(super) since: Option<Timestamp>,
    /// Received before.
    pub(super) until: Option<Timestamp>,
    /// A part of the id, delivery id, type or reason; capital letters make no difference.
    pub(super) q: Option<String>,
    /// Whether fields were left out of its requests, since Savio would not take their values.
    pub(super) left_out: Option<bool>,
}

impl EventQuery {
    pub(super) fn filter(self, inside: &AdminState) -> Result<EventFilter, ApiError> {
        let EventQuery { state, source, destination, since, until, q, left_out } = self;
        for (key, value) in [("source", &source), ("destination", &destination), ("q", &q)] {
            value.as_deref().map_or(Ok(()), |value| not_blank(key, value))?;
        }
        let senders =
            destination.map(|name| inside.destination(&name).map(|to| to.delivery.sources()));
        let mut sources = senders.transpose()?;
        if let Some(name) = source {
            let name =
                name.parse().map_err(|error| ApiError::Wrong(format!("`source`: {error}")))?;
            let sent_there = sources.is_none_or(|sources| sources.contains(&name));
            sources = Some(if sent_there { vec![name] } else { Vec::new() });
        }
        Ok(EventFilter { ids: Vec::new(), state, sources, since, until, text: q, left_out })
    }

    pub(super) fn is_everything(&self) -> bool {
        let EventQuery { state, source, destination, since, until, q, left_out } = self;
        let names = [source, destination, q];
        let has_time = since.is_some() || until.is_some();
        state.is_none() && left_out.is_none() && !has_time && names.iter().all(|it| it.is_none())
    }
}

/// The part of an address that varies: a name or an id.
pub(crate) struct PathSegment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathSegment, ApiError> {
        let named = Path::<String>::from_request_parts(parts, state).await;
        let unreadable = |_| ApiError::Wrong("the address is not UTF-8".to_owned());
        named.map(|Path(name)| PathSegment(name)).map_err(unreadable)
    }
}

/// The id of an event or a replay in an address.
pub(super) fn id<T: FromStr>(written: &str, what: &str) -> Result<T, ApiError> {
    written.parse().map_err(|_| ApiError::NotFound(format!("there is no {what} {written}")))
}

pub(super) fn no_event(id: EventId) -> ApiError {
    ApiError::NotFound(format!("there is no event {id}"))
}
