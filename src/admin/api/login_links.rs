//! Login links, for browsers of people who have no token.

use std::sync::Arc;

use axum::extract::State;
use axum::response::Json;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::admin::access::ApiCaller;
use crate::admin::error::ApiError;
use crate::admin::params::JsonBody;
use crate::admin::role::Role;
use crate::admin::state::AdminState;
use crate::store::AuditAction;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct LoginLinkBody {
    /// Role of whoever uses the link: metrics, read, operate, edit, or everything, which is the
    /// default.
    role: Option<String>,
}

#[derive(Debug, Serialize, ToSchema)]
#[schema(as = LoginLink)]
pub(crate) struct LoginLinkView {
    /// Whoever opens it first and presses its button is logged in. It begins with
    /// `admin.public_url`, or else with the address of the admin listener.
    url: String,
    role: &'static str,
    expires_at: Timestamp,
}

/// Make a link that logs a browser in once, within ten minutes
#[utoipa::path(post, path = "/api/v1/login-links", request_body = LoginLinkBody,
    responses((status = 200, description = "A link for one login", body = LoginLinkView)))]
pub(crate) async fn make(
    State(admin): State<Arc<AdminState>>,
    caller: ApiCaller,
    JsonBody(LoginLinkBody { role }): JsonBody<LoginLinkBody>,
) -> Result<Json<LoginLinkView>, ApiError> {
    let role = role.map_or(Ok(Role::Everything), |name| {
        Role::named(&name).ok_or_else(|| {
            let reason = "`role` is one of metrics, read, operate, edit, everything";
            ApiError::BadRequest(reason.to_owned())
        })
    })?;
    let link = admin.logins.make_link(role).ok_or(ApiError::Internal)?;
    let of_role = format!("role {}", role.as_str());
    admin.record(caller.did(AuditAction::MakeLoginLink).detail(&of_role)).await;
    let (url, expires_at) = (link.url, link.expires_at);
    Ok(Json(LoginLinkView { url, role: role.as_str(), expires_at }))
}
