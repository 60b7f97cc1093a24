//! Output of events: a table of many, or all details of one.

use std::num::NonZeroUsize;

use jiff::Timestamp;
use serde_json::Value;

use super::waits::QueueWaits;
use crate::admin::event_csv::event_csv;
use crate::cli::error::CommandError;
use crate::cli::output::{self as shown, one_line};
use crate::cli::paged::{self, continuation};
use crate::cli::table;
use crate::cli::times::{TimeFormat, TimeOptions};
use crate::clock;
use crate::config::Config;
use crate::diagnostics::report::OutputStyle;
use crate::event::EventId;
use crate::store::{
    Archive, Attempt, Cursor, EventFilter, EventPage, EventRecord, EventSummary, MappingVersion,
    PageRequest, PlannedRequest, Sqlite, StoreError, Verified,
};

/// Lines that a headline and a reason take each in a list on a terminal. `events show` prints all of
/// a reason.
const HEADLINE_LINES: usize = 1;
const REASON_LINES: usize = 2;

const INDENT: &str = "    ";

/// Digits that a shown beginning has at least, so that it stays distinct for a while.
// The first twelve are the millisecond in which the event was received.
const SHOWN_DIGITS_MIN: usize = 12;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Maximum number of events
    #[arg(long, default_value = "50")]
    limit: NonZeroUsize,
    /// Continue a previous list from the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Print JSON
    #[arg(long, conflicts_with = "csv")]
    json: bool,
    /// Print a table for spreadsheets
    #[arg(long)]
    csv: bool,
    #[command(flatten)]
    times: TimeOptions,
}

pub(super) async fn list(
    store: &Sqlite,
    (filter, waits): (EventFilter, &QueueWaits),
    (arguments, config): (&Arguments, &Config),
) -> Result<(), CommandError> {
    let mut page = collect(store, filter, arguments).await?;
    waits.complete_all(config, &mut page.events).await;
    if arguments.json {
        return shown::print_json(&page);
    }
    if arguments.csv {
        let csv = event_csv(&page.events);
        let csv = csv.map_err(|error| CommandError::Failed(error.to_string()))?;
        return shown::print(&csv);
    }
    let look = shown::stdout_style();
    let digits = match look {
        OutputStyle::Terminal => Some(shown_digits(store, &page.events).await?),
        OutputStyle::Plain => None,
    };
    let times = arguments.times.format();
    let text = table(&page.events, (&times, clock::now()), (look, digits));
    shown::print(&(text + &continuation(page.next)))
}

async fn collect(
    store: &Sqlite,
    filter: EventFilter,
    arguments: &Arguments,
) -> Result<EventPage, CommandError> {
    let mut newest_at_begin = None;
    let read = async |limit, after| {
        let page = store.list(filter.clone(), PageRequest { limit, after }).await?;
        newest_at_begin.get_or_insert(page.newest);
        Ok((page.events, page.next))
    };
    let (events, next) = paged::collect(arguments.limit, arguments.after, read).await?;
    Ok(EventPage { events, next, newest: newest_at_begin.unwrap_or_default() })
}

/// Returns how many digits to show of the ids, so that each is found again.
async fn shown_digits(store: &Sqlite, events: &[EventSummary]) -> Result<usize, StoreError> {
    let ids = events.iter().map(|event| event.id).collect();
    Ok(store.distinct_digits(ids).await?.max(SHOWN_DIGITS_MIN))
}

