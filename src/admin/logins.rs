//! Who sends a request to the admin listener: a token in its header, the user of a proxy, or a
//! browser with a session. How sessions begin and end.

mod changes;
mod cookie;
mod failures;
mod hosts;
mod links;
pub(super) mod proxy;
mod random_id;
mod sessions;

use std::fmt;
use std::sync::Arc;
use std::time::Instant;

use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, header};
use data_encoding::HEXLOWER;
use jiff::Timestamp;
use secrecy::{ExposeSecret, SecretString};
use tracing::{info, warn};

use super::caller::{ApiCaller, CallerSession, USER_HEADER};
use super::error::ApiError;
use super::record::record;
use super::role::Role;
use super::tokens::{AdminToken, AdminTokens};
use crate::clock;
use crate::rate::client_key::ClientKey;
use crate::store::{Actor, AuditAction, AuditVia, LoginMethod, Store, StoredSession};
pub(super) use changes::LoginChanges;
use cookie::SessionCookie;
use failures::LoginFailures;
use hosts::AllowedHosts;
use links::{LoginLink, LoginLinks, VALID_FOR};
use proxy::{ProxyLogins, ProxyUser};
use random_id::digest_for;
use sessions::{LASTS, Sessions};

/// Name of those who log in by a link. No token can have it: names have no full stop.
const LINK_NAME: &str = "admin.login-link";

/// How people reach the admin listener.
#[derive(Debug, Default)]
pub struct LoginSettings {
    /// `admin.public_url`.
    pub public_url: Option<String>,
    /// `admin.hosts`.
    pub hosts: Vec<String>,
    /// Whether the listener itself speaks https.
    pub has_tls: bool,
    /// URL of the listener, as this machine reaches it.
    pub own_url: String,
    pub proxy: Option<ProxyLogins>,
}

/// All that decides who sends a request.
pub struct Logins {
    tokens: Arc<AdminTokens>,
    store: Arc<dyn Store>,
    sessions: Sessions,
    links: LoginLinks,
    failures: LoginFailures,
    pub(super) hosts: AllowedHosts,
    proxy: Option<ProxyLogins>,
    cookie: SessionCookie,
    url: String,
}

/// What somebody presents who logs in.
pub(super) enum LoginProof {
    Token(SecretString),
    /// The code of a login link.
    Code(SecretString),
}

/// A session that has just begun.
pub(super) struct BegunSession {
    pub(super) caller: ApiCaller,
    /// The header that gives the browser its id.
    pub(super) cookie: HeaderValue,
}

/// A login link that has just been made.
#[derive(Debug)]
pub struct MadeLink {
    /// With the code, which is as good as a token until it is used.
    pub url: String,
    pub expires_at: Timestamp,
}

enum CheckedProof {
    Token(AdminToken),
    Link(LoginLink),
}

impl Logins {
    pub fn new(settings: LoginSettings, tokens: Arc<AdminTokens>, store: Arc<dyn Store>) -> Logins {
        let LoginSettings { public_url, hosts, has_tls, own_url, proxy } = settings;
        let is_https = has_tls || public_url.as_ref().is_some_and(|it| it.starts_with("https:"));
        Logins {
            sessions: Sessions::new(Arc::clone(&store), Arc::clone(&tokens)),
            store,
            tokens,
            links: LoginLinks::default(),
            failures: LoginFailures::default(),
            hosts: AllowedHosts::new(public_url.as_deref(), &hosts, &own_url),
            proxy,
            cookie: SessionCookie::new(is_https),
            url: public_url.unwrap_or(own_url),
        }
    }

    /// Makes a link that logs in once with this role; none if there is no `admin.token` at present.
    pub fn make_link(&self, role: Role) -> Option<MadeLink> {
        let bound = self.tokens.named(AdminToken::MAIN)?.bound();
        let code = self.links.issue(role, bound, Instant::now());
        let expires_at = clock::now().saturating_add(VALID_FOR).ok()?;
        let url = format!("{}/login?code={}", self.url, code.expose_secret());
        Some(MadeLink { url, expires_at })
    }

