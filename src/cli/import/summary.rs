//! Progress and summary of an import.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::rc::Rc;

use serde_json::{Value, json};

use super::metered_input::ReadMeter;
use crate::cli::output::{line, print_error};
use crate::cli::progress_bar::ProgressBar;
use crate::event::{Request, RequestKind};

/// Number of mistakes that are shown, and of different reasons that are counted.
// A file of the wrong kind would otherwise print a line for each record, and reasons that quote a
// value would fill the memory.
const SHOWN_MAX: u64 = 20;
const REASONS_MAX: usize = 10;

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
    reasons: BTreeMap<String, u64>,
    notes: BTreeMap<String, u64>,
    requests: BTreeMap<&'static str, u64>,
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

    pub(super) fn ignored(&mut self, reason: String) {
        self.ignored += 1;
        count(&mut self.reasons, reason);
    }

    /// Counts notes of the mapping about fields that were left out.
    pub(super) fn notes(&mut self, notes: Vec<String>) {
        for note in notes {
            count(&mut self.notes, note);
        }
    }

    pub(super) fn requests(&mut self, requests: &[Request]) {
        for request in requests {
            *self.requests.entry(request.kind.as_str()).or_default() += 1;
        }
    }

    /// Updates the progress bar.
    pub(super) fn show_progress(&mut self) {
        let words = format!("{} records, {} events", self.records, self.events);
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
        let ImportSummary { records, events, ignored, wrong, .. } = self;
        let shown = [RequestKind::Company, RequestKind::Contact, RequestKind::Feedback]
            .iter()
            .filter_map(|kind| Some((kind.as_str(), self.requests.get(kind.as_str())?)));
        let shown: Vec<String> = shown.map(|(kind, count)| format!("{count} {kind}")).collect();
        let made = if shown.is_empty() { "nothing".to_owned() } else { shown.join(", ") };
        format!(
            "records {records}: {events} events would be imported, {ignored} ignored, {wrong} wrong\n  \
             requests: {made}\n{}",
            self.remarks()
        )
    }

    /// Returns the summary of an import.
    pub(super) fn text(&self) -> String {
        let ImportSummary { records, events, repeats, ignored, wrong, .. } = self;
        format!(
            "records {records}: {events} events imported, {repeats} imported before, {ignored} ignored, \
             {wrong} wrong\n{}",
            self.remarks()
        )
    }

    fn remarks(&self) -> String {
        let ignored = self.reasons.iter().map(|it| ("ignored", it));
        let noted = self.notes.iter().map(|it| ("noted", it));
        let mut text = String::new();
        for (word, (reason, count)) in ignored.chain(noted) {
            text += &format!("  {word} {count}: {}\n", line(reason));
        }
        if self.wrong > SHOWN_MAX {
            text += &format!("  mistakes that are not shown: {}\n", self.wrong - SHOWN_MAX);
        }
        text
    }

    pub(super) fn as_json(&self) -> Value {
        json!({
            "records": self.records,
            "events": self.events,
            "repeats": self.repeats,
            "ignored": self.ignored,
            "wrong": self.wrong,
            "requests": self.requests,
            "notes": self.notes,
        })
    }
}

/// Counts a reason. Beyond `REASONS_MAX` different ones, all further ones are counted together.
fn count(reasons: &mut BTreeMap<String, u64>, reason: String) {
    let has_room = reasons.len() < REASONS_MAX || reasons.contains_key(&reason);
    let reason = if has_room { reason } else { "others".to_owned() };
    *reasons.entry(reason).or_default() += 1;
}
