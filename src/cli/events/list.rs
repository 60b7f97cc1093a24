//! Output of events: a table of many, or all details of one.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

use super::waits::QueueWaits;
use crate::cli::error::CommandError;
use crate::cli::output as shown;
use crate::cli::output::{cell, one_line};
use crate::diagnostics::report::OutputStyle;
use crate::event::EventId;
use crate::store::{
    Archive, Attempt, Cursor, EventFilter, EventPage, EventRecord, EventSummary, PageRequest,
    PlannedRequest, Sqlite,
};

/// Length of a reason in a table on a terminal. `events show` prints all of it.
const REASON_CHARS: usize = 60;

/// Number of events that are read at a time.
const PAGE: usize = 500;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Maximum number of events
    #[arg(long, default_value = "50")]
    limit: NonZeroUsize,
    /// Continue a previous list from the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn list(
    store: &Sqlite,
    (filter, waits): (EventFilter, &QueueWaits),
    arguments: &Arguments,
) -> Result<(), CommandError> {
    let mut page = collect(store, filter, arguments).await?;
    page.events.iter_mut().for_each(|event| waits.add_to_summary(event));
    if arguments.json {
        return print_json(&page);
    }
    let look = shown::stdout_style();
    let mut text = table(&page.events, look);
    if let Some(next) = page.next {
        text += &format!("\nnext page: --after {next}\n");
    }
    shown::print(&text)
}

async fn collect(
    store: &Sqlite,
    filter: EventFilter,
    arguments: &Arguments,
) -> Result<EventPage, CommandError> {
    let mut all = EventPage { events: Vec::new(), next: arguments.after };
    // A search for a text returns after a second at most, with a cursor and perhaps no events: it
    // continues there.
    loop {
        let limit = (arguments.limit.get() - all.events.len()).min(PAGE);
        let request = PageRequest { limit, after: all.next };
        let page = store.list(filter.clone(), request).await?;
        all.events.extend(page.events);
        all.next = page.next;
        if all.next.is_none() || all.events.len() >= arguments.limit.get() {
            return Ok(all);
        }
    }
}

pub(super) fn print_json(value: &impl Serialize) -> Result<(), CommandError> {
    let text = serde_json::to_string_pretty(value);
    let text = text.map_err(|error| CommandError::Failed(error.to_string()))?;
    shown::print(&shown::json(&(text + "\n")))
}

fn table(events: &[EventSummary], look: OutputStyle) -> String {
    if events.is_empty() {
        return "no event matches\n".to_owned();
    }
    let rows: Vec<_> = events.iter().map(|line| row(line, look)).collect();
    let names = ["id", "received", "source", "type", "state", "attempts", "reason"];
    shown::table(names, &rows, look)
}

fn row(line: &EventSummary, look: OutputStyle) -> [String; 7] {
    let reason = line.reason.as_deref().unwrap_or_default();
    [
        line.id.to_string(),
        time(line.received_at),
        line.source.to_string(),
        one_line(line.event_type.as_deref().unwrap_or("-")),
        line.state.as_str().to_owned(),
        line.attempts.to_string(),
        cell(reason, REASON_CHARS, look),
    ]
}

fn time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Formats all details of an event. Times are UTC.
pub(super) fn details(record: &EventRecord, look: OutputStyle) -> String {
    let mut text = shown::bold(&format!("event {}", record.event.id), look) + "\n";
    text += &shown::fields(facts(record).iter().map(|(name, value)| (name, value)));
    text += &part("requests", record.requests.iter().map(request), look);
    text += &part("history", record.attempts.iter().map(attempt), look);
    text += &part("notes", record.notes.iter().map(|note| format!("  {}\n", one_line(note))), look);
    let headers = record.event.headers.iter();
    let headers = headers.map(|(name, value)| format!("  {name}: {}\n", one_line(value)));
    text += &part("headers", headers, look);
    let payload: Value = serde_json::from_str(&record.event.payload)
        .unwrap_or_else(|_| Value::from(record.event.payload.as_str()));
    text + &part(
        "payload",
        [format!("{}\n", shown::visible(&format!("{payload:#}")))].into_iter(),
        look,
    )
}

fn facts(record: &EventRecord) -> Vec<(String, Value)> {
    let event = &record.event;
    let facts = [
        ("source", Some(event.source.to_string())),
        ("type", event.event_type.clone()),
        ("delivery id", event.delivery_id.clone()),
        ("state", Some(record.state.as_str().to_owned())),
        ("reason", record.reason.clone()),
        ("received", Some(time(event.received_at))),
        ("imported", event.imported_at().map(one_line)),
        ("next attempt", record.due_at.map(time)),
        ("settled", record.settled_at.map(time)),
        ("left out", Some(record.left_out.join(", ")).filter(|it| !it.is_empty())),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.map(|(name, value)| (name, Value::from(value))).collect()
}

fn part(title: &str, lines: impl Iterator<Item = String>, look: OutputStyle) -> String {
    let lines: String = lines.collect();
    if lines.is_empty() { lines } else { format!("\n{}\n{lines}", shown::bold(title, look)) }
}

fn request(planned: &PlannedRequest) -> String {
    let mut line = format!("{}: {}", planned.request.kind.as_str(), planned.state.as_str());
    if let Some(id) = &planned.savio_id {
        line += &format!(", Savio's id {id}");
    }
    if planned.may_repeat {
        line += ", may repeat";
    }
    format!("{line}\n{}", shown::fields(planned.request.body.iter()))
}

fn attempt(attempt: &Attempt) -> String {
    let mut line = format!("  {}  {}", time(attempt.at), attempt.outcome.as_str());
    if let Some(status) = attempt.status {
        line += &format!(" {status}");
    }
    line += &format!(", {} ms", attempt.ms);
    for (mark, is_so) in [("may repeat", attempt.may_repeat), ("replay", attempt.replay)] {
        if is_so {
            line += &format!(", {mark}");
        }
    }
    let detail = attempt.detail.as_deref().map(one_line).unwrap_or_default();
    if detail.is_empty() { line + "\n" } else { format!("{line}: {detail}\n") }
}

/// Returns the error for an id that no event has.
pub(super) fn unknown(id: EventId) -> CommandError {
    CommandError::InvalidInput(format!("there is no event {id}"))
}
