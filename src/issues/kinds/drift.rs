//! A field that nearly all events had, and the last ones have not.

mod window;
mod windows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use data_encoding::HEXLOWER;
use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::diagnostics::counted;
use crate::event::SourceName;
use crate::issues::condition::{IssueCondition, KnownFinding, Measure, RuleFinding};
use crate::store::{FieldSearch, FieldUse, Issue, IssuePlace, IssueWords};
pub use window::{BEFORE, MissingRun, Window};
pub use windows::{FieldWindow, WINDOWS_MAX, Windows};

/// Events of the hundred before that had the field.
const HAD_MIN: u32 = 95;

/// Events in a row without it, and the time over which they are spread; as many with it end the issue.
pub const RUN_MIN: u32 = 10;
const SPREAD_MIN: SignedDuration = SignedDuration::from_mins(30);

const WEEK: SignedDuration = SignedDuration::from_hours(24 * 7);

/// Events with the field in the same hours of the week before, from which on its absence is no chance.
// Another form of the same source may have no such field. While a campaign sends that one and nobody
// fills in the usual one, as at night, all events are without the field and nothing is lost. Only days with
// an event of the run are looked at: one between may be a holiday.
const USUAL_MIN: u64 = 10;

/// Time after which a run is believed without that, where nothing is known of the week before.
const BELIEVED_AFTER: SignedDuration = SignedDuration::from_hours(24);

/// Time without such an event after which an issue ends.
const QUIET: SignedDuration = SignedDuration::from_hours(24 * 28);

/// Longest type of event that an issue names.
const TYPE_CHARS_MAX: usize = 100;

/// The blocks of the mapping of a source in service.
#[derive(Debug, Clone)]
pub struct ServedBlocks {
    pub source: SourceName,
    pub blocks: Vec<ServedBlock>,
}

#[derive(Debug, Clone)]
pub struct ServedBlock {
    /// See `FilledBlock::block`.
    pub id: Arc<str>,
    /// Such as `feedback`, or `feedback[1]` where there are several.
    pub name: String,
    /// The fields that it fills, with their positions.
    pub fields: Vec<(usize, &'static str)>,
}

/// What is known of the fields of all sources.
#[derive(Debug, Clone, Copy)]
pub struct SeenFields<'a> {
    pub windows: &'a Windows,
    pub served: &'a [ServedBlocks],
}

/// A field of the mapping in service, with its window.
#[derive(Debug, Clone)]
struct ServedField<'w> {
    key: String,
    of: FieldWindow<'w>,
    block: &'w str,
    field: &'static str,
}

/// A field that is missing, unless at present only events come that never have it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MissingField {
    pub key: String,
    pub run: MissingRun,
    /// What to look for in the week before.
    pub usual: FieldSearch,
}

/// Forgets windows of what the mappings in service do not fill.
pub fn keep_served(windows: &mut Windows, served: &[ServedBlocks]) {
    let fields: BTreeMap<&SourceName, BTreeSet<(&str, usize)>> = served
        .iter()
        .map(|ServedBlocks { source, blocks }| {
            let fields = blocks
                .iter()
                .flat_map(|block| block.fields.iter().map(|(position, _)| (&*block.id, *position)));
            (source, fields.collect())
        })
        .collect();
    windows.keep(|source, block, position| {
        // That of a source that is gone for a moment may come back.
        fields.get(source).is_none_or(|fields| fields.contains(&(block, position)))
    });
}

/// Returns the fields that nearly all events had, and enough in a row have not.
pub fn missing(seen: SeenFields<'_>) -> Vec<MissingField> {
    let missing = fields(seen).filter_map(|ServedField { key, of, .. }| {
        let run = of.window.run().filter(|run| is_long(run) && is_usual(of.window))?;
        let usual = FieldSearch {
            source: of.source.clone(),
            event_type: of.event_type.map(str::to_owned),
            block: of.block.to_owned(),
            position: of.position,
            times: run.days().into_iter().map(|day| day.start - WEEK..day.end - WEEK).collect(),
            events_max: USUAL_MIN,
        };
        Some(MissingField { key, run, usual })
    });
    missing.collect()
}

fn is_long(run: &MissingRun) -> bool {
    run.events >= u64::from(RUN_MIN) && run.span() >= SPREAD_MIN
}

fn is_usual(window: &Window) -> bool {
    window.had().is_some_and(|had| had >= HAD_MIN)
}

/// Returns whether the field is lost, by what came in the same hours of the week before.
pub fn is_lost(run: &MissingRun, week_before: FieldUse) -> bool {
    let believed_after = if week_before.is_known { WEEK } else { BELIEVED_AFTER };
    week_before.events >= USUAL_MIN || run.span() >= believed_after
}

/// `lost` are the keys of the missing fields that are lost.
pub fn judge(
    seen: SeenFields<'_>,
    lost: &BTreeSet<String>,
    open: &[&Issue],
    now: Timestamp,
) -> RuleFinding {
    let mut known = KnownFinding::default();
    let mut open: BTreeMap<&str, &Issue> =
        open.iter().map(|issue| (issue.key.as_str(), *issue)).collect();
    for field in fields(seen) {
        match open.remove(field.key.as_str()) {
            Some(issue) => judge_open(&field, issue, now, &mut known),
            None if lost.contains(&field.key) => known.holds.extend(condition(&field)),
            None => {}
        }
    }
    for issue in open.into_values() {
        judge_unseen(issue, seen.served, now, &mut known);
    }
    RuleFinding::Known(known)
}

