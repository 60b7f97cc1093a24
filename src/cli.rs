//! The command line: commands, arguments and exit codes.

// `print!` and its like panic once the terminal is gone or a pipe closed: see `output.rs`.
#![warn(clippy::print_stdout, clippy::print_stderr)]

mod error;
mod bundled_name;
mod input;
mod progress_bar;
mod output;
mod alerts;
mod audit;
mod backup;
mod check;
mod demo;
mod doctor;
mod draft;
mod events;
mod healthcheck;
mod import;
mod init;
mod issues;
mod line_input;
mod local_listener;
mod login_link;
mod preview;
mod providers;
mod rejected;
mod replays;
mod destinations;
mod diff;
mod mappings;
mod open_store;
mod operator;
mod relay_client;
mod sources;
mod stored_state;
mod paged;
mod table;
mod times;
mod version;
mod runtime;
mod sandbox;
mod savio;
mod schema;
mod send;
mod serve;

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::error::ErrorKind;
use clap::parser::ValueSource;
use clap::{ArgMatches, CommandFactory, FromArgMatches, Parser, Subcommand};

use crate::secret::Environment;
use error::CommandError;

/// Self-hosted webhook relay: receives signed webhooks, stores them on disk, delivers them to
/// Savio.
#[derive(Debug, Parser)]
#[command(name = "savio-relay", version, long_version = version::VERSION, max_term_width = 100)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the relay
    Serve {
        /// On a restored backup, hold its undelivered events until a person decides
        #[arg(long)]
        hold: bool,
        /// Configuration file (default: relay.toml if it exists)
        #[arg(long, value_name = "FILE")]
        config: Option<PathBuf>,
    },
    /// Run relay and sandbox with a temporary store, and send a signed sample of each source
    Demo(demo::Arguments),
    /// Write relay.toml and bundled mapping files into this folder, and say what to paste where
    Init(init::Arguments),
    /// Check the configuration and the mapping files, and run the tests of the mapping files
    Check(check::Arguments),
    /// Show the requests that a payload is mapped to, without sending them
    Try(preview::Arguments),
    /// Show what another mapping file would change, on the stored events of a source
    #[command(override_usage = "savio-relay diff [OPTIONS] [FILTER] <SOURCE> <NEW>")]
    Diff(diff::Arguments),
    /// Show which mapping files were in service; works while a relay is running
    Mappings(mappings::Arguments),
    /// Generate a first mapping file from a payload
    Draft(draft::Arguments),
    /// Import past responses from a file; safe to repeat, works while a relay is running
    Import(import::Arguments),
    /// List, inspect, replay and release events; works while a relay is running
    Events(events::Arguments),
    /// List what people did: pauses, replays, changed mappings and so on; kept for a year
    Audit(audit::Arguments),
    /// List what you should know, such as dead events and rejected webhooks, and mute its alerts
    Issues(issues::Arguments),
    /// List rejected webhooks of the last 30 days, with the probable cause; works while a relay is running
    Rejected(rejected::Arguments),
    /// Send a test to those that get alerts of issues, through the running relay
    Alerts(alerts::Arguments),
    /// List and replay events that could not be delivered
    Dead(events::DeadArguments),
    /// List the replays, and what became of their events; works while a relay is running
    Replays(replays::Arguments),
    /// List, pause and resume sources, through the running relay
    Sources(sources::Arguments),
    /// List, pause, resume and probe destinations, through the running relay
    Destinations(destinations::Arguments),
    /// Make a link that logs a browser in at the admin address, through the running relay
    LoginLink(login_link::Arguments),
    /// Sign a payload like its provider and post it to the relay
    Send(send::Arguments),
    /// List the bundled sources and the other known tools, or show the definition of a provider
    /// and the steps that set it up
    Providers(providers::Arguments),
    /// Copy the store into a file; works while a relay is running
    Backup(backup::Arguments),
    // Boxed, since its options make it much larger than the others.
    /// Call Savio's API: feedback, feature requests, contacts, companies
    Savio(Box<savio::Arguments>),
    /// Diagnose this deployment: files, secrets, store, clock, Savio
    Doctor(doctor::Arguments),
    /// Ask the running relay whether it is ready to accept webhooks
    Healthcheck(healthcheck::Arguments),
    /// Run a local Savio API for testing
    Sandbox(sandbox::Arguments),
    /// Print a completion script for a shell
    Completions {
        /// Shell to print the script for
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
    /// Print the JSON Schema of a mapping file or of relay.toml
    Schema {
        /// Type of file to describe
        #[arg(value_enum, default_value = "mapping")]
        file: schema::SchemaFile,
    },
}

/// Returns the tree of commands, for the documentation.
pub fn command() -> clap::Command {
    Cli::command()
}

