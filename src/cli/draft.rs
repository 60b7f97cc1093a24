//! `draft`: writes a first mapping file from one payload, with the payload as its test.

use std::fs::OpenOptions;
use std::io::Write as _;
use std::path::{Path, PathBuf};

use super::error::CommandError;
use super::input::header;
use super::{input, output, providers};
use crate::draft::{self, Advice, Draft, DraftError, DraftInput, TestedDraft, saved_request};
use crate::event::{InvalidSourceName, SourceName};
use crate::intake;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// File with the payload, also as saved with its headers; - for standard input
    payload: PathBuf,
    /// Provider of the payload (default: detected from headers and content)
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// Header of the webhook, if the event's type or id is in one; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Write the mapping file to FILE, and the payload as its test to samples/ beside it
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), CommandError> {
    let Arguments { payload, provider, headers, output } = arguments;
    // Only for the error, which names the nearest provider.
    if let Some(name) = &provider {
        providers::text(name)?;
    }
    let mut sample = saved_request::read(input::bytes(&payload)?);
    sample.headers.extend(headers);
    saved_request::complete(&mut sample);
    let file_name = payload.file_name().unwrap_or_default().to_string_lossy();
    let name = output.as_deref().map(source_name).transpose()?;
    // Whoever waits for a large payload may stop the command.
    let values_max = usize::MAX;
    let input = DraftInput { sample, provider, file_name: &file_name, name, values_max };
    // A draft comes before there is any configuration.
    let limits = intake::Settings::default().limits();
    let draft = draft::draft(input, &limits).map_err(|error| match error {
        DraftError::Undecodable(error) => input::unreadable(&payload, &error.to_string()),
        DraftError::NoFile(_)
        | DraftError::Name(_)
        | DraftError::TooManyValues(_)
        | DraftError::Unmappable(_) => CommandError::InvalidInput(error.to_string()),
    })?;
    for advice in draft.advice() {
        output::print_error(&shown(&advice));
    }
    match output {
        Some(path) => write(&path, &draft),
        None => output::print(&draft.text()),
    }
}

/// Returns the source's name, that of the output file.
fn source_name(path: &Path) -> Result<SourceName, CommandError> {
    let wrong =
        |reason: String| CommandError::InvalidInput(format!("{}: {reason}", path.display()));
    if path.extension().is_none_or(|extension| extension != "toml") {
        return Err(wrong("a mapping file's name ends in .toml".to_owned()));
    }
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    stem.parse().map_err(|error: InvalidSourceName| wrong(error.to_string()))
}

fn shown(advice: &Advice) -> String {
    match advice {
        Advice::UnknownTool => {
            "no tool that is known sends this: the draft asks for a token; see [signature]"
                .to_owned()
        }
        Advice::TakenFor { title, why } => {
            format!("taken for {title}, since {why}; another one: --provider NAME")
        }
        Advice::Bundled { title, name } => format!(
            "a finished mapping for {title} is shipped, which may fit better than a draft:\n  \
             savio-relay init {name}"
        ),
        Advice::MissingHeader { title, header } => format!(
            "{title} says in the header {header} what kind of event it is: add --header \
             '{header}: ...'"
        ),
        Advice::NoText => {
            "nothing in it reads like a person's words: name the text in `problem` of [[feedback]]"
                .to_owned()
        }
        Advice::NotFound(fields) => {
            let fields = fields.join(", ");
            format!("not found: {fields}; comments in the draft say what else is there")
        }
    }
}

/// Writes the mapping file, and its test to `samples/` beside it.
fn write(path: &Path, draft: &Draft) -> Result<(), CommandError> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let TestedDraft { text, files } =
        draft.tested().unwrap_or_else(|| TestedDraft { text: draft.text(), files: Vec::new() });
    let beside = files.into_iter().map(|(path, content)| (folder.join(path), content));
    let files: Vec<(PathBuf, Vec<u8>)> =
        [(path.to_owned(), text.into_bytes())].into_iter().chain(beside).collect();
    // Before the first is written, so that no part of a draft is left behind.
    if let Some((path, _)) = files.iter().find(|(path, _)| path.exists()) {
        return Err(CommandError::InvalidInput(format!("{} is there already", path.display())));
    }
    for (path, content) in &files {
        create(path, content)
            .map_err(|error| CommandError::Failed(format!("{}: {error}", path.display())))?;
        output::print_error(&format!("wrote {}", path.display()));
    }
    Ok(())
}

fn create(path: &Path, content: &[u8]) -> std::io::Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)?;
    }
    // A file that was created since the check is not overwritten either.
    OpenOptions::new().write(true).create_new(true).open(path)?.write_all(content)
}
