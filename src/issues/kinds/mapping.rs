//! A changed mapping file that was not taken.

use crate::issues::condition::{IssueCondition, Measure, RuleFinding};
use crate::store::{IssuePlace, IssueWords};
use crate::telemetry::metrics::RefusedReload;

/// `refused` is none if the files that were read last are in service.
pub fn judge(refused: Option<&RefusedReload>) -> RuleFinding {
    let condition = |RefusedReload { at, reason, count }: &RefusedReload| IssueCondition {
        key: String::new(),
        place: IssuePlace::default(),
        words: IssueWords {
            text: "A changed mapping file isn't used; the files from before are.".to_owned(),
            reason: Some(reason.clone()),
            hint: None,
            advice:
                "Fix what it names, or take the change back. `savio-relay check` shows all of it."
                    .to_owned(),
        },
        count: *count,
        unit: "changes",
        measure: Measure::Total,
        last_at: *at,
    };
    RuleFinding::holds(refused.map(condition).into_iter().collect())
}
