//! Signs of life of each source: its accepted webhooks, and the wrong signatures since the last one.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::access_log::AnsweredRequest;
use super::request::{origin, source_name};
use super::response::{Acknowledgement, Rejection};
use super::signature::VerifyError;
use crate::event::SourceName;
use crate::store::WebhookOrigin;

/// Time without a wrong signature after which a further one begins a new run.
const RUN_PAUSE: SignedDuration = SignedDuration::from_hours(24);

/// The signs of life of all sources.
#[derive(Debug, Default)]
pub struct Activities(Mutex<BTreeMap<SourceName, Activity>>);

/// The signs of life of a source.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Activity {
    /// When the last webhook was accepted; one that carries nothing to store, or that was stored
    /// before, too. Tests by a person do not count.
    pub accepted_at: Option<Timestamp>,
    /// Webhooks with a wrong signature since then.
    pub wrong: Option<WrongSignatures>,
}

/// Webhooks of a source with a wrong signature, of which none was a day after the one before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WrongSignatures {
    pub count: u64,
    pub first_at: Timestamp,
    pub last_at: Timestamp,
    /// The probable cause of the last one.
    pub hint: Option<String>,
}

impl Activities {
    /// Notes what a request says of its source, if it is a sign of life.
    pub(super) fn note(
        &self,
        request: &AnsweredRequest<'_>,
        result: &Result<Acknowledgement, Rejection>,
    ) {
        let Some(source) = source_name(request.parts) else { return };
        match result {
            // What a command of this program sends is a test by a person.
            Ok(_) if origin(request.parts) == WebhookOrigin::Made => {}
            Ok(Acknowledgement::Handshake(_)) => self.handshake(&source),
            Ok(
                Acknowledgement::Accepted { .. }
                | Acknowledgement::Duplicate { .. }
                | Acknowledgement::Ignored { .. },
            ) => self.accepted(&source, request.began),
            // Not one without a signature: anybody on the network can send that.
            Err(Rejection::Unauthenticated { error: VerifyError::Mismatch, hint }) => {
                self.wrong(&source, hint.as_deref(), request.began);
            }
            Err(_) => {}
        }
    }

    /// Notes a webhook that was accepted.
    fn accepted(&self, source: &SourceName, now: Timestamp) {
        self.change(source, |activity| {
            activity.accepted_at = Some(now);
            activity.wrong = None;
        });
    }

    /// Notes an answered test of the address, which proves a right secret and is no traffic.
    fn handshake(&self, source: &SourceName) {
        self.change(source, |activity| activity.wrong = None);
    }

    /// Counts a webhook with a wrong signature.
    fn wrong(&self, source: &SourceName, hint: Option<&str>, now: Timestamp) {
        self.change(source, |activity| {
            let run = activity.wrong.take();
            let run = run.filter(|run| now.duration_since(run.last_at).abs() < RUN_PAUSE);
            activity.wrong = Some(WrongSignatures {
                count: run.as_ref().map_or(0, |run| run.count).saturating_add(1),
                first_at: run.as_ref().map_or(now, |run| run.first_at.min(now)),
                last_at: now,
                hint: hint.map(str::to_owned),
            });
        });
    }

    /// Returns the signs of all sources that had any.
    pub fn all(&self) -> BTreeMap<SourceName, Activity> {
        self.lock().clone()
    }

    /// Adds what was known before the start.
    pub fn restore(&self, before: BTreeMap<SourceName, Activity>) {
        let mut all = self.lock();
        for (source, old) in before {
            let activity = all.entry(source).or_default();
            if activity.accepted_at.is_some() {
                continue;
            }
            activity.accepted_at = old.accepted_at;
            activity.wrong = match (activity.wrong.take(), old.wrong) {
                (Some(new), Some(old)) => Some(WrongSignatures {
                    count: old.count.saturating_add(new.count),
                    first_at: old.first_at.min(new.first_at),
                    ..new
                }),
                (new, old) => new.or(old),
            };
        }
    }

    fn change(&self, source: &SourceName, change: impl FnOnce(&mut Activity)) {
        let mut all = self.lock();
        match all.get_mut(source) {
            Some(activity) => change(activity),
            None => change(all.entry(source.clone()).or_default()),
        }
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<SourceName, Activity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + hours * 3600).unwrap()
    }

    fn form() -> SourceName {
        "form".parse().unwrap()
    }

    fn run(activities: &Activities) -> Option<(u64, Timestamp)> {
        let wrong = activities.all().remove(&form())?.wrong?;
        Some((wrong.count, wrong.first_at))
    }

    #[test]
    fn accepted_webhook_and_a_day_of_quiet_end_a_run() {
        let activities = Activities::default();
        for hour in [0, 1, 24] {
            activities.wrong(&form(), Some("an old secret"), at(hour));
        }
        assert_eq!(run(&activities), Some((3, at(0))));
        activities.wrong(&form(), None, at(48));
        assert_eq!(run(&activities), Some((1, at(48))));
        activities.accepted(&form(), at(49));
        assert_eq!(run(&activities), None);
        assert_eq!(activities.all()[&form()].accepted_at, Some(at(49)));
    }

    #[test]
    fn run_continues_over_a_restart() {
        let (before, after) = (Activities::default(), Activities::default());
        before.accepted(&form(), at(0));
        before.wrong(&form(), None, at(1));
        after.wrong(&form(), None, at(2));

        after.restore(before.all());

        assert_eq!(run(&after), Some((2, at(1))));
        assert_eq!(after.all()[&form()].accepted_at, Some(at(0)));
        let json = serde_json::to_string(&after.all()).unwrap();
        let read: BTreeMap<SourceName, Activity> = serde_json::from_str(&json).unwrap();
        assert_eq!(read[&form()].wrong, after.all()[&form()].wrong);
    }
}
