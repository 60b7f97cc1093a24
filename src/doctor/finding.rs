//! Findings: what was checked, the result, and what to do.

use serde::Serialize;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum FindingLevel {
    Ok,
    /// It works, and may be intended.
    Warning,
    Wrong,
    /// It could not be checked.
    Unseen,
}

/// One line of the list.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Finding {
    /// Heading below which it is listed.
    pub(crate) part: &'static str,
    #[serde(rename = "verdict")]
    pub(crate) level: FindingLevel,
    /// What was checked, and the result.
    pub(crate) found: String,
    /// What to do.
    pub(crate) advice: Option<String>,
    /// A command that does it or shows more, as it is typed.
    pub(crate) command: Option<String>,
}

impl Finding {
    pub(crate) fn ok(part: &'static str, found: impl Into<String>) -> Finding {
        Finding { part, level: FindingLevel::Ok, found: found.into(), advice: None, command: None }
    }

    pub(crate) fn warning(part: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: FindingLevel::Warning, ..Finding::ok(part, found) }
    }

    pub(crate) fn wrong(part: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: FindingLevel::Wrong, ..Finding::ok(part, found) }
    }

    pub(crate) fn unseen(part: &'static str, found: impl Into<String>) -> Finding {
        Finding { level: FindingLevel::Unseen, ..Finding::ok(part, found) }
    }

    pub(crate) fn at(level: FindingLevel, part: &'static str, found: impl Into<String>) -> Finding {
        Finding { level, ..Finding::ok(part, found) }
    }

    #[must_use]
    pub(crate) fn advice(self, advice: impl Into<String>) -> Finding {
        Finding { advice: Some(advice.into()), ..self }
    }

    #[must_use]
    pub(crate) fn command(self, command: impl Into<String>) -> Finding {
        Finding { command: Some(command.into()), ..self }
    }
}
