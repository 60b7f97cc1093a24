//! Refuses what a page of another site may have sent. A browser adds a session's cookie, and a proxy
//! its user, to such a request as well.

use std::borrow::Cow;
use std::sync::Arc;

use axum::body::{Body, Bytes};
use axum::extract::Request;
use axum::http::request::Parts;
use axum::http::{Extensions, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Response};
use subtle::ConstantTimeEq;

use super::caller::ApiCaller;
use super::error::ApiError;
use super::logins::Logins;

const HEADER: &str = "x-csrf-token";

/// Field of a form that holds the same.
const FIELD: &str = "csrf";

/// Media type of a form of a page.
pub(super) const FORM: &str = "application/x-www-form-urlencoded";

/// What the form in a request's body has to hold.
#[derive(Clone)]
struct AwaitedField(Arc<str>);

/// Checks a request that acts, as far as its headers tell. [`check_form`] does the rest.
pub(super) fn check(
    parts: &mut Parts,
    caller: &ApiCaller,
    logins: &Logins,
) -> Result<(), ApiError> {
    if !caller.is_ambient() || parts.method == "GET" || parts.method == "HEAD" {
        return Ok(());
    }
    logins.hosts.require_origin(&parts.headers)?;
    let Some(session) = &caller.session else {
        let reason =
            "the browser presents no session of this user: get /api/v1/session, which begins one";
        return Err(ApiError::Forged(reason.into()));
    };
    match parts.headers.get(HEADER) {
        Some(presented) => require(presented.as_bytes(), &session.csrf_token),
        None if is_form(parts) => {
            parts.extensions.insert(AwaitedField(Arc::clone(&session.csrf_token)));
            Ok(())
        }
        None => Err(WRONG),
    }
}

const WRONG: ApiError = ApiError::Forged(Cow::Borrowed(
    "send the session's csrf_token, which /api/v1/session returns, as the header X-CSRF-Token or as the \
     field csrf of a form",
));

/// Returns whether the body is a form, by its type.
pub(super) fn is_form(parts: &Parts) -> bool {
    let media_type = parts.headers.get(header::CONTENT_TYPE).and_then(|it| it.to_str().ok());
    let media_type = media_type.and_then(|it| it.split(';').next()).map(str::trim);
    media_type.is_some_and(|it| it.eq_ignore_ascii_case(FORM))
}

/// Returns whether the body is a form with the field that [`check_form`] checks, and no other.
pub(super) fn is_token_alone(parts: &Parts, body: &[u8]) -> bool {
    is_form(parts) && form_urlencoded::parse(body).map(|(name, _)| name).eq([FIELD])
}

/// Middleware that checks the field of a form, if the headers did not hold the token. The body has
/// been read.
pub(super) async fn check_form(request: Request, next: Next) -> Response {
    if request.extensions().get::<AwaitedField>().is_none() {
        return next.run(request).await;
    }
    let (parts, body) = request.into_parts();
    // Whoever read it has bounded it.
    let Ok(body) = axum::body::to_bytes(body, usize::MAX).await else {
        return ApiError::Internal.into_response();
    };
    match check_field(&parts.extensions, &body) {
        Ok(()) => next.run(Request::from_parts(parts, Body::from(body))).await,
        Err(refusal) => refusal.into_response(),
    }
}

/// Checks the field of the form in a body, if [`check`] left it to that.
pub(super) fn check_field(extensions: &Extensions, form: &Bytes) -> Result<(), ApiError> {
    let Some(AwaitedField(expected)) = extensions.get() else { return Ok(()) };
    let mut fields = form_urlencoded::parse(form).filter(|(name, _)| name == FIELD);
    let presented = fields.next().map(|(_, value)| value.into_owned());
    require(presented.unwrap_or_default().as_bytes(), expected)
}

fn require(presented: &[u8], expected: &str) -> Result<(), ApiError> {
    if presented.ct_eq(expected.as_bytes()).into() { Ok(()) } else { Err(WRONG) }
}
