//! Filters, pages and entries of event lists.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use serde::{Deserialize, Serialize, Serializer};
use utoipa::ToSchema;

use super::mapping_version::MappingVersion;
use super::state_counts::StateCounts;
use super::stopped_at::StoppedAt;
use crate::diagnostics::counted;
use crate::event::{EventId, SourceName, State, WaitingFor};

/// Conditions that an event has to meet all of; the default matches every event.
// A condition that the program does not know is an error: a replay would match more events.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct EventFilter {
    /// One of these ids; an empty list matches any.
    pub ids: Vec<EventId>,
    /// One of these states; an empty list matches any.
    pub states: Vec<State>,
    /// One of these sources; an empty list matches no event.
    pub sources: Option<Vec<SourceName>>,
    /// Received at or after this time.
    pub since: Option<Timestamp>,
    /// Received before this time.
    pub until: Option<Timestamp>,
    /// Part of the id, delivery id, type, reason, summary, person or company, without regard to case.
    pub text: Option<String>,
    /// Whether fields were left out of its requests because of their values.
    pub left_out: Option<bool>,
    /// Part of the payload as people read it, without regard to case.
    pub contains: Option<String>,
    pub event_type: Option<String>,
    /// Where the event stopped.
    pub stage: Option<StoppedAt>,
    /// Dead by the cause of this kind.
    pub reason_kind: Option<String>,
    /// Sent at least so many times, successfully or not.
    pub attempts_min: Option<u32>,
    /// Whether Savio may have, or may get, one of its requests twice.
    pub may_repeat: Option<bool>,
    /// Whether a person imported it.
    pub imported: Option<bool>,
    /// Stored after the event at this position in the order of receipt.
    pub newer_than: Option<u64>,
}

/// Says which events, for the audit: without the text that is searched for, since that may be of a
/// person.
impl fmt::Display for EventFilter {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EventFilter { ids, states, sources, since, until, text, left_out, .. } = self;
        let EventFilter { contains, event_type, stage, attempts_min, .. } = self;
        let EventFilter { may_repeat, imported, newer_than, reason_kind, .. } = self;
        let mut words = Vec::new();
        match &ids[..] {
            [] => {}
            [id] => words.push(format!("event {id}")),
            [..] => words.push(format!("{} events by id", ids.len())),
        }
        let names: Vec<&str> = states.iter().copied().map(State::as_str).collect();
        words.extend((!names.is_empty()).then(|| names.join(" or ")));
        match sources.as_deref() {
            None => {}
            Some([source]) => words.push(format!("source {source}")),
            Some(sources) => {
                let names: Vec<&str> = sources.iter().map(SourceName::as_str).collect();
                words.push(format!("sources {}", names.join(" ")));
            }
        }
        words.extend(since.map(|since| format!("since {since}")));
        words.extend(until.map(|until| format!("until {until}")));
        words.extend(text.as_ref().map(|_| "a text search".to_owned()));
        words.extend(left_out.map(|is_so| {
            (if is_so { "with fields left out" } else { "without fields left out" }).to_owned()
        }));
        words.extend(contains.as_ref().map(|_| "a search in payloads".to_owned()));
        words.extend(event_type.as_ref().map(|name| format!("type {name}")));
        words.extend(stage.map(|stage| format!("stopped at {}", stage.as_str())));
        words.extend(reason_kind.as_ref().map(|kind| format!("cause {kind}")));
        words.extend(
            attempts_min.map(|least| format!("at least {}", counted(u64::from(least), "attempt"))),
        );
        words.extend(may_repeat.map(|is_so| {
            (if is_so { "possible repeats" } else { "no possible repeats" }).to_owned()
        }));
        words.extend(imported.map(|is_so| (if is_so { "imported" } else { "sent" }).to_owned()));
        words.extend(newer_than.map(|number| format!("after event number {number}")));
        let words = if words.is_empty() { "all events".to_owned() } else { words.join(", ") };
        formatter.write_str(&words)
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageRequest {
    pub limit: usize,
    /// Position at which the previous page ended.
    pub after: Option<Cursor>,
}

/// A position in a list of events. Its text is the `next` of a page.
// The time and the number, as in the indexes: a page is found by a search in an index, however many
// events come before it. An offset would have to count them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cursor {
    pub received_at: Timestamp,
    /// Orders events that were received in the same microsecond.
    pub number: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not the `next` of a page")]
pub struct InvalidCursor;

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.received_at.as_microsecond(), self.number)
    }
}

impl FromStr for Cursor {
    type Err = InvalidCursor;

