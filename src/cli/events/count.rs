//! `events count`: how many events match a filter, by state.

use crate::admin::api::events::EventCounts;
use crate::cli::error::CommandError;
use crate::cli::output;
use crate::diagnostics::counted;
use crate::event::State;
use crate::store::{Archive as _, CountFor, EventFilter, MatchCount, Sqlite};

pub(super) async fn run(
    store: &Sqlite,
    filter: EventFilter,
    json: bool,
) -> Result<(), CommandError> {
    let matching = store.count_matching(filter, CountFor::Display).await?;
    if json {
        return output::print_json(&EventCounts::of(matching));
    }
    output::print(&text(&matching))
}

fn text(matching: &MatchCount) -> String {
    let at_least = if matching.at_least { "at least " } else { "" };
    let all = counted(matching.events(), "event");
    let states = State::ALL.into_iter().map(|state| (matching.states.of(state), state.as_str()));
    let states = states.filter(|(events, _)| *events > 0);
    let states: Vec<String> = states.map(|(events, state)| format!("{events} {state}")).collect();
    if states.is_empty() {
        return "no event matches\n".to_owned();
    }
    format!("{at_least}{all}: {}\n", states.join(", "))
}
