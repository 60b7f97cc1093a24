//! `import`: old responses of a file as events of a source, through its mapping. Works on the store
//! itself, whether a relay runs on it or not.

mod reader;
mod record_mapper;
mod json_records;
mod ndjson_records;
mod summary;
mod csv_records;
mod metered_input;
mod record;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use super::error::CommandError;
use super::input::header;
use super::{input, output as shown, runtime};
use crate::config::Config;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::report::show;
use crate::event::Request;
use crate::intake::source::Source;
use crate::mapping_file::file::MappingFile;
use crate::rate::Rate;
use crate::secret::Environment;
use crate::store::sqlite::{OpenError, Settings};
use crate::store::{Inbox, Sqlite, Webhook};
use crate::{clock, json};
use metered_input::FileFormat;
use reader::RecordReader;
use record::RecordError;
use record_mapper::{DuplicatePolicy, MappedRecord, RecordMapper};
use summary::ImportSummary;

/// How many records share a commit, as far as their bytes allow.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// After a batch a relay beside us has its turn at the disk.
const REST_MIN: Duration = Duration::from_millis(5);
const REST_MAX: Duration = Duration::from_millis(50);

/// How many records a dry run shows.
const SHOWN: usize = 3;

#[derive(Debug, clap::Args)]
#[expect(clippy::struct_excessive_bools, reason = "they are flags of a command line")]
pub(super) struct Arguments {
    /// Source name, or path of a mapping file
    source: String,
    /// File of records: CSV, a JSON array or NDJSON; - for standard input
    file: PathBuf,
    /// Format of the file (default: detected from its beginning)
    #[arg(long, value_enum)]
    format: Option<FileFormat>,
    /// Form definition from the tool's API, for exports with answers but without questions
    #[arg(long, value_name = "FILE")]
    form: Option<PathBuf>,
    /// Header of each record, if the event's type is in one; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Show counts and the first requests without storing anything
    #[arg(long)]
    dry_run: bool,
    /// Import nothing if any record is invalid
    #[arg(long)]
    strict: bool,
    /// Import records again that were imported before
    #[arg(long)]
    again: bool,
    /// Delivery rate: 5/s, 100/m or 1000/h; live events are always delivered first
    #[arg(long)]
    rate: Option<Rate>,
    /// Print the counts as JSON
    #[arg(long)]
    json: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let is_standard_input = arguments.file == Path::new("-");
    if arguments.strict && is_standard_input {
        return Err(CommandError::Usage("--strict reads the file twice: name a file".to_owned()));
    }
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    let Some(source) = file.source.as_deref() else {
        let errors: Vec<Diagnostic> =
            file.mistakes.iter().filter(|mistake| mistake.is_error()).cloned().collect();
        shown::tell(&show(&file.document, &errors, shown::stderr_look()));
        return Err(CommandError::AlreadyReported);
    };
    let form = arguments.form.as_deref().map(read_form).transpose()?;
    let import = ImportRun { arguments, config: &config, file: &file, source, form };
    if arguments.dry_run || arguments.strict {
        let mut checked = import.check()?;
        if arguments.dry_run {
            return import.end(&mut checked);
        }
        if checked.wrong > 0 {
            shown::tell("nothing was imported, since records are wrong");
            return Err(CommandError::AlreadyReported);
        }
    }
    // A file that is not there is told before a store is made for it.
    let reading = import.begin()?;
    runtime::block_on(async {
        let store = open(&config.store).await?;
        let done = import.keep(reading, &store).await;
        store.close().await;
        import.end(&mut done?)
    })
}

fn read_form(path: &Path) -> Result<Value, CommandError> {
    let bytes = input::bytes(path)?;
    serde_json::from_slice(json::unmarked(&bytes)).map_err(|error| {
        CommandError::InvalidInput(format!("{}: not JSON: {error}", path.display()))
    })
}

