//! Reference of the commands, from clap.

use std::fmt::Write;

use clap::builder::PossibleValue;
use clap::{Arg, ArgAction, Command};

use super::{cell, plain};

/// Renders every command with its arguments and options.
pub(super) fn reference() -> String {
    let mut out = String::new();
    for command in savio_relay::cli::command().get_subcommands() {
        describe(&mut out, "savio-relay", command);
    }
    out
}

fn describe(out: &mut String, parent: &str, command: &Command) {
    let name = format!("{parent} {}", command.get_name());
    let level = if parent.contains(' ') { "###" } else { "##" };
    let about = command.get_about().map(ToString::to_string).unwrap_or_default();
    writeln!(out, "\n{level} {name}\n\n{}.\n", plain(&about)).unwrap();
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let (_, arguments) = usage.split_once(command.get_name()).unwrap_or_default();
    writeln!(out, "```text\n{name}{}\n```", arguments.trim_end()).unwrap();
    let arguments: Vec<&Arg> = command.get_arguments().filter(|it| !it.is_hide_set()).collect();
    if !arguments.is_empty() {
        writeln!(out, "\n| Option | Meaning |\n| --- | --- |").unwrap();
        for argument in arguments {
            writeln!(out, "| `{}` | {} |", label(argument), cell(&meaning(argument))).unwrap();
        }
    }
    for subcommand in command.get_subcommands() {
        describe(out, &name, subcommand);
    }
}

fn label(argument: &Arg) -> String {
    let takes_value = matches!(argument.get_action(), ArgAction::Set | ArgAction::Append);
    let own = argument.get_id().as_str().to_uppercase();
    let names = argument.get_value_names().and_then(|names| names.first());
    let value = names.map_or(own, ToString::to_string);
    match argument.get_long() {
        Some(long) if takes_value => format!("--{long} {value}"),
        Some(long) => format!("--{long}"),
        None => value,
    }
}

/// Returns the help with the default and the possible values.
fn meaning(argument: &Arg) -> String {
    let mut meaning = argument.get_help().map(ToString::to_string).unwrap_or_default();
    meaning = plain(&meaning);
    let values = argument.get_possible_values();
    let is_flag = matches!(argument.get_action(), ArgAction::SetTrue);
    if !values.is_empty() && !is_flag && !argument.is_hide_possible_values_set() {
        let values: Vec<String> = values.iter().map(possible).collect();
        write!(meaning, "{}one of {}", separator(&meaning), values.join(", ")).unwrap();
    }
    let defaults = argument.get_default_values().iter().filter_map(|it| it.to_str());
    let defaults: Vec<&str> = defaults.collect();
    if !defaults.is_empty() && !is_flag {
        write!(meaning, "{}default `{}`", separator(&meaning), defaults.join(", ")).unwrap();
    }
    meaning
}

fn separator(text: &str) -> &'static str {
    if text.is_empty() { "" } else { "; " }
}

fn possible(value: &PossibleValue) -> String {
    let name = value.get_name();
    value.get_help().map_or(format!("`{name}`"), |help| format!("`{name}` ({help})"))
}

/// Renders the options of the sandbox that inject faults.
pub(super) fn faults() -> String {
    let cli = savio_relay::cli::command();
    let sandbox = cli.find_subcommand("sandbox").unwrap();
    let mut out = String::from("\n| Option | Effect |\n| --- | --- |\n");
    let others = ["listen", "token", "seed"];
    for argument in sandbox.get_arguments().filter(|it| !others.contains(&it.get_id().as_str())) {
        writeln!(out, "| `{}` | {} |", label(argument), cell(&meaning(argument))).unwrap();
    }
    out.push('\n');
    out
}
