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

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::*;

    fn held(refused: Option<&RefusedReload>) -> Vec<IssueCondition> {
        match judge(refused) {
            RuleFinding::Known(known) => known.holds,
            RuleFinding::Unknown => Vec::new(),
        }
    }

    #[test]
    fn refused_files_are_an_issue_until_a_set_is_taken() {
        let reason = "form.toml:3:1: unknown key `feedbak`".to_owned();
        let refused = RefusedReload { at: Timestamp::UNIX_EPOCH, reason: reason.clone(), count: 3 };

        let found = held(Some(&refused)).remove(0);

        assert_eq!((found.words.reason, found.count), (Some(reason), 3));
        assert_eq!(found.last_at, Timestamp::UNIX_EPOCH);
        assert!(held(None).is_empty());
    }
}
