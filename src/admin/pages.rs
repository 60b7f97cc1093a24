//! Pages for browsers: to log in and out. They work without script and style.

mod html;
mod next_path;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::request::Parts;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{Html, IntoResponse as _, Json, Response};
use axum::routing::get;
use serde::Deserialize;

use super::accept::accepts_html;
use super::api::session::SessionView;
use super::body::gather;
use super::csrf;
use super::error::ApiError;
use super::known_params;
use super::logins::{BegunSession, LoginProof, Logins};
use super::unread_input::{explained, read_object};
use next_path::NextPath;

/// Largest body: tokens and paths are short.
const FORM_BYTES_MAX: usize = 16 * 1024;

/// Longest time for a body.
const FORM_TIME_MAX: Duration = Duration::from_secs(10);

/// Routes of the pages.
pub(super) fn router(logins: Arc<Logins>) -> Router {
    let refuse = || async { ApiError::MethodNotAllowed };
    Router::new()
        .route("/", get(show_front).fallback(refuse))
        .route("/login", get(show_login).post(log_in).fallback(refuse))
        .route("/logout", axum::routing::post(log_out).fallback(refuse))
        .with_state(logins)
}

/// Sends a browser to the login page.
async fn show_front(request: Request) -> Result<Response, ApiError> {
    known_params::require(request.uri(), &[])?;
    if accepts_html(request.headers()) {
        return Ok(see_other(NextPath::default().as_str()));
    }
    Err(ApiError::NotFound("there is nothing here: the API is below /api/v1/".to_owned()))
}

/// Parameters of the login page, which are fields of its form too.
#[derive(Debug, Default, Deserialize)]
struct LoginQuery {
    code: Option<String>,
    #[serde(default)]
    next: NextPath,
}

/// Shows the form for a token, the button for a login link, or who is logged in.
async fn show_login(
    State(logins): State<Arc<Logins>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (parts, _) = request.into_parts();
    logins.hosts.require_host(&parts)?;
    known_params::require(&parts.uri, &["code".to_owned(), "next".to_owned()])?;
    let query = axum::extract::Query::<LoginQuery>::try_from_uri(&parts.uri);
    let LoginQuery { code, next } = query.map_err(|error| explained(&error))?.0;
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
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct LoginBody {
    token: Option<String>,
    code: Option<String>,
    #[serde(default)]
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

/// Logs in by the form of the page, or by JSON.
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

/// Ends the browser's session.
async fn log_out(
    State(logins): State<Arc<Logins>>,
    request: Request,
) -> Result<Response, ApiError> {
    let (mut parts, body) = request.into_parts();
    logins.hosts.require_host(&parts)?;
    known_params::require(&parts.uri, &[])?;
    let caller = match logins.caller(&parts).await {
        Ok(caller) if caller.session.is_some() => {
            csrf::check(&mut parts, &caller, &logins)?;
            csrf::check_field(
                &parts.extensions,
                &gather(body, FORM_BYTES_MAX, FORM_TIME_MAX).await?,
            )?;
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