fn judge_open(field: &ServedField<'_>, issue: &Issue, now: Timestamp, known: &mut KnownFinding) {
    let window = field.of.window;
    if window.in_a_row() >= RUN_MIN {
        return;
    }
    let last_at = window.run().map_or(issue.last_at, |run| run.until.max(issue.last_at));
    if is_over(last_at, issue, known, now) {
        return;
    }
    // What came before the run may be forgotten, and some have it again: it is still the same.
    let new = condition(field).filter(|_| is_usual(window));
    known.holds.push(match new {
        Some(new) => IssueCondition { count: new.count.max(issue.count), last_at, ..new },
        None => as_it_was(issue, last_at),
    });
}

/// Judges an issue of a field of which no event has been seen.
fn judge_unseen(issue: &Issue, served: &[ServedBlocks], now: Timestamp, known: &mut KnownFinding) {
    let IssuePlace { source, block, field, .. } = &issue.place;
    let of_source = served.iter().find(|it| Some(&it.source) == source.as_ref());
    let is_filled = of_source.is_none_or(|it| {
        let own = it.blocks.iter().filter(|it| Some(&it.name) == block.as_ref());
        own.flat_map(|it| &it.fields).any(|(_, name)| field.as_deref() == Some(*name))
    });
    if !is_filled {
        let outcome = "The mapping does not fill it any more.".to_owned();
        known.outcomes.insert(issue.key.clone(), outcome);
    } else if !is_over(issue.last_at, issue, known, now) {
        known.unknown.insert(issue.key.clone());
    }
}

fn is_over(last_at: Timestamp, issue: &Issue, known: &mut KnownFinding, now: Timestamp) -> bool {
    let is_over = now.duration_since(last_at) >= QUIET;
    if is_over {
        known.outcomes.insert(issue.key.clone(), "None came for 28 days.".to_owned());
    }
    is_over
}

/// Returns all fields that have windows, with their names in the mappings in service.
fn fields(SeenFields { windows, served }: SeenFields<'_>) -> impl Iterator<Item = ServedField<'_>> {
    let served: BTreeMap<&SourceName, &Vec<ServedBlock>> =
        served.iter().map(|it| (&it.source, &it.blocks)).collect();
    windows.all().filter_map(move |of| {
        let block = served.get(of.source)?.iter().find(|block| &*block.id == of.block)?;
        let (_, field) = block.fields.iter().find(|(position, _)| *position == of.position)?;
        let FieldWindow { source, event_type, .. } = of;
        let event_type = event_type.map(type_key).unwrap_or_default();
        let key = format!("{source} {} {field} {event_type}", block.name);
        Some(ServedField { key: key.trim_end().to_owned(), of, block: &block.name, field })
    })
}

/// Returns the type of event if it is a name. A sender may have put anything into it, such as what a
/// person wrote, which an issue does not keep.
fn shown_type(event_type: &str) -> Option<&str> {
    let is_name = event_type.chars().count() <= TYPE_CHARS_MAX
        && !event_type
            .contains(|c: char| c == '@' || c == '`' || c.is_whitespace() || c.is_control());
    is_name.then_some(event_type)
}

fn type_key(event_type: &str) -> String {
    let digest = || HEXLOWER.encode(&Sha256::digest(event_type)[..8]);
    shown_type(event_type).map_or_else(digest, str::to_owned)
}

/// Returns what an issue says of the field; none if no event in a row is without it.
fn condition(ServedField { key, of, block, field }: &ServedField<'_>) -> Option<IssueCondition> {
    let MissingRun { events, until, .. } = of.window.run()?;
    let (source, had) = (of.source, of.window.had().unwrap_or_default());
    let event_type = of.event_type.and_then(shown_type);
    let of_type = event_type.map_or_else(String::new, |name| format!(" of type `{name}`"));
    let last = counted(events, "event");
    Some(IssueCondition {
        key: key.clone(),
        place: IssuePlace {
            source: Some(source.clone()),
            event_type: event_type.map(str::to_owned),
            block: Some((*block).to_owned()),
            field: Some((*field).to_owned()),
            ..IssuePlace::default()
        },
        words: IssueWords {
            text: format!(
                "`{field}` is missing in the last {last}{of_type} from {source}; {had} of the {BEFORE} before \
                 had it."
            ),
            reason: None,
            hint: None,
            advice: format!(
                "Look at the newest of them. If its sender has renamed what `{block}` reads for `{field}`, \
                 correct the mapping; if the sender has it no more, remove the field from the mapping."
            ),
        },
        count: events,
        unit: "events",
        measure: Measure::Total,
        last_at: until,
    })
}

/// Returns the issue as it is.
fn as_it_was(issue: &Issue, last_at: Timestamp) -> IssueCondition {
    IssueCondition {
        key: issue.key.clone(),
        place: issue.place.clone(),
        words: issue.words.clone(),
        count: issue.count,
        unit: "events",
        measure: Measure::Total,
        last_at,
    }
}

#[cfg(test)]
mod tests;
