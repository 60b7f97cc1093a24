//! What the admin listener answers without a token: the pages for browsers to log in and out, which work
//! without script and style, and whether it answers at all.

mod html;
mod next_path;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, Uri, header};
use axum::response::{Html, IntoResponse as _, Json, Response};
use serde::{Deserialize, Serialize};
use utoipa::openapi::OpenApi;
use utoipa::{IntoParams, ToSchema};
use utoipa_axum::routes;

use super::accept::accepts_html;
use super::api::session::SessionView;
use super::body::{gather, require_no_body};
use super::csrf;
use super::error::ApiError;
use super::known_params;
use super::logins::{BegunSession, LoginProof, Logins};
use super::params::query;
use super::routes::Routes;
use super::unread_input::read_object;
use next_path::NextPath;

/// Largest body: tokens and paths are short.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Longest time for a body.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// Returns the routes of the pages and their description.
pub(super) fn described(logins: Arc<Logins>) -> (Router, OpenApi) {
    let (router, description) = routes().split_for_parts();
    let refuse = || async { ApiError::MethodNotAllowed };
    (router.method_not_allowed_fallback(refuse).with_state(logins), description)
}

pub(super) fn description() -> OpenApi {
    routes().split_for_parts().1
}

fn routes() -> Routes<Arc<Logins>> {
    Routes::with_openapi(OpenApi::default())
        .open_routes(routes!(show_front))
        .open_routes(routes!(show_login, log_in))
        .open_routes(routes!(log_out))
        .open_routes(routes!(health))
}

/// Tell that the listener answers
#[utoipa::path(get, path = "/healthz",
    responses((status = 200, description = "It does. `GET /readyz` of the webhook listener tells more",
               body = ListenerHealth)))]
async fn health(uri: Uri) -> Result<Json<ListenerHealth>, ApiError> {
    known_params::require(&uri, &[])?;
    Ok(Json(ListenerHealth { status: "ok" }))
}

#[derive(Debug, Serialize, ToSchema)]
struct ListenerHealth {
    /// `ok`.
    status: &'static str,
}

/// Send a browser to the login page
#[utoipa::path(get, path = "/", responses(
    (status = 303, description = "To `login`, for a client whose `Accept` names `text/html`"),
    (status = 404, description = "There is nothing here for a program")))]
async fn show_front(request: Request) -> Result<Response, ApiError> {
    known_params::require(request.uri(), &[])?;
    if accepts_html(request.headers()) {
        return Ok(see_other(NextPath::default().as_str()));
    }
    Err(ApiError::NotFound("there is nothing here: the API is below /api/v1/".to_owned()))
}

/// Parameters of the login page, which are fields of its form too.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
struct LoginQuery {
    /// Code of a login link.
    #[param(min_length = 1)]
    code: Option<String>,
    /// Path of this relay to which the browser is sent after the login, such as `/api/v1/events`. Another
    /// address counts as none.
    #[serde(default)]
    #[param(value_type = Option<String>, min_length = 1)]
    next: NextPath,
}

/// Show the form for a token, the button of a login link, or who is logged in
#[utoipa::path(get, path = "/login", params(LoginQuery), responses(
    (status = 200, description = "A page", body = String, content_type = "text/html"),
    (status = 303, description = "To `next`: the browser is logged in"),
    (status = 401, description = "The proxy names a user twice, or an empty one"),
    (status = 421, description = "A browser asks for another host name. See `admin.hosts`"),
    (status = 429, description = "Too many tokens of less than 16 characters were wrong. `Retry-After` says when \
                                  to try again"),
    (status = 503, description = "The store cannot be read or written at present. `Retry-After` says when to \
                                  try again")))]
