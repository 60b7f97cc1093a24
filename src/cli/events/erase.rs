//! `events erase`: forgets what events say, by their ids or for one person.

use std::collections::BTreeMap;
use std::io::{IsTerminal, stdin};

use serde_json::json;

use crate::admin::api::events::not_settled;
use crate::cli::error::CommandError;
use crate::cli::operator::operator;
use crate::cli::output as shown;
use crate::clock;
use crate::diagnostics::counted;
use crate::event::{EventId, State};
use crate::store::{
    Archive, EmailAddress, Erasure, ErasureOutcome, ErasureRequest, EventFilter, Mentions,
    PageRequest, Sqlite,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// All events that name this e-mail address, in whatever is stored of them
    #[arg(long, value_name = "EMAIL", conflicts_with = "ids")]
    pub(super) person: Option<EmailAddress>,
    /// Count the events without erasing them
    #[arg(long)]
    dry_run: bool,
    /// Erase without asking
    #[arg(long)]
    yes: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(
    store: &Sqlite,
    ids: Vec<EventId>,
    arguments: &Arguments,
) -> Result<(), CommandError> {
    let found = match &arguments.person {
        Some(person) => mentions(store, person).await?,
        None => named(store, ids).await?,
    };
    let (erasable, kept): (Vec<_>, Vec<_>) =
        found.iter().partition(|(_, state)| !matches!(state, State::Queued | State::Held));
    if !arguments.json {
        shown::print(&summary(&found, arguments.person.is_some()))?;
    }
    if arguments.dry_run || erasable.is_empty() {
        return end(&Erasure::default(), &kept, (erasable.len(), arguments));
    }
    confirm(erasable.len(), arguments)?;
    let request = ErasureRequest {
        ids: erasable.iter().map(|(id, _)| *id).collect(),
        person: arguments.person.clone(),
        at: clock::now(),
        by: operator(),
    };
    let erasure = store.erase(request).await?;
    end(&erasure, &kept, (erasable.len(), arguments))
}

async fn mentions(
    store: &Sqlite,
    person: &EmailAddress,
) -> Result<Vec<(EventId, State)>, CommandError> {
    let (mut found, mut after) = (Vec::new(), 0);
    loop {
        let Mentions { events, next } = store.mentions(person.clone(), after).await?;
        found.extend(events);
        let Some(next) = next else { return Ok(found) };
        after = next;
    }
}

/// Returns the events of these ids that are not erased yet.
async fn named(store: &Sqlite, ids: Vec<EventId>) -> Result<Vec<(EventId, State)>, CommandError> {
    let mut found = Vec::new();
    for id in ids {
        let filter = EventFilter { ids: vec![id], ..EventFilter::default() };
        let page = store.list(filter, PageRequest { limit: 1, after: None }).await?;
        let event = page.events.first().filter(|event| event.erased_at.is_none());
        found.extend(event.map(|event| (event.id, event.state)));
    }
    Ok(found)
}

/// Says how many events there are, by state.
fn summary(found: &[(EventId, State)], is_person: bool) -> String {
    let whose = match (is_person, found.len()) {
        (true, 1) => "names the person",
        (true, _) => "name the person",
        (false, 1) => "is named and not erased yet",
        (false, _) => "are named and not erased yet",
    };
    if found.is_empty() {
        return format!("no events {whose}\n");
    }
    let mut by_state: BTreeMap<&str, usize> = BTreeMap::new();
    for (_, state) in found {
        *by_state.entry(state.as_str()).or_default() += 1;
    }
    let states: Vec<String> =
        by_state.iter().map(|(state, events)| format!("{events} {state}")).collect();
    format!("{} {whose}: {}\n", counted(found.len() as u64, "event"), states.join(", "))
}

/// Asks on a terminal; elsewhere `--yes` has to say so.
fn confirm(events: usize, arguments: &Arguments) -> Result<(), CommandError> {
    if arguments.yes {
        return Ok(());
    }
    let events = counted(events as u64, "event");
    if arguments.json || !stdin().is_terminal() {
        return Err(CommandError::Usage(format!(
            "nothing was erased: {events} would be, for good. Say so with --yes"
        )));
    }
    shown::print_error(&format!(
        "Erase the data of {events}, for good? Backups and mapping samples are not changed. [y/N]"
    ));
    let mut answer = String::new();
    let read = stdin().read_line(&mut answer);
    read.map_err(|error| CommandError::Failed(format!("the answer cannot be read: {error}")))?;
    if ["y", "yes"].contains(&answer.trim().to_ascii_lowercase().as_str()) {
        return Ok(());
    }
    Err(CommandError::InvalidInput("nothing was erased".to_owned()))
}

/// Says what was erased, and what was not and why.
fn end(
    erasure: &Erasure,
    kept: &[&(EventId, State)],
    (erasable, arguments): (usize, &Arguments),
) -> Result<(), CommandError> {
    // What changed its state meanwhile was left too.
    let changed = erasure.outcomes.iter().filter_map(|(id, outcome)| match outcome {
        ErasureOutcome::NotSettled(state) => Some((*id, *state)),
        ErasureOutcome::Erased | ErasureOutcome::ErasedBefore(_) | ErasureOutcome::NotFound => None,
    });
    let kept: Vec<(EventId, State)> = kept.iter().map(|it| **it).chain(changed).collect();
    let is_erased = |(_, outcome): &&(EventId, ErasureOutcome)| *outcome == ErasureOutcome::Erased;
    let erased = erasure.outcomes.iter().filter(is_erased).count();
    if arguments.json {
        let kept: Vec<_> =
            kept.iter().map(|(id, state)| json!({ "id": id, "state": state })).collect();
        shown::print_json(&json!({
            "erasable": erasable, "erased": erased, "not_settled": kept,
            "log_emptied": erasure.log_emptied,
        }))?;
    } else {
        if !arguments.dry_run {
            shown::print(&format!("{} erased\n", counted(erased as u64, "event")))?;
        }
        for (id, state) in &kept {
            shown::print_error(&not_settled(*id, *state));
        }
    }
    if erased > 0 && !erasure.log_emptied {
        shown::print_error(
            "the write-ahead log could not be emptied, since something reads the store at this moment: \
             it holds old bytes until the relay writes it back. `savio-relay events erase` of any event \
             tries again",
        );
    }
    if kept.is_empty() { Ok(()) } else { Err(CommandError::AlreadyReported) }
}
