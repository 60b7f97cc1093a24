//! Sources that got nothing for longer than usual.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};

use super::words::rough;
use crate::event::SourceName;
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::issues::reconcile::half_hour;
use crate::mapping_file::silence::SilenceLimit;
use crate::store::{Issue, IssuePlace, IssueWords};

const HALF_HOURS_PER_DAY: u32 = 48;
/// Half hours before the last webhook from which the usual gaps are learned, and that have to be seen.
const LEARNED_FROM: u32 = 28 * HALF_HOURS_PER_DAY;
const LEARNED_AFTER: u32 = 14 * HALF_HOURS_PER_DAY;
/// Webhooks, days with any, and gaps longer than the median that have to be seen.
// A source that sends a batch each week has one long gap after 14 days: too few to know it.
const WEBHOOKS_MIN: u64 = 20;
const DAYS_MIN: usize = 5;
const LONG_GAPS_MIN: usize = 3;
/// Shortest gap of which an issue tells, in half hours.
const GAP_MIN: u32 = HALF_HOURS_PER_DAY;
/// Webhooks in the same hours of the week before, from which on their absence is no chance.
// A source that gets one or two on a weekend gets none on another. The busiest day does not count, since a
// day may be a holiday.
const USUAL_MIN: u64 = 10;
const HALF_HOURS_PER_WEEK: u32 = 7 * HALF_HOURS_PER_DAY;

/// The gap has to be longer than the mean by so many standard deviations.
// If webhooks come at random, twice the second longest of few gaps is exceeded now and then: with 20
// in four weeks, in a third of the cases within four further weeks. This is not.
const DEVIATIONS_MIN: f64 = 9.0;

/// A half hour in which the relay ran and the source was live and not paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LiveHalfHour {
    /// Its number since 1970.
    pub number: u32,
    pub webhooks: u32,
}

/// A source with its traffic.
#[derive(Debug, Clone)]
pub struct SourceTraffic<'t> {
    pub source: &'t SourceName,
    pub silence: SilenceLimit,
    /// Whether webhooks can arrive at present: it is live and not paused.
    pub is_live: bool,
    /// Oldest first; the last one is going on.
    pub half_hours: &'t [LiveHalfHour],
}

/// The longest gap between webhooks that is no news, in half hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Limit {
    half_hours: u32,
    /// The longest gap that was seen; none if a person set the limit.
    longest: Option<u32>,
}

