//! The session of whoever asks.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, header};
use axum::response::Json;
use jiff::Timestamp;
use serde::Serialize;
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::state::AdminState;
use crate::store::LoginMethod;

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = Session)]
pub(crate) struct SessionView {
    /// Name of the token, or of the user whom the proxy names; `admin.login-link` for a login link.
    who: String,
    via: LoginMethod,
    role: &'static str,
    /// Time at which the session ends; null for a token in the header of the request, which has none.
    ends_at: Option<Timestamp>,
    /// What each request with the session's cookie that is not GET has to send as the header
    /// `X-CSRF-Token`, or as the field `csrf` of a form; null without a session.
    csrf_token: Option<String>,
}

impl SessionView {
    pub(in crate::admin) fn of(caller: &ApiCaller) -> SessionView {
        let session = caller.session.as_ref();
        SessionView {
            who: caller.name.to_string(),
            via: caller.via,
            role: caller.role.as_str(),
            ends_at: session.map(|it| it.ends_at),
            csrf_token: session.map(|it| it.csrf_token.to_string()),
        }
    }
}

/// Show who asks, with which role, and the token against forged requests that a session needs
#[utoipa::path(get, path = "/api/v1/session",
    responses((status = 200, description = "Who asks. For a user of the proxy, a session begins",
               body = SessionView)))]
pub(crate) async fn show(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
) -> Result<(HeaderMap, Json<SessionView>), ApiError> {
    let (caller, cookie) = admin.logins.with_session(caller).await?;
    let cookie = cookie.map(|cookie| (header::SET_COOKIE, cookie));
    Ok((cookie.into_iter().collect(), Json(SessionView::of(&caller))))
}
