//! Progress and summary of an import.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Map, Value, json};

use super::metered_input::ReadMeter;
use crate::cli::output::{line, print_error};
use crate::cli::progress_bar::ProgressBar;
use crate::diagnostics::counted;
use crate::event::{Request, RequestKind};
use crate::mapping_file::file::ExportColumns;

/// Number of mistakes that are shown, and of different reasons that are counted.
// A file of the wrong kind would otherwise print a line for each record, and reasons that quote a
// value would fill the memory.
const SHOWN_MAX: u64 = 20;
const REASONS_MAX: usize = 10;
/// Number of lines that are listed for a reason.
const LINES_MAX: usize = 5;

pub(super) struct ImportSummary {
    name: PathBuf,
    meter: Rc<ReadMeter>,
    bar: ProgressBar,
    pub(super) records: u64,
    /// Events that are new in the store; in a dry run, those that would be imported.
    pub(super) events: u64,
    pub(super) repeats: u64,
    pub(super) ignored: u64,
    pub(super) wrong: u64,
    /// Words on the columns of a table.
    columns: Option<ColumnSummary>,
    reasons: BTreeMap<String, Remark>,
    notes: BTreeMap<String, Remark>,
    requests: BTreeMap<&'static str, u64>,
}

/// A reason or note: how often it was given, and the lines of its first records.
#[derive(Debug, Default)]
struct Remark {
    count: u64,
    lines: Vec<u64>,
}

/// What the columns of a table were taken for.
#[derive(Debug)]
struct ColumnSummary {
    questions: usize,
    hidden: Vec<String>,
    undecided: Vec<String>,
}

impl ImportSummary {
    pub(super) fn new(name: PathBuf, meter: Rc<ReadMeter>) -> ImportSummary {
        ImportSummary {
            name,
            meter,
            bar: ProgressBar::new(),
            records: 0,
            events: 0,
            repeats: 0,
            ignored: 0,
            wrong: 0,
            columns: None,
            reasons: BTreeMap::new(),
            notes: BTreeMap::new(),
            requests: BTreeMap::new(),
        }
    }

    pub(super) fn wrong(&mut self, number: u64, reason: &str) {
        self.wrong += 1;
        if self.wrong <= SHOWN_MAX {
            self.clear();
            print_error(&format!("{}:{number}: {}", self.name.display(), line(reason)));
        }
    }

    pub(super) fn columns(&mut self, columns: &ExportColumns) {
        let owned = |names: &[&str]| names.iter().map(|&it| it.to_owned()).collect();
        self.columns = Some(ColumnSummary {
            questions: columns.question_count(),
            hidden: owned(&columns.hidden_names()),
            undecided: columns.undecided.clone(),
        });
    }

    pub(super) fn ignored(&mut self, line: u64, reason: String) {
        self.ignored += 1;
        count(&mut self.reasons, line, reason);
    }

    /// Counts notes of the mapping about fields that were left out.
    pub(super) fn notes(&mut self, line: u64, notes: Vec<String>) {
        for note in notes {
            count(&mut self.notes, line, note);
        }
    }

    /// Counts the events of a record, and the requests of those that are new.
    pub(super) fn events(&mut self, requests: &[Vec<Request>], repeated: &[usize]) {
        self.repeats += repeated.len() as u64;
        for (position, requests) in requests.iter().enumerate() {
            if repeated.contains(&position) {
                continue;
            }
            self.events += 1;
            for request in requests {
                *self.requests.entry(request.kind.as_str()).or_default() += 1;
            }
        }
    }

    /// Updates the progress bar.
    pub(super) fn show_progress(&mut self) {
        let words =
            format!("{}, {}", counted(self.records, "record"), counted(self.events, "event"));
        match self.meter.total {
            Some(total) => self.bar.show(self.meter.read(), Some(total), &words),
            None => self.bar.show(self.records, None, "records"),
        }
    }

    pub(super) fn clear(&mut self) {
        self.bar.clear();
    }

