//! `init`: writes what a new user needs into the current folder, and says what to paste where.

use std::collections::BTreeSet;
use std::fs::OpenOptions;
use std::io::{self, ErrorKind, Write as _};
use std::path::{Path, PathBuf};

use super::bundled_name::BundledName;
use super::error::CommandError;
use super::{input, output};
use crate::config::{self, Config};
use crate::mapping_file::bundle;
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::location::{DIRECTORY, Location};
use crate::mapping_file::setup;
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundled sources whose mapping files are written, such as typeform
    #[arg(value_name = "NAME", value_parser = BundledName, hide_possible_values = true)]
    names: Vec<String>,
}

/// A file to write.
struct NewFile {
    path: PathBuf,
    text: String,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    // The folder that an existing configuration names is the one in which the files have an effect.
    let config = input::config(None, environment)?;
    let names: BTreeSet<&str> = arguments.names.iter().map(String::as_str).collect();
    let files = Location::bundled().files(&config.destination_names(), environment)?;
    let is_chosen =
        |file: &&MappingFile| file.name.as_ref().is_some_and(|name| names.contains(name.as_str()));
    let chosen: Vec<&MappingFile> = files.iter().filter(is_chosen).collect();

    for file in new_files(&config, &chosen) {
        let outcome = if create(&file)? { "written" } else { "kept, it exists" };
        output::print(&format!("{}: {outcome}\n", file.path.display()))?;
    }
    output::print(&next_steps(&config, &chosen, environment))
}

fn new_files(config: &Config, chosen: &[&MappingFile]) -> Vec<NewFile> {
    let folder = config.mappings.folder.as_deref().unwrap_or(Path::new(DIRECTORY));
    let new = |path: PathBuf, text: &str| NewFile { path, text: text.to_owned() };
    let mut files = vec![
        NewFile { path: config::FILE.into(), text: configuration() },
        new("relay.schema.json".into(), include_str!("../../relay.schema.json")),
        new(folder.join("mapping.schema.json"), include_str!("../../mappings/mapping.schema.json")),
    ];
    for file in chosen {
        files.push(new(folder.join(&file.document.name), &file.document.text));
        // Two tests may share a payload, which would then be called existing.
        let paths: BTreeSet<&str> = file
            .tests
            .iter()
            .flat_map(|test| [test.payload.text.as_str(), test.expect.text.as_str()])
            .collect();
        files.extend(
            paths
                .into_iter()
                .filter_map(|path| bundle::text(path).map(|text| new(folder.join(path), text))),
        );
    }
    files
}

/// Returns the example with its sections in place, so that a setting works once its own line is
/// uncommented.
fn configuration() -> String {
    let example = include_str!("../../relay.example.toml");
    // A section with a dot in its name is an example of one that exists only if somebody wants it, and so is
    // one that means nothing without its keys.
    let is_example =
        |line: &str| line.contains('.') || line.starts_with("#[[") || line == "#[heartbeat]";
    let is_section = |line: &str| line.starts_with("#[") && !is_example(line);
    let line = |line: &str| {
        let line = if is_section(line) { line.trim_start_matches('#') } else { line };
        line.to_owned() + "\n"
    };
    example.lines().map(line).collect()
}

/// Writes the file; returns false if there is one already.
fn create(file: &NewFile) -> Result<bool, CommandError> {
    let path = &file.path;
    if let Some(folder) = path.parent().filter(|it| !it.as_os_str().is_empty()) {
        if folder.exists() && !folder.is_dir() {
            let message = "is a file and not a folder: move it away, or run the command elsewhere";
            return Err(CommandError::Failed(format!("{} {message}", folder.display())));
        }
        std::fs::create_dir_all(folder).map_err(|error| failed(path, &error))?;
    }
    let mut created = match OpenOptions::new().write(true).create_new(true).open(path) {
        Ok(created) => created,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
        Err(error) => return Err(failed(path, &error)),
    };
    if let Err(error) = created.write_all(file.text.as_bytes()) {
        // A part of it would count as existing the next time.
        let _ = std::fs::remove_file(path);
        return Err(failed(path, &error));
    }
    Ok(true)
}

