//! Sessions of browsers, kept in the store and in memory, so that they go on while the store is not
//! available.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use secrecy::SecretString;
use tokio::sync::watch;
use tokio::time::timeout;
use tracing::warn;

use super::random_id::{digest_for, random_id};
use crate::admin::tokens::{AdminToken, AdminTokens};
use crate::clock;
use crate::store::{
    LoginMethod, SESSIONS_MAX, SessionDigest, Store, StoreError, StoredSession, UnavailableKind,
};

/// Time from login to end.
pub(in crate::admin) const LASTS: Duration = Duration::from_hours(12);

/// How far the clock may be set back under a session.
// Further, and its end would be further away than it ever was.
const CLOCK_SET_BACK_MAX: Duration = Duration::from_mins(5);

/// Age at which what is known is read again: a session that ended on another node is served that
/// long at most.
const AGE_MAX: Duration = Duration::from_secs(2);

/// The same for a session that is not known, which another node may just have begun.
// Anybody can present a random id: this is all that it costs.
const AGE_MAX_UNKNOWN: Duration = Duration::from_millis(200);

/// Longest wait for the store.
const WAIT_MAX: Duration = Duration::from_secs(2);

pub(super) struct Sessions {
    store: Arc<dyn Store>,
    tokens: Arc<AdminTokens>,
    known: Mutex<KnownSessions>,
    /// Held by whoever reads or changes the stored sessions.
    // What was read before a session began would otherwise replace what is known after it.
    turn: tokio::sync::Mutex<()>,
    /// Notified when a session ends here.
    ends: watch::Sender<()>,
}

/// The sessions as last read, with what this process changed since.
#[derive(Default)]
struct KnownSessions {
    current: BTreeMap<SessionDigest, StoredSession>,
    /// Sessions that ended here and may still be in the store.
    ended: BTreeSet<SessionDigest>,
    /// Last time that they were read, or could not be.
    read_at: Option<Instant>,
    /// Why they could not be read then.
    failure: Option<StoreError>,
}

/// What is known of one session.
struct SessionLookup {
    session: Option<StoredSession>,
    is_ended: bool,
    age: Option<Duration>,
}

impl Sessions {
    pub(super) fn new(store: Arc<dyn Store>, tokens: Arc<AdminTokens>) -> Sessions {
        let (known, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Sessions { store, tokens, known, turn, ends: watch::Sender::new(()) }
    }

    /// Begins a session, and returns its id. It is on disk then.
    pub(super) async fn begin(
        &self,
        (via, name): (LoginMethod, &str),
        role: Option<&str>,
        bound: [u8; 32],
    ) -> Result<(SecretString, StoredSession), StoreError> {
        // Always a new one: an id that a page of somebody else set before is never logged in.
        let (id, now) = (random_id(), to_microsecond(clock::now()));
        let session = StoredSession {
            digest: digest(&id),
            via,
            name: name.to_owned(),
            role: role.map(str::to_owned),
            bound,
            made_at: now,
            ends_at: now.saturating_add(LASTS).unwrap_or(now),
        };
        let _turn = self.turn.lock().await;
        in_time(self.store.add_session(session.clone())).await?;
        self.known().current.insert(session.digest, session.clone());
        Ok((id, session))
    }

    /// Finds the session of an id; none if it has ended. Fails if the store, which may have it, is
    /// not available.
    pub(super) async fn find(
        &self,
        id: &SecretString,
    ) -> Result<Option<StoredSession>, StoreError> {
        let digest = digest(id);
        let SessionLookup { session, is_ended, age } = self.look_up(digest);
        if is_ended {
            return Ok(None);
        }
        let age_max = if session.is_some() { AGE_MAX } else { AGE_MAX_UNKNOWN };
        if age.is_none_or(|age| age >= age_max) {
            self.read_again(session.is_some()).await;
        }
        let now_known = self.look_up(digest).session;
        match self.known().failure.clone() {
            // It may be in the store.
            Some(failure) if now_known.is_none() => return Err(failure),
            Some(_) | None => {}
        }
        Ok(self.standing(now_known).await)
    }

    /// Ends a session, here at once, and in the store as soon as it can be written.
    pub(super) async fn end(&self, digest: SessionDigest) {
        {
            let mut known = self.known();
            known.current.remove(&digest);
            if known.ended.len() < SESSIONS_MAX {
                known.ended.insert(digest);
            }
        }
        self.ends.send_replace(());
        let _turn = self.turn.lock().await;
        if let Err(error) = self.write_ended().await {
            warn!(%error, "a session that ended is not yet deleted from the store");
        }
    }

    /// Returns a receiver that is notified when a session ends here.
    pub(super) fn subscribe(&self) -> watch::Receiver<()> {
        self.ends.subscribe()
    }

    fn known(&self) -> MutexGuard<'_, KnownSessions> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look_up(&self, digest: SessionDigest) -> SessionLookup {
        let known = self.known();
        SessionLookup {
            session: known.current.get(&digest).cloned(),
            is_ended: known.ended.contains(&digest),
            age: known.read_at.map(|at| at.elapsed()),
        }
    }

