//! The titles of a destination's feature requests, as last listed, and those that this process has
//! sent since.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::title_key::TitleNormalizer;
use crate::mapping::LinkMode;

/// Time for which a list answers a lookup that finds a title, and one that finds none.
// A found title is rarely wrong: feature requests are seldom removed or renamed. A missing one may
// be created in Savio at any time, and the event would create a second one.
const FOUND_FOR: Duration = Duration::from_mins(10);
const MISSED_FOR: Duration = Duration::from_secs(30);

/// Time after a failed list in which it is not requested again.
const FAILED_FOR: Duration = Duration::from_secs(30);

/// Number of titles that are remembered from this process's own requests.
const PENDING_MAX: usize = 10_000;

pub(super) struct TitleIndex {
    normalizer: TitleNormalizer,
    listed_at: Option<Timestamp>,
    /// Titles as Savio has them, by key.
    stored: HashMap<String, String>,
    /// Titles that this process sends, by key. The first spelling is used for all later ones.
    pending: HashMap<String, PendingTitle>,
    failed: Option<Failed>,
}

struct Failed {
    at: Timestamp,
    until: Timestamp,
    reason: String,
}

struct PendingTitle {
    title: String,
    /// Time at which Savio accepted a request with it; none before.
    confirmed_at: Option<Timestamp>,
}

/// Result of a lookup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TitleMatch {
    /// The spelling to send.
    Found(String),
    NotFound,
    /// The list has to be read first.
    Stale,
    /// Reading the list failed a short time before.
    Failed {
        until: Timestamp,
        reason: String,
    },
}

impl TitleIndex {
    pub(super) fn new() -> TitleIndex {
        TitleIndex {
            normalizer: TitleNormalizer::new(),
            listed_at: None,
            stored: HashMap::new(),
            pending: HashMap::new(),
            failed: None,
        }
    }

    pub(super) fn look_up(&self, title: &str, existing: LinkMode, now: Timestamp) -> TitleMatch {
        let key = self.normalizer.key(title);
        let pending = self.pending.get(&key).filter(|pending| match existing {
            // A title that is only being sent lends its spelling, so that two events do not create
            // two feature requests.
            LinkMode::Prefer => true,
            LinkMode::Only => pending.confirmed_at.is_some(),
        });
        let found = self.stored.get(&key).or(pending.map(|pending| &pending.title));
        let found = found.filter(|_| !key.is_empty());
        // A time in the future is from before the clock was set back: such a list does not count.
        let is_fresh = |span: Duration| {
            let age = self.listed_at.map(|at| Duration::try_from(now.duration_since(at)));
            age.is_some_and(|age| age.is_ok_and(|age| age < span))
        };
        match (found, &self.failed) {
            (Some(stored), _) if is_fresh(FOUND_FOR) => TitleMatch::Found(stored.clone()),
            (None, _) if is_fresh(MISSED_FOR) => TitleMatch::NotFound,
            (_, Some(failed)) if failed.at <= now && failed.until > now => {
                TitleMatch::Failed { until: failed.until, reason: failed.reason.clone() }
            }
            (Some(_) | None, _) => TitleMatch::Stale,
        }
    }

    /// Adds a title that is about to be sent. Equal titles take its spelling from then on.
    pub(super) fn add_pending(&mut self, title: &str) {
        let key = self.normalizer.key(title);
        if !key.is_empty() && !self.stored.contains_key(&key) && self.pending.len() < PENDING_MAX {
            let pending = PendingTitle { title: title.to_owned(), confirmed_at: None };
            self.pending.entry(key).or_insert(pending);
        }
    }

    /// Notes that Savio accepted a request with this title.
    pub(super) fn confirm(&mut self, title: &str, now: Timestamp) {
        self.add_pending(title);
        if let Some(pending) = self.pending.get_mut(&self.normalizer.key(title)) {
            pending.confirmed_at = Some(now);
        }
    }

