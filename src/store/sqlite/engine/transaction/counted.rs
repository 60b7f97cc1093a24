//! The changes of one source's counts.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, params};

use crate::event::State;
use crate::store::flows::Flow;
use crate::store::half_hour::HalfHour;

/// By how much the counts of a source change.
#[derive(Debug, Clone, Default)]
pub(super) struct SourceChanges {
    states: ByState,
    half_hours: BTreeMap<HalfHour, HalfHourChange>,
}

/// Numbers of events by state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct ByState {
    queued: i64,
    delivered: i64,
    ignored: i64,
    held: i64,
    dead: i64,
}

impl ByState {
    fn of(&mut self, state: State) -> &mut i64 {
        match state {
            State::Queued => &mut self.queued,
            State::Delivered => &mut self.delivered,
            State::Ignored => &mut self.ignored,
            State::Held => &mut self.held,
            State::Dead => &mut self.dead,
        }
    }
}

/// By how much one row of `half_hours` changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) struct HalfHourChange {
    accepted: i64,
    delivered: i64,
    ignored: i64,
    held: i64,
    dead: i64,
    rejected: i64,
    duplicates: i64,
    webhooks: i64,
    present: ByState,
}

impl HalfHourChange {
    /// What happened in the half hour.
    pub(super) fn flow(&mut self, flow: Flow) -> &mut i64 {
        match flow {
            Flow::Accepted => &mut self.accepted,
            Flow::Delivered => &mut self.delivered,
            Flow::Ignored => &mut self.ignored,
            Flow::Held => &mut self.held,
            Flow::Dead => &mut self.dead,
            Flow::Rejected => &mut self.rejected,
            Flow::Duplicate => &mut self.duplicates,
            Flow::Webhook => &mut self.webhooks,
        }
    }

    /// The events that were received in it.
    pub(super) fn present(&mut self, state: State) -> &mut i64 {
        self.present.of(state)
    }
}

impl SourceChanges {
    pub(super) fn state(&mut self, state: State) -> &mut i64 {
        self.states.of(state)
    }

    pub(super) fn half_hour(&mut self, at: HalfHour) -> &mut HalfHourChange {
        self.half_hours.entry(at).or_default()
    }

    /// Counts events of this time of receipt in a state.
    pub(super) fn count(&mut self, (received_at, state): (Timestamp, State), by: i64) {
        *self.state(state) += by;
        *self.half_hour(HalfHour::of(received_at)).present(state) += by;
    }

    /// Webhooks that were rejected.
    pub(super) fn rejected(&self) -> i64 {
        self.half_hours.values().map(|change| change.rejected).sum()
    }

    pub(super) fn write(mut self, connection: &Connection, source: &str) -> rusqlite::Result<()> {
        let sql = "INSERT INTO counts (source, state, events) VALUES (?1, ?2, ?3)
                   ON CONFLICT DO UPDATE SET events = events + excluded.events";
        for state in State::ALL {
            let by = *self.state(state);
            if by != 0 {
                let change = params![source, state.as_str(), by];
                connection.prepare_cached(sql)?.execute(change)?;
            }
        }
        for (at, change) in self.half_hours {
            if change != HalfHourChange::default() {
                change.write(connection, source, at)?;
            }
        }
        Ok(())
    }
}

impl HalfHourChange {
    fn write(self, connection: &Connection, source: &str, at: HalfHour) -> rusqlite::Result<()> {
        let sql = "
            INSERT INTO half_hours (at, source, accepted, delivered, ignored, held, dead, rejected,
                duplicates, webhooks, now_queued, now_delivered, now_ignored, now_held, now_dead)
            VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15)
            ON CONFLICT DO UPDATE SET
                accepted = accepted + excluded.accepted,
                delivered = delivered + excluded.delivered,
                ignored = ignored + excluded.ignored,
                held = held + excluded.held,
                dead = dead + excluded.dead,
                rejected = rejected + excluded.rejected,
                duplicates = duplicates + excluded.duplicates,
                webhooks = webhooks + excluded.webhooks,
                now_queued = now_queued + excluded.now_queued,
                now_delivered = now_delivered + excluded.now_delivered,
                now_ignored = now_ignored + excluded.now_ignored,
                now_held = now_held + excluded.now_held,
                now_dead = now_dead + excluded.now_dead";
        let HalfHourChange { accepted, delivered, ignored, held, dead, .. } = self;
        let HalfHourChange { rejected, duplicates, webhooks, present, .. } = self;
        connection.prepare_cached(sql)?.execute(params![
            at.begins_at().as_microsecond(),
            source,
            accepted,
            delivered,
            ignored,
            held,
            dead,
            rejected,
            duplicates,
            webhooks,
            present.queued,
            present.delivered,
            present.ignored,
            present.held,
            present.dead,
        ])?;
        Ok(())
    }
}
