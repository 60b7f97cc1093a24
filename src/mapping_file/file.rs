//! Mapping files: each becomes a source that may send and a mapping, or mistakes with their places.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;

pub use super::import_rules::{ExportRecord, ImportRules};
pub use super::sample::{MappingTest, SampleEvents, SamplePayload};
use super::{sample, secrets};
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{self, Diagnostics, SpannedText, TomlTable};
use crate::diagnostics::visible;
use crate::event::{DEFAULT_DESTINATION, SourceName, TypePattern};
use crate::intake::handshake::{self, HandshakeRule};
use crate::intake::payload::{DecodeError, PayloadLimits};
use crate::intake::provider::{Provider, ValueSource};
use crate::intake::registry::SourceStatus;
use crate::intake::setup::PendingSetup;
use crate::intake::signature::Signature;
use crate::intake::source::{Source, ValueLookup, header_field};
use crate::mapping::{self, AnswerRules, Extractor, Mapping, Patterns};
use crate::rate::Rate;
use crate::secret::Environment;

/// What one mapping file says.
#[derive(Debug)]
pub struct MappingFile {
    pub document: Document,
    pub mistakes: Diagnostics,
    /// None where the file's name cannot be a source's.
    pub name: Option<SourceName>,
    pub mapping: Arc<Mapping>,
    /// Who may send; none where the file has mistakes.
    pub source: Option<Arc<Source>>,
    /// Where its events go, if not to the default destination.
    destination: Option<SpannedText>,
    pub tests: Vec<MappingTest>,
    pub import: ImportRules,
    /// What is to be said of its secrets: where each that is missing was looked for.
    remarks: Vec<String>,
    /// Where the secret will be that its provider brings.
    awaited: Option<PathBuf>,
}

/// All that stands in the file.
struct ParsedFile {
    provider_name: Option<String>,
    provider: Provider,
    /// None: none is named.
    secrets: Option<Vec<secrets::SecretRef>>,
    /// None: those that its blocks name.
    events: Option<Vec<TypePattern>>,
    rate: Option<Rate>,
    destination: Option<SpannedText>,
    mapping: Mapping,
    tests: Vec<MappingTest>,
    import: ImportRules,
    /// What its regular expressions may still cost.
    patterns: Patterns,
}

impl MappingFile {
    /// Reads a mapping file whole: it goes on after a mistake, to find them all.
    pub fn read(document: Document, environment: &Environment) -> MappingFile {
        MappingFile::read_with(document, Some(environment))
    }

    /// The same of a text that somebody sent: no file is opened that it names, and no variable read.
    pub fn of_text(document: Document) -> MappingFile {
        MappingFile::read_with(document, None)
    }

    fn read_with(document: Document, environment: Option<&Environment>) -> MappingFile {
        let mut mistakes = Diagnostics::new();
        let name = name_of(&document, &mut mistakes);
        let root = table::parse(&document, &mut mistakes);
        let mut table = TomlTable::root(&document, &root);
        let place = table.place.clone();
        let said = ParsedFile::read(&mut table, environment, &mut mistakes);
        table.finish(&mut mistakes);

        let named = said.provider_name.is_none() || said.provider.recipe.is_some();
        let signature = named.then(|| said.provider.signature(place, &mut mistakes)).flatten();
        let known = name.clone().zip(signature);
        let (source, remarks) =
            known.map(|(name, signature)| said.source(name, signature, &mut mistakes)).unzip();
        let awaited = source.as_ref().and_then(|source| said.awaited(source));
        diagnostic::limit(&document, &mut mistakes);
        let usable = !mistakes.iter().any(Diagnostic::is_error);
        MappingFile {
            document,
            mistakes,
            name,
            mapping: Arc::new(said.mapping),
            source: source.filter(|_| usable).map(Arc::new),
            destination: said.destination,
            tests: said.tests,
            import: said.import,
            remarks: remarks.unwrap_or_default(),
            awaited,
        }
    }