async fn show_login(
    State(logins): State<Arc<Logins>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    logins.hosts.require_host(&parts)?;
    known_params::require(&parts.uri, &["code".to_owned(), "next".to_owned()])?;
    let LoginQuery { code, next } = query(&parts.uri)?;
    // A link counts, whoever is logged in: it may be for another role.
    if let Some(code) = code {
        return Ok(Html(html::link_page(&code, &next)).into_response());
    }
    match logins.caller(&parts).await {
        Ok(caller) if next.is_login_page() => {
            let (caller, cookie) = logins.with_session(caller).await?;
            Ok(with_cookie(Html(html::session_page(&caller)).into_response(), cookie))
        }
        Ok(caller) => {
            let (_, cookie) = logins.with_session(caller).await?;
            Ok(with_cookie(see_other(next.as_str()), cookie))
        }
        // Whoever has no session, or none any more, logs in here.
        Err(ApiError::Unauthorized | ApiError::UnknownToken | ApiError::SessionEnded) => {
            Ok(Html(html::token_page(&next, None)).into_response())
        }
        Err(refusal) => Err(refusal),
    }
}

/// What is posted to log in: a token or a code.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    /// A token of the admin API. Either it or `code` is needed.
    token: Option<String>,
    /// The code of a login link, which is used by that.
    code: Option<String>,
    /// Path of this relay to which the answer to a form sends the browser, such as `/api/v1/events`. Another
    /// address counts as none. An answer to JSON sends nobody anywhere.
    #[serde(default)]
    #[schema(value_type = Option<String>)]
    next: NextPath,
}

impl LoginBody {
    fn from_form(form: &[u8]) -> Result<LoginBody, ApiError> {
        let mut body = LoginBody::default();
        for (name, value) in form_urlencoded::parse(form) {
            match &*name {
                "token" => body.token = Some(value.into_owned()),
                "code" => body.code = Some(value.into_owned()),
                "next" => body.next = value.into_owned().into(),
                _ => return Err(ApiError::BadRequest(format!("unknown field `{name}`"))),
            }
        }
        Ok(body)
    }

    fn from_json(parts: &Parts, body: &[u8]) -> Result<LoginBody, ApiError> {
        let media_type = parts.headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes);
        if !media_type.is_some_and(|it| it.starts_with(b"application/json")) {
            return Err(ApiError::ContentType);
        }
        read_object(body)
    }

    fn proof(self) -> Result<LoginProof, ApiError> {
        match (self.token, self.code) {
            (Some(token), None) => Ok(LoginProof::Token(token.into())),
            (None, Some(code)) => Ok(LoginProof::Code(code.into())),
            (None, None) | (Some(_), Some(_)) => {
                Err(ApiError::BadRequest("send either a token or the code of a link".to_owned()))
            }
        }
    }
}

/// Log in by a token or a login link, with JSON or the form of the page
#[utoipa::path(post, path = "/login",
    request_body(content((LoginBody = "application/json"), (LoginBody = "application/x-www-form-urlencoded"))),
    responses(
        (status = 200, description = "The session, which the cookie holds: the answer to JSON", body = SessionView),
        (status = 303, description = "To `next`, with the cookie of the session: the answer to a form"),
        (status = 401, description = "The token is not known, or the link cannot be used. A form is answered with \
                                      the page and the reason in it"),
        (status = 403, description = "A page of another site may have sent the request"),
        (status = 408, description = "The body did not arrive in time"),
        (status = 413, description = "The body is too large"),
        (status = 415, description = "The body is neither JSON nor a form by its `Content-Type`"),
        (status = 421, description = "The request is for another host name. See `admin.hosts`"),
        (status = 429, description = "Too many logins failed. `Retry-After` says when to try again"),
        (status = 503, description = "The store cannot be written at present. `Retry-After` says when to try again")))]
