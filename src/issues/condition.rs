//! What a rule finds: the conditions that hold, and what is not known.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;

use crate::store::{IssuePlace, IssueWords};

/// Something that is wrong now, of which an issue tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IssueCondition {
    /// Tells the conditions of a kind apart, over restarts.
    pub key: String,
    pub place: IssuePlace,
    pub words: IssueWords,
    pub count: u64,
    pub unit: &'static str,
    pub measure: Measure,
    /// When it happened last.
    pub last_at: Timestamp,
}

/// What the count of a condition is, which decides what a half hour of its strip shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measure {
    /// How often it happened: a half hour has what was added in it.
    Total,
    /// How much it is now: a half hour has the most that it was.
    Level,
}

/// What the rule of a kind finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RuleFinding {
    /// Nothing is known, as before the store was read: no issue opens, and none closes.
    Unknown,
    Known(KnownFinding),
}

/// All conditions of a kind that hold, as far as they are known.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct KnownFinding {
    pub holds: Vec<IssueCondition>,
    /// Keys of which it is not known whether they hold: their issues stay as they are.
    pub unknown: BTreeSet<String>,
    /// How an issue ended, by its key, where it is not the usual end of the kind.
    pub outcomes: BTreeMap<String, String>,
}

impl RuleFinding {
    /// These hold, and no other.
    pub fn holds(holds: Vec<IssueCondition>) -> RuleFinding {
        RuleFinding::Known(KnownFinding { holds, ..KnownFinding::default() })
    }
}
