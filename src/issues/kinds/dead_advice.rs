//! What a person does about dead events of one cause.

use crate::store::StoppedAt;

/// Returns what to do about events that stopped there with this status of Savio, and for this reason.
pub fn advice(stage: Option<StoppedAt>, status: Option<u16>, reason: &str) -> &'static str {
    match (stage, status) {
        (Some(StoppedAt::Mapping), _) if reason.contains("the relay's process ended") => {
            "Give the relay more memory or change the mapping, then replay them. They are stored; \
             nothing is lost."
        }
        (Some(StoppedAt::Mapping), _) if reason.ends_with("is empty") => {
            "Correct the mapping, or make the question required in the tool. Then replay them. They are \
             stored; nothing is lost."
        }
        (Some(StoppedAt::Mapping), _) => {
            "Fix the mapping, then replay them. They are stored; nothing is lost."
        }
        (Some(StoppedAt::Savio), Some(401 | 403)) => {
            "See whether the token may do this, then replay them. They are stored; nothing is lost."
        }
        (Some(StoppedAt::Savio), Some(404 | 410)) => {
            "See whether what the mapping names still exists in Savio, and whether `savio.base_url` is \
             right. Then replay them. They are stored; nothing is lost."
        }
        (Some(StoppedAt::Savio), Some(413)) => {
            "Map fewer or shorter values, then replay them. They are stored; nothing is lost."
        }
        (Some(StoppedAt::Savio), _) => {
            "Map the value to one that your Savio account accepts, then replay them. They are stored; \
             nothing is lost."
        }
        (Some(StoppedAt::Time), _) => {
            "Replay them once Savio accepts requests. They are stored; nothing is lost."
        }
        (None, _) => "Replay them once the cause is fixed. They are stored; nothing is lost.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advice_depends_on_where_events_stopped_and_why() {
        let mapping = |reason| advice(Some(StoppedAt::Mapping), None, reason);
        let savio = |status| advice(Some(StoppedAt::Savio), Some(status), "No.");

        let all = [
            mapping("`problem` is empty"),
            mapping("no `when` is true"),
            mapping("the relay's process ended three times while it mapped this event alone"),
            savio(400),
            savio(401),
            savio(404),
            savio(413),
            advice(Some(StoppedAt::Time), None, "gave up after 3d"),
            advice(None, None, ""),
        ];

        let distinct: std::collections::BTreeSet<&str> = all.into_iter().collect();
        assert_eq!(distinct.len(), all.len());
        assert!(all.iter().all(|advice| advice.ends_with("They are stored; nothing is lost.")
            || advice.starts_with("Replay them")));
    }
}
