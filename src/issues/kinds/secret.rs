//! Secrets whose files cannot be read, so that an earlier value counts.

use jiff::Timestamp;

use crate::issues::condition::{IssueCondition, Measure, RuleFinding};
use crate::secret::KeptSecret;
use crate::store::{IssuePlace, IssueWords};

pub fn judge(kept: &[KeptSecret], now: Timestamp) -> RuleFinding {
    let condition = |KeptSecret { purpose, reference, reason }: &KeptSecret| {
        let named = |kind| purpose.strip_prefix(kind).map(str::to_owned);
        let source = named("source ").and_then(|name| name.parse().ok());
        IssueCondition {
            key: format!("{purpose} {reference}"),
            place: IssuePlace {
                source,
                destination: named("destination "),
                ..IssuePlace::default()
            },
            words: IssueWords {
                text: format!("The relay can't read the secret of {purpose}."),
                reason: Some(format!("{reference}: {reason}")),
                hint: None,
                advice: "The value from before still counts; a restart would end that. Let the relay's user \
                         read the file, or set the secret again."
                    .to_owned(),
            },
            count: 1,
            unit: "files",
            measure: Measure::Total,
            last_at: now,
        }
    };
    RuleFinding::holds(kept.iter().map(condition).collect())
}
