//! Parameters and JSON bodies of requests, checked strictly, with an explanation of each mistake.

use std::num::NonZero;
use std::str::FromStr;

use axum::extract::rejection::JsonRejection;
use axum::extract::{FromRequest, FromRequestParts, Path, Query, Request};
use axum::http::request::Parts;
use axum::http::{Uri, header};
use axum::response::Json;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use utoipa::IntoParams;

use super::error::ApiError;
use super::mapping_changes::ExpectedFile;
use super::reason_kind::ReasonKind;
use super::state::AdminState;
use super::states_param::States;
use super::time_bound::{Since, Until};
use super::unread_input::{explained, read_object};
use crate::event::{EventId, SourceName, State};
use crate::json::Object;
use crate::store::{EventFilter, PageRequest, StoppedAt};

/// Parameters of a query, in two parts. `known_params` refuses those that neither part has.
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
        let pairs = pairs(&parts.uri)?;
        let address = with_one_state(&parts.uri, &pairs)?;
        Ok(QueryParams(read(&address)?, read(&address)?))
    }
}

/// Reads the parameters of an address. They must be known.
pub(super) fn query<T: DeserializeOwned>(address: &Uri) -> Result<T, ApiError> {
    pairs(address)?;
    read(address)
}

fn pairs(address: &Uri) -> Result<Vec<(String, String)>, ApiError> {
    let pairs: Vec<(String, String)> = read(address)?;
    for (key, value) in &pairs {
        not_blank(key, value)?;
    }
    Ok(pairs)
}

/// Returns the address with its states in one parameter. Other parameters may not be repeated.
fn with_one_state(address: &Uri, pairs: &[(String, String)]) -> Result<Uri, ApiError> {
    let (states, others): (Vec<_>, Vec<_>) = pairs.iter().partition(|(key, _)| key == "state");
    if states.len() < 2 {
        return Ok(address.clone());
    }
    let states: Vec<&str> = states.iter().map(|(_, state)| state.as_str()).collect();
    let mut query = form_urlencoded::Serializer::for_suffix("/?".to_owned(), 2);
    query.append_pair("state", &states.join(","));
    let query = query.extend_pairs(others).finish();
    query.parse().map_err(|_| ApiError::BadRequest("the parameters are too long".to_owned()))
}

fn read<T: DeserializeOwned>(address: &Uri) -> Result<T, ApiError> {
    let read = Query::try_from_uri(address);
    read.map(|Query(query)| query).map_err(|error| explained(&error))
}

fn not_blank(key: &str, value: &str) -> Result<(), ApiError> {
    // An empty value mostly comes from a shell variable that is not set, and would match
    // everything: a replay with `q=` would send all events again.
    if value.trim().is_empty() {
        return Err(ApiError::BadRequest(format!(
            "`{key}` is empty: leave it out or give it a value"
        )));
    }
    Ok(())
}

/// A body that is a JSON object. A missing body counts as `{}`.
pub(crate) struct JsonBody<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<JsonBody<T>, ApiError> {
        use axum::body::HttpBody as _;
        if request.body().is_end_stream() {
            return read_object(b"{}").map(JsonBody);
        }
        let read = Json::from_request(request, state).await;
        read.map(|Json(Object(body))| JsonBody(body)).map_err(|rejection| match rejection {
            JsonRejection::MissingJsonContentType(_) => ApiError::ContentType,
            JsonRejection::BytesRejection(error) if error.status().as_u16() == 413 => {
                ApiError::TooLarge
            }
            other => explained(&other),
        })
    }
}

/// The variable segment of a path, and the header `If-Match`: which texts a request may change.
pub(crate) struct ConditionalPath {
    pub(super) segment: String,
    condition: Option<ExpectedFile>,
}

impl ConditionalPath {
    /// Returns the condition, without which a change would overwrite what nobody has read.
    pub(super) fn condition(self) -> Result<ExpectedFile, ApiError> {
        self.condition.ok_or(ApiError::NoPrecondition)
    }
}

