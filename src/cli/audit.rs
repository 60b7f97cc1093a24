//! `audit`: lists what people did. It reads the store itself, beside a running relay or without one.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use jiff::Timestamp;

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::paged::{self, continuation};
use super::times::{TimeFormat, TimeOptions};
use super::{input, open_store, runtime, table};
use crate::admin::time_bound::{since, until};
use crate::secret::Environment;
use crate::store::{
    AuditAction, AuditEntry, AuditFilter, AuditPage, AuditVia, Cursor, Operations, PageRequest,
    Sqlite,
};

/// Digits that are shown of a digest.
const DIGEST_DIGITS: usize = 8;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only actions of this person, token or USER@HOST
    #[arg(long, value_name = "NAME")]
    who: Option<String>,
    /// Only actions of this kind
    #[arg(long, value_parser = action_parser())]
    action: Option<AuditAction>,
    /// Since: an age (2h, 7d), a date (2026-01-31, in UTC) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Before this time; a date includes the whole day
    #[arg(long, value_name = "TIME", value_parser = until)]
    until: Option<Timestamp>,
    /// Maximum number of actions
    #[arg(long, default_value = "50")]
    limit: NonZeroUsize,
    /// Continue a previous list from the cursor that it printed
    #[arg(long, value_name = "CURSOR")]
    after: Option<Cursor>,
    /// Print JSON
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    times: TimeOptions,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

fn action_parser() -> impl TypedValueParser<Value = AuditAction> {
    PossibleValuesParser::new(AuditAction::ALL.map(AuditAction::as_str)).map(|name| {
        let named = AuditAction::ALL.into_iter().find(|action| action.as_str() == name);
        named.expect("the values are the actions' names")
    })
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let store = open_store::open(&config)?;
    runtime::block_on(async {
        let listed = collect(&store, arguments).await;
        store.close().await;
        let page = listed?;
        if arguments.json {
            return output::print_json(&page);
        }
        output::print(&listing(&page, &arguments.times.format()))
    })
}

async fn collect(store: &Sqlite, arguments: &Arguments) -> Result<AuditPage, CommandError> {
    let Arguments { who, action, since, until, limit, after, .. } = arguments;
    let filter = AuditFilter { who: who.clone(), action: *action, since: *since, until: *until };
    let read = async |limit, after| {
        let page = store.audit(filter.clone(), PageRequest { limit, after }).await?;
        Ok((page.entries, page.next))
    };
    let (entries, next) = paged::collect(*limit, *after, read).await?;
    Ok(AuditPage { entries, next })
}

fn listing(page: &AuditPage, times: &TimeFormat) -> String {
    if page.entries.is_empty() {
        return "no action matches\n".to_owned();
    }
    let at: Vec<Timestamp> = page.entries.iter().map(|entry| entry.at).collect();
    let (time, at) = times.column("time", &at);
    let rows: Vec<_> = page.entries.iter().zip(at).map(|(entry, at)| row(entry, at)).collect();
    let names = [&time, "who", "action", "on", "count", "detail"];
    table::table(names, &rows, stdout_style()) + &continuation(page.next)
}

fn row(entry: &AuditEntry, at: String) -> [String; 6] {
    let AuditEntry { who, via, action, on, count, .. } = entry;
    let who = if via == AuditVia::Token.as_str() {
        line(who)
    } else {
        format!("{}: {}", line(via), line(who))
    };
    let count = count.map_or_else(|| "-".to_owned(), |count| count.to_string());
    [
        at,
        who,
        line(action),
        on.as_deref().map_or_else(|| "-".to_owned(), line),
        count,
        detail(entry),
    ]
}

fn detail(entry: &AuditEntry) -> String {
    let digest = |digest: &Option<String>| -> String {
        digest.as_deref().map_or("none".to_owned(), |it| it.chars().take(DIGEST_DIGITS).collect())
    };
    let digests = (entry.digest_before.is_some() || entry.digest_after.is_some())
        .then(|| format!("{} → {}", digest(&entry.digest_before), digest(&entry.digest_after)));
    let parts: Vec<String> =
        digests.into_iter().chain(entry.detail.clone()).map(|part| line(&part)).collect();
    parts.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Actor;

    #[test]
    fn entry_is_shown_with_its_digests_and_how_the_person_is_known() {
        let entry = AuditEntry {
            at: Timestamp::UNIX_EPOCH,
            who: "ops@relay-1".to_owned(),
            via: "cli".to_owned(),
            action: "save_mapping".to_owned(),
            on: Some("source form".to_owned()),
            count: None,
            detail: Some("one\ntest".to_owned()),
            digest_before: Some("0123456789".to_owned()),
            digest_after: None,
        };

        let row = row(&entry, "now".to_owned());

        assert_eq!(row[1..5], ["cli: ops@relay-1", "save_mapping", "source form", "-"]);
        assert!(row[5].starts_with("01234567 → none, one"), "{row:?}");
        assert!(!row[5].contains('\n'));
        assert_eq!(Actor::new("x", AuditVia::Token).via.as_str(), "token");
    }
}