    /// The file, checked for whether its destination is one of these.
    #[must_use]
    pub fn sending_to<'n>(mut self, known: impl IntoIterator<Item = &'n str>) -> MappingFile {
        let known: Vec<&str> = known.into_iter().collect();
        if let Some(named) = self.destination.as_ref().filter(|it| !known.contains(&&*it.text)) {
            let help = match nearest(&named.text, known.iter().copied()) {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("relay.toml has: {}", known.join(", ")),
            };
            let message = format!("there is no destination `{}`", named.text);
            self.mistakes.push(Diagnostic::error(named.place.clone(), message).help(help));
            self.source = None;
        }
        self
    }

    pub fn destination(&self) -> &str {
        self.destination.as_ref().map_or(DEFAULT_DESTINATION, |named| &named.text)
    }

    /// The source's name and its mapping, if the file has no mistakes.
    pub fn mapped(&self) -> Option<(&SourceName, &Arc<Mapping>)> {
        self.source.as_ref().map(|source| (&source.name, &self.mapping))
    }

    /// The events of a sample, as the webhook would carry them; `None` if the file has mistakes.
    pub fn carried(
        &self,
        sample: &SamplePayload,
        limits: &PayloadLimits,
        now: Timestamp,
    ) -> Option<Result<SampleEvents, DecodeError>> {
        Some(sample::events(self.source.as_ref()?, sample, limits, now))
    }

    /// Whether the source is live, or why it is off. What it awaits is made anew each time.
    pub fn standing(&self, now: Timestamp) -> SourceStatus {
        let off = |reason: String| SourceStatus::Off { reason };
        let Some(source) = &self.source else {
            return off("its mapping file has mistakes: see `savio-relay check`".to_owned());
        };
        if let Some(path) = &self.awaited {
            return SourceStatus::AwaitingSecret(Arc::new(PendingSetup::new(
                Arc::clone(source),
                path.clone(),
            )));
        }
        match source.off(now) {
            None => SourceStatus::Live(Arc::clone(source)),
            Some(reason) if self.remarks.is_empty() => off(reason.to_owned()),
            Some(_) => off(self.remarks.join("; ")),
        }
    }

    /// What a person should know though the source works.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let Some(source) = &self.source else { return Vec::new() };
        let mut warnings = self.remarks.clone();
        for key in source.keys.iter().filter(|key| !key.in_force(now)) {
            let day = key.until.map(|day| day.to_string()).unwrap_or_default();
            warnings.push(format!("secret {} ended after {day}", key.position + 1));
        }
        warnings.extend(self.weaknesses());
        warnings
    }

    /// What its proof and its handshakes leave open.
    pub fn weaknesses(&self) -> Vec<String> {
        let Some(source) = &self.source else { return Vec::new() };
        let mut weaknesses = Vec::new();
        if !source.signature.asks_for_secret() {
            weaknesses.push("anybody can send to it: its scheme is none".to_owned());
        }
        let of_proof = source.signature.weaknesses();
        let of_proof = of_proof.into_iter().map(visible);
        weaknesses.extend(of_proof.map(|weak| format!("its proof is weak: {weak}")));
        weaknesses.extend(source.handshakes.iter().flat_map(handshake::weaknesses));
        weaknesses
    }
}

impl ParsedFile {
    fn read(
        file: &mut TomlTable<'_>,
        environment: Option<&Environment>,
        mistakes: &mut Diagnostics,
    ) -> ParsedFile {
        let patterns = Patterns::of_file();
        let named = file.text("provider", mistakes);
        let builtin = named.as_ref().and_then(|named| builtin(named, &patterns, mistakes));
        let own = Provider::read(file, mistakes);
        let own_answers = file.table("answers", mistakes);
        let own_answers =
            own_answers.map(|answers| AnswerRules::compile(answers, &patterns, mistakes));
        let own_import = file.table("import", mistakes);
        let own_import = own_import.map(|import| ImportRules::read(import, &patterns, mistakes));
        let (provider, answers, import) = match builtin {
            Some(known) => {
                let import = own_import.or(known.import);
                (own.over(known.provider), own_answers.or(known.answers), import)
            }
            None => (own, own_answers, own_import),
        };
        ParsedFile {
            provider_name: named.map(|named| named.text),
            provider,
            secrets: secrets::read(file, environment, mistakes),
            events: mapping::events(file, mistakes),
            rate: file.rate("rate", mistakes),
            destination: file.text("destination", mistakes),
            mapping: Mapping::compile_within(file, answers, &patterns, mistakes),
            tests: sample::read(file, mistakes),
            import: import.unwrap_or_default(),
            patterns,
        }
    }

