//! When requests were not sent to a destination, and why.

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::Value;

use crate::cli::error::CommandError;
use crate::cli::output::{self, line, stdout_style};
use crate::cli::relay_client::{RelayClient, segment};
use crate::cli::table;
use crate::cli::times::TimeFormat;
use crate::clock;
use crate::store::InterruptionKind;

pub(super) struct DestinationLog {
    pub(super) destination: String,
    /// Only what went on then or began later.
    pub(super) since: Option<Timestamp>,
}

#[derive(Debug, Deserialize)]
struct ListedInterruptions {
    interruptions: Vec<ListedInterruption>,
}

#[derive(Debug, Deserialize)]
struct ListedInterruption {
    kind: InterruptionKind,
    reason: String,
    began_at: Timestamp,
    ended_at: Option<Timestamp>,
    waiting: u64,
}

impl DestinationLog {
    pub(super) async fn show(
        &self,
        relay: &RelayClient,
        json: bool,
        times: &TimeFormat,
    ) -> Result<(), CommandError> {
        let since = self.since.map_or_else(String::new, |since| format!("?since={since}"));
        let path = format!("destinations/{}/log{since}", segment(&self.destination));
        if json {
            return output::print_json(&relay.get::<Value>(&path).await?);
        }
        let list: ListedInterruptions = relay.get(&path).await?;
        output::print(&listed(&list.interruptions, times, clock::now()))
    }
}

fn listed(list: &[ListedInterruption], times: &TimeFormat, now: Timestamp) -> String {
    if list.is_empty() {
        return "requests were sent all the time\n".to_owned();
    }
    let began: Vec<Timestamp> = list.iter().map(|it| it.began_at).collect();
    let (name, began) = times.column("began", &began);
    let row = |(it, began): (&ListedInterruption, String)| {
        let what = match it.kind {
            InterruptionKind::PausedByPerson => "paused by a person",
            InterruptionKind::PausedByAnswer => "paused by an answer",
            InterruptionKind::NoToken => "no token",
            InterruptionKind::Backoff => "asked to wait",
            InterruptionKind::Breaker => "failed in a row",
        };
        let ended = match it.ended_at {
            Some(end) if end <= now => times.near(end, it.began_at),
            Some(end) => format!("until {}", times.near(end, now)),
            None => "goes on".to_owned(),
        };
        [began, ended, what.to_owned(), it.waiting.to_string(), line(&it.reason)]
    };
    let rows: Vec<_> = list.iter().zip(began).map(row).collect();
    table::table([&name, "ended", "what", "waiting", "reason"], &rows, stdout_style())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::times::TimeOptions;

    #[test]
    fn interruption_says_whether_it_goes_on() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let one = |kind, ended_at: Option<&str>| ListedInterruption {
            kind,
            reason: "Savio answered 503".to_owned(),
            began_at: at("2026-11-30T12:00:00Z"),
            ended_at: ended_at.map(at),
            waiting: 4,
        };
        let list = [
            one(InterruptionKind::Breaker, None),
            one(InterruptionKind::Backoff, Some("2026-11-30T12:20:00Z")),
            one(InterruptionKind::PausedByPerson, Some("2026-11-30T12:05:00Z")),
        ];

        let text = listed(&list, &TimeOptions::default().format(), at("2026-11-30T12:10:00Z"));

        let lines: Vec<&str> = text.lines().skip(1).collect();
        for (line, words) in lines.iter().zip(["goes on", "until 12:20:00Z", "paused by a person"])
        {
            assert!(line.contains(words), "{line}");
        }
        assert_eq!(lines.len(), 3);
    }
}
