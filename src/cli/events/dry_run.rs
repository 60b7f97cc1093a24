//! `events replay --dry-run`: counts the events, and maps the newest of them as a replay would.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde_json::json;

use crate::cli::error::CommandError;
use crate::cli::{input, output as shown};
use crate::comparison::{
    ComparisonThreads, MappingsInService, ReplayTrial, WouldFail, WouldReplay,
};
use crate::config::Config;
use crate::diagnostics::counted;
use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::event::SourceName;
use crate::mapping::Mapping;
use crate::mapping_file::file::MappingFile;
use crate::parse_memory::ParseMemory;
use crate::secret::Environment;
use crate::store::{Archive, CountFor, EventFilter, FoundVersion, MatchCount, Sqlite};

pub(super) async fn run(
    store: &Sqlite,
    filter: EventFilter,
    (config, environment): (&Config, &Environment),
    is_json: bool,
) -> Result<(), CommandError> {
    let matching = store.count_matching(filter.clone(), CountFor::Replay).await?;
    let trial = ReplayTrial::list(store, filter).await?;
    let mappings = mappings(store, trial.sources(), (config, environment)).await?;
    let threads = ComparisonThreads::default();
    let turn = threads.begin("replay".into());
    let memory = Arc::new(ParseMemory::new(config.intake.parsed_bytes_max));
    let would = trial.map(store, &mappings, (&memory, &threads, turn)).await?;
    if is_json {
        return shown::print_json(&json!({
            "matched": matching.events(), "at_least": matching.at_least, "replayed": 0,
            "replay_id": null, "queued": matching.queued(), "would": would,
        }));
    }
    shown::print(&text(matching, &would))
}

/// Returns the mappings of the sources as their files are now, which a running relay has in service. It goes on with the
/// text before if a file has mistakes, and so does this.
async fn mappings(
    store: &Sqlite,
    sources: BTreeSet<SourceName>,
    (config, environment): (&Config, &Environment),
) -> Result<MappingsInService, CommandError> {
    let mut mappings = MappingsInService::new();
    if sources.is_empty() {
        return Ok(mappings);
    }
    for file in input::mapping_files(config, environment)? {
        let Some(name) = file.name.clone().filter(|name| sources.contains(name)) else { continue };
        let mapping = if file.mistakes.iter().any(Diagnostic::is_error) {
            last_in_service(store, &name).await?
        } else {
            Some(file.mapping)
        };
        mappings.extend(mapping.map(|mapping| (name, mapping)));
    }
    Ok(mappings)
}

async fn last_in_service(
    store: &Sqlite,
    source: &SourceName,
) -> Result<Option<Arc<Mapping>>, CommandError> {
    let history = store.mapping_history(source.clone(), 1, None).await?;
    let Some(newest) = history.versions.first() else { return Ok(None) };
    let digest = newest.version.digest.to_string().parse();
    let digest = digest.map_err(|error| CommandError::failed(&error))?;
    let FoundVersion::One { text, .. } = store.mapping_text(source.clone(), digest).await? else {
        return Ok(None);
    };
    let file = MappingFile::of_text(Document { name: format!("{source}.toml"), text });
    Ok((!file.mistakes.iter().any(Diagnostic::is_error)).then_some(file.mapping))
}

fn text(matching: MatchCount, would: &WouldReplay) -> String {
    let (events, queued) = (matching.events(), matching.queued());
    let at_least = if matching.at_least { "at least " } else { "" };
    let mut text = format!("{at_least}{} would be replayed", events - queued);
    if queued > 0 {
        text += &format!(", {queued} queued already");
    }
    text += "\n";
    let parts = [
        (would.send, "would be sent"),
        (would.ignore, "would be ignored"),
        (would.fail, "would fail"),
    ];
    let parts = parts.into_iter().filter(|(events, _)| *events > 0);
    let parts: Vec<String> = parts.map(|(events, what)| format!("{events} {what}")).collect();
    if parts.is_empty() {
        return text;
    }
    if would.sample {
        text += &format!("of the newest {}: ", counted(would.mapped, "event"));
    }
    text += &parts.join(", ");
    text += if would.fail > 0 { ":\n" } else { "\n" };
    for WouldFail { reason, events } in &would.reasons {
        text += &format!("  {events} {}\n", shown::line(reason));
    }
    let named: u64 = would.reasons.iter().map(|reason| reason.events).sum();
    if named < would.fail {
        text += &format!("  {} for other reasons\n", would.fail - named);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sample_and_reasons_are_told_in_words() {
        let states = crate::store::StateCounts { dead: 900, queued: 2, ..Default::default() };
        let matching = MatchCount { states, at_least: true };
        let reason = |reason: &str, events| WouldFail { reason: reason.to_owned(), events };
        let reasons = vec![reason("`problem` is empty", 100), reason("no name", 6)];
        let would =
            WouldReplay { send: 390, ignore: 3, fail: 107, mapped: 500, sample: true, reasons };

        assert_eq!(
            text(matching, &would),
            "at least 900 would be replayed, 2 queued already\n\
             of the newest 500 events: 390 would be sent, 3 would be ignored, 107 would fail:\n\
             \x20 100 `problem` is empty\n\
             \x20 6 no name\n\
             \x20 1 for other reasons\n"
        );
        let all = WouldReplay { send: 900, mapped: 900, ..WouldReplay::default() };
        let whole = MatchCount { at_least: false, ..matching };
        assert_eq!(
            text(whole, &all),
            "900 would be replayed, 2 queued already\n900 would be sent\n"
        );
    }
}