    /// Requires another secret of the proxy from now on.
    pub fn replace_proxy_secret(&self, secret: &SecretString) {
        if let Some(proxy) = &self.proxy {
            proxy.replace_secret(secret);
        }
    }

    /// Returns whoever sent a request. A token in its header counts before all else, and the user of
    /// a proxy before a session.
    pub(super) async fn caller(&self, parts: &Parts) -> Result<ApiCaller, ApiError> {
        if let Some(token) = bearer(&parts.headers) {
            let AdminToken { name, role, .. } = self.token(parts, token)?;
            let user = named_user(&parts.headers).filter(|_| role == Role::Everything);
            let actor = user.unwrap_or_else(|| Actor::new(&name, AuditVia::Token));
            return Ok(ApiCaller { name, role, via: LoginMethod::Token, session: None, actor });
        }
        let (user, id) = (self.user(parts), self.cookie.read(&parts.headers));
        if user == Ok(None) && id.is_none() {
            return Err(ApiError::Unauthorized);
        }
        self.hosts.require_host(parts)?;
        match (user?, id) {
            (Some(user), id) => self.caller_of_proxy(user, id).await,
            (None, Some(id)) => self.caller_of_session(&id).await,
            (None, None) => Err(ApiError::Unauthorized),
        }
    }

    /// Returns whether the request of a caller would still be admitted, for an answer that goes on. What
    /// cannot be decided at present counts as yes.
    pub(super) async fn still_admits(
        &self,
        request: &Parts,
        caller: &ApiCaller,
        needed: Role,
    ) -> bool {
        let session = |caller: &ApiCaller| caller.session.as_ref().map(|it| it.digest);
        match self.caller(request).await {
            // A user of the proxy is admitted without the session, which has ended all the same.
            Ok(now) => now.role >= needed && session(&now) == session(caller),
            Err(error) => !matches!(
                error,
                ApiError::Unauthorized
                    | ApiError::UnknownToken
                    | ApiError::SessionEnded
                    | ApiError::ProxyRefused(_)
            ),
        }
    }

    /// Returns what tells when to ask [`Logins::still_admits`] again.
    pub(super) fn changes(&self) -> LoginChanges {
        LoginChanges::new(self.sessions.subscribe(), self.tokens.subscribe())
    }

    /// Returns the token that a request presents in its header.
    fn token(&self, parts: &Parts, presented: &str) -> Result<AdminToken, ApiError> {
        let find = || self.tokens.find(presented);
        // A long one cannot be guessed however often somebody tries, and a limit would let strangers
        // lock out whoever has it. An empty one is no guess.
        if presented.is_empty() || !AdminToken::is_short(presented) {
            return find().ok_or(ApiError::UnknownToken);
        }
        self.limited(parts, find)?.ok_or(ApiError::UnknownToken)
    }

    /// Checks what somebody presents, unless there were too many failures.
    fn limited<T>(
        &self,
        parts: &Parts,
        check: impl FnOnce() -> Option<T>,
    ) -> Result<Option<T>, ApiError> {
        let attempt = self.failures.attempt(self.client(parts), Instant::now(), check);
        attempt.map_err(|wait| ApiError::TooManyFailures {
            seconds: wait.as_secs().saturating_add(u64::from(wait.subsec_nanos() > 0)),
        })
    }

    fn user(&self, parts: &Parts) -> Result<Option<ProxyUser>, ApiError> {
        self.proxy.as_ref().map_or(Ok(None), |proxy| proxy.user(parts))
    }

