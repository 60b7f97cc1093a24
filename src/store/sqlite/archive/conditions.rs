//! Conditions of a filter in SQL: what an index answers, and what is looked at event by event.

use rusqlite::types::Value;
use rusqlite::{CachedStatement, Connection};

use crate::event::State;
use crate::store::filter::EventFilter;
use crate::store::sqlite::rows::causes::HAS_CAUSE;
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
        if let Some(kind) = &filter.reason_kind {
            let of_kind = "cause = (SELECT number FROM causes WHERE kind = ?)";
            all.push(format!("{HAS_CAUSE} AND {of_kind}"));
            values.push(Value::from(kind.clone()));
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

    /// Returns the conditions that the index does not answer; none if it answers all.
    pub(super) fn others<'c>(
        &self,
        connection: &'c Connection,
    ) -> rusqlite::Result<Option<OtherConditions<'c>>> {
        if self.are_indexed() {
            return Ok(None);
        }
        let sql = format!("SELECT 1 FROM events WHERE number = ?1 AND ({})", self.expression);
        let mut query = connection.prepare_cached(&sql)?;
        for (position, value) in (2..).zip(&self.values) {
            query.raw_bind_parameter(position, value)?;
        }
        Ok(Some(OtherConditions(query)))
    }

    /// Returns whether an index answers all of them.
    pub(super) fn are_indexed(&self) -> bool {
        self.expression == "1"
    }
}

/// Conditions that no index answers. Prepared once for all events of a search.
pub(super) struct OtherConditions<'c>(CachedStatement<'c>);

impl OtherConditions<'_> {
    pub(super) fn are_met(&mut self, event: i64) -> rusqlite::Result<bool> {
        self.0.raw_bind_parameter(1, event)?;
        Ok(self.0.raw_query().next()?.is_some())
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
    let may_have_cause = filter.reason_kind.is_none() || state == State::Dead;
    has_state && may_stop_there && may_have_cause
}

/// Indexes that have the events with at least so many attempts, those with the fewest entries first.
const INDEXED_ATTEMPTS: [(u32, &str); 2] = [(4, "attempts_many"), (2, "attempts_repeated")];

/// Returns a query for the numbers of all events that may match, if there are usually few. Its
/// parameter is how many numbers are read at most.
pub(super) fn few(filter: &EventFilter) -> Option<String> {
    if let Some(number) = filter.newer_than {
        return Some(format!("SELECT number FROM events WHERE number > {number} LIMIT ?1"));
    }
    // Digits and letters only, so that it can stand in the query.
    let kind = filter.reason_kind.as_ref();
    if let Some(kind) = kind.filter(|kind| kind.chars().all(|c| c.is_ascii_hexdigit())) {
        let of_kind = format!("cause = (SELECT number FROM causes WHERE kind = '{kind}')");
        return Some(format!(
            "SELECT number FROM events INDEXED BY events_dead WHERE {HAS_CAUSE} AND {of_kind} LIMIT ?1"
        ));
    }
    if filter.may_repeat == Some(true) {
        let sql = "SELECT event FROM (SELECT event FROM requests INDEXED BY requests_repeating
                 WHERE may_repeat = 1 LIMIT ?1)
             UNION ALL SELECT number FROM (SELECT number FROM events INDEXED BY events_repeating
                 WHERE may_repeat = 1 LIMIT ?1)";
        return Some(sql.to_owned());
    }
    let attempts_min = filter.attempts_min?;
    let (number, index) =
        INDEXED_ATTEMPTS.into_iter().find(|(number, _)| attempts_min >= *number)?;
    Some(format!("SELECT event FROM attempts INDEXED BY {index} WHERE number = {number} LIMIT ?1"))
}

/// Returns whether texts are compared, which reads much of each event.
pub(super) fn have_text(filter: &EventFilter) -> bool {
    filter.text.is_some() || filter.contains.is_some()
}

/// Returns whether events are looked at one by one, unless an index happens to have few that may match.
pub(super) fn are_searched(filter: &EventFilter) -> bool {
    have_text(filter) || (filter.ids.is_empty() && !Conditions::of(filter).are_indexed())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::sqlite::engine::database_file::query_plan;

    #[test]
    fn numbers_are_read_from_indexes_that_have_few() {
        let all = EventFilter::default();
        for (filter, indexes) in [
            (
                EventFilter { may_repeat: Some(true), ..all.clone() },
                &["requests_repeating", "events_repeating"][..],
            ),
            (
                EventFilter { reason_kind: Some("0123456789abcdef".to_owned()), ..all.clone() },
                &["events_dead", "sqlite_autoindex_causes_1"],
            ),
            (EventFilter { attempts_min: Some(2), ..all.clone() }, &["attempts_repeated"]),
            (EventFilter { attempts_min: Some(3), ..all.clone() }, &["attempts_repeated"]),
            (EventFilter { attempts_min: Some(9), ..all.clone() }, &["attempts_many"]),
        ] {
            let steps = query_plan(&few(&filter).unwrap());

            assert!(!steps.iter().any(|step| step.contains("TEMP B-TREE")), "{steps:?}");
            let reads = steps.iter().filter(|step| step.contains(" USING "));
            let read = |index: &&str| format!(" USING COVERING INDEX {index}");
            assert!(
                reads.clone().count() == indexes.len()
                    && reads.zip(indexes).all(|(step, index)| step.contains(&read(index))),
                "{steps:?}"
            );
        }
        assert_eq!(few(&EventFilter { attempts_min: Some(1), ..all }), None);
    }
}
