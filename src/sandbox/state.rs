//! State that all connections of a sandbox share.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use axum::extract::State;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use secrecy::{ExposeSecret, SecretString};
use subtle::ConstantTimeEq as _;

use super::account::Account;
use super::faults::FaultInjector;

#[derive(Debug)]
pub(super) struct SandboxState {
    pub(super) token: Option<SecretString>,
    pub(super) fault_injector: FaultInjector,
    pub(super) account: Mutex<Account>,
}

impl SandboxState {
    pub(super) fn account(&self) -> MutexGuard<'_, Account> {
        self.account.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn is_authenticated(&self, headers: &HeaderMap) -> bool {
        let header = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let (scheme, token) = header.split_at(header.len().min(b"Token ".len()));
        let token = token.trim_ascii();
        let is_accepted = match &self.token {
            Some(expected) => token.ct_eq(expected.expose_secret().as_bytes()).into(),
            None => !token.is_empty(),
        };
        scheme.eq_ignore_ascii_case(b"Token ") && is_accepted
    }
}

pub(super) type SharedState = State<Arc<SandboxState>>;