    fn from_str(text: &str) -> Result<Cursor, InvalidCursor> {
        // From the right: a time before 1970 begins with a minus sign too.
        let (time, number) = text.rsplit_once('-').ok_or(InvalidCursor)?;
        let time = time.parse().map_err(|_| InvalidCursor)?;
        Ok(Cursor {
            received_at: Timestamp::from_microsecond(time).map_err(|_| InvalidCursor)?,
            number: number.parse().map_err(|_| InvalidCursor)?,
        })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// A page of a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EventsListed)]
pub struct EventPage {
    pub events: Vec<EventSummary>,
    /// Where the next page begins; none at the end. A search in many events may return a short page
    /// with one.
    #[schema(value_type = Option<String>)]
    pub next: Option<Cursor>,
    /// Position of the newest event of the relay: as `newer_than` it gives the events that arrive
    /// later.
    pub newest: u64,
}

/// One event in a list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = EventLine)]
pub struct EventSummary {
    /// Position in the order of receipt.
    #[serde(skip)]
    pub seq: u64,
    pub id: EventId,
    pub source: SourceName,
    #[serde(rename = "type")]
    pub event_type: Option<String>,
    pub delivery_id: Option<String>,
    pub state: State,
    /// Where it stopped: its mapping made no request or failed, Savio refused or did not answer, or
    /// the relay gave up after some time. Null for what is queued or delivered.
    #[schema(inline)]
    pub stage: Option<StoppedAt>,
    pub reason: Option<String>,
    /// What was said, in one line: the beginning of the feedback, or the records that the event
    /// changes. Null before it is mapped.
    pub summary: Option<String>,
    /// Name of the person, or its e-mail address.
    pub who: Option<String>,
    pub company: Option<String>,
    pub received_at: Timestamp,
    pub attempts: u64,
    /// Whether Savio may have, or may get, one of its requests twice: an attempt got no answer.
    pub may_repeat: bool,
    /// Whether a request of it is being sent.
    pub sending: bool,
    /// The fields that were left out of its requests since Savio would not take their values.
    pub left_out: Vec<String>,
    /// The version of the mapping file by which it was mapped; null before, or if that is not known.
    pub mapping: Option<MappingVersion>,
    #[serde(rename = "next_attempt_at")]
    pub due_at: Option<Timestamp>,
    /// What keeps a queued event from being sent; null if nothing does. The store leaves it empty,
    /// since it does not know the destinations.
    pub waiting_for: Option<WaitingFor>,
    /// Position of the event that it waits for, as far as that is recorded.
    #[serde(skip)]
    pub waits_for: Option<u64>,
    /// When its data was erased; null if it was not.
    pub erased_at: Option<Timestamp>,
    /// Id of the event that it is an edited copy of; null if it is none.
    pub copy_of: Option<EventId>,
}

impl EventSummary {
    /// Returns an event in this state, for tests.
    #[cfg(test)]
    pub(crate) fn example(state: State) -> EventSummary {
        EventSummary {
            seq: 1,
            id: EventId::new(Timestamp::UNIX_EPOCH),
            source: "form".parse().expect("it is a name"),
            event_type: None,
            delivery_id: None,
            state,
            stage: None,
            reason: None,
            summary: None,
            who: None,
            company: None,
            received_at: Timestamp::UNIX_EPOCH,
            attempts: 0,
            may_repeat: false,
            sending: false,
            left_out: Vec::new(),
            mapping: None,
            due_at: None,
            waiting_for: None,
            waits_for: None,
            erased_at: None,
            copy_of: None,
        }
    }

    /// Sets what it waits for, which is then also its reason.
    pub fn set_waiting_for(&mut self, waiting_for: Option<WaitingFor>) {
        if let Some(waiting_for) = &waiting_for {
            self.reason = Some(waiting_for.reason.clone());
        }
        self.waiting_for = waiting_for;
    }
}

/// Number of events that match a filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MatchCount {
    pub states: StateCounts,
    /// Whether there may be more: counting stops at 10,000 events of a state, and a search at 10,000
    /// events or when its time is over.
    pub at_least: bool,
}

impl MatchCount {
    pub fn events(&self) -> u64 {
        self.states.total()
    }

    /// Returns the number of queued ones, which a replay leaves alone.
    pub fn queued(&self) -> u64 {
        self.states.queued
    }

    pub(super) fn add(&mut self, state: State, events: u64) {
        self.states.add(state, events);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_survives_a_round_trip() {
        for microseconds in [-5, 0, 1_800_000_000_000_001] {
            let received_at = Timestamp::from_microsecond(microseconds).unwrap();
            let cursor = Cursor { received_at, number: 7 };
            assert_eq!(cursor.to_string().parse(), Ok(cursor));
        }
        for bad in ["", "7", "a-7", "7-b", "99999999999999999999-1", "9223372036854775807-1"] {
            assert_eq!(bad.parse::<Cursor>(), Err(InvalidCursor), "{bad}");
        }
    }
}
