//! `savio ... list` and `get`: one page, or all of them in order.

use std::time::Duration;

use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::json;
use tokio::time::sleep;

use super::{table, wait};
use crate::backoff::Backoff;
use crate::cli::error::CommandError;
use crate::cli::output;
use crate::cli::progress_bar::ProgressBar;
use crate::savio::{Client, CustomerQuery, Error, FeatureRequestQuery, Page, Pages};

/// Number of attempts for a page.
// The waits between them add up to one minute.
const TRIES_MAX: u32 = 8;
const BACKOFF: Backoff =
    Backoff { wait_min: Duration::from_millis(500), wait_max: Duration::from_mins(5) };

#[derive(Debug, Clone, Copy, clap::Args)]
struct ListOutput {
    /// Fetch all pages
    #[arg(long)]
    all: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct SearchArguments {
    /// Text in the name (for contacts, also in the e-mail address)
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Field to sort by; -FIELD for descending order, as in --ordering=-updated
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    ordering: Option<String>,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug, clap::Args)]
pub(super) struct FeatureRequestArguments {
    /// Text in the title
    #[arg(long, value_name = "TEXT")]
    search: Option<String>,
    /// Status, one of those in your account, such as PLANNED
    #[arg(long)]
    state: Option<String>,
    /// Field to sort by; -FIELD for descending order, as in --ordering=-updated
    #[arg(long, value_name = "FIELD", allow_hyphen_values = true)]
    ordering: Option<String>,
    /// Slug of a product; ignored by accounts without products
    #[arg(long, value_name = "SLUG")]
    product: Option<String>,
    /// Slug of a product area; ignored by accounts without product areas
    #[arg(long, value_name = "SLUG")]
    product_area: Option<String>,
    /// Title of a tag
    #[arg(long, value_name = "TITLE")]
    tag: Option<String>,
    /// Title of a roadmap
    #[arg(long, value_name = "TITLE")]
    roadmap: Option<String>,
    #[command(flatten)]
    output: ListOutput,
}

#[derive(Debug, Clone, Copy, clap::Args)]
pub(super) struct GetArguments {
    /// Id of the feature request
    id: u64,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) async fn feature_requests(
    client: &Client,
    arguments: FeatureRequestArguments,
) -> Result<(), CommandError> {
    let filter = FeatureRequestQuery {
        search: arguments.search,
        state: arguments.state,
        ordering: arguments.ordering,
        product: arguments.product,
        product_area: arguments.product_area,
        tag: arguments.tag,
        roadmap: arguments.roadmap,
    };
    show(client.feature_requests(&filter), arguments.output, table::feature_requests).await
}

pub(super) async fn feature_request(
    client: &Client,
    arguments: GetArguments,
) -> Result<(), CommandError> {
    let found = client.feature_request(arguments.id).await?;
    if arguments.json {
        return output::print(&output::json(&format!("{:#}\n", json!(found))));
    }
    output::print(&table::feature_request(&found))
}

pub(super) async fn contacts(
    client: &Client,
    arguments: SearchArguments,
) -> Result<(), CommandError> {
    let SearchArguments { search, ordering, output } = arguments;
    show(client.contacts(&CustomerQuery { search, ordering }), output, table::contacts).await
}

pub(super) async fn companies(
    client: &Client,
    arguments: SearchArguments,
) -> Result<(), CommandError> {
    let SearchArguments { search, ordering, output } = arguments;
    show(client.companies(&CustomerQuery { search, ordering }), output, table::companies).await
}

async fn show<T: Serialize + DeserializeOwned>(
    pages: Pages<T>,
    output: ListOutput,
    table: fn(&[T]) -> String,
) -> Result<(), CommandError> {
    if output.json {
        return print_json(pages, output).await;
    }
    print(pages, output, table).await
}

async fn print<T: DeserializeOwned>(
    pages: Pages<T>,
    output: ListOutput,
    table: fn(&[T]) -> String,
) -> Result<(), CommandError> {
    // All rows before the first is printed: the longest cell decides the width of a column.
    let mut entries = Vec::new();
    let mut pages = ListPages::new(pages, ProgressBar::new());
    let (count, is_last) = loop {
        let Some(page) = pages.next().await? else { break (None, true) };
        entries.extend(page.results);
        pages.bar.show(entries.len() as u64, page.count, "read");
        if page.next.is_none() || !output.all {
            break (page.count, page.next.is_none());
        }
    };
    pages.bar.clear();
    output::print(&table(&entries))?;
    if !is_last {
        let total = count.map_or(String::new(), |count| format!(" of {count}"));
        output::print_error(&format!("{}{total}; --all shows the rest", entries.len()));
    }
    Ok(())
}

/// Prints each page as it arrives.
// A long list would otherwise be kept in memory.
async fn print_json<T: Serialize + DeserializeOwned>(
    pages: Pages<T>,
    output: ListOutput,
) -> Result<(), CommandError> {
    let mut pages = ListPages::new(pages, ProgressBar::beside_rows());
    let mut shown: u64 = 0;
    while let Some(page) = pages.next().await? {
        for entry in page.results {
            let before = if shown == 0 { "{\"results\":[\n" } else { ",\n" };
            output::print(&output::json(&format!("{before}{}", json!(entry))))?;
            shown += 1;
        }
        pages.bar.show(shown, page.count, "read");
        if page.next.is_none() || !output.all {
            pages.bar.clear();
            let before = if shown == 0 { "{\"results\":[" } else { "\n" };
            let (count, next) = (json!(page.count), json!(page.next));
            let end = format!("{before}],\"count\":{count},\"next\":{next}}}\n");
            return output::print(&output::json(&end));
        }
    }
    Ok(())
}

/// Pages of a list, whose errors that may pass are retried from the second page on.
struct ListPages<T> {
    pages: Pages<T>,
    bar: ProgressBar,
    is_first: bool,
}

impl<T: DeserializeOwned> ListPages<T> {
    fn new(pages: Pages<T>, bar: ProgressBar) -> ListPages<T> {
        ListPages { pages, bar, is_first: true }
    }

    async fn next(&mut self) -> Result<Option<Page<T>>, Error> {
        // Before the first page nothing is lost: the person or script can run the command again, as
        // with `get`.
        let tries_max = if std::mem::take(&mut self.is_first) { 1 } else { TRIES_MAX };
        for tries in 1..tries_max {
            match self.pages.next().await {
                Err(error) if error.is_transient() => {
                    let retry_after = error.retry_after().unwrap_or_default();
                    // A person or a script waits for the list, and can run it later just as well.
                    if retry_after > BACKOFF.wait_max {
                        return Err(error);
                    }
                    let wait = BACKOFF.wait(tries - 1).max(retry_after);
                    self.bar.clear();
                    let limit = format!("{} of {TRIES_MAX}", tries + 1);
                    output::print_error(&wait::notice(&error, wait, &limit));
                    sleep(wait).await;
                }
                other => return other,
            }
        }
        self.pages.next().await
    }
}