pub fn judge(sources: &[SourceTraffic<'_>], open: &[&Issue]) -> RuleFinding {
    let mut known = KnownFinding::default();
    for traffic in sources {
        let issue = open.iter().find(|issue| issue.key == traffic.source.as_str());
        judge_source(traffic, issue.map(|issue| issue.opened_at), &mut known);
    }
    RuleFinding::Known(known)
}

fn judge_source(
    traffic: &SourceTraffic<'_>,
    opened_at: Option<Timestamp>,
    known: &mut KnownFinding,
) {
    let key = traffic.source.to_string();
    if traffic.silence == SilenceLimit::Off {
        known.outcomes.insert(key, "`silence` is off now.".to_owned());
        return;
    }
    if !traffic.is_live {
        // Nothing can arrive: that says neither that it is silent nor that it is not.
        known.unknown.insert(key);
        return;
    }
    let gap = current_gap(traffic.half_hours);
    let is_set = matches!(traffic.silence, SilenceLimit::After(_));
    // What is usual takes long to learn, and almost always nothing depends on it.
    let matters = is_set || gap >= GAP_MIN || opened_at.is_some();
    let limit = matters.then(|| limit(traffic)).flatten();
    let is_longer = limit.is_some_and(|limit| gap >= limit.half_hours)
        && (is_set || usual_in_gap(traffic.half_hours) >= USUAL_MIN);
    // What is usual is forgotten while the silence lasts: only a webhook ends it, or a person.
    let lasts = matches!(traffic.silence, SilenceLimit::Learned)
        && opened_at.is_some_and(|at| !has_webhook_since(traffic.half_hours, at));
    if is_longer || lasts {
        known.holds.push(condition(traffic, gap, limit));
    }
}

/// Returns the half hours since the last webhook, or since the first half hour if none came.
fn current_gap(half_hours: &[LiveHalfHour]) -> u32 {
    let since = half_hours.iter().rposition(|it| it.webhooks > 0).unwrap_or(0);
    let passed = half_hours.len().saturating_sub(since.saturating_add(1));
    u32::try_from(passed).unwrap_or(u32::MAX)
}

/// Returns the webhooks in the same half hours as those since the last webhook, of the last weeks before
/// it that are as long, without those of the busiest day.
fn usual_in_gap(half_hours: &[LiveHalfHour]) -> u64 {
    let Some(last) = half_hours.iter().rfind(|it| it.webhooks > 0) else { return 0 };
    let now = half_hours.last().map_or(last.number, |it| it.number);
    let weeks = now.saturating_sub(last.number).div_ceil(HALF_HOURS_PER_WEEK);
    let back = weeks.saturating_mul(HALF_HOURS_PER_WEEK);
    let usual = last.number.saturating_sub(back)..=now.saturating_sub(back);
    // That of the last webhook itself is not in the gap.
    let in_gap = half_hours.iter().filter(|it| usual.contains(&it.number)).skip(1);
    let mut days: BTreeMap<u32, u64> = BTreeMap::new();
    for half_hour in in_gap {
        *days.entry(half_hour.number / HALF_HOURS_PER_DAY).or_default() +=
            u64::from(half_hour.webhooks);
    }
    days.values().sum::<u64>() - days.values().max().copied().unwrap_or_default()
}

fn has_webhook_since(half_hours: &[LiveHalfHour], opened_at: Timestamp) -> bool {
    let opened = number_of(opened_at);
    half_hours.iter().rev().take_while(|it| it.number >= opened).any(|it| it.webhooks > 0)
}

/// Returns the number of a half hour since 1970.
pub fn number_of(at: Timestamp) -> u32 {
    u32::try_from(half_hour(at).as_second() / (30 * 60)).unwrap_or(0)
}

fn limit(traffic: &SourceTraffic<'_>) -> Option<Limit> {
    match traffic.silence {
        SilenceLimit::Off => None,
        SilenceLimit::After(time) => {
            let half_hours = u32::try_from(time.as_secs() / (30 * 60)).unwrap_or(u32::MAX);
            Some(Limit { half_hours, longest: None })
        }
        SilenceLimit::Learned => learned(traffic.half_hours),
    }
}

/// Learns from the half hours up to the last webhook.
fn learned(half_hours: &[LiveHalfHour]) -> Option<Limit> {
    let last = half_hours.iter().rposition(|it| it.webhooks > 0)?;
    let from = half_hours[last].number.saturating_sub(LEARNED_FROM);
    let window: Vec<LiveHalfHour> =
        half_hours[..=last].iter().copied().filter(|it| it.number > from).collect();
    let active: Vec<usize> =
        window.iter().enumerate().filter(|(_, it)| it.webhooks > 0).map(|(at, _)| at).collect();
    let webhooks: u64 = window.iter().map(|it| u64::from(it.webhooks)).sum();
    let mut days: Vec<u32> =
        active.iter().map(|at| window[*at].number / HALF_HOURS_PER_DAY).collect();
    days.dedup();
    // In the half hours that count, and not by the clock.
    let mut gaps: Vec<u32> = active
        .windows(2)
        .map(|pair| u32::try_from(pair[1] - pair[0]).unwrap_or(u32::MAX))
        .collect();
    gaps.sort_unstable();
    let span: u32 = gaps.iter().sum();
    let median = gaps.get(gaps.len() / 2).copied()?;
    // None is longer where webhooks come all the time.
    let long_gaps = gaps.iter().filter(|gap| **gap > median).count();
    if webhooks < WEBHOOKS_MIN
        || span < LEARNED_AFTER
        || days.len() < DAYS_MIN
        || (1..LONG_GAPS_MIN).contains(&long_gaps)
    {
        return None;
    }
    let longest = *gaps.last()?;
    let second = gaps.iter().rev().nth(1).copied().unwrap_or(longest);
    // Until four weeks are seen, the longest gap may be one that comes back, such as a weekend.
    let seen = if span < LEARNED_FROM - HALF_HOURS_PER_DAY { longest } else { 0 };
    let limits = [second.saturating_mul(2), GAP_MIN, seen, beyond_chance(&gaps)];
    Some(Limit { half_hours: limits.into_iter().max()?, longest: Some(longest) })
}

/// Returns the gap that is longer than the mean by nine standard deviations.
fn beyond_chance(gaps: &[u32]) -> u32 {
    let count = f64::from(u32::try_from(gaps.len()).unwrap_or(u32::MAX));
    let mean = gaps.iter().map(|gap| f64::from(*gap)).sum::<f64>() / count;
    let squares = gaps.iter().map(|gap| (f64::from(*gap) - mean).powi(2)).sum::<f64>();
    let limit = mean + DEVIATIONS_MIN * (squares / count).sqrt();
    // Rounded up, within the range: the gaps are far below it.
    (0..=31)
        .map(|bit| 1_u32 << bit)
        .find(|power| f64::from(*power) >= limit)
        .map_or(u32::MAX, |power| {
            (power / 2..=power).find(|it| f64::from(*it) >= limit).unwrap_or(power)
        })
}

fn condition(traffic: &SourceTraffic<'_>, gap: u32, limit: Option<Limit>) -> IssueCondition {
    let source = traffic.source;
    let time = |half_hours: u32| SignedDuration::from_mins(i64::from(half_hours) * 30);
    let usual = limit.and_then(|limit| limit.longest);
    let usual = usual
        .map_or_else(String::new, |it| format!("; the longest usual gap is {}", rough(time(it))));
    let last = traffic.half_hours.iter().rev().find(|it| it.webhooks > 0);
    let last_at = last
        .or(traffic.half_hours.first())
        .and_then(|it| Timestamp::from_second(i64::from(it.number) * 30 * 60).ok());
    IssueCondition {
        key: source.to_string(),
        place: IssuePlace { source: Some(source.clone()), ..IssuePlace::default() },
        words: IssueWords {
            text: format!("{source} has received nothing for {}{usual}.", rough(time(gap))),
            reason: None,
            hint: None,
            advice: format!(
                "Check at the sender that the webhook is still on. If such a gap is normal, set \
                 `silence = \"7d\"` in the mapping file of {source}, or \"off\"."
            ),
        },
        count: u64::from(gap) / 2,
        unit: "h",
        measure: Measure::Level,
        last_at: last_at.unwrap_or(Timestamp::UNIX_EPOCH),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const START: u32 = 1_000_000;

    /// Returns half hours from the start, with one webhook in each of these.
    fn half_hours(count: u32, active: impl Fn(u32) -> bool) -> Vec<LiveHalfHour> {
        let of = |it| LiveHalfHour { number: START + it, webhooks: u32::from(active(it)) };
        (0..count).map(of).collect()
    }

    fn holds(half_hours: &[LiveHalfHour], silence: SilenceLimit, is_live: bool) -> Option<String> {
        let source = "form".parse().unwrap();
        let traffic = SourceTraffic { source: &source, silence, is_live, half_hours };
        let RuleFinding::Known(known) = judge(&[traffic], &[]) else { return None };
        known.holds.into_iter().next().map(|it| it.words.text)
    }

    /// Every half hour from 9 to 17 on weekdays; the first day is a Monday.
    fn office(it: u32) -> bool {
        (it / 48) % 7 < 5 && (18..34).contains(&(it % 48))
    }

    #[test]
    fn usual_weekend_is_no_silence_and_a_longer_gap_is() {
        // Ends on the Friday of the fourth week: the longest gap is 129 half hours.
        let days = 7 * 3 + 5;
        let text = |gap| {
            holds(
                &half_hours(days * 48 - 14 + gap, |it| it < days * 48 && office(it)),
                SilenceLimit::Learned,
                true,
            )
        };
        assert_eq!(text(257), None);
        let found = text(258).unwrap();
        assert_eq!(found, "form has received nothing for 5 days; the longest usual gap is 2 days.");
    }

    #[test]
    fn nothing_is_learned_before_fourteen_days() {
        // The second weekend is the first one that is twice as long as a night.
        assert_eq!(holds(&half_hours(14 * 48, office), SilenceLimit::Learned, true), None);
        assert_eq!(
            holds(
                &half_hours(60 * 48, |it| it < 11 * 48 && office(it)),
                SilenceLimit::Learned,
                true
            ),
            None
        );
    }

    #[test]
    fn weekly_batch_is_no_silence_after_two_weeks() {
        let batch = |it: u32| (it / 48).is_multiple_of(7) && it % 48 < 10;
        for half_hour in 0..28 * 48 {
            assert_eq!(
                holds(&half_hours(half_hour, batch), SilenceLimit::Learned, true),
                None,
                "{half_hour}"
            );
        }
    }

    #[test]
    fn weekend_on_which_none_of_the_usual_few_comes_is_no_silence() {
        let half_hour = |it: u32| {
            let (day, of_day) = (it / 48, it % 48);
            let weekend = day % 7 >= 5 && of_day == 20 && day < 19;
            LiveHalfHour { number: START + it, webhooks: u32::from(weekend || office(it)) }
        };
        let text = |until: u32| {
            let all: Vec<LiveHalfHour> = (0..until).map(half_hour).collect();
            // Nothing comes from Friday evening of the third week on.
            let quiet = all.iter().map(|it| LiveHalfHour {
                webhooks: if it.number >= START + 18 * 48 + 34 { 0 } else { it.webhooks },
                ..*it
            });
            holds(&quiet.collect::<Vec<_>>(), SilenceLimit::Learned, true)
        };
        assert_eq!(text(21 * 48 + 34), None, "Monday evening: it may be a holiday");
        assert!(text(22 * 48 + 34).is_some(), "Tuesday evening");
    }

    #[test]
    fn silence_of_the_mapping_file_counts_from_the_last_webhook() {
        let day = SilenceLimit::After(Duration::from_hours(24));
        assert_eq!(holds(&half_hours(58, |it| it == 10), day, true), None);
        assert!(holds(&half_hours(59, |it| it == 10), day, true).is_some());
        assert!(holds(&half_hours(49, |_| false), day, true).is_some(), "none ever");
        assert_eq!(holds(&half_hours(500, |_| false), SilenceLimit::Off, true), None);
        assert_eq!(holds(&half_hours(500, |_| false), day, false), None);
    }

    #[test]
    fn half_hours_in_which_the_relay_did_not_run_do_not_count() {
        let mut with_outage = half_hours(28 * 48, |_| true);
        for it in with_outage.iter_mut().skip(27 * 48) {
            it.number += 1_000;
        }
        assert_eq!(holds(&with_outage, SilenceLimit::Learned, true), None);
    }

    #[test]
    fn limit_beyond_chance_is_rounded_up() {
        assert_eq!(beyond_chance(&[10, 10, 10]), 10);
        assert_eq!(beyond_chance(&[5, 15]), 55);
        assert_eq!(beyond_chance(&[1, 2]), 6);
    }
}
