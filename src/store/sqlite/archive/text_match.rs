//! Compares events with the texts of a filter, one event at a time.

use rusqlite::Connection;

use super::folded_text::{folded, unescaped};
use crate::store::filter::EventFilter;
use crate::store::headline::Headline;
use crate::store::sqlite::rows::columns::{EventIdColumn, ShownColumn, text_column};
use crate::store::sqlite::rows::headlines;

/// The texts of a filter, without regard to case.
pub(super) struct TextMatch {
    /// Part of what a list shows of the event.
    shown: Option<String>,
    /// Part of its payload.
    payload: Option<String>,
}

impl TextMatch {
    /// Returns none if the filter has no text.
    pub(super) fn of(filter: &EventFilter) -> Option<TextMatch> {
        let EventFilter { text, contains, .. } = filter;
        let is_needed = text.is_some() || contains.is_some();
        let (shown, payload) = (text.as_deref().map(folded), contains.as_deref().map(folded));
        is_needed.then_some(TextMatch { shown, payload })
    }

    /// Returns whether a comparison may take long.
    pub(super) fn reads_payloads(&self) -> bool {
        self.payload.is_some()
    }

    /// Returns whether the event has all texts.
    pub(super) fn fits(&self, connection: &Connection, event: i64) -> rusqlite::Result<bool> {
        let is_shown = match &self.shown {
            Some(text) => is_shown(connection, event, text)?,
            None => true,
        };
        match &self.payload {
            Some(text) if is_shown => is_in_payload(connection, event, text),
            _ => Ok(is_shown),
        }
    }
}

/// Returns whether the text is part of the event's id, delivery id, type, reason or headline.
fn is_shown(connection: &Connection, event: i64, text: &str) -> rusqlite::Result<bool> {
    // Not by LIKE: it has wildcards, and ignores the case of ASCII letters only.
    let sql = "SELECT id, delivery_id, type, reason FROM events WHERE number = ?1";
    connection.prepare_cached(sql)?.query_row([event], |row| {
        let EventIdColumn(id) = row.get(0)?;
        let words = [text_column(row, 1)?, text_column(row, 2)?, text_column(row, 3)?];
        let has_text = |word: &String| folded(word).contains(text);
        if id.to_string().contains(text) || words.iter().flatten().any(has_text) {
            return Ok(true);
        }
        let Headline { summary, who, company } = headlines::read(connection, event)?;
        Ok([summary, who, company].iter().flatten().any(has_text))
    })
}

fn is_in_payload(connection: &Connection, event: i64, text: &str) -> rusqlite::Result<bool> {
    // Of nothing, as an erased event has it, `substr` makes null.
    let sql = "SELECT coalesce(substr(CAST(coalesce(webhook.decoded, webhook.body) AS BLOB),
                   event.payload_start + 1, event.payload_end - event.payload_start), x'')
               FROM events AS event JOIN webhooks AS webhook ON webhook.number = event.webhook
               WHERE event.number = ?1";
    connection.prepare_cached(sql)?.query_row([event], |row| {
        let ShownColumn(payload) = row.get(0)?;
        Ok(folded(&unescaped(&payload)).contains(text))
    })
}