    /// Returns the summary of a dry run.
    pub(super) fn dry_run_text(&self) -> String {
        let ImportSummary { records, events, repeats, ignored, wrong, .. } = self;
        let shown = [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback]
            .iter()
            .filter_map(|kind| Some((kind.as_str(), self.requests.get(kind.as_str())?)));
        let shown: Vec<String> = shown.map(|(kind, count)| format!("{count} {kind}")).collect();
        let made = if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") };
        format!(
            "records {records}: {} would be imported, {repeats} repeated, {ignored} ignored, \
             {wrong} wrong\n  requests: {made}\n{}",
            counted(*events, "event"),
            self.remarks()
        )
    }

    /// Returns the summary of an import.
    pub(super) fn text(&self) -> String {
        let ImportSummary { records, events, repeats, ignored, wrong, .. } = self;
        format!(
            "records {records}: {} imported, {repeats} repeated, {ignored} ignored, {wrong} wrong\n{}",
            counted(*events, "event"),
            self.remarks()
        )
    }

    fn remarks(&self) -> String {
        let ignored = self.reasons.iter().map(|it| ("ignored", it));
        let noted = self.notes.iter().map(|it| ("noted", it));
        let mut text = self.columns.as_ref().map(ColumnSummary::text).unwrap_or_default();
        for (word, (reason, remark)) in ignored.chain(noted) {
            text += &format!("  {word} {}: {} ({})\n", remark.count, line(reason), remark.places());
        }
        if self.wrong > SHOWN_MAX {
            text += &format!("  mistakes that are not shown: {}\n", self.wrong - SHOWN_MAX);
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        let of_notes = |value: fn(&Remark) -> Value| -> Map<String, Value> {
            self.notes.iter().map(|(note, remark)| (note.clone(), value(remark))).collect()
        };
        json!({
            "records": self.records,
            "events": self.events,
            "repeats": self.repeats,
            "ignored": self.ignored,
            "wrong": self.wrong,
            "requests": self.requests,
            "notes": of_notes(|remark| json!(remark.count)),
            "note_lines": of_notes(|remark| json!(remark.lines)),
            "hidden_fields": self.columns.as_ref().map(|columns| &columns.hidden),
        })
    }
}

impl Remark {
    /// Returns the lines in words.
    fn places(&self) -> String {
        let lines: Vec<String> = self.lines.iter().map(u64::to_string).collect();
        let unlisted = self.count - self.lines.len() as u64;
        match (lines.as_slice(), unlisted) {
            ([line], 0) => format!("line {line}"),
            (_, 0) => format!("lines {}", lines.join(", ")),
            _ => format!("lines {} and {unlisted} more", lines.join(", ")),
        }
    }
}

impl ColumnSummary {
    fn text(&self) -> String {
        let names = |names: &[String]| line(&names.join(", "));
        let hidden = match self.hidden.as_slice() {
            [] => "no hidden fields".to_owned(),
            hidden => format!("hidden fields: {}", names(hidden)),
        };
        let questions = match self.questions {
            1 => "1 question".to_owned(),
            count => format!("{count} questions"),
        };
        let mut text = format!("  columns: {questions}, {hidden}\n");
        if !self.undecided.is_empty() {
            text += &format!(
                "  columns that may be hidden fields, and count as questions: {}\n  \
                 say which they are with --hidden NAME, or give the form with --form FILE\n",
                names(&self.undecided)
            );
        }
        text
    }
}

/// Counts a reason. Beyond `REASONS_MAX` different ones, all further ones are counted together.
fn count(reasons: &mut BTreeMap<String, Remark>, line: u64, reason: String) {
    let has_room = reasons.len() < REASONS_MAX || reasons.contains_key(&reason);
    let reason = if has_room { reason } else { "others".to_owned() };
    let remark = reasons.entry(reason).or_default();
    remark.count += 1;
    if remark.lines.len() < LINES_MAX {
        remark.lines.push(line);
    }
}