fn failed(path: &Path, error: &io::Error) -> CommandError {
    let remedy = match error.kind() {
        ErrorKind::PermissionDenied => {
            "you may not write there: run the command as the folder's owner, or in another folder"
                .to_owned()
        }
        ErrorKind::ReadOnlyFilesystem => {
            "the file system is read-only: run the command in another folder".to_owned()
        }
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
            "the disk is full: free some space, and run the command again".to_owned()
        }
        ErrorKind::NotADirectory => {
            "a part of its path is a file and not a folder: move that file away".to_owned()
        }
        _ => error.to_string(),
    };
    CommandError::Failed(format!("{} cannot be written: {remedy}", path.display()))
}

/// Says what to paste where for each source, and which commands come next.
fn next_steps(config: &Config, chosen: &[&MappingFile], environment: &Environment) -> String {
    let mut text = String::new();
    let url = config.intake.public_url.as_deref();
    for file in chosen {
        text += &source_steps(file, url, environment);
    }
    if url.is_none() && !chosen.is_empty() {
        text += "\nYOUR-RELAY is the host at which the tools reach the relay by HTTPS. Write it into\n\
                 relay.toml as public_url.\n";
    }
    let lines = if chosen.is_empty() {
        [
            "savio-relay providers   lists the tools that can be set up",
            "savio-relay init NAME   writes the mapping file of one, and says what to paste",
        ]
    } else {
        [
            "savio-relay serve   runs the relay; set SAVIO_API_TOKEN and the secret before",
            "savio-relay check   tests the mapping files, after each change",
        ]
    };
    text += &format!("\nNext:\n  {}\n  {}\n", lines[0], lines[1]);
    text
}

fn source_steps(file: &MappingFile, url: Option<&str>, environment: &Environment) -> String {
    let name = file.name.as_ref().map(ToString::to_string).unwrap_or_default();
    let summary = bundle::summary(&name);
    let base = url.unwrap_or("https://YOUR-RELAY");
    let mut text = format!(
        "\n{}\n  URL:     {base}/hooks/{name}\n",
        output::bold(summary, output::stdout_style())
    );
    for secret in file.named_secrets() {
        let variable = secret.trim_start_matches("env:");
        let is_set = environment.get(variable).is_some_and(|value| !value.is_empty());
        let state = if is_set { "it is set" } else { "it is not set yet" };
        text += &format!("  Secret:  the environment variable {variable} ({state})\n");
    }
    for line in setup::steps(file, base).lines() {
        text += &format!("  {}\n", output::visible(&line));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::document::Document;

    #[test]
    fn written_configuration_sets_nothing_and_each_line_works_alone() {
        let read = |text: String| {
            let document = Document { name: "relay.toml".to_owned(), text };
            Config::read(Some(document), &Environment::new())
        };

        let (config, read_documents) = read(configuration()).unwrap();
        let url = "#public_url = \"https://relay.example.com\"";
        let set = configuration().replace(url, &url[1..]);
        let (with_url, _) = read(set).unwrap();

        assert!(read_documents.iter().all(|(_, mistakes)| mistakes.is_empty()));
        assert_eq!(config.intake.public_url, None);
        assert_eq!(config.destination_names(), ["default"]);
        assert_eq!(with_url.intake.public_url.as_deref(), Some("https://relay.example.com"));
    }

    #[test]
    fn failure_to_write_says_what_to_do() {
        let check = |kind: ErrorKind, advice: &str| {
            let message = failed(Path::new("mappings/form.toml"), &kind.into()).to_string();
            assert!(message.starts_with("mappings/form.toml cannot be written: "), "{message}");
            assert!(message.contains(advice), "{message}");
        };

        check(ErrorKind::PermissionDenied, "run the command as the folder's owner");
        check(ErrorKind::ReadOnlyFilesystem, "in another folder");
        check(ErrorKind::StorageFull, "free some space");
        check(ErrorKind::NotADirectory, "a file and not a folder");
    }
}
