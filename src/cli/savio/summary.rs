//! Results of a bulk upsert: each line's while it runs, and the summary at its end.

use std::io::ErrorKind;

use serde_json::{Value, json};

use super::record::RecordKind;
use crate::cli::error::CommandError;
use crate::cli::output::{self, one_line};
use crate::cli::progress_bar::ProgressBar;
use crate::savio::Error;

/// Reason why a line failed.
#[derive(Debug)]
pub(super) enum LineError {
    /// The line is invalid, and was not sent.
    Line(String),
    Savio(Error),
}

/// Reason why the rest of the lines was not sent.
#[derive(Debug)]
pub(super) enum StopReason {
    Interrupted,
    /// An error that all other lines would have too.
    Savio(Error),
    Input(std::io::Error),
}

#[derive(Debug)]
pub(super) struct BulkSummary {
    kind: RecordKind,
    json: bool,
    bar: ProgressBar,
    done: u64,
    /// Lines that are invalid, or that Savio refused.
    refused: u64,
    /// Lines that may succeed in another run.
    undone: u64,
}

impl BulkSummary {
    pub(super) fn new(kind: RecordKind, json: bool) -> BulkSummary {
        BulkSummary { kind, json, bar: ProgressBar::new(), done: 0, refused: 0, undone: 0 }
    }

    pub(super) fn done(&mut self, line: u64, id: Option<&Value>) -> Result<(), CommandError> {
        self.done += 1;
        if self.json {
            let done = json!({ "line": line, "id": id });
            return output::print(&output::json(&format!("{done}\n")));
        }
        Ok(())
    }

    pub(super) fn failed(&mut self, line: u64, error: &LineError) -> Result<(), CommandError> {
        self.bar.clear();
        let (reason, is_refusal) = match error {
            LineError::Line(reason) => (reason.clone(), true),
            LineError::Savio(error) => (error.to_string(), error.is_refusal()),
        };
        *(if is_refusal { &mut self.refused } else { &mut self.undone }) += 1;
        if self.json {
            return output::print(&output::json(&format!("{}\n", as_json(line, &reason, error))));
        }
        // The reason may quote Savio's answer: a line end in it could forge the report of a line.
        output::print_error(&format!("line {line}: {}", one_line(&reason)));
        Ok(())
    }

    /// Tells a person of a wait, also where there is no progress bar.
    pub(super) fn waits(&mut self, notice: &str) {
        self.bar.clear();
        output::print_error(notice);
    }

    pub(super) fn progress(&mut self, read: u64, bytes: Option<u64>) {
        let failed = match self.refused + self.undone {
            0 => String::new(),
            failed => format!(", {failed} failed"),
        };
        match bytes {
            Some(bytes) => self.bar.show(read, Some(bytes), &format!("{} done{failed}", self.done)),
            None => self.bar.show(self.done, None, &format!("done{failed}")),
        }
    }

    /// Prints the summary and returns the result of the command.
    pub(super) fn end(mut self, stop: Option<StopReason>) -> Result<(), CommandError> {
        self.bar.clear();
        let BulkSummary { kind, json, done, refused, undone, .. } = self;
        let kind = kind.plural();
        let mut sum = format!("{kind} at savio: {done}");
        if refused > 0 {
            sum += &format!(", refused: {refused}");
        }
        if undone > 0 {
            sum += &format!(", not sent: {undone}");
        }
        // With --json, standard output has one object per line and nothing else.
        if json {
            output::print_error(&sum);
        } else {
            output::print(&format!("{sum}\n"))?;
        }
        let again = "fix that and run it again: records that savio has already are only updated";
        match stop {
            Some(StopReason::Interrupted) => {
                let again = "run it again: records that savio has already are only updated";
                Err(CommandError::Failed(format!("interrupted before the end; {again}")))
            }
            Some(StopReason::Savio(error)) => {
                let message = format!("stopped before the end: {error}; {again}");
                let is_refusal = error.is_refusal();
                let end =
                    if is_refusal { CommandError::InvalidInput } else { CommandError::Failed };
                Err(end(message))
            }
            Some(StopReason::Input(error)) if error.kind() == ErrorKind::InvalidData => {
                Err(CommandError::InvalidInput(format!("the input cannot be read: {error}")))
            }
            Some(StopReason::Input(error)) => {
                Err(CommandError::Failed(format!("the input cannot be read to its end: {error}")))
            }
            // Before refused lines: this exit code tells a script that another run may succeed.
            None if undone > 0 => Err(CommandError::Failed(format!("{undone} {kind}: {again}"))),
            None if refused > 0 => Err(CommandError::AlreadyReported),
            None => Ok(()),
        }
    }
}

fn as_json(line: u64, reason: &str, error: &LineError) -> Value {
    let (status, fields) = match error {
        LineError::Savio(Error::Refused { status, refusal }) => {
            let fields =
                refusal.fields.iter().map(|(name, messages)| (name.clone(), json!(messages)));
            (Some(*status), fields.collect())
        }
        LineError::Savio(error) => (error.status(), Value::Null),
        LineError::Line(_) => (None, Value::Null),
    };
    json!({ "line": line, "error": { "status": status, "message": reason, "fields": fields } })
}
