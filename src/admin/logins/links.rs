//! Login links: codes that log in once, within ten minutes.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use secrecy::SecretString;
use subtle::ConstantTimeEq;

use super::random_id::{digest_for, random_id};
use crate::admin::role::Role;

/// Time for which a link can be used.
pub(in crate::admin) const VALID_FOR: Duration = Duration::from_mins(10);

/// Number of links that wait to be used; one more, and the oldest is no longer one.
const LINKS_MAX: usize = 64;

/// The links that can be used, oldest first.
// In memory only: ten minutes need no disk, and a restart may as well end them.
#[derive(Debug, Default)]
pub(super) struct LoginLinks(Mutex<VecDeque<LoginLink>>);

#[derive(Clone)]
pub(super) struct LoginLink {
    code: [u8; 32],
    pub(super) role: Role,
    /// Digest of the token of whoever made it, with which it ends.
    pub(super) bound: [u8; 32],
    ends_at: Instant,
}

impl std::fmt::Debug for LoginLink {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "LoginLink({}, ***)", self.role.as_str())
    }
}

impl LoginLinks {
    /// Makes a link, and returns its code.
    pub(super) fn issue(&self, role: Role, bound: [u8; 32], now: Instant) -> SecretString {
        let code = random_id();
        let ends_at = now.checked_add(VALID_FOR).unwrap_or(now);
        self.put(LoginLink { code: digest(&code), role, bound, ends_at });
        code
    }

    fn put(&self, link: LoginLink) {
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while links.len() >= LINKS_MAX {
            links.pop_front();
        }
        links.push_back(link);
    }

    /// Takes the link of this code: it cannot be used again. None if there is none.
    pub(super) fn spend(&self, code: &SecretString, now: Instant) -> Option<LoginLink> {
        let presented = digest(code);
        let mut links = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        links.retain(|link| link.ends_at > now);
        let position = links.iter().position(|link| link.code.ct_eq(&presented).into())?;
        links.remove(position)
    }

    /// Makes a link usable again, whose login failed for another reason.
    pub(super) fn put_back(&self, link: LoginLink) {
        self.put(link);
    }
}

fn digest(code: &SecretString) -> [u8; 32] {
    digest_for("login link", code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_works_once_and_for_ten_minutes() {
        let (links, now) = (LoginLinks::default(), Instant::now());
        let code = links.issue(Role::Read, [7; 32], now);
        let late = links.issue(Role::Read, [7; 32], now);

        assert!(links.spend(&"another".into(), now).is_none());
        let link = links.spend(&code, now + Duration::from_secs(599)).unwrap();
        assert_eq!((link.role, link.bound), (Role::Read, [7; 32]));
        assert!(links.spend(&code, now).is_none(), "it is spent");
        assert!(links.spend(&late, now + VALID_FOR).is_none(), "it has expired");
    }

    #[test]
    fn oldest_of_too_many_links_is_no_longer_one() {
        let (links, now) = (LoginLinks::default(), Instant::now());
        let first = links.issue(Role::Read, [0; 32], now);
        let second = links.issue(Role::Read, [0; 32], now);
        for _ in 0..LINKS_MAX - 1 {
            links.issue(Role::Read, [0; 32], now);
        }

        assert!(links.spend(&first, now).is_none());
        assert!(links.spend(&second, now).is_some());
    }
}
