//! What a route refuses, as its description says it. The route itself names only what is its own.

use serde_json::json;
use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, Ref, RefOr, Response, ResponseBuilder};

use super::error::ErrorCode;
use super::role::Role;

/// Adds the refusals that all routes have in common, and to each the body that it has.
pub(super) fn describe(operation: &mut Operation, reads_body: bool, role: Role) {
    let has_body = operation.request_body.is_some();
    let mut common = vec![
        (ErrorCode::BadRequest, "A parameter, the path or the body is not as described"),
        (
            ErrorCode::Unauthorized,
            "There is no token, or it is not known, or the session has ended",
        ),
        (
            ErrorCode::TooMany,
            "Too many tokens of less than 16 characters were wrong. `Retry-After` says when to try again",
        ),
        (ErrorCode::Misdirected, "A browser asks for another host name. See `admin.hosts`"),
        (ErrorCode::MethodNotAllowed, "The method is another; `Allow` names those of this path"),
        (ErrorCode::Internal, "An internal error, which is in the relay's log"),
        (
            ErrorCode::Unavailable,
            "The store cannot be read or written at present, or too much is asked at once. \
             `Retry-After` says when to try again",
        ),
    ];
    // The metrics may be read with any token.
    if role > Role::Metrics {
        let reason = "The role does not suffice, or a page of another site may have sent the \
                      request. Nothing changed";
        common.push((ErrorCode::Forbidden, reason));
    }
    if reads_body {
        common.push((ErrorCode::TooSlow, "The body did not arrive in time"));
        common.push((ErrorCode::TooLarge, "The body is too large"));
    }
    if has_body {
        common.push((ErrorCode::ContentType, "The body is no JSON by its `Content-Type`"));
    }
    add(operation, common);
}

/// The same for a route that needs no token. What it reads and checks is its own to describe.
pub(super) fn describe_open(operation: &mut Operation) {
    let common = vec![
        (ErrorCode::BadRequest, "A parameter or the body is not as described"),
        (ErrorCode::MethodNotAllowed, "The method is another; `Allow` names those of this path"),
        (ErrorCode::Internal, "An internal error, which is in the relay's log"),
    ];
    add(operation, common);
}

fn add(operation: &mut Operation, common: Vec<(ErrorCode, &'static str)>) {
    let responses = &mut operation.responses.responses;
    for (code, description) in common {
        // What the route says itself is more exact.
        let own = responses.entry(code.status().as_str().to_owned());
        own.or_insert_with(|| RefOr::T(ResponseBuilder::new().description(description).build()));
    }
    for code in ErrorCode::ALL {
        if let Some(RefOr::T(response)) = responses.get_mut(code.status().as_str()) {
            add_body(response, code);
        }
    }
}

fn add_body(response: &mut Response, code: ErrorCode) {
    let example = json!({ "error": code, "reason": response.description });
    let body = ContentBuilder::new().schema(Some(Ref::from_schema_name("Error")));
    let body = body.example(Some(example)).build();
    response.content = [("application/json".to_owned(), RefOr::T(body))].into_iter().collect();
}
