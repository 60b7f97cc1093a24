//! What a search looks up of each event, since no index answers it.

use rusqlite::Connection;

use super::conditions::{Conditions, OtherConditions};
use super::text_match::TextMatch;
use crate::store::filter::EventFilter;

/// Number of events after which a search compares its time.
const TIMED_EVENTS: usize = 256;

pub(super) struct EventCheck<'c> {
    connection: &'c Connection,
    others: Option<OtherConditions<'c>>,
    text: Option<TextMatch>,
}

impl<'c> EventCheck<'c> {
    pub(super) fn of(
        connection: &'c Connection,
        filter: &EventFilter,
        conditions: &Conditions,
    ) -> rusqlite::Result<EventCheck<'c>> {
        let (others, text) = (conditions.others(connection)?, TextMatch::of(filter));
        Ok(EventCheck { connection, others, text })
    }

    /// Returns whether an index answers everything.
    pub(super) fn is_free(&self) -> bool {
        self.others.is_none() && self.text.is_none()
    }

    /// Returns the number of events after which the time has to be compared.
    pub(super) fn timed_events(&self) -> usize {
        match &self.text {
            // Each of them may be large.
            Some(text) if text.reads_payloads() => 1,
            None if self.is_free() => usize::MAX,
            Some(_) | None => TIMED_EVENTS,
        }
    }

    pub(super) fn is_met(&mut self, event: i64) -> rusqlite::Result<bool> {
        Ok(self.others.as_mut().map_or(Ok(true), |others| others.are_met(event))?
            && self.text.as_ref().map_or(Ok(true), |text| text.fits(self.connection, event))?)
    }
}
