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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::SourceName;

    #[test]
    fn each_file_that_cannot_be_read_is_an_issue_of_its_place() {
        let kept = ["source form", "destination sales", "admin"].map(|purpose| KeptSecret {
            purpose: purpose.to_owned(),
            reference: "file:/run/secrets/one".to_owned(),
            reason: "permission denied".to_owned(),
        });
        let RuleFinding::Known(known) = judge(&kept, Timestamp::UNIX_EPOCH) else {
            panic!("it is known");
        };

        let places = known.holds.iter().map(|it| {
            let IssuePlace { source, destination, .. } = &it.place;
            (source.as_ref().map(SourceName::as_str), destination.as_deref())
        });
        assert_eq!(
            places.collect::<Vec<_>>(),
            [(Some("form"), None), (None, Some("sales")), (None, None)]
        );
        let words = &known.holds[0].words;
        assert_eq!(words.text, "The relay can't read the secret of source form.");
        assert_eq!(words.reason.as_deref(), Some("file:/run/secrets/one: permission denied"));
        let keys: std::collections::BTreeSet<&String> =
            known.holds.iter().map(|it| &it.key).collect();
        assert_eq!(keys.len(), 3, "{keys:?}");
    }
}
