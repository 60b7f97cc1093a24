//! Rejects query parameters that the description of a route does not name. A misspelled filter
//! would otherwise be ignored, and match everything.

use axum::extract::{Query, Request, State};
use axum::http::Uri;
use axum::middleware::Next;
use axum::response::Response;

use super::contract::Contracts;
use super::error::ApiError;
use super::unread_input::explained;

/// Middleware that answers 400 to an unknown parameter.
pub(super) async fn check(
    State(contracts): State<Contracts>,
    request: Request,
    next: Next,
) -> Result<Response, ApiError> {
    let known = contracts.of_request(&request).map_or(&[][..], |contract| &contract.query);
    require(request.uri(), known)?;
    Ok(next.run(request).await)
}

/// Fails if there is a parameter that is not known.
pub(super) fn require(uri: &Uri, known: &[String]) -> Result<(), ApiError> {
    let received: Query<Vec<(String, String)>> =
        Query::try_from_uri(uri).map_err(|error| explained(&error))?;
    match received.iter().find(|(name, _)| !known.contains(name)) {
        Some((name, _)) if known.is_empty() => {
            let reason = format!("unknown parameter `{name}`; none is known here");
            Err(ApiError::BadRequest(reason))
        }
        Some((name, _)) => {
            let known = known.join(", ");
            let reason = format!("unknown parameter `{name}`; known here: {known}");
            Err(ApiError::BadRequest(reason))
        }
        None => Ok(()),
    }
}
