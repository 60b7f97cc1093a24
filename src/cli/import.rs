//! `import`: imports past responses from a file as events of a source. Opens the store itself,
//! beside a running relay or without one.

mod reader;
mod record_mapper;
mod json_records;
mod ndjson_records;
mod summary;
mod csv_records;
mod csv_lines;
mod metered_input;
mod record;
mod repeats;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use jiff::Timestamp;
use serde_json::Value;
use tokio::time::sleep;

use super::error::CommandError;
use super::input::header;
use super::operator::operator;
use super::{input, output as shown, runtime};
use crate::clock;
use crate::config::Config;
use crate::diagnostics::counted;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::report::show;
use crate::event::Request;
use crate::intake::source::Source;
use crate::mapping_file::file::{ColumnsError, ExportColumns, Heading, MappingFile};
use crate::rate::Rate;
use crate::secret::Environment;
use crate::store::sqlite::{OpenError, Settings};
use crate::store::{AuditAction, Inbox, Operations, Sqlite, Webhook};
use metered_input::FileFormat;
use reader::RecordReader;
use record::RecordError;
use record_mapper::{DuplicatePolicy, MappedRecord, RecordMapper};
use repeats::Repeats;
use summary::ImportSummary;

/// Number of records, and of bytes, after which a batch is stored.
// The records of a batch share a commit: with one for each, the wait for the disk would limit the
// import.
const BATCH: usize = 256;
const BATCH_BYTES: usize = 4 * 1024 * 1024;

/// Shortest and longest rest after a batch.
// A rest about as long as the batch took leaves half of the time to a relay beside the import.
const REST_MIN: Duration = Duration::from_millis(5);
const REST_MAX: Duration = Duration::from_millis(50);

/// Number of records that a dry run shows.
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
    /// Form definition from the tool's API: the texts of the questions, and which are hidden fields
    #[arg(long, value_name = "FILE")]
    form: Option<PathBuf>,
    /// Column of a CSV file that is a hidden field of the form, not a question; repeatable
    #[arg(long = "hidden", value_name = "NAME")]
    hidden: Vec<String>,
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
        // Once to check it and once to import it; standard input can be read only once.
        return Err(CommandError::Usage("--strict reads the file twice: name a file".to_owned()));
    }
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    let Some(source) = file.source.as_deref() else {
        let errors: Vec<Diagnostic> =
            file.mistakes.iter().filter(|mistake| mistake.is_error()).cloned().collect();
        shown::print_error(&show(&file.document, &errors, shown::stderr_style()));
        return Err(CommandError::AlreadyReported);
    };
    let form = arguments.form.as_deref().map(read_form).transpose()?;
    let import = ImportRun { arguments, config: &config, file: &file, source, form };
    if arguments.dry_run {
        return import.end(&mut runtime::block_on(import.dry_run())?);
    }
    if arguments.strict && import.check()?.wrong > 0 {
        shown::print_error("nothing was imported: some records are invalid");
        return Err(CommandError::AlreadyReported);
    }
    // The file is opened first: if it does not exist, no store should be created for it.
    let reader = import.begin()?;
    runtime::block_on(async {
        let store = open(&config.store).await?;
        let result = import.store(reader, &store).await;
        store.close().await;
        import.end(&mut result?)
    })
}

fn read_form(path: &Path) -> Result<Value, CommandError> {
    let bytes = input::bytes(path)?;
    input::json(path, &bytes)
}

/// Opens the store beside a relay, or creates it.
async fn open(settings: &Settings) -> Result<Sqlite, CommandError> {
    let failed = |error: OpenError| CommandError::failed(&error);
    match Sqlite::open_shared(settings) {
        Err(OpenError::Missing { .. }) => {
            // Closed at once and opened like an existing one, so that a relay can start in the
            // meantime.
            Sqlite::open(settings).map_err(failed)?.close().await;
            Sqlite::open_shared(settings).map_err(failed)
        }
        opened => opened.map_err(failed),
    }
}

/// One run of the command.
struct ImportRun<'i> {
    arguments: &'i Arguments,
    config: &'i Config,
    file: &'i MappingFile,
    source: &'i Source,
    form: Option<Value>,
}

