//! The webhooks of each source by half hour, in which it was live.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};

use super::kinds::silent::{LiveHalfHour, number_of};
use super::reconcile::half_hour;
use crate::event::SourceName;
use crate::intake::activity::Activity;
use crate::store::LiveSources;

/// Time for which half hours are kept: longer than the longest `silence`.
pub(super) const KEPT: SignedDuration = SignedDuration::from_hours(24 * 92);

/// The traffic of all sources, in memory as in the store.
#[derive(Debug, Default)]
pub(super) struct Traffic {
    sources: BTreeMap<SourceName, SourceRecord>,
    /// The half hour that goes on; the clock may be set back into an earlier one.
    current: Option<Timestamp>,
    is_unsaved: bool,
}

#[derive(Debug, Default)]
struct SourceRecord {
    half_hours: Vec<LiveHalfHour>,
    /// Webhooks since the start that are counted in the half hours.
    counted: u64,
}

impl Traffic {
    /// Takes over what the store has; half hours of the future are of a clock that was set back.
    pub(super) fn of(stored: Vec<LiveSources>, now: Timestamp) -> Traffic {
        let mut traffic = Traffic::default();
        for LiveSources { at, webhooks } in stored.into_iter().filter(|it| it.at <= now) {
            for (source, webhooks) in webhooks {
                let webhooks = u32::try_from(webhooks).unwrap_or(u32::MAX);
                let entry = LiveHalfHour { number: number_of(at), webhooks };
                traffic.sources.entry(source).or_default().half_hours.push(entry);
            }
        }
        traffic
    }

    /// Counts the webhooks since the last call. `live` are the sources at which some can arrive.
    pub(super) fn note(
        &mut self,
        live: &BTreeSet<SourceName>,
        activities: &BTreeMap<SourceName, Activity>,
        now: Timestamp,
    ) {
        let at = half_hour(now);
        if self.current.is_some_and(|current| at < current) {
            return;
        }
        let (number, oldest) = (number_of(at), number_of(now - KEPT));
        self.is_unsaved |= self.current != Some(at);
        self.current = Some(at);
        for source in live {
            let record = self.sources.entry(source.clone()).or_default();
            let total = activities.get(source).map_or(0, |activity| activity.webhooks);
            let new = u32::try_from(total.saturating_sub(record.counted)).unwrap_or(u32::MAX);
            record.counted = total;
            let has_entry = record.half_hours.last().is_some_and(|last| last.number >= number);
            if !has_entry {
                record.half_hours.retain(|it| it.number >= oldest);
                record.half_hours.push(LiveHalfHour { number, webhooks: 0 });
                self.is_unsaved = true;
            }
            if let Some(last) = record.half_hours.last_mut() {
                // Whether there was any is what counts; the exact number is saved with the next.
                self.is_unsaved |= last.webhooks == 0 && new > 0;
                last.webhooks = last.webhooks.saturating_add(new);
            }
        }
    }

    pub(super) fn of_source(&self, source: &SourceName) -> &[LiveHalfHour] {
        self.sources.get(source).map_or(&[], |record| &record.half_hours)
    }

    /// Returns what is to be written.
    pub(super) fn unsaved(&self) -> Option<LiveSources> {
        let at = self.current.filter(|_| self.is_unsaved)?;
        let number = number_of(at);
        let current = self.sources.iter().filter_map(|(source, record)| {
            let last = record.half_hours.last().filter(|it| it.number == number)?;
            Some((source.clone(), u64::from(last.webhooks)))
        });
        Some(LiveSources { at, webhooks: current.collect() })
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

    fn note(traffic: &mut Traffic, webhooks: u64, minute: i64) -> Option<u64> {
        let form: SourceName = "form".parse().unwrap();
        let activity = Activity { webhooks, ..Activity::default() };
        traffic.note(&[form.clone()].into(), &[(form.clone(), activity)].into(), at(minute));
        let saved = traffic.unsaved().map(|live| live.webhooks[&form]);
        traffic.saved();
        saved
    }

    #[test]
    fn half_hour_is_saved_at_its_beginning_and_with_its_first_webhook() {
        let mut traffic = Traffic::default();
        assert_eq!(note(&mut traffic, 0, 0), Some(0));
        assert_eq!(note(&mut traffic, 0, 1), None);
        assert_eq!(note(&mut traffic, 2, 2), Some(2));
        assert_eq!(note(&mut traffic, 5, 3), None);
        assert_eq!(note(&mut traffic, 5, 31), Some(0));
        let form = "form".parse().unwrap();
        let webhooks: Vec<u32> = traffic.of_source(&form).iter().map(|it| it.webhooks).collect();
        assert_eq!(webhooks, [5, 0]);
        assert_eq!(note(&mut traffic, 9, 2), None, "the clock was set back");
    }

    #[test]
    fn restart_continues_the_half_hour() {
        let form: SourceName = "form".parse().unwrap();
        let stored = |minute| LiveSources {
            at: half_hour(at(minute)),
            webhooks: [(form.clone(), 3)].into(),
        };
        let mut traffic = Traffic::of(vec![stored(0), stored(300)], at(1));

        note(&mut traffic, 1, 1);

        let webhooks: Vec<u32> = traffic.of_source(&form).iter().map(|it| it.webhooks).collect();
        assert_eq!(webhooks, [4], "that of the future is left out");
    }
}
