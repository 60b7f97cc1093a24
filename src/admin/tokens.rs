//! The tokens of the admin API, which can be replaced while the relay runs.

use std::fmt;
use std::sync::Arc;

use secrecy::{ExposeSecret, SecretString};
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::watch;

use super::role::Role;

/// Length below which a token is called short.
const LENGTH_MIN: usize = 16;

/// A token: who presents it, and what that person or program may do.
#[derive(Clone)]
pub struct AdminToken {
    /// Name in the log: of `admin.token` its key, of another its `name`.
    pub name: Arc<str>,
    pub role: Role,
    // Of the token only this: comparing digests takes the same time whatever the length.
    digest: [u8; 32],
}

impl AdminToken {
    /// Name of the token of `admin.token`. No other token can have it: names have no full stop.
    pub const MAIN: &str = "admin.token";

    /// Returns none if the token is empty, since `Authorization: Bearer` without a token would
    /// match it.
    pub fn new(name: &str, role: Role, token: &SecretString) -> Option<AdminToken> {
        let token = token.expose_secret();
        (!token.is_empty()).then(|| AdminToken { name: name.into(), role, digest: digest(token) })
    }

    /// Returns a digest to which sessions are bound. The token's own is not stored: it would be as
    /// good as the token to whoever tries guesses.
    pub(super) fn bound(&self) -> [u8; 32] {
        let mut bound = Sha256::new_with_prefix("session of the token\0");
        bound.update(self.digest);
        bound.finalize().into()
    }

    /// Returns whether the token is short enough to be guessed.
    pub fn is_short(token: &str) -> bool {
        token.len() < LENGTH_MIN
    }
}

impl fmt::Debug for AdminToken {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "AdminToken({}, {}, ***)", self.name, self.role.as_str())
    }
}

/// The tokens that are accepted at present.
#[derive(Debug)]
pub struct AdminTokens(watch::Sender<Arc<[AdminToken]>>);

impl AdminTokens {
    pub fn new(tokens: Vec<AdminToken>) -> AdminTokens {
        AdminTokens(watch::Sender::new(tokens.into()))
    }

    /// Returns the tokens that are accepted at present.
    pub fn current(&self) -> Arc<[AdminToken]> {
        Arc::clone(&self.0.borrow())
    }

    /// Replaces all tokens. Requests that were admitted with an earlier one are finished, but streams
    /// end.
    pub fn replace(&self, tokens: Vec<AdminToken>) {
        self.0.send_replace(tokens.into());
    }

    /// Returns a receiver that is notified when they are replaced.
    pub(super) fn subscribe(&self) -> watch::Receiver<Arc<[AdminToken]>> {
        self.0.subscribe()
    }

    /// Returns the token of this name; none if there is none at present.
    pub(super) fn named(&self, name: &str) -> Option<AdminToken> {
        self.current().iter().find(|token| &*token.name == name).cloned()
    }

    /// Returns the token that was presented; none if it is no longer one, or never was.
    pub(super) fn find(&self, presented: &str) -> Option<AdminToken> {
        let (tokens, presented) = (self.current(), digest(presented));
        // All are compared, so that the time does not tell how many come before the right one.
        tokens.iter().fold(None, |found, token| {
            let is_equal: bool = token.digest.ct_eq(&presented).into();
            if is_equal { Some(token.clone()) } else { found }
        })
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token(name: &str, role: Role, secret: &str) -> AdminToken {
        AdminToken::new(name, role, &secret.into()).unwrap()
    }

    #[test]
    fn only_the_exact_token_is_found() {
        let main = token(AdminToken::MAIN, Role::Everything, "open sesame");
        let tokens = AdminTokens::new(vec![main, token("scraper", Role::Metrics, "numbers")]);

        let role = |presented: &str| tokens.find(presented).map(|token| token.role);
        assert_eq!(role("open sesame"), Some(Role::Everything));
        assert_eq!(role("numbers"), Some(Role::Metrics));
        for other in ["", "open", "open sesame ", "Open sesame", "scraper"] {
            assert_eq!(role(other), None, "{other}");
        }
        assert!(AdminToken::new("empty", Role::Read, &"".into()).is_none());
    }

    #[test]
    fn replaced_token_is_no_longer_found() {
        let tokens = AdminTokens::new(vec![token("a", Role::Read, "old")]);

        tokens.replace(vec![token("a", Role::Read, "new")]);

        assert!(tokens.find("old").is_none());
        assert!(tokens.find("new").is_some());
    }

    #[test]
    fn debug_output_hides_the_token() {
        let shown = format!("{:?}", AdminTokens::new(vec![token("a", Role::Read, "hunter2")]));

        assert!(shown.contains("AdminToken(a, read, ***)"), "{shown}");
    }
}