impl<S: Send + Sync> FromRequestParts<S> for ConditionalPath {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<ConditionalPath, ApiError> {
        let PathSegment(segment) = PathSegment::from_request_parts(parts, state).await?;
        let lines = parts.headers.get_all(header::IF_MATCH).iter().map(|line| line.to_str());
        let lines: Vec<&str> = lines.collect::<Result<_, _>>().map_err(|_| malformed())?;
        let condition = (!lines.is_empty()).then(|| expected(&lines.join(","))).transpose()?;
        Ok(ConditionalPath { segment, condition })
    }
}

fn malformed() -> ApiError {
    let reason = "`If-Match` is neither a list of digests in quotes nor *";
    ApiError::BadRequest(reason.to_owned())
}

fn expected(header: &str) -> Result<ExpectedFile, ApiError> {
    if header.trim() == "*" {
        return Ok(ExpectedFile::Any);
    }
    // RFC 9110, section 13.1.1: strong comparison, so a weak tag matches nothing.
    let tags = header.split(',').map(str::trim).filter(|tag| !tag.is_empty());
    let strong = tags.filter(|tag| !tag.starts_with("W/"));
    let digests = strong.map(|tag| {
        let quoted = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        quoted.map(str::to_owned).ok_or_else(malformed)
    });
    Ok(ExpectedFile::OneOf(digests.collect::<Result<_, _>>()?))
}

/// Filter for events, all of whose conditions must hold.
#[derive(Debug, Default, PartialEq, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// Events in this state, or in one of several: `state=dead&state=held` or `state=dead,held`.
    #[param(inline, value_type = Option<Vec<State>>, style = Form, explode)]
    pub(super) state: Option<States>,
    /// Events of this source.
    #[param(value_type = Option<SourceName>)]
    pub(super) source: Option<String>,
    /// Events of the sources that send to this destination.
    #[param(value_type = Option<SourceName>)]
    pub(super) destination: Option<String>,
    /// Events received at this time or later: an age, a date in UTC or a time.
    #[param(inline)]
    pub(super) since: Option<Since>,
    /// Events received before this time; a date includes the whole day.
    #[param(inline)]
    pub(super) until: Option<Until>,
    /// Part of the id, delivery id, type, reason, summary, person or company, without regard to case.
    #[param(min_length = 1)]
    pub(super) q: Option<String>,
    /// Part of the payload, without regard to case.
    #[param(min_length = 1)]
    pub(super) contains: Option<String>,
    /// Events of exactly this type.
    #[param(min_length = 1)]
    pub(super) r#type: Option<String>,
    /// Events that were not delivered, by where they stopped.
    #[param(inline)]
    pub(super) stage: Option<StoppedAt>,
    /// Dead events of this cause: the `kind` of an entry of `dead/groups`.
    #[param(inline)]
    pub(super) reason_kind: Option<ReasonKind>,
    /// Events with at least so many attempts, of all their requests together.
    #[param(value_type = Option<u32>, minimum = 1)]
    pub(super) attempts_min: Option<NonZero<u32>>,
    /// Events whose requests lack fields because Savio would refuse their values (true), or do not
    /// (false).
    pub(super) left_out: Option<bool>,
    /// Events of which Savio may have, or may get, a request twice (true), or the others (false).
    pub(super) may_repeat: Option<bool>,
    /// Events that a person imported (true), or that were sent (false).
    pub(super) imported: Option<bool>,
}

