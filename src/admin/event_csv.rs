//! A list of events as a table for spreadsheets: CSV (RFC 4180), with the fields of its entries.

use csv::{Terminator, WriterBuilder};

use crate::diagnostics::visible;
use crate::store::EventSummary;

const COLUMNS: [&str; 18] = [
    "id",
    "received_at",
    "source",
    "type",
    "state",
    "stage",
    "summary",
    "who",
    "company",
    "reason",
    "attempts",
    "may_repeat",
    "sending",
    "left_out",
    "next_attempt_at",
    "waiting_for",
    "waiting_until",
    "delivery_id",
];

/// Returns the names of the columns and a line for each event.
pub(crate) fn event_csv(events: &[EventSummary]) -> Result<String, csv::Error> {
    let mut table = WriterBuilder::new().terminator(Terminator::CRLF).from_writer(Vec::new());
    table.write_record(COLUMNS)?;
    for event in events {
        table.write_record(cells(event))?;
    }
    let bytes = table.into_inner().map_err(csv::IntoInnerError::into_error)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

fn cells(event: &EventSummary) -> [String; COLUMNS.len()] {
    let optional = |text: &Option<String>| text.as_deref().map(cell).unwrap_or_default();
    let time = |time: Option<jiff::Timestamp>| time.map(|it| it.to_string()).unwrap_or_default();
    let waiting = event.waiting_for.as_ref();
    [
        event.id.to_string(),
        event.received_at.to_string(),
        event.source.to_string(),
        optional(&event.event_type),
        event.state.as_str().to_owned(),
        event.stage.map(|stage| stage.as_str().to_owned()).unwrap_or_default(),
        optional(&event.summary),
        optional(&event.who),
        optional(&event.company),
        optional(&event.reason),
        event.attempts.to_string(),
        event.may_repeat.to_string(),
        event.sending.to_string(),
        cell(&event.left_out.join(", ")),
        time(event.due_at),
        waiting.map(|it| it.kind.as_str().to_owned()).unwrap_or_default(),
        time(waiting.and_then(|it| it.until)),
        optional(&event.delivery_id),
    ]
}

/// Returns a text that strangers wrote as a cell that no spreadsheet takes for a formula.
// An apostrophe marks a text in all of them. Without it, a cell such as `=HYPERLINK(...)` would be
// computed when a colleague opens the file.
fn cell(text: &str) -> String {
    let shown = visible(text);
    let begins_formula =
        |text: &str| text.starts_with(['=', '+', '-', '@', '＝', '＋', '－', '＠']);
    if begins_formula(shown.trim_start()) { format!("'{shown}") } else { shown }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::State;
    use crate::store::StoppedAt;

    #[test]
    fn texts_are_quoted_and_are_no_formulas() {
        let event = EventSummary {
            stage: Some(StoppedAt::Savio),
            summary: Some("=HYPERLINK(\"http://a\")".to_owned()),
            who: Some(" +49, \"Ada\"".to_owned()),
            company: Some("Acme - \u{1b}[2J".to_owned()),
            reason: Some("Savio answered 400:\n- no".to_owned()),
            left_out: vec!["email".to_owned(), "source_url".to_owned()],
            ..EventSummary::example(State::Dead)
        };

        let csv = event_csv(&[event]).unwrap();

        let lines: Vec<&str> = csv.split("\r\n").collect();
        assert_eq!((lines.len(), lines[2]), (3, ""));
        assert_eq!(lines[0], COLUMNS.join(","));
        let (_, rest) = lines[1].split_once(",form,").unwrap();
        let expected = ",dead,savio,\"'=HYPERLINK(\"\"http://a\"\")\",\"' +49, \"\"Ada\"\"\",Acme - \u{fffd}[2J,\
                        \"Savio answered 400:\n- no\",0,false,false,\"email, source_url\",,,,";
        assert_eq!(rest, expected);
    }
}