/// The store, beside a server; a new one where none was yet.
async fn open(settings: &Settings) -> Result<Sqlite, CommandError> {
    let failed = |error: OpenError| CommandError::failed(&error);
    match Sqlite::open_beside(settings) {
        Err(OpenError::Missing { .. }) => {
            // Let go at once: a server may start meanwhile.
            Sqlite::open(settings).map_err(failed)?.close().await;
            Sqlite::open_beside(settings).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// One import, from its file to its end.
struct ImportRun<'i> {
    arguments: &'i Arguments,
    config: &'i Config,
    file: &'i MappingFile,
    source: &'i Source,
    form: Option<Value>,
}

/// The file as it is gone through.
struct ImportReader<'r> {
    records: RecordReader,
    clerk: RecordMapper<'r>,
    report: ImportSummary,
    rate: Option<Rate>,
}

impl ImportRun<'_> {
    fn begin(&self) -> Result<ImportReader<'_>, CommandError> {
        let Arguments { file: path, headers, again, .. } = self.arguments;
        let limits = self.config.intake.limits();
        let list = self.file.import.list.as_deref();
        let (bytes, meter) = metered_input::open(path, limits.bytes_max)?;
        let format =
            self.arguments.format.unwrap_or_else(|| metered_input::guess(bytes.buffer(), list));
        let records = RecordReader::of(format, bytes, meter.clone(), list);
        let clerk = RecordMapper {
            file: self.file,
            source: self.source,
            limits,
            format: format.as_str(),
            form: self.form.clone(),
            headers: headers.iter().cloned().collect(),
            repeats: if *again { DuplicatePolicy::TakenAgain } else { DuplicatePolicy::Skipped },
            now: clock::now(),
        };
        let records = records.map_err(|unread| self.unread(&unread))?;
        let report = ImportSummary::new(path.clone(), meter);
        Ok(ImportReader { records, clerk, report, rate: self.arguments.rate })
    }

    fn unread(&self, unread: &RecordError) -> CommandError {
        let path = self.arguments.file.display();
        match unread {
            RecordError::Record { line, .. } | RecordError::Rest { line, .. } => {
                CommandError::InvalidInput(format!("{path}:{line}: {unread}"))
            }
            RecordError::File(_) => CommandError::Failed(format!("{path}: {unread}")),
        }
    }

    /// Goes through the whole file and keeps nothing.
    fn check(&self) -> Result<ImportSummary, CommandError> {
        let mut reading = self.begin()?;
        let mut shown = 0;
        loop {
            let batch = reading.batch().map_err(|unread| self.unread(&unread))?;
            let Some(batch) = batch else { break };
            for (line, taken) in batch {
                reading.report.events += taken.webhook.events.len() as u64;
                if self.arguments.dry_run && !self.arguments.json && shown < SHOWN {
                    shown += 1;
                    reading.report.clear();
                    show_requests(line, &taken.requests)?;
                }
            }
            reading.report.show_progress();
        }
        Ok(reading.report)
    }

    async fn keep(
        &self,
        mut reading: ImportReader<'_>,
        store: &Sqlite,
    ) -> Result<ImportSummary, CommandError> {
        loop {
            let start = Instant::now();
            let batch = reading.batch().map_err(|unread| self.unread(&unread))?;
            let Some(batch) = batch else { break };
            let webhooks: Vec<Webhook> = batch.into_iter().map(|(_, it)| it.webhook).collect();
            let events: u64 = webhooks.iter().map(|it| it.events.len() as u64).sum();
            let kept = store.store_all(webhooks).await;
            let kept = kept.map_err(|error| interrupted(&error, &mut reading.report))?;
            let new: u64 = kept.iter().map(|kept| kept.new_events() as u64).sum();
            reading.report.events += new;
            reading.report.repeats += events - new;
            reading.report.show_progress();
            sleep(start.elapsed().clamp(REST_MIN, REST_MAX)).await;
        }
        Ok(reading.report)
    }

    fn end(&self, report: &mut ImportSummary) -> Result<(), CommandError> {
        report.clear();
        let text = match (self.arguments.json, self.arguments.dry_run) {
            (true, _) => shown::json(&format!("{:#}\n", report.as_json())),
            (false, true) => report.foretold(),
            (false, false) => report.told(),
        };
        shown::print(&text)?;
        if report.wrong > 0 { Err(CommandError::AlreadyReported) } else { Ok(()) }
    }
}

fn interrupted(error: &crate::store::StoreError, report: &mut ImportSummary) -> CommandError {
    report.clear();
    let events = report.events;
    CommandError::Failed(format!(
        "{error}; {events} events were imported: run it again, it is safe"
    ))
}

fn show_requests(line: u64, requests: &[Request]) -> Result<(), CommandError> {
    let look = shown::stdout_look();
    let shown: Vec<String> = requests.iter().map(|it| shown::request(it, look)).collect();
    shown::print(&format!("line {line}\n{}\n", shown.concat()))
}

impl ImportReader<'_> {
    /// The next records that are to be kept; none at the end of the file.
    fn batch(&mut self) -> Result<Option<Vec<(u64, MappedRecord)>>, RecordError> {
        let (mut batch, mut bytes, mut has_read) = (Vec::new(), 0, false);
        for _ in 0..BATCH {
            let Some(next) = self.records.next() else { break };
            // Nothing is to wait longer because the clock was set back meanwhile.
            self.clerk.now = self.clerk.now.min(clock::now());
            has_read = true;
            match next {
                Ok(record) => {
                    let due_at = self.due_at();
                    self.report.records += 1;
                    match self.clerk.take(&record, due_at) {
                        Ok(taken) => {
                            bytes += taken.webhook.body.len();
                            batch.extend(self.sort_out(taken).map(|taken| (record.line, taken)));
                        }
                        Err(reason) => self.report.wrong(record.line, &reason),
                    }
                }
                Err(RecordError::File(error)) => return Err(error.into()),
                Err(
                    ref
                    unread @ (RecordError::Record { line, .. } | RecordError::Rest { line, .. }),
                ) => {
                    self.report.records += 1;
                    self.report.wrong(line, &unread.to_string());
                }
            }
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(has_read.then_some(batch))
    }

    fn sort_out(&mut self, mut taken: MappedRecord) -> Option<MappedRecord> {
        self.report.notes(std::mem::take(&mut taken.notes));
        if taken.webhook.events.is_empty() {
            let reason = taken.ignored.unwrap_or_else(|| "it carries no events".to_owned());
            self.report.ignored(reason);
            return None;
        }
        self.report.requests(&taken.requests);
        Some(taken)
    }

    /// The pace counts what is taken in, be it new or not: a repeated import ends no sooner.
    fn due_at(&self) -> Timestamp {
        let taken = u32::try_from(self.report.records).unwrap_or(u32::MAX);
        let wait = self.rate.map(|rate| rate.interval().saturating_mul(taken)).unwrap_or_default();
        self.clerk.now.saturating_add(wait).unwrap_or(self.clerk.now)
    }
}
