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
    pub(super) trouble: FaultInjector,
    pub(super) books: Mutex<Account>,
}

impl SandboxState {
    pub(super) fn books(&self) -> MutexGuard<'_, Account> {
        self.books.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn lets_in(&self, headers: &HeaderMap) -> bool {
        let given = headers.get(AUTHORIZATION).map_or(&b""[..], |value| value.as_bytes());
        let (scheme, token) = given.split_at(given.len().min(b"Token ".len()));
        let token = token.trim_ascii();
        let is_right = match &self.token {
            Some(wanted) => token.ct_eq(wanted.expose_secret().as_bytes()).into(),
            None => !token.is_empty(),
        };
        scheme.eq_ignore_ascii_case(b"Token ") && is_right
    }
}

pub(super) type SharedState = State<Arc<SandboxState>>;