async fn log_in(State(logins): State<Arc<Logins>>, request: Request) -> Result<Response, ApiError> {
    let (parts, body) = request.into_parts();
    logins.hosts.require_host(&parts)?;
    known_params::require(&parts.uri, &[])?;
    // Programs send none. Browsers do, and no page of another site is to log somebody in.
    if parts.headers.contains_key(header::ORIGIN) {
        logins.hosts.require_origin(&parts.headers)?;
    }
    let body = gather(body, FORM_BYTES_MAX, FORM_TIME_MAX).await?;
    if !csrf::is_form(&parts) {
        let proof = LoginBody::from_json(&parts, &body)?.proof()?;
        let BegunSession { caller, cookie } = logins.log_in(&parts, proof).await?;
        let session = Json(SessionView::of(&caller)).into_response();
        return Ok(with_cookie(session, Some(cookie)));
    }
    let body = LoginBody::from_form(&body)?;
    let next = body.next.clone();
    match logins.log_in(&parts, body.proof()?).await {
        Ok(begun) => Ok(with_cookie(see_other(next.as_str()), Some(begun.cookie))),
        Err(refusal) => Ok(shown_above_form(refusal, &next)),
    }
}

/// The form by which a page ends its session.
#[derive(ToSchema)]
#[expect(dead_code, reason = "only described: `csrf::check_field` reads it")]
struct LogoutForm {
    /// The session's `csrf_token`, unless the header `X-CSRF-Token` has it.
    csrf: Option<String>,
}

/// End the session of the browser
#[utoipa::path(post, path = "/logout",
    request_body(content = Option<LogoutForm>, content_type = "application/x-www-form-urlencoded"),
    responses(
        (status = 204, description = "There is no session any more; the cookie is removed"),
        (status = 303, description = "To the login page: the answer to a form"),
        (status = 401, description = "The proxy names a user twice, or an empty one"),
        (status = 403, description = "A page of another site may have sent the request, or `csrf_token` is missing"),
        (status = 408, description = "The body did not arrive in time"),
        (status = 413, description = "The body is too large"),
        (status = 421, description = "The request is for another host name. See `admin.hosts`"),
        (status = 429, description = "Too many tokens of less than 16 characters were wrong. `Retry-After` says \
                                      when to try again"),
        (status = 503, description = "The store cannot be read at present. `Retry-After` says when to try again")))]
async fn log_out(
    State(logins): State<Arc<Logins>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    logins.hosts.require_host(&parts)?;
    known_params::require(&parts.uri, &[])?;
    let body = gather(body, FORM_BYTES_MAX, FORM_TIME_MAX).await?;
    require_no_body(&parts, &body)?;
    let caller = match logins.caller(&parts).await {
        Ok(caller) if caller.session.is_some() => {
            csrf::check(&mut parts, &caller, &logins)?;
            csrf::check_field(&parts.extensions, &body)?;
            Some(caller)
        }
        Ok(_) | Err(ApiError::Unauthorized | ApiError::UnknownToken | ApiError::SessionEnded) => {
            None
        }
        Err(refusal) => return Err(refusal),
    };
    let cookie = logins.log_out(caller).await;
    let answer = if csrf::is_form(&parts) {
        see_other(NextPath::default().as_str())
    } else {
        StatusCode::NO_CONTENT.into_response()
    };
    Ok(with_cookie(answer, Some(cookie)))
}

fn see_other(path: &str) -> Response {
    let mut response = StatusCode::SEE_OTHER.into_response();
    // It holds visible ASCII characters only, so that it is always a header.
    if let Ok(path) = path.parse() {
        response.headers_mut().insert(header::LOCATION, path);
    }
    response
}

pub(super) fn with_cookie(mut response: Response, cookie: Option<HeaderValue>) -> Response {
    if let Some(cookie) = cookie {
        response.headers_mut().insert(header::SET_COOKIE, cookie);
    }
    response
}

/// Returns the page with its form once more, and the refusal above it.
fn shown_above_form(refusal: ApiError, next: &NextPath) -> Response {
    let page = Html(html::token_page(next, Some(&refusal.to_string()))).into_response();
    let (mut refused, _) = refusal.into_response().into_parts();
    let (page, body) = page.into_parts();
    refused.headers.remove(header::CONTENT_LENGTH);
    refused.headers.extend(page.headers);
    Response::from_parts(refused, body)
}
