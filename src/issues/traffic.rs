//! The webhooks of each source by half hour, in which it was live.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::kinds::silent::{LiveHalfHour, number_of};
use super::reconcile::half_hour;
use crate::event::SourceName;
use crate::store::{HalfHour, LiveSources};

/// Time for which half hours are kept: longer than the longest `silence`.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(24 * 92);

/// Numbers of webhooks, as the store has counted them.
pub(super) type WebhookCounts = BTreeMap<SourceName, Vec<(HalfHour, u64)>>;

/// The traffic of all sources, in memory as in the store.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    /// In the order of time.
    sources: BTreeMap<SourceName, Vec<LiveHalfHour>>,
    /// The half hour that goes on; the clock may be set back into an earlier one.
    current: Option<Timestamp>,
    /// Sources that were live in it.
    live: BTreeSet<SourceName>,
    is_unsaved: bool,
}

impl Traffic {
    /// Takes over what the store has.
    pub(super) fn of(stored: Vec<LiveSources>, webhooks: WebhookCounts, now: Timestamp) -> Traffic {
        let mut traffic = Traffic::default();
        // Those of the future are of a clock that was set back.
        for LiveSources { at, sources } in stored.into_iter().filter(|it| it.at <= now) {
            if at == half_hour(now) {
                traffic.live.clone_from(&sources);
                traffic.current = Some(at);
            }
            for source in sources {
                traffic.count(source, number_of(at), 0);
            }
        }
        traffic.add(webhooks, now);
        traffic
    }

    /// Notes which sources are live, and what the store has counted since the half hour before.
    pub(super) fn note(
        &mut self,
        live: &BTreeSet<SourceName>,
        webhooks: WebhookCounts,
        now: Timestamp,
    ) {
        let at = half_hour(now);
        if self.current.is_some_and(|current| at < current) {
            return;
        }
        if self.current != Some(at) {
            self.current = Some(at);
            self.live.clear();
            self.forget(number_of(now.saturating_sub(KEPT).unwrap_or(Timestamp::MIN)));
            self.is_unsaved = true;
        }
        for source in live {
            if self.live.insert(source.clone()) {
                self.count(source.clone(), number_of(at), 0);
                self.is_unsaved = true;
            }
        }
        self.add(webhooks, now);
    }

    fn forget(&mut self, oldest: u32) {
        for half_hours in self.sources.values_mut() {
            let kept = half_hours.partition_point(|it| it.number < oldest);
            half_hours.drain(..kept);
        }
        self.sources.retain(|_, half_hours| !half_hours.is_empty());
    }

    fn add(&mut self, webhooks: WebhookCounts, now: Timestamp) {
        for (source, counted) in webhooks {
            for (at, webhooks) in counted.into_iter().filter(|(at, _)| at.begins_at() <= now) {
                let webhooks = u32::try_from(webhooks).unwrap_or(u32::MAX);
                self.count(source.clone(), number_of(at.begins_at()), webhooks);
            }
        }
    }

    /// Sets the number of a half hour. One in which webhooks came was live.
    fn count(&mut self, source: SourceName, number: u32, webhooks: u32) {
        let half_hours = self.sources.entry(source).or_default();
        match half_hours.binary_search_by_key(&number, |it| it.number) {
            Ok(place) => half_hours[place].webhooks = half_hours[place].webhooks.max(webhooks),
            Err(place) => half_hours.insert(place, LiveHalfHour { number, webhooks }),
        }
    }

    pub(super) fn of_source(&self, source: &SourceName) -> &[LiveHalfHour] {
        self.sources.get(source).map_or(&[], Vec::as_slice)
    }

    /// Returns what is to be written.
    pub(super) fn unsaved(&self) -> Option<LiveSources> {
        let at = self.current.filter(|_| self.is_unsaved)?;
        Some(LiveSources { at, sources: self.live.clone() })
    }

    pub(super) fn saved(&mut self) {
        self.is_unsaved = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minutes: i64) -> Timestamp {
        Timestamp::from_second(1_800_000_000 + minutes * 60).unwrap()
    }

    fn form() -> SourceName {
        "form".parse().unwrap()
    }

    fn counted(numbers: &[(i64, u64)]) -> WebhookCounts {
        let numbers = numbers.iter().map(|(minute, count)| (HalfHour::of(at(*minute)), *count));
        [(form(), numbers.collect())].into()
    }

    fn webhooks(traffic: &Traffic) -> Vec<u32> {
        traffic.of_source(&form()).iter().map(|it| it.webhooks).collect()
    }

    #[test]
    fn half_hour_is_saved_at_its_beginning_and_with_a_source_that_becomes_live() {
        let mut traffic = Traffic::default();
        let mut note = |live: &[&str], numbers: &[(i64, u64)], minute| {
            let live = live.iter().map(|name| name.parse().unwrap()).collect();
            traffic.note(&live, counted(numbers), at(minute));
            let saved = traffic.unsaved().map(|live| live.sources.len());
            traffic.saved();
            saved
        };
        assert_eq!(note(&["form"], &[], 0), Some(1));
        assert_eq!(note(&["form"], &[(0, 2)], 1), None);
        assert_eq!(note(&["form", "other"], &[(0, 5)], 3), Some(2));
        assert_eq!(note(&["form"], &[(0, 6), (31, 1)], 31), Some(1));
        assert_eq!(note(&["form"], &[(2, 9)], 2), None, "the clock was set back");
        assert_eq!(webhooks(&traffic), [6, 1]);
    }

    #[test]
    fn webhook_is_counted_once_over_a_restart() {
        let stored = |minute| LiveSources { at: half_hour(at(minute)), sources: [form()].into() };
        let (live, numbers) =
            (vec![stored(0), stored(300)], counted(&[(-60, 2), (0, 3), (300, 1)]));
        let mut traffic = Traffic::of(live, numbers, at(1));

        traffic.note(&[form()].into(), counted(&[(0, 4)]), at(1));

        assert_eq!(webhooks(&traffic), [2, 4], "what is of the future is left out");
        assert_eq!(traffic.unsaved(), None);
    }

    #[test]
    fn half_hours_of_long_ago_are_forgotten() {
        let mut traffic = Traffic::of(Vec::new(), counted(&[(0, 1), (60, 1)]), at(61));
        let later = 30 + KEPT.as_mins();

        traffic.note(&BTreeSet::new(), WebhookCounts::new(), at(later));

        assert_eq!(webhooks(&traffic).len(), 1);
    }
}
