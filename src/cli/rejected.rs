//! `rejected`: lists rejected webhooks. It reads the store itself, beside a running relay or without one.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use jiff::Timestamp;

use super::error::CommandError;
use super::output::{self, line, stdout_style};
use super::paged::{self, continuation};
use super::times::{TimeFormat, TimeOptions};
use super::{input, open_store, runtime, table};
use crate::admin::time_bound::since;
use crate::event::SourceName;
use crate::secret::Environment;
use crate::store::{
    Cursor, Monitoring, PageRequest, RejectionFilter, RejectionPage, RejectionRecord, Sqlite,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Only webhooks of this source
    #[arg(long, value_name = "SOURCE")]
    source: Option<SourceName>,
    /// Since: an age (2h, 7d), a date (2026-01-31, in UTC) or a time (2026-01-31T12:00:00Z)
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Timestamp>,
    /// Maximum number of rows; equal webhooks within a minute are one row
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

async fn collect(store: &Sqlite, arguments: &Arguments) -> Result<RejectionPage, CommandError> {
    let Arguments { source, since, limit, after, .. } = arguments;
    let filter = RejectionFilter { source: source.clone(), since: *since };
    let read = async |limit, after| {
        let page = store.rejections(filter.clone(), PageRequest { limit, after }).await?;
        Ok((page.rejected, page.next))
    };
    let (rejected, next) = paged::collect(*limit, *after, read).await?;
    Ok(RejectionPage { rejected, next })
}

fn listing(page: &RejectionPage, times: &TimeFormat) -> String {
    if page.rejected.is_empty() {
        return "no rejected webhook matches\n".to_owned();
    }
    let at: Vec<Timestamp> = page.rejected.iter().map(|record| record.at).collect();
    let (time, at) = times.column("time", &at);
    let rows: Vec<_> = page.rejected.iter().zip(at).map(|(record, at)| row(record, at)).collect();
    let names = [&time, "source", "count", "status", "client", "reason"];
    table::table(names, &rows, stdout_style()) + &continuation(page.next)
}

fn row(record: &RejectionRecord, at: String) -> [String; 6] {
    let reason = match &record.hint {
        Some(hint) => format!("{}; hint: {}", line(&record.reason), line(hint)),
        None => line(&record.reason),
    };
    [
        at,
        record.source.to_string(),
        record.count.to_string(),
        record.status.to_string(),
        record.client.map_or_else(|| "-".to_owned(), |client| client.to_string()),
        reason,
    ]
}