/// `digits`: of ids; none shows all.
fn table(
    events: &[EventSummary],
    (times, now): (&TimeFormat, Timestamp),
    (look, digits): (OutputStyle, Option<usize>),
) -> String {
    if events.is_empty() {
        return "no event matches\n".to_owned();
    }
    let received: Vec<Timestamp> = events.iter().map(|event| event.received_at).collect();
    let (received_name, received) = times.column("received", &received);
    let said = events.iter().map(|event| (headline(event), reason(event, (times, now))));
    let rows = events.iter().zip(received);
    match look {
        OutputStyle::Plain => {
            let names =
                ["id", &received_name, "source", "type", "state", "attempts", "summary", "reason"];
            let row = |((event, received), (headline, reason))| {
                let [id, received, source, event_type, state, attempts] =
                    row(event, received, digits);
                [id, received, source, event_type, state, attempts, headline, reason]
            };
            table::table(names, &rows.zip(said).map(row).collect::<Vec<_>>(), look)
        }
        // Sentences, for which no column of a terminal is wide enough.
        OutputStyle::Terminal => {
            let names = ["id", &received_name, "source", "type", "state", "attempts"];
            let rows: Vec<_> = rows.map(|(event, received)| row(event, received, digits)).collect();
            let table = table::table(names, &rows, look);
            let mut lines = table.lines();
            let mut text = lines.next().map(|names| format!("{names}\n")).unwrap_or_default();
            for (line, (headline, reason)) in lines.zip(said) {
                text += &format!("{line}\n{}", below(&headline, HEADLINE_LINES, look));
                text += &below(&reason, REASON_LINES, look);
            }
            text
        }
    }
}

/// Formats a text in lines below its event.
fn below(text: &str, lines_max: usize, look: OutputStyle) -> String {
    let width = table::terminal_width(look).unwrap_or(usize::MAX);
    let lines = table::wrapped(text, width.saturating_sub(INDENT.len()));
    let is_cut = lines.len() > lines_max;
    let mut text = String::new();
    for line in lines.iter().take(lines_max).filter(|line| !line.is_empty()) {
        text +=
            &format!("{INDENT}{}\n", table::shortened(line, width.saturating_sub(INDENT.len())));
    }
    if is_cut {
        text.truncate(text.trim_end().len());
        text += " …\n";
    }
    text
}

fn row(event: &EventSummary, received: String, digits: Option<usize>) -> [String; 6] {
    [
        digits.map_or_else(|| event.id.to_string(), |digits| event.id.beginning(digits)),
        received,
        event.source.to_string(),
        one_line(event.event_type.as_deref().unwrap_or("-")),
        event.state.as_str().to_owned(),
        event.attempts.to_string(),
    ]
}

/// Returns what an event says, and who says it, and which event it is a copy of.
pub(in crate::cli) fn headline(event: &EventSummary) -> String {
    let known = |text: &Option<String>| text.as_deref().map(one_line);
    // What only changes records is summed up by their names.
    let is_told = |record: &str, name: &Option<String>| {
        let (Some(summary), Some(name)) = (&event.summary, name) else { return false };
        summary.contains(&format!("{record} {name}"))
    };
    let names = [("contact", &event.who), ("company", &event.company)];
    let names = names.into_iter().filter(|(record, name)| !is_told(record, name));
    let from: Vec<String> = names.filter_map(|(_, name)| known(name)).collect();
    let said = match known(&event.summary) {
        Some(summary) if from.is_empty() => summary,
        Some(summary) => format!("{summary} ({})", from.join(", ")),
        None => from.join(", "),
    };
    match event.copy_of {
        None => said,
        Some(id) if said.is_empty() => format!("copy of {id}"),
        // First, since a long line is cut at its end.
        Some(id) => format!("copy of {id}: {said}"),
    }
}

/// Returns the reason of an event's state, with the time of its next try.
pub(super) fn reason(event: &EventSummary, (times, now): (&TimeFormat, Timestamp)) -> String {
    let reason = one_line(event.reason.as_deref().unwrap_or_default());
    match event.waiting_for.as_ref().and_then(|it| it.until) {
        Some(until) => format!("{reason}, next try at {}", times.near(until, now)),
        None => reason,
    }
}

