//! Conditions of a filter in SQL: what an index answers, and what is looked at event by event.

use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::event::State;
use crate::store::filter::EventFilter;
use crate::store::sqlite::rows::expressions::{MAY_REPEAT, STAGE};
use crate::store::stopped_at::StoppedAt;

/// The conditions on single events, apart from state, source, time and texts.
#[derive(Debug)]
pub(super) struct Conditions {
    /// Index that has the events of one source and state in order of receipt.
    pub(super) index: &'static str,
    /// Condition that makes SQLite accept the index; empty for all events.
    pub(super) indexed: &'static str,
    /// Expression that is true for events that meet the other conditions.
    pub(super) expression: String,
    /// Values of the expression's parameters, in order.
    pub(super) values: Vec<Value>,
}

impl Conditions {
    pub(super) fn of(filter: &EventFilter) -> Conditions {
        // Partial indexes, in which an ordinary event has no entry: intake does not write them.
        let (index, indexed) = match (filter.left_out, filter.imported) {
            (Some(true), _) => ("events_left_out", "AND left_out <> '[]'"),
            (_, Some(true)) => ("events_imported", "AND rank = 1"),
            _ => ("events_listed", ""),
        };
        let mut all: Vec<String> = Vec::new();
        let mut values = Vec::new();
        if filter.left_out == Some(false) {
            all.push("left_out = '[]'".to_owned());
        }
        match filter.imported {
            Some(true) if index != "events_imported" => all.push("rank = 1".to_owned()),
            Some(false) => all.push("rank = 0".to_owned()),
            Some(true) | None => {}
        }
        match filter.may_repeat {
            Some(true) => all.push(MAY_REPEAT.to_owned()),
            Some(false) => all.push(format!("NOT {MAY_REPEAT}")),
            None => {}
        }
        if let Some(event_type) = &filter.event_type {
            all.push("type = ?".to_owned());
            values.push(Value::from(event_type.clone()));
        }
        if let Some(stage) = filter.stage {
            all.push(format!("{STAGE} = ?"));
            values.push(Value::from(stage.as_str().to_owned()));
        }
        if let Some(attempts) = filter.attempts_min.filter(|attempts| *attempts > 0) {
            // They are numbered from 1.
            let sql = "EXISTS (SELECT 1 FROM attempts WHERE event = events.number AND number = ?)";
            all.push(sql.to_owned());
            values.push(Value::from(attempts));
        }
        if let Some(number) = filter.newer_than {
            all.push("events.number > ?".to_owned());
            values.push(Value::from(i64::try_from(number).unwrap_or(i64::MAX)));
        }
        let expression = if all.is_empty() { "1".to_owned() } else { all.join(" AND ") };
        Conditions { index, indexed, expression, values }
    }

    /// Returns whether an event that the index has meets the other conditions.
    pub(super) fn are_met(&self, connection: &Connection, event: i64) -> rusqlite::Result<bool> {
        if self.are_indexed() {
            return Ok(true);
        }
        let sql = format!("SELECT 1 FROM events WHERE ({}) AND number = ?", self.expression);
        let event = [Value::from(event)];
        connection.prepare_cached(&sql)?.exists(params_from_iter(self.values.iter().chain(&event)))
    }

    /// Returns whether an index answers all of them.
    pub(super) fn are_indexed(&self) -> bool {
        self.expression == "1"
    }
}

/// Returns whether an event in this state may match.
pub(super) fn is_possible(filter: &EventFilter, state: State) -> bool {
    let has_state = filter.states.is_empty() || filter.states.contains(&state);
    let may_stop_there = match filter.stage {
        None => true,
        Some(StoppedAt::Mapping) => matches!(state, State::Ignored | State::Dead),
        Some(StoppedAt::Savio) => matches!(state, State::Held | State::Dead),
        Some(StoppedAt::Time) => state == State::Dead,
    };
    has_state && may_stop_there
}

/// Number of attempts from which an index has the events.
const INDEXED_ATTEMPTS: u32 = 4;

/// Returns a query for the numbers of all events that may match, if there are usually few. Its
/// parameter is how many numbers are read at most.
pub(super) fn few(filter: &EventFilter) -> Option<String> {
    if let Some(number) = filter.newer_than {
        return Some(format!("SELECT number FROM events WHERE number > {number} LIMIT ?1"));
    }
    if filter.may_repeat == Some(true) {
        let sql = "SELECT event FROM (SELECT event FROM requests INDEXED BY requests_repeating
                 WHERE may_repeat = 1 LIMIT ?1)
             UNION ALL SELECT number FROM (SELECT number FROM events INDEXED BY events_repeating
                 WHERE may_repeat = 1 LIMIT ?1)";
        return Some(sql.to_owned());
    }
    let attempts = filter.attempts_min.filter(|attempts| *attempts >= INDEXED_ATTEMPTS);
    attempts.map(|_| {
        format!(
            "SELECT event FROM attempts INDEXED BY attempts_many
             WHERE number = {INDEXED_ATTEMPTS} LIMIT ?1"
        )
    })
}

/// Returns whether events are looked at one by one until enough match, which takes a second at
/// most and a reader of its own.
pub(super) fn are_searched(filter: &EventFilter) -> bool {
    let has_text = filter.text.is_some() || filter.contains.is_some();
    has_text
        || (filter.ids.is_empty() && few(filter).is_none() && !Conditions::of(filter).are_indexed())
}