impl EventQuery {
    pub(super) fn filter(self, admin: &AdminState) -> Result<EventFilter, ApiError> {
        let EventQuery { state, source, destination, since, until, q, contains, .. } = self;
        let EventQuery { r#type: event_type, stage, attempts_min, .. } = self;
        let EventQuery { left_out, may_repeat, imported, reason_kind, .. } = self;
        // Here as well, since a replay has the filter in its body.
        let named = [("source", &source), ("destination", &destination)];
        let texts = [("q", &q), ("contains", &contains), ("type", &event_type)];
        for (key, value) in named.into_iter().chain(texts) {
            value.as_deref().map_or(Ok(()), |value| not_blank(key, value))?;
        }
        let sources = selected_sources(admin, source, destination)?;
        Ok(EventFilter {
            ids: Vec::new(),
            states: state.map(|States(states)| states).unwrap_or_default(),
            sources,
            since: since.map(|Since(time)| time),
            until: until.map(|Until(time)| time),
            text: q,
            left_out,
            contains,
            event_type,
            stage,
            reason_kind: reason_kind.map(|ReasonKind(kind)| kind),
            attempts_min: attempts_min.map(NonZero::get),
            may_repeat,
            imported,
            newer_than: None,
        })
    }

    pub(super) fn is_everything(&self) -> bool {
        *self == EventQuery::default()
    }
}

/// Returns the sources that a request selects by one's name, or by the destination that they send to; none
/// if it selects all.
pub(super) fn selected_sources(
    admin: &AdminState,
    source: Option<String>,
    destination: Option<String>,
) -> Result<Option<Vec<SourceName>>, ApiError> {
    let senders = destination.map(|name| admin.destination(&name).map(|to| to.delivery.sources()));
    let sources = senders.transpose()?;
    let Some(name) = source else { return Ok(sources) };
    let name = name.parse().map_err(|error| ApiError::BadRequest(format!("`source`: {error}")))?;
    let sent_there = sources.is_none_or(|sources| sources.contains(&name));
    Ok(Some(if sent_there { vec![name] } else { Vec::new() }))
}

const LIMIT: u16 = 50;
const LIMIT_MAX: u16 = 500;

/// Returns the page that the parameters `limit` and `after` ask for.
pub(super) fn page(limit: Option<u16>, after: Option<&str>) -> Result<PageRequest, ApiError> {
    let limit = self::limit(limit)?;
    let after = after.map(str::parse).transpose();
    let after = after.map_err(|error| ApiError::BadRequest(format!("`after`: {error}")))?;
    Ok(PageRequest { limit, after })
}

/// Returns the length of a page that the parameter `limit` asks for.
pub(super) fn limit(limit: Option<u16>) -> Result<usize, ApiError> {
    let limit = limit.unwrap_or(LIMIT);
    if !(1..=LIMIT_MAX).contains(&limit) {
        return Err(ApiError::BadRequest(format!("`limit` is from 1 to {LIMIT_MAX}")));
    }
    Ok(usize::from(limit))
}

/// The variable segment of a path: a name or an id.
pub(crate) struct PathSegment(pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegment {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathSegment, ApiError> {
        let segment = Path::<String>::from_request_parts(parts, state).await;
        let not_utf8 = |_| ApiError::BadRequest("the address is not UTF-8".to_owned());
        segment.map(|Path(text)| PathSegment(text)).map_err(not_utf8)
    }
}

/// The two variable segments of a path.
pub(crate) struct PathSegments(pub(super) String, pub(super) String);

impl<S: Send + Sync> FromRequestParts<S> for PathSegments {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<PathSegments, ApiError> {
        let segments = Path::<(String, String)>::from_request_parts(parts, state).await;
        let not_utf8 = |_| ApiError::BadRequest("the address is not UTF-8".to_owned());
        segments.map(|Path((first, second))| PathSegments(first, second)).map_err(not_utf8)
    }
}

/// Parses the id of an event or a replay in a path.
pub(super) fn id<T: FromStr>(text: &str, what: &str) -> Result<T, ApiError> {
    // 404 and not 400: there is no resource at a path that holds no id.
    text.parse().map_err(|_| ApiError::NotFound(format!("there is no {what} {text}")))
}

pub(super) fn no_event(id: EventId) -> ApiError {
    ApiError::NotFound(format!("there is no event {id}"))
}
