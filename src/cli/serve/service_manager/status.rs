//! The line of `systemctl status`: what is live, what waits, and what is wrong.

use crate::cli::output::line;
use crate::clock;
use crate::event::State;
use crate::intake::registry::SourceStatus;
use crate::relay::Relay;
use crate::store::{Archive, StateCount, StoreError};

pub(super) async fn of(relay: &Relay) -> String {
    let now = clock::now();
    let sources = relay.sources();
    let is_live = |status: &&SourceStatus| match status {
        SourceStatus::Live(source) => source.off_reason(now).is_none(),
        SourceStatus::AwaitingSecret(_) | SourceStatus::Off { .. } => false,
    };
    let observation = Observation {
        live_sources: sources.values().filter(is_live).count(),
        counts: relay.store.counts().await,
        is_disk_full: relay.store.disk_space().is_ok_and(|it| it.free_bytes < it.reserve_bytes),
        are_files_rejected: !relay.is_last_reload_applied(),
        closed_destinations: relay.closed_destinations(),
    };
    line(&observation.text())
}

/// What the status is made of.
struct Observation<'r> {
    live_sources: usize,
    counts: Result<Vec<StateCount>, StoreError>,
    is_disk_full: bool,
    are_files_rejected: bool,
    closed_destinations: Vec<(&'r str, String)>,
}

impl Observation<'_> {
    fn text(&self) -> String {
        let mut parts = vec![match self.live_sources {
            0 => "no source is live".to_owned(),
            1 => "1 source is live".to_owned(),
            sources => format!("{sources} sources are live"),
        }];
        match &self.counts {
            Ok(counts) => parts.extend(events(counts)),
            Err(error) => parts.push(error.summary().to_owned()),
        }
        if self.is_disk_full {
            parts.push("webhooks are refused, since the disk is full".to_owned());
        }
        if self.are_files_rejected {
            parts.push("changed mapping files have mistakes and are not applied".to_owned());
        }
        match self.closed_destinations.as_slice() {
            [(_, reason)] => parts.push(reason.clone()),
            closed => parts.extend(closed.iter().map(|(name, reason)| format!("{name}: {reason}"))),
        }
        parts.join("; ")
    }
}

fn events(counts: &[StateCount]) -> impl Iterator<Item = String> {
    let sum = |state| counts.iter().filter(|it| it.state == state).map(|it| it.events).sum::<u64>();
    let waiting = match sum(State::Queued) {
        0 => "no event waits".to_owned(),
        1 => "1 event waits".to_owned(),
        events => format!("{events} events wait"),
    };
    let others = [(State::Held, "held"), (State::Dead, "dead")];
    let others = others.map(|(state, word)| match sum(state) {
        0 => None,
        1 => Some(format!("1 is {word}")),
        events => Some(format!("{events} are {word}")),
    });
    std::iter::once(waiting).chain(others.into_iter().flatten())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::UnavailableKind;

    fn counted(state: State, events: u64) -> StateCount {
        StateCount { source: "form".parse().unwrap(), state, events }
    }

    fn observation() -> Observation<'static> {
        Observation {
            live_sources: 3,
            counts: Ok(Vec::new()),
            is_disk_full: false,
            are_files_rejected: false,
            closed_destinations: Vec::new(),
        }
    }

    #[test]
    fn status_counts_what_is_live_and_what_waits() {
        assert_eq!(observation().text(), "3 sources are live; no event waits");
        let counts = vec![
            counted(State::Queued, 13),
            counted(State::Queued, 1),
            counted(State::Delivered, 900),
            counted(State::Dead, 1),
        ];
        let some = Observation { live_sources: 1, counts: Ok(counts), ..observation() };
        assert_eq!(some.text(), "1 source is live; 14 events wait; 1 is dead");
        let none = Observation { live_sources: 0, ..observation() };
        assert_eq!(none.text(), "no source is live; no event waits");
    }

    #[test]
    fn status_says_what_is_wrong() {
        let refused = "delivery is paused: Savio answered 401 (the token is not accepted)";
        let one = vec![("default", refused.to_owned())];
        let paused = Observation { closed_destinations: one, ..observation() };
        assert_eq!(paused.text(), format!("3 sources are live; no event waits; {refused}"));
        let two = vec![("default", refused.to_owned()), ("eu", "so".to_owned())];
        let both = Observation { closed_destinations: two, ..observation() };
        let expected = format!("3 sources are live; no event waits; default: {refused}; eu: so");
        assert_eq!(both.text(), expected);
        let full = Observation { is_disk_full: true, are_files_rejected: true, ..observation() };
        assert!(full.text().ends_with(
            "; webhooks are refused, since the disk is full; changed mapping files have mistakes and \
             are not applied"
        ));
    }

    #[test]
    fn unreadable_store_is_named_instead_of_counts() {
        let error = StoreError::Unavailable { trouble: UnavailableKind::Busy, reason: "so".into() };
        let summary = error.summary();
        let status = Observation { counts: Err(error), ..observation() }.text();

        assert_eq!(status, format!("3 sources are live; {summary}"));
    }
}