    async fn caller_of_session(&self, id: &SecretString) -> Result<ApiCaller, ApiError> {
        let session = self.sessions.find(id).await?.ok_or(ApiError::SessionEnded)?;
        let role = match session.via {
            LoginMethod::Token => self.tokens.named(&session.name).map(|token| token.role),
            LoginMethod::Link => session.role.as_deref().and_then(Role::named),
            // It counts only while the proxy names the same user.
            LoginMethod::Proxy => None,
        };
        let role = role.ok_or(ApiError::SessionEnded)?;
        Ok(caller(&session, id, role))
    }

    async fn caller_of_proxy(
        &self,
        user: ProxyUser,
        id: Option<SecretString>,
    ) -> Result<ApiCaller, ApiError> {
        let ProxyUser { name, role } = user.clone();
        let actor = Actor::new(&name, AuditVia::Proxy);
        let without = ApiCaller { name, role, via: LoginMethod::Proxy, session: None, actor };
        let Some(id) = id else { return Ok(without) };
        // Reading needs no session, so the user is not kept from it while the store is not
        // available.
        let Ok(Some(session)) = self.sessions.find(&id).await else { return Ok(without) };
        if session.via == LoginMethod::Proxy && session.bound == user.bound() {
            return Ok(caller(&session, &id, role));
        }
        // The browser is somebody else's now.
        self.sessions.end(session.digest).await;
        Ok(without)
    }

    /// Returns the caller with a session, and its cookie if it has just begun. A user of the proxy has
    /// one only from here on.
    pub(super) async fn with_session(
        &self,
        caller: ApiCaller,
    ) -> Result<(ApiCaller, Option<HeaderValue>), ApiError> {
        if caller.via != LoginMethod::Proxy || caller.session.is_some() {
            return Ok((caller, None));
        }
        let ApiCaller { name, role, .. } = caller;
        let bound = ProxyUser { name: Arc::clone(&name), role }.bound();
        let begun = self.sessions.begin((LoginMethod::Proxy, &name), None, bound).await?;
        let begun = self.begun(begun, role);
        Ok((begun.caller, Some(begun.cookie)))
    }

    /// Logs in. The session that the browser had before, if any, ends.
    pub(super) async fn log_in(
        &self,
        parts: &Parts,
        proof: LoginProof,
    ) -> Result<BegunSession, ApiError> {
        if let Some(user) = self.user(parts)? {
            let reason = format!("the proxy has logged you in as {}, and that counts", user.name);
            return Err(ApiError::Conflict(reason));
        }
        let session = match self.check(parts, &proof)? {
            CheckedProof::Token(token) => {
                let who = (LoginMethod::Token, &*token.name);
                let begun = self.sessions.begin(who, None, token.bound()).await?;
                self.begun(begun, token.role)
            }
            CheckedProof::Link(link) => self.log_in_by(link).await?,
        };
        if let Some(old) = self.cookie.read(&parts.headers)
            && let Ok(Some(old)) = self.sessions.find(&old).await
        {
            self.sessions.end(old.digest).await;
        }
        info!(token = %session.caller.name, "logged in");
        let role = format!("role {}", session.caller.role.as_str());
        record(&*self.store, session.caller.did(AuditAction::Login).detail(&role)).await;
        Ok(session)
    }

    async fn log_in_by(&self, link: LoginLink) -> Result<BegunSession, ApiError> {
        let (who, role) = ((LoginMethod::Link, LINK_NAME), link.role);
        match self.sessions.begin(who, Some(role.as_str()), link.bound).await {
            Ok(begun) => Ok(self.begun(begun, role)),
            Err(error) => {
                self.links.put_back(link);
                Err(error.into())
            }
        }
    }

