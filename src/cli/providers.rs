//! `providers`: lists the known providers, or shows the file of one.

use serde_json::{Map, Value, json};

use super::error::CommandError;
use super::output;
use crate::diagnostics::suggestion::nearest;
use crate::intake::provider::Provider;
use crate::mapping_file::bundle;

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
        (None, true) => format!("{:#}\n", Provider::names().map(summary).collect::<Value>()),
        (None, false) => table(),
        (Some(name), true) => format!("{:#}\n", Value::Object(entries(name)?)),
        (Some(name), false) => text(name)?.to_owned(),
    };
    output::print(&text)
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

/// Returns the provider file as JSON.
pub(super) fn entries(name: &str) -> Result<Map<String, Value>, CommandError> {
    let file: Map<String, Value> =
        toml::from_str(text(name)?).expect("a test reads every provider file");
    Ok(file)
}

/// Returns the entry of a provider in the list.
fn summary(name: &str) -> Value {
    let file = entries(name).unwrap_or_default();
    json!({
        "name": name,
        "title": file["title"],
        "scheme": file["signature"]["scheme"],
        "mapping": has_mapping(name),
        "docs": file["docs"],
    })
}

/// Returns whether the program includes a mapping file for the provider.
fn has_mapping(name: &str) -> bool {
    bundle::text(&format!("{name}.toml")).is_some()
}

fn table() -> String {
    let rows: Vec<[String; 4]> = Provider::names()
        .map(|name| {
            let summary = summary(name);
            let text = |key: &str| summary[key].as_str().unwrap_or_default().to_owned();
            let mapping = if has_mapping(name) { "yes" } else { "-" };
            [name.to_owned(), text("title"), text("scheme"), mapping.to_owned()]
        })
        .collect();
    output::table(["provider", "tool", "scheme", "mapping file"], &rows, output::stdout_style())
}