fn completions(shell: clap_complete::Shell) -> Result<(), CommandError> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut command(), "savio-relay", &mut script);
    let script = String::from_utf8_lossy(&script);
    // clap_complete's script for bash calls a command with a hyphen in its name, as ours, `a__b` in
    // one place and `a__subcmd__b` in another, and completes nothing behind it. Without that word
    // both are the same.
    output::print(&script.replace("__subcmd__", "__"))
}

/// Returns the command, and the folder of the configuration that it names.
fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<(Cli, PathBuf), clap::Error> {
    let mut command = command();
    let matches = command.try_get_matches_from_mut(arguments)?;
    refuse_blanks(&mut command, &matches)?;
    let config = named_config(&matches);
    let folder = config.and_then(|path| path.parent().map(Path::to_owned)).unwrap_or_default();
    Ok((Cli::from_arg_matches(&matches)?, folder))
}

/// Returns the file of the option `--config`, which most commands have.
fn named_config(matches: &ArgMatches) -> Option<PathBuf> {
    let named = matches.try_get_one::<PathBuf>("config").ok().flatten();
    named.cloned().or_else(|| named_config(matches.subcommand()?.1))
}

/// Refuses empty values on the command line.
// They mostly come from shell variables that are not set, and an empty filter would match
// everything.
fn refuse_blanks(command: &mut clap::Command, matches: &ArgMatches) -> Result<(), clap::Error> {
    let is_blank = |argument: &&clap::Arg| {
        let id = argument.get_id().as_str();
        let mut values = matches.get_raw(id).into_iter().flatten();
        matches.value_source(id) == Some(ValueSource::CommandLine)
            && values.any(|value| value.to_str().is_some_and(|value| value.trim().is_empty()))
    };
    let blank = command.get_arguments().find(is_blank).map(ToString::to_string);
    if let Some(argument) = blank {
        let message =
            format!("the value of '{argument}' is empty: leave it out or give it a value");
        return Err(command.error(ErrorKind::InvalidValue, message));
    }
    let Some((name, matches)) = matches.subcommand() else { return Ok(()) };
    command.find_subcommand_mut(name).map_or(Ok(()), |command| refuse_blanks(command, matches))
}

/// Runs one command and returns its exit code, which is 2 for mistakes in the arguments.
pub fn run(arguments: impl IntoIterator<Item = OsString>, environment: &Environment) -> ExitCode {
    let (arguments, folder) = match parse(arguments) {
        Ok(arguments) => arguments,
        Err(error) => {
            // Help and version are no errors: clap knows where each is printed and how it ends.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    // Paths of secrets are relative to it, whichever file names them.
    let environment = &environment.clone().in_folder(&folder);
    let result = match arguments.command {
        Command::Serve { config, hold } => serve::run(config.as_deref(), hold, environment),
        Command::Demo(arguments) => demo::run(&arguments),
        Command::Init(arguments) => init::run(&arguments, environment),
        Command::Check(arguments) => check::run(&arguments, environment),
        Command::Try(arguments) => preview::run(arguments, environment),
        Command::Diff(arguments) => diff::run(arguments, environment),
        Command::Mappings(arguments) => mappings::run(arguments, environment),
        Command::Draft(arguments) => draft::run(arguments),
        Command::Import(arguments) => import::run(&arguments, environment),
        Command::Events(arguments) => events::run(arguments, environment),
        Command::Audit(arguments) => audit::run(&arguments, environment),
        Command::Issues(arguments) => issues::run(arguments, environment),
        Command::Rejected(arguments) => rejected::run(&arguments, environment),
        Command::Alerts(arguments) => alerts::run(arguments, environment),
        Command::Dead(arguments) => events::run(arguments.into(), environment),
        Command::Replays(arguments) => replays::run(&arguments, environment),
        Command::Sources(arguments) => sources::run(arguments, environment),
        Command::Destinations(arguments) => destinations::run(arguments, environment),
        Command::LoginLink(arguments) => login_link::run(&arguments, environment),
        Command::Send(arguments) => send::run(&arguments, environment),
        Command::Providers(arguments) => providers::run(&arguments),
        Command::Backup(arguments) => backup::run(&arguments, environment),
        Command::Savio(arguments) => savio::run(*arguments, environment),
        Command::Doctor(arguments) => doctor::run(&arguments, environment),
        Command::Healthcheck(arguments) => healthcheck::run(&arguments, environment),
        Command::Sandbox(arguments) => sandbox::run(arguments),
        Command::Completions { shell } => completions(shell),
        Command::Schema { file } => schema::run(file),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let message = error.to_string();
            if !message.is_empty() {
                output::print_error(&format!("savio-relay: {}", output::line(&message)));
            }
            error.exit_code()
        }
    }
}
