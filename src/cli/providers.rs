//! `providers`: lists the bundled sources and the known providers, or shows the file of one provider.

use serde_json::{Value, json};

use super::error::CommandError;
use super::{output, table};
use crate::diagnostics::document::Document;
use crate::diagnostics::suggestion::nearest;
use crate::intake::provider::Provider;
use crate::mapping_file::bundle;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::setup;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Provider to show in full
    name: Option<String>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let text = match (&arguments.name, arguments.json) {
        (None, true) => {
            let bundled = bundled_sources();
            let all = Provider::names().map(|name| summary(name, &bundled));
            format!("{:#}\n", all.collect::<Value>())
        }
        (None, false) => lists(),
        (Some(name), true) => {
            text(name)?;
            format!("{:#}\n", Value::Object(Provider::entries(name).unwrap_or_default()))
        }
        (Some(name), false) => in_full(name)?,
    };
    output::print(&text)
}

/// Returns the file of a provider, and below it, as comments, the steps that set up a source of it.
fn in_full(name: &str) -> Result<String, CommandError> {
    let file = text(name)?.trim_end();
    let steps = setup::of_provider(name, "https://YOUR-RELAY").lines();
    let steps = steps.join("\n#   ");
    Ok(format!("{file}\n\n# How a source is set up, here with the name {name}:\n#   {steps}\n"))
}

/// Returns the provider file of this name.
pub(super) fn text(name: &str) -> Result<&'static str, CommandError> {
    Provider::builtin(name).ok_or_else(|| {
        let help = match nearest(name, Provider::names()) {
            Some(known) => format!("did you mean {known}?"),
            None => "`savio-relay providers` lists them".to_owned(),
        };
        CommandError::InvalidInput(format!("no provider `{name}`; {help}"))
    })
}

/// Returns the entry of a provider in the list.
fn summary(name: &str, bundled: &[BundledSource]) -> Value {
    let file = Provider::entries(name).unwrap_or_default();
    let own = bundled.iter().filter(|source| source.provider.as_deref() == Some(name));
    let sources: Vec<Value> =
        own.map(|source| json!({ "name": source.name, "secrets": source.secrets })).collect();
    json!({
        "name": name,
        "title": file["title"],
        "scheme": file["signature"]["scheme"],
        "mapping": !sources.is_empty(),
        "sources": sources,
        "docs": file["docs"],
    })
}

/// A source whose mapping file is part of the program.
struct BundledSource {
    name: String,
    /// None if its file describes how it signs.
    provider: Option<String>,
    /// Where its secrets are, such as `env:NAME`.
    secrets: Vec<String>,
}

fn bundled_sources() -> Vec<BundledSource> {
    let source = |document: Document| {
        let name = document.name.trim_end_matches(".toml").to_owned();
        let file = MappingFile::of_text(document);
        let provider = file.source.as_ref().and_then(|source| source.provider.clone());
        BundledSource { name, provider, secrets: file.named_secrets() }
    };
    bundle::mappings().into_iter().map(source).collect()
}

/// Formats the sources that can be set up at once, and the other tools whose signature is known.
fn lists() -> String {
    let look = output::stdout_style();
    let bundled = bundled_sources();
    let rows: Vec<[String; 3]> = bundled
        .iter()
        .map(|source| {
            let secrets: Vec<&str> =
                source.secrets.iter().map(|it| it.trim_start_matches("env:")).collect();
            let what = bundle::summary(&source.name);
            [source.name.clone(), secrets.join(", "), output::cell(what, WHAT_CHARS_MAX, look)]
        })
        .collect();
    let others: Vec<[String; 3]> = Provider::names()
        .filter(|name| bundled.iter().all(|source| source.provider.as_deref() != Some(name)))
        .map(|name| {
            let summary = summary(name, &bundled);
            let text = |key: &str| summary[key].as_str().unwrap_or_default().to_owned();
            [name.to_owned(), text("title"), text("scheme")]
        })
        .collect();
    format!(
        "Bundled sources. Each is live once its secret is set. `savio-relay init SOURCE`\n\
         says what to paste where, and writes its mapping file, to be changed.\n\n{}\n\
         Other tools whose signature is known. Each needs a mapping file of your own:\n\
         `savio-relay draft PAYLOAD --provider NAME` makes a first one.\n\n{}",
        table::table(["source", "secret", "what it does"], &rows, look),
        table::table(["provider", "tool", "scheme"], &others, look),
    )
}

/// Longest text beside the names, for a terminal of 80 columns.
const WHAT_CHARS_MAX: usize = 35;