    /// Checks what somebody presents. Whoever failed too often waits, except with a right code.
    // Nobody can guess a code, and whoever has one must not be kept out by a stranger who fails: all
    // who come through one proxy may be one client.
    fn check(&self, parts: &Parts, proof: &LoginProof) -> Result<CheckedProof, ApiError> {
        let (link, wrong) = match proof {
            LoginProof::Token(_) => (None, "this token is not known"),
            LoginProof::Code(code) => (
                self.spend(code),
                "this login link was used before or is older than ten minutes: make another with \
                 `savio-relay login-link`",
            ),
        };
        if let Some(link) = link {
            return Ok(CheckedProof::Link(link));
        }
        let find = || match proof {
            LoginProof::Token(token) => self.tokens.find(token.expose_secret()),
            LoginProof::Code(_) => None,
        };
        let token = self.limited(parts, find)?;
        if token.is_none() {
            log_failure(parts);
        }
        token.map(CheckedProof::Token).ok_or(ApiError::LoginFailed(wrong))
    }

    fn spend(&self, code: &SecretString) -> Option<LoginLink> {
        let link = self.links.spend(code, Instant::now())?;
        let maker = self.tokens.named(AdminToken::MAIN)?;
        (maker.bound() == link.bound).then_some(link)
    }

    /// Returns the client that failures count for; none for those of a proxy.
    fn client(&self, parts: &Parts) -> Option<ClientKey> {
        let is_proxy = self.proxy.as_ref().is_some_and(|proxy| proxy.is_peer(parts));
        proxy::peer(parts).filter(|_| !is_proxy).map(ClientKey::from)
    }

    /// Ends the caller's session, if any, and returns the header that removes its cookie.
    pub(super) async fn log_out(&self, caller: Option<ApiCaller>) -> HeaderValue {
        if let Some(caller) = caller
            && let Some(session) = &caller.session
        {
            self.sessions.end(session.digest).await;
            record(&*self.store, caller.did(AuditAction::Logout)).await;
        }
        self.cookie.clear()
    }

    fn begun(&self, (id, session): (SecretString, StoredSession), role: Role) -> BegunSession {
        BegunSession { caller: caller(&session, &id, role), cookie: self.cookie.set(&id, LASTS) }
    }
}

impl fmt::Debug for Logins {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Logins").field("url", &self.url).finish_non_exhaustive()
    }
}

fn caller(session: &StoredSession, id: &SecretString, role: Role) -> ApiCaller {
    // From the id, which only the browser has: it is the same on each node, and nothing of it is
    // stored.
    let csrf_token = HEXLOWER.encode(&digest_for("csrf token", id));
    let StoredSession { digest, via, ref name, ends_at, .. } = *session;
    let session = CallerSession { digest, ends_at, csrf_token: csrf_token.into() };
    let actor = Actor::new(
        name,
        match via {
            LoginMethod::Token | LoginMethod::Link => AuditVia::Session,
            LoginMethod::Proxy => AuditVia::Proxy,
        },
    );
    ApiCaller { name: name.as_str().into(), role, via, session: Some(session), actor }
}

/// Logs a login that failed. The limits bound these lines too.
fn log_failure(parts: &Parts) {
    if let Some(client) = proxy::peer(parts) {
        warn!(%client, "a login at the admin address failed: the token or the link is not known");
    }
}

/// Returns the user that a command names.
fn named_user(headers: &HeaderMap) -> Option<Actor> {
    let named = headers.get(USER_HEADER)?.to_str().ok()?;
    let actor = Actor::new(named, AuditVia::Cli);
    (!actor.who.is_empty()).then_some(actor)
}

/// Returns the token in the header of a request; none if it has no such header. One that cannot be read
/// or is there twice is empty, as no token is.
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let values = headers.get_all(header::AUTHORIZATION);
    // Of another scheme, it may be for a proxy in front.
    let mut tokens = values.iter().filter_map(|it| it.to_str().map_or(Some(""), bearer_token));
    let token = tokens.next()?;
    Some(if values.iter().count() == 1 { token } else { "" })
}

/// Returns the token of a header's value; none if it is of another scheme.
fn bearer_token(value: &str) -> Option<&str> {
    let (scheme, token) = value.split_once(' ').unwrap_or((value, ""));
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}