/// Reads the file in batches, and counts its records.
struct ImportReader<'r> {
    records: RecordReader,
    mapper: RecordMapper<'r>,
    summary: ImportSummary,
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
        let records = records.map_err(|error| self.read_error(&error))?;
        let columns = self.columns(records.headings())?;
        let mut summary = ImportSummary::new(path.clone(), meter);
        if let Some(columns) = &columns {
            summary.columns(columns);
        }
        let mapper = RecordMapper {
            file: self.file,
            source: self.source,
            limits,
            format: format.as_str(),
            form: self.form.clone(),
            columns,
            headers: headers.iter().cloned().collect(),
            duplicates: if *again { DuplicatePolicy::ImportAgain } else { DuplicatePolicy::Skip },
            now: clock::now(),
        };
        Ok(ImportReader { records, mapper, summary, rate: self.arguments.rate })
    }

    /// Assigns the columns of a table, if the source has rules for them.
    fn columns(&self, headings: Option<&[Heading]>) -> Result<Option<ExportColumns>, CommandError> {
        let hidden = &self.arguments.hidden;
        let Some(headings) = headings else {
            return if hidden.is_empty() {
                Ok(None)
            } else {
                Err(CommandError::Usage("--hidden names columns of a CSV file".to_owned()))
            };
        };
        let columns = self.file.import.columns(headings, self.form.as_ref(), hidden);
        columns.map_err(|error| self.columns_error(&error))
    }

    fn columns_error(&self, error: &ColumnsError) -> CommandError {
        let file = self.arguments.file.display();
        let form = self.arguments.form.as_deref().unwrap_or(Path::new("--form")).display();
        CommandError::InvalidInput(match error {
            ColumnsError::Unknown(error) => format!("{file}: --hidden: {error}"),
            ColumnsError::NoRules => format!("--hidden: {error}"),
            ColumnsError::EmptyForm | ColumnsError::Form(_) => {
                format!("{form}: {error}: give the form's definition from the tool's API")
            }
        })
    }

    fn read_error(&self, error: &RecordError) -> CommandError {
        let path = self.arguments.file.display();
        match error {
            RecordError::Record { line, .. } | RecordError::Rest { line, .. } => {
                CommandError::InvalidInput(format!("{path}:{line}: {error}"))
            }
            RecordError::File(_) => CommandError::Failed(format!("{path}: {error}")),
        }
    }

    /// Reads the whole file, to find what is wrong in it.
    fn check(&self) -> Result<ImportSummary, CommandError> {
        let mut reader = self.begin()?;
        while self.next_batch(&mut reader)?.is_some() {
            reader.summary.show_progress();
        }
        Ok(reader.summary)
    }

    /// Counts what an import would store, and shows its first requests.
    async fn dry_run(&self) -> Result<ImportSummary, CommandError> {
        let mut reader = self.begin()?;
        let mut repeats = Repeats::open(&self.config.store)?;
        let mut shown = if self.arguments.json { SHOWN } else { 0 };
        while let Some(batch) = self.next_batch(&mut reader)? {
            let webhooks: Vec<&Webhook> = batch.iter().map(|(_, it)| &it.webhook).collect();
            let repeated = repeats.find(&webhooks).await?;
            for ((line, mapped), repeated) in batch.iter().zip(&repeated) {
                reader.summary.events(&mapped.requests, repeated);
                if shown < SHOWN && repeated.len() < mapped.requests.len() {
                    shown += 1;
                    reader.summary.clear();
                    show_requests(*line, &mapped.requests, repeated)?;
                }
            }
            reader.summary.show_progress();
        }
        repeats.close().await;
        Ok(reader.summary)
    }

    async fn store(
        &self,
        mut reader: ImportReader<'_>,
        store: &Sqlite,
    ) -> Result<ImportSummary, CommandError> {
        let result = self.store_batches(&mut reader, store).await;
        // Also of an import that was interrupted: what it had stored stays.
        if reader.summary.events > 0 {
            let entry = operator().did(AuditAction::Import, clock::now());
            let entry = entry.on(&format!("source {}", self.source.name));
            store.record(entry.count(reader.summary.events)).await?;
        }
        result.map(|()| reader.summary)
    }

    async fn store_batches(
        &self,
        reader: &mut ImportReader<'_>,
        store: &Sqlite,
    ) -> Result<(), CommandError> {
        while let Some(batch) = self.next_batch(reader)? {
            let start = Instant::now();
            let (webhooks, requests): (Vec<Webhook>, Vec<Vec<Vec<Request>>>) =
                batch.into_iter().map(|(_, it)| (it.webhook, it.requests)).unzip();
            let stored = store.store_all(webhooks).await;
            let stored = stored.map_err(|error| interrupted(&error, &mut reader.summary))?;
            for (stored, requests) in stored.iter().zip(&requests) {
                reader.summary.events(requests, &stored.repeated);
            }
            reader.summary.show_progress();
            sleep(start.elapsed().clamp(REST_MIN, REST_MAX)).await;
        }
        Ok(())
    }

    fn next_batch(
        &self,
        reader: &mut ImportReader<'_>,
    ) -> Result<Option<Vec<(u64, MappedRecord)>>, CommandError> {
        reader.batch().map_err(|error| self.read_error(&error))
    }

    fn end(&self, summary: &mut ImportSummary) -> Result<(), CommandError> {
        summary.clear();
        let text = match (self.arguments.json, self.arguments.dry_run) {
            (true, _) => shown::json(&format!("{:#}\n", summary.as_json())),
            (false, true) => summary.dry_run_text(),
            (false, false) => summary.text(),
        };
        shown::print(&text)?;
        if summary.wrong > 0 { Err(CommandError::AlreadyReported) } else { Ok(()) }
    }
}