/// Formats all details of an event.
pub(super) fn details(
    (record, line): (&EventRecord, &EventSummary),
    (times, now): (&TimeFormat, Timestamp),
    look: OutputStyle,
) -> String {
    let mut text = shown::bold(&format!("event {}", record.event.id), look) + "\n";
    let facts = facts((record, line), (times, now));
    text += &shown::fields(facts.iter().map(|(name, value)| (name, value)));
    text += &part("requests", record.requests.iter().map(request), look);
    let attempts = record.attempts.iter().map(|it| attempt((record, it), times));
    text += &part("history", attempts, look);
    text += &part("notes", record.notes.iter().map(|note| format!("  {}\n", one_line(note))), look);
    let headers = record.event.headers.iter();
    let headers = headers.map(|(name, value)| format!("  {name}: {}\n", one_line(value)));
    text += &part("headers", headers, look);
    if record.erased_at.is_some() {
        return text;
    }
    let payload: Value = serde_json::from_str(&record.event.payload)
        .unwrap_or_else(|_| Value::from(record.event.payload.as_str()));
    text + &part(
        "payload",
        [format!("{}\n", shown::visible(&format!("{payload:#}")))].into_iter(),
        look,
    )
}

fn facts(
    (record, line): (&EventRecord, &EventSummary),
    (times, now): (&TimeFormat, Timestamp),
) -> Vec<(String, Value)> {
    let event = &record.event;
    let time = |time| times.moment(time);
    let reason = Some(reason(line, (times, now))).filter(|it| !it.is_empty());
    let facts = [
        ("source", Some(event.source.to_string())),
        ("type", event.event_type.clone()),
        ("client", record.arrival.client.map(|client| client.to_string())),
        ("verified", record.arrival.verified.as_ref().map(verified)),
        ("delivery id", event.delivery_id.clone()),
        ("state", Some(record.state.as_str().to_owned())),
        ("stopped at", line.stage.map(|stage| stage.as_str().to_owned())),
        ("reason", reason),
        ("summary", line.summary.clone()),
        ("person", line.who.clone()),
        ("company", line.company.clone()),
        ("received", Some(time(event.received_at))),
        ("imported", event.imported_at().map(one_line)),
        ("copy of", record.copy_of.map(|id| id.to_string())),
        ("erased", record.erased_at.map(time)),
        ("next attempt", record.due_at.map(time)),
        ("settled", record.settled_at.map(time)),
        ("mapping", record.mapping.map(|version| mapped_by(version, times))),
        ("may repeat", record.may_repeat.then(|| "yes".to_owned())),
        ("left out", Some(record.left_out.join(", ")).filter(|it| !it.is_empty())),
    ];
    let known = facts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    known.map(|(name, value)| (name, Value::from(value))).collect()
}

/// Names a version of a mapping file as `mappings history` lists it.
fn mapped_by(version: MappingVersion, times: &TimeFormat) -> String {
    let (digest, since) = (version.digest.short(), times.moment(version.since));
    format!("version {digest} of its mapping file, in service since {since}")
}

/// Describes what authenticated the webhook of an event.
fn verified(verified: &Verified) -> String {
    let Verified { scheme, header, secret } = verified;
    let header = header.as_ref().map(|name| format!("header {name}"));
    let secret = secret.as_ref().map(|secret| match &secret.location {
        Some(location) => format!("secret {location}"),
        None => format!("secret {}", secret.position),
    });
    let parts = [Some(scheme.clone()), header, secret];
    one_line(&parts.into_iter().flatten().collect::<Vec<_>>().join(", "))
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

fn attempt((record, attempt): (&EventRecord, &Attempt), times: &TimeFormat) -> String {
    let mut line = format!("  {}  ", times.moment(attempt.at));
    // A replay may have made other requests than those of the attempts before.
    let is_of_these = attempt.replay == record.attempts.iter().any(|it| it.replay);
    let planned = record.requests.get(attempt.position).filter(|_| is_of_these);
    if let Some(PlannedRequest { request, .. }) = planned {
        line += &format!("{}: ", request.kind.as_str());
    }
    line += attempt.outcome.as_str();
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
pub(in crate::cli) fn unknown(id: EventId) -> CommandError {
    CommandError::InvalidInput(format!("there is no event {id}"))
}
