//! The feature requests of a destination as they were listed last, and what became of titles since.

use std::collections::HashMap;
use std::time::Duration;

use jiff::Timestamp;

use super::title_key::TitleNormalizer;
use crate::mapping::LinkMode;

/// A title that was found counts so long, and one that was not found so long.
const FOUND_FOR: Duration = Duration::from_mins(10);
const MISSED_FOR: Duration = Duration::from_secs(30);

/// After a list could not be had, nobody asks for so long.
const FAILED_FOR: Duration = Duration::from_secs(30);

/// How many titles of our own are remembered.
const OWN_MAX: usize = 10_000;

pub(super) struct TitleIndex {
    spelling: TitleNormalizer,
    listed_at: Option<Timestamp>,
    /// The stored spelling of each title, by its key.
    stored: HashMap<String, String>,
    /// What this process sends: the first spelling is that of all which follow.
    own: HashMap<String, PendingTitle>,
    failed: Option<Failed>,
}

struct Failed {
    at: Timestamp,
    until: Timestamp,
    reason: String,
}

struct PendingTitle {
    title: String,
    /// When Savio took it; none while it is only on its way.
    taken_at: Option<Timestamp>,
}

/// What is known of a title.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum TitleMatch {
    /// The spelling to send.
    Spelled(String),
    Nowhere,
    /// The list has to be read first.
    Stale,
    /// The list could not be had just now.
    Failed {
        until: Timestamp,
        reason: String,
    },
}

impl TitleIndex {
    pub(super) fn new() -> TitleIndex {
        TitleIndex {
            spelling: TitleNormalizer::new(),
            listed_at: None,
            stored: HashMap::new(),
            own: HashMap::new(),
            failed: None,
        }
    }

    pub(super) fn look_up(&self, title: &str, existing: LinkMode, now: Timestamp) -> TitleMatch {
        let key = self.spelling.key(title);
        let own = self.own.get(&key).filter(|own| match existing {
            LinkMode::Prefer => true,
            LinkMode::Only => own.taken_at.is_some(),
        });
        let found = self.stored.get(&key).or(own.map(|own| &own.title)).filter(|_| !key.is_empty());
        // What is later than now is by a clock that was set back since: it counts no more.
        let is_fresh = |span: Duration| {
            let age = self.listed_at.map(|at| Duration::try_from(now.duration_since(at)));
            age.is_some_and(|age| age.is_ok_and(|age| age < span))
        };
        match (found, &self.failed) {
            (Some(stored), _) if is_fresh(FOUND_FOR) => TitleMatch::Spelled(stored.clone()),
            (None, _) if is_fresh(MISSED_FOR) => TitleMatch::Nowhere,
            (_, Some(failed)) if failed.at <= now && failed.until > now => {
                TitleMatch::Failed { until: failed.until, reason: failed.reason.clone() }
            }
            (Some(_) | None, _) => TitleMatch::Stale,
        }
    }

    /// The title goes out, so that all which are like it have its spelling.
    pub(super) fn promise(&mut self, title: &str) {
        let key = self.spelling.key(title);
        if !key.is_empty() && !self.stored.contains_key(&key) && self.own.len() < OWN_MAX {
            let own = PendingTitle { title: title.to_owned(), taken_at: None };
            self.own.entry(key).or_insert(own);
        }
    }

    /// Savio took a request with this title: it is there from now on.
    pub(super) fn taken(&mut self, title: &str, now: Timestamp) {
        self.promise(title);
        if let Some(own) = self.own.get_mut(&self.spelling.key(title)) {
            own.taken_at = Some(now);
        }
    }

    /// All titles, as they were listed from `begun_at` on. Of several with one key the first counts.
    pub(super) fn replace(&mut self, titles: Vec<String>, (begun_at, now): (Timestamp, Timestamp)) {
        self.stored.clear();
        for title in titles {
            self.stored.entry(self.spelling.key(&title)).or_insert(title);
        }
        // What was taken before is in the list, or somebody removed it.
        let stored = &self.stored;
        self.own.retain(|key, own| {
            own.taken_at = own.taken_at.map(|at| at.min(now));
            !stored.contains_key(key) && own.taken_at.is_none_or(|at| at >= begun_at)
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

    fn spelled(title: &str) -> TitleMatch {
        TitleMatch::Spelled(title.to_owned())
    }

    #[test]
    fn a_list_serves_for_a_while_and_a_miss_for_less() {
        let list = listed(&["Dark mode"]);

        let look = |title, seconds| list.look_up(title, LinkMode::Only, at(seconds));

        assert_eq!(look("dark-mode", 599), spelled("Dark mode"));
        assert_eq!(look("dark-mode", 600), TitleMatch::Stale);
        assert_eq!(
            (look("Other", 29), look("Other", 30)),
            (TitleMatch::Nowhere, TitleMatch::Stale)
        );
        assert_eq!(look("?!", 0), TitleMatch::Nowhere);
    }

    #[test]
    fn a_title_on_its_way_lends_its_spelling_and_is_not_there_yet() {
        let mut list = listed(&[]);

        list.promise("Dark mode");
        list.promise("DARK MODE");

        assert_eq!(list.look_up("dark mode!", LinkMode::Prefer, at(1)), spelled("Dark mode"));
        assert_eq!(list.look_up("dark mode!", LinkMode::Only, at(1)), TitleMatch::Nowhere);
        list.taken("Dark mode", at(2));
        assert_eq!(list.look_up("dark mode!", LinkMode::Only, at(3)), spelled("Dark mode"));
    }

    #[test]
    fn what_a_newer_list_lacks_is_gone() {
        let mut list = listed(&[]);
        list.taken("Before", at(2));
        list.taken("Meanwhile", at(5));

        list.replace(Vec::new(), (at(4), at(6)));

        let look = |title| list.look_up(title, LinkMode::Only, at(7));
        assert_eq!(
            (look("before"), look("meanwhile")),
            (TitleMatch::Nowhere, spelled("Meanwhile"))
        );
    }

    #[test]
    fn a_clock_that_is_set_back_makes_the_list_no_longer_valid() {
        let mut list = listed(&["Dark mode"]);
        let look =
            |list: &TitleIndex, title, seconds| list.look_up(title, LinkMode::Only, at(seconds));
        assert_eq!(look(&list, "dark-mode", -1), TitleMatch::Stale);
        assert_eq!(look(&list, "Other", -86_400), TitleMatch::Stale);

        list.fail("savio answered 503".to_owned(), at(0));
        assert_eq!(look(&list, "Other", -86_400), TitleMatch::Stale);

        list.taken("Meanwhile", at(5));
        list.replace(Vec::new(), (at(-90), at(-80)));
        assert_eq!(look(&list, "meanwhile", -79), spelled("Meanwhile"));
        list.replace(Vec::new(), (at(-60), at(-50)));
        assert_eq!(look(&list, "meanwhile", -49), TitleMatch::Nowhere);
    }

    #[test]
    fn a_list_that_cannot_be_had_is_not_asked_for_at_once() {
        let mut list = TitleIndex::new();

        list.fail("savio answered 503".to_owned(), at(0));

        let look = |seconds| list.look_up("Dark mode", LinkMode::Prefer, at(seconds));
        assert!(matches!(look(29), TitleMatch::Failed { until, .. } if until == at(30)));
        assert_eq!(look(30), TitleMatch::Stale);
    }
}