fn interrupted(error: &crate::store::StoreError, summary: &mut ImportSummary) -> CommandError {
    summary.clear();
    let events = counted(summary.events, "event");
    CommandError::Failed(format!("{error}; {events} imported: run it again, it is safe"))
}

/// Prints the requests of the events of a record that are no repeats.
fn show_requests(
    line: u64,
    requests: &[Vec<Request>],
    repeated: &[usize],
) -> Result<(), CommandError> {
    let look = shown::stdout_style();
    let new = requests.iter().enumerate().filter(|(position, _)| !repeated.contains(position));
    let requests = new.flat_map(|(_, requests)| requests);
    let shown: Vec<String> = requests.map(|it| shown::request(it, look)).collect();
    shown::print(&format!("line {line}\n{}\n", shown.concat()))
}

impl ImportReader<'_> {
    /// Reads the next batch of records with events; none at the end of the file.
    fn batch(&mut self) -> Result<Option<Vec<(u64, MappedRecord)>>, RecordError> {
        let (mut batch, mut bytes, mut has_read) = (Vec::new(), 0, false);
        for _ in 0..BATCH {
            let Some(next) = self.records.next() else { break };
            // If the clock is set back during the import, due times follow it: the events would
            // wait longer otherwise.
            self.mapper.now = self.mapper.now.min(clock::now());
            has_read = true;
            match next {
                Ok(record) => {
                    let due_at = self.due_at();
                    self.summary.records += 1;
                    match self.mapper.map_record(&record, due_at) {
                        Ok(mapped) => {
                            bytes += mapped.webhook.body.len();
                            let line = record.line;
                            batch.extend(self.count(line, mapped).map(|mapped| (line, mapped)));
                        }
                        Err(reason) => self.summary.wrong(record.line, &reason),
                    }
                }
                Err(RecordError::File(error)) => return Err(error.into()),
                Err(
                    ref error @ (RecordError::Record { line, .. } | RecordError::Rest { line, .. }),
                ) => {
                    self.summary.records += 1;
                    self.summary.wrong(line, &error.to_string());
                }
            }
            if bytes > BATCH_BYTES {
                break;
            }
        }
        Ok(has_read.then_some(batch))
    }

    /// Counts a record, and returns it if it has events.
    fn count(&mut self, line: u64, mut mapped: MappedRecord) -> Option<MappedRecord> {
        self.summary.notes(line, std::mem::take(&mut mapped.notes));
        if mapped.webhook.events.is_empty() {
            let reason = mapped.ignored.unwrap_or_else(|| "it carries no events".to_owned());
            self.summary.ignored(line, reason);
            return None;
        }
        Some(mapped)
    }

    /// Returns the due time of the next record by the rate.
    fn due_at(&self) -> Timestamp {
        // By all records, new or not: whether one is a duplicate is known only once it is stored.
        let records = u32::try_from(self.summary.records).unwrap_or(u32::MAX);
        let interval = self.rate.map(Rate::interval).unwrap_or_default();
        let wait = interval.saturating_mul(records);
        self.mapper.now.saturating_add(wait).unwrap_or(self.mapper.now)
    }
}