    /// The source, and what is to be said of its secrets.
    fn source(
        &self,
        name: SourceName,
        signature: Signature,
        mistakes: &mut Diagnostics,
    ) -> (Source, Vec<String>) {
        if signature.asks_for_secret() && self.secrets.is_none() {
            let example = name.as_str().to_uppercase().replace('-', "_");
            mistakes.push(
                Diagnostic::error(0..0, "no secrets are named, so nobody could send")
                    .help(format!("write secrets = [\"env:{example}_SECRET\"]")),
            );
        }
        let (keys, remarks) =
            secrets::keys(self.secrets.as_deref().unwrap_or_default(), &signature);
        let provider = &self.provider;
        let (delivery_id, id_members) = field(provider.id.clone(), &self.patterns, mistakes);
        let (event_type, type_members) =
            field(provider.event_type.clone(), &self.patterns, mistakes);
        let source = Source {
            name,
            provider: self.provider_name.clone(),
            signature,
            keys,
            delivery_id,
            event_type,
            projection: id_members.zip(type_members).map(|(id, of_type)| [id, of_type].concat()),
            body_config: provider.body_config.clone().unwrap_or_default(),
            batch_path: provider.batch_path.clone(),
            pings: provider.pings.clone().unwrap_or_default(),
            events: self.events.clone().or_else(|| self.mapping.events()),
            handshakes: provider.handshakes.clone().unwrap_or_default(),
            rate: self.rate,
            answer: provider.answer.clone(),
        };
        (source, remarks)
    }

    /// The file of the secret that its provider will bring, if the source has none.
    fn awaited(&self, source: &Source) -> Option<PathBuf> {
        let is_brought = source.handshakes.iter().any(HandshakeRule::brings_secret);
        if !is_brought || !source.keys.is_empty() {
            return None;
        }
        self.secrets.iter().flatten().find_map(|named| named.absent.clone())
    }
}

/// The source's name is the file's, without its ending.
fn name_of(document: &Document, mistakes: &mut Diagnostics) -> Option<SourceName> {
    let stem = Path::new(&document.name).file_stem().unwrap_or_default().to_string_lossy();
    match stem.parse() {
        Ok(name) => Some(name),
        Err(error) => {
            mistakes.push(Diagnostic::error(0..0, format!("the file's name: {error}")));
            None
        }
    }
}

/// What a provider file says.
struct BuiltinProvider {
    provider: Provider,
    answers: Option<AnswerRules>,
    import: Option<ImportRules>,
}

/// What the program knows of a provider.
fn builtin(
    name: &SpannedText,
    patterns: &Patterns,
    mistakes: &mut Diagnostics,
) -> Option<BuiltinProvider> {
    if let Some(text) = Provider::builtin(&name.text) {
        let document = Document { name: name.text.clone(), text: text.to_owned() };
        return Some(read_builtin(&document, patterns, mistakes));
    }
    let help = match nearest(&name.text, Provider::names()) {
        Some(name) => format!("did you mean \"{name}\"?"),
        None => "`savio-relay providers` lists them; for another tool write [signature] and \
                 [event] instead"
            .to_owned(),
    };
    let message = format!("unknown provider `{}`", name.text);
    mistakes.push(Diagnostic::error(name.place.clone(), message).help(help));
    None
}

fn read_builtin(
    document: &Document,
    patterns: &Patterns,
    mistakes: &mut Diagnostics,
) -> BuiltinProvider {
    let root = table::parse(document, mistakes);
    let mut table = TomlTable::root(document, &root);
    let provider = Provider::read(&mut table, mistakes);
    let answers = table.table("answers", mistakes);
    let answers = answers.map(|answers| AnswerRules::compile(answers, patterns, mistakes));
    let import = table.table("import", mistakes);
    let import = import.map(|import| ImportRules::read(import, patterns, mistakes));
    table.finish(mistakes);
    BuiltinProvider { provider, answers, import }
}

/// How intake finds a text in an event, without knowing the mapping language; and the members of the
/// payload that it looks at, none if that may be all.
fn field(
    origin: Option<ValueSource>,
    patterns: &Patterns,
    mistakes: &mut Diagnostics,
) -> (Option<ValueLookup>, Option<Vec<String>>) {
    match origin {
        None => (None, Some(Vec::new())),
        Some(ValueSource::Header(name)) => (Some(header_field(name)), Some(Vec::new())),
        Some(ValueSource::Value(text)) => {
            let selector = Extractor::compile_within(&text, patterns, mistakes);
            let members = selector.members();
            let select = move |payload: &_, headers: &_| selector.select(payload, headers);
            (Some(Arc::new(select)), members)
        }
    }
}