    /// Returns the session if it still counts. One whose token is another or gone ends for good: it
    /// must not come back with the token.
    async fn standing(&self, session: Option<StoredSession>) -> Option<StoredSession> {
        let session = session.filter(|it| is_current(it, clock::now()))?;
        if self.is_bound(&session) {
            return Some(session);
        }
        self.end(session.digest).await;
        None
    }

    fn is_bound(&self, session: &StoredSession) -> bool {
        let token = match session.via {
            LoginMethod::Token => session.name.as_str(),
            LoginMethod::Link => AdminToken::MAIN,
            // Its request names the user.
            LoginMethod::Proxy => return true,
        };
        self.tokens.named(token).is_some_and(|token| token.bound() == session.bound)
    }

    /// Reads all sessions again. If `is_known`, what another request is reading is not waited for.
    async fn read_again(&self, is_known: bool) {
        let _turn = match (self.turn.try_lock(), is_known) {
            (Ok(turn), _) => turn,
            (Err(_), true) => return,
            (Err(_), false) => self.turn.lock().await,
        };
        let age = self.known().read_at.map(|at| at.elapsed());
        if age.is_some_and(|age| age < AGE_MAX_UNKNOWN) {
            return;
        }
        let read = self.read().await;
        let mut known = self.known();
        known.read_at = Some(Instant::now());
        match read {
            Ok(sessions) => {
                let mut sessions: BTreeMap<_, _> =
                    sessions.into_iter().map(|it| (it.digest, it)).collect();
                // Some may have ended while the others were read.
                sessions.retain(|digest, _| !known.ended.contains(digest));
                known.current = sessions;
                known.failure = None;
            }
            // Those that were known go on.
            Err(failure) => known.failure = Some(failure),
        }
    }

    async fn read(&self) -> Result<Vec<StoredSession>, StoreError> {
        // Without success, they are still in `ended`, which what is read is filtered by.
        let _ = self.write_ended().await;
        let sessions = in_time(self.store.sessions(clock::now())).await?;
        let (bound, unbound): (Vec<_>, Vec<_>) =
            sessions.into_iter().partition(|session| self.is_bound(session));
        if !unbound.is_empty() {
            self.known().ended.extend(unbound.iter().map(|it| it.digest));
            let _ = self.write_ended().await;
        }
        Ok(bound)
    }

    /// Deletes from the store what ended here.
    async fn write_ended(&self) -> Result<(), StoreError> {
        let ended: Vec<SessionDigest> = self.known().ended.iter().copied().collect();
        if ended.is_empty() {
            return Ok(());
        }
        in_time(self.store.end_sessions(ended.clone())).await?;
        let mut known = self.known();
        for digest in ended {
            known.ended.remove(&digest);
        }
        Ok(())
    }
}

/// Waits for the store, but not for long: requests of known sessions need it only now and then.
async fn in_time<T>(work: impl Future<Output = Result<T, StoreError>>) -> Result<T, StoreError> {
    timeout(WAIT_MAX, work).await.unwrap_or_else(|_| {
        let reason = "it did not answer in time".to_owned();
        Err(StoreError::Unavailable { trouble: UnavailableKind::Busy, reason })
    })
}

/// Returns the time as the store keeps it, so that it is the same before and after it was read there.
fn to_microsecond(time: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(time.as_microsecond()).unwrap_or(time)
}

fn digest(id: &SecretString) -> SessionDigest {
    SessionDigest(digest_for("session", id))
}

fn is_current(session: &StoredSession, now: Timestamp) -> bool {
    let left = session.ends_at.duration_since(now);
    let max = jiff::SignedDuration::try_from(LASTS + CLOCK_SET_BACK_MAX);
    left.is_positive() && max.is_ok_and(|max| left <= max)
}
