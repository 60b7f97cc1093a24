//! Whoever sent an admitted request, and what they may do.

use std::fmt;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use data_encoding::HEXLOWER;
use jiff::Timestamp;

use super::error::ApiError;
use super::role::Role;
use crate::clock;
use crate::store::{Actor, AuditAction, LoginMethod, NewAuditEntry, SessionDigest};

/// Whoever sent an admitted request: a person or a program.
#[derive(Clone)]
pub(crate) struct ApiCaller {
    /// Name of the token, or of the proxy's user.
    pub(super) name: Arc<str>,
    pub(super) role: Role,
    pub(super) via: LoginMethod,
    /// The session of a browser; none for a token in the header of the request, and for a user of the
    /// proxy whose browser does not present one.
    pub(super) session: Option<CallerSession>,
    /// Who it is in the audit.
    pub(super) actor: Actor,
}

#[derive(Clone)]
pub(super) struct CallerSession {
    pub(super) digest: SessionDigest,
    pub(super) ends_at: Timestamp,
    /// Text that a page of this relay knows, and one of another site does not.
    pub(super) csrf_token: Arc<str>,
}

/// Header by which a command says who runs it. It counts with the token of `admin.token` alone,
/// whose holder may do everything and could be anybody.
pub(crate) const USER_HEADER: &str = "x-savio-relay-user";

impl ApiCaller {
    /// Returns who it is in the audit, for actions that the store records itself.
    pub(super) fn actor(&self) -> Actor {
        self.actor.clone()
    }

    /// Returns the audit's entry of an action of this caller, for [`record`](super::record::record).
    pub(super) fn did(&self, action: AuditAction) -> NewAuditEntry {
        self.actor.did(action, clock::now())
    }

    /// Returns what tells this caller from others, of whom each may have work of a kind done once at a
    /// time: the session, or who it is.
    // Not the name alone: several people may have logged in by links, or by one token.
    pub(super) fn key(&self) -> Arc<str> {
        match &self.session {
            Some(session) => HEXLOWER.encode(&session.digest.0).into(),
            None => self.to_string().into(),
        }
    }

    /// Fails if the role does not suffice.
    pub(super) fn require(&self, needed: Role) -> Result<(), ApiError> {
        if self.role >= needed { Ok(()) } else { Err(self.forbidden(needed)) }
    }

    pub(super) fn forbidden(&self, needed: Role) -> ApiError {
        ApiError::Forbidden { who: self.to_string(), has: self.role, needed }
    }

    /// Returns whether a browser sends the proof of who it is by itself, to whatever page asks for
    /// it.
    pub(super) fn is_ambient(&self) -> bool {
        self.session.is_some() || self.via == LoginMethod::Proxy
    }
}

impl fmt::Display for ApiCaller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.via {
            LoginMethod::Token => write!(formatter, "the token {}", self.name),
            LoginMethod::Link => formatter.write_str("this login link"),
            LoginMethod::Proxy => write!(formatter, "the user {}", self.name),
        }
    }
}

impl fmt::Debug for ApiCaller {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "ApiCaller({self}, {})", self.role.as_str())
    }
}

impl<S: Sync> FromRequestParts<S> for ApiCaller {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<ApiCaller, ApiError> {
        parts.extensions.get::<ApiCaller>().cloned().ok_or(ApiError::Internal)
    }
}