    /// Replaces the list, whose reading began at `begun_at`. Of several titles with one key, the
    /// first counts.
    pub(super) fn replace(&mut self, titles: Vec<String>, (begun_at, now): (Timestamp, Timestamp)) {
        self.stored.clear();
        for title in titles {
            self.stored.entry(self.normalizer.key(&title)).or_insert(title);
        }
        // A title that was confirmed before the reading began is in the list, or was removed in
        // Savio since.
        let stored = &self.stored;
        self.pending.retain(|key, pending| {
            // A time in the future, from before the clock was set back, would keep the title for
            // ever.
            pending.confirmed_at = pending.confirmed_at.map(|at| at.min(now));
            !stored.contains_key(key) && pending.confirmed_at.is_none_or(|at| at >= begun_at)
        });
        self.listed_at = Some(now);
        self.failed = None;
    }

    pub(super) fn fail(&mut self, reason: String, now: Timestamp) {
        let until = now.saturating_add(FAILED_FOR).unwrap_or(now);
        self.failed = Some(Failed { at: now, until, reason });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + seconds).unwrap()
    }

    fn listed(titles: &[&str]) -> TitleIndex {
        let mut list = TitleIndex::new();
        list.replace(titles.iter().map(|title| (*title).to_owned()).collect(), (at(0), at(0)));
        list
    }

    fn found(title: &str) -> TitleMatch {
        TitleMatch::Found(title.to_owned())
    }

    #[test]
    fn found_title_is_cached_longer_than_a_missing_one() {
        let list = listed(&["Dark mode"]);

        let look = |title, seconds| list.look_up(title, LinkMode::Only, at(seconds));

        assert_eq!(look("dark-mode", 599), found("Dark mode"));
        assert_eq!(look("dark-mode", 600), TitleMatch::Stale);
        assert_eq!(
            (look("Other", 29), look("Other", 30)),
            (TitleMatch::NotFound, TitleMatch::Stale)
        );
        assert_eq!(look("?!", 0), TitleMatch::NotFound);
    }

    #[test]
    fn pending_title_lends_its_spelling_but_does_not_exist_yet() {
        let mut list = listed(&[]);

        list.add_pending("Dark mode");
        list.add_pending("DARK MODE");

        assert_eq!(list.look_up("dark mode!", LinkMode::Prefer, at(1)), found("Dark mode"));
        assert_eq!(list.look_up("dark mode!", LinkMode::Only, at(1)), TitleMatch::NotFound);
        list.confirm("Dark mode", at(2));
        assert_eq!(list.look_up("dark mode!", LinkMode::Only, at(3)), found("Dark mode"));
    }

    #[test]
    fn title_missing_in_a_newer_list_is_dropped() {
        let mut list = listed(&[]);
        list.confirm("Before", at(2));
        list.confirm("Meanwhile", at(5));

        list.replace(Vec::new(), (at(4), at(6)));

        let look = |title| list.look_up(title, LinkMode::Only, at(7));
        assert_eq!((look("before"), look("meanwhile")), (TitleMatch::NotFound, found("Meanwhile")));
    }

    #[test]
    fn list_does_not_outlive_a_clock_set_back() {
        let mut list = listed(&["Dark mode"]);
        let look =
            |list: &TitleIndex, title, seconds| list.look_up(title, LinkMode::Only, at(seconds));
        assert_eq!(look(&list, "dark-mode", -1), TitleMatch::Stale);
        assert_eq!(look(&list, "Other", -86_400), TitleMatch::Stale);

        list.fail("savio answered 503".to_owned(), at(0));
        assert_eq!(look(&list, "Other", -86_400), TitleMatch::Stale);

        list.confirm("Meanwhile", at(5));
        list.replace(Vec::new(), (at(-90), at(-80)));
        assert_eq!(look(&list, "meanwhile", -79), found("Meanwhile"));
        list.replace(Vec::new(), (at(-60), at(-50)));
        assert_eq!(look(&list, "meanwhile", -49), TitleMatch::NotFound);
    }

    #[test]
    fn failed_list_is_not_requested_again_at_once() {
        let mut list = TitleIndex::new();

        list.fail("savio answered 503".to_owned(), at(0));

        let look = |seconds| list.look_up("Dark mode", LinkMode::Prefer, at(seconds));
        assert!(matches!(look(29), TitleMatch::Failed { until, .. } if until == at(30)));
        assert_eq!(look(30), TitleMatch::Stale);
    }
}
