//! Echo: whoever holds a key of the admin API is answered with what arrived of the request, so that `doctor` can
//! tell what proxies change on the way. Everybody else is answered as if the path led nowhere.

mod key;
mod report;

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::http::request::Parts;
use axum::http::{Method, header};
use axum::response::{IntoResponse, Response};

use super::client_ip::Peer;
pub use key::EchoKey;
pub use report::EchoReport;

/// Header of the response with its signature.
pub const SIGNATURE_HEADER: &str = "x-relay-echo";

/// Keys at the same time; a further one replaces the oldest.
// Two people may look for a fault at the same time. Each key is one more HMAC for a path that begins with `~`.
const KEYS_MAX: usize = 4;

/// Time in which a key has to be used, enough for a body of the largest size on a slow line.
pub const VALID_FOR: Duration = Duration::from_mins(3);

/// Requests that one key admits, each of them once.
pub const REQUESTS_MAX: u8 = 32;

/// The keys that are valid at present. They are nowhere else, and end with the process.
#[derive(Debug, Default)]
pub struct Echoes(Mutex<VecDeque<IssuedKey>>);

#[derive(Debug)]
struct IssuedKey {
    key: EchoKey,
    issued: Instant,
    /// One bit for each request that was made.
    used: u32,
}

impl Echoes {
    /// Issues a key.
    pub fn issue(&self, now: Instant) -> EchoKey {
        let key = EchoKey::generate();
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        while keys.len() >= KEYS_MAX {
            keys.pop_front();
        }
        keys.push_back(IssuedKey { key: key.clone(), issued: now, used: 0 });
        key
    }

    /// Returns the key with which the request was made, and admits no further request with the same number.
    pub(super) fn admit(&self, parts: &Parts, now: Instant) -> Option<EchoKey> {
        // At the end of any path, not below `/hooks/` only: a proxy that removes or adds a prefix is one of the
        // faults to find.
        let segment = parts.uri.path().rsplit('/').find(|it| !it.is_empty())?;
        let segment = key::decoded(segment).filter(|_| parts.method == Method::POST)?;
        let mut keys = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        keys.retain(|it| now.saturating_duration_since(it.issued) < VALID_FOR);
        let found = keys.iter_mut().find_map(|it| Some((it.key.number(&segment)?, it)));
        let (number, issued) = found?;
        let bit = 1_u32.checked_shl(number.into()).filter(|_| number < REQUESTS_MAX)?;
        let is_new = issued.used & bit == 0;
        issued.used |= bit;
        is_new.then(|| issued.key.clone())
    }
}

/// Returns the response to the holder of the key. Digests the body: not for an async thread.
pub(super) fn answer(key: &EchoKey, parts: &Parts, peer: Option<Peer>, body: &[u8]) -> Response {
    let report = EchoReport::of(parts, peer, body);
    let text = serde_json::to_string(&report).expect("it consists of texts and numbers");
    let signature = key.sign_answer(text.as_bytes());
    let headers = [
        (header::CONTENT_TYPE.as_str(), "application/json".to_owned()),
        (header::CACHE_CONTROL.as_str(), "no-store".to_owned()),
        (SIGNATURE_HEADER, signature),
    ];
    (headers, Body::from(text)).into_response()
}

#[cfg(test)]
mod tests {
    use axum::http::Request;
    use secrecy::ExposeSecret;

    use super::*;

    fn parts(method: &str, path: &str) -> Parts {
        Request::builder().method(method).uri(path).body(()).unwrap().into_parts().0
    }

    #[test]
    fn key_admits_each_of_its_requests_once() {
        let (echoes, now) = (Echoes::default(), Instant::now());
        let key = echoes.issue(now);
        let is_admitted = |method: &str, path: String| {
            let found = echoes.admit(&parts(method, &path), now);
            found.inspect(|found| assert_eq!(found.segment(9), key.segment(9))).is_some()
        };

        assert!(!is_admitted("GET", format!("/hooks/{}", key.segment(0))), "only POST");
        assert!(is_admitted("POST", format!("/hooks/{}", key.segment(0))));
        assert!(!is_admitted("POST", format!("/hooks/{}", key.segment(0))), "used");
        assert!(is_admitted("POST", format!("/hooks/{}/?a=b", key.segment(1))));
        let escaped = key.segment(2).to_uppercase().replace('~', "%7E");
        assert!(is_admitted("POST", format!("/prefix/hooks/{escaped}")));
        assert!(!is_admitted("POST", format!("/hooks/{}", key.segment(REQUESTS_MAX))));
        assert!(!is_admitted("POST", format!("/hooks/{}", EchoKey::generate().segment(3))));
        for path in ["/", "/hooks/form", "/hooks/~", "/hooks/~00", "/hooks/~%ff", "//"] {
            assert!(!is_admitted("POST", path.to_owned()), "{path}");
        }
    }

    #[test]
    fn keys_are_bounded_in_number_and_time() {
        let (echoes, now) = (Echoes::default(), Instant::now());
        let first = echoes.issue(now);
        let others: Vec<EchoKey> = (0..KEYS_MAX).map(|_| echoes.issue(now)).collect();
        let request = |key: &EchoKey, number| parts("POST", &format!("/{}", key.segment(number)));

        assert!(echoes.admit(&request(&first, 0), now).is_none(), "the oldest is replaced");
        assert!(echoes.admit(&request(&others[0], 0), now).is_some());
        assert!(echoes.admit(&request(&others[0], 1), now + VALID_FOR).is_none(), "it has expired");
        assert_eq!(echoes.0.lock().unwrap().len(), 0);
    }

    #[test]
    fn key_is_not_in_debug_output() {
        let echoes = Echoes::default();
        let key = echoes.issue(Instant::now());

        let shown = format!("{echoes:?}");

        assert!(!shown.contains(key.text().expose_secret()), "{shown}");
    }
}
