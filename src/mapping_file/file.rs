//! Mapping files: each is read to a source and a mapping, or to mistakes with their places.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

pub use super::bundle::Origin;
use super::bundle::{self, CopyState};
pub use super::export_columns::{ExportColumns, Heading};
pub use super::import_rules::{ColumnsError, ExportRecord, ImportRules};
use super::proof::Proof;
use super::provider_key::{check_provider, has_sender, lacks_provider};
pub use super::sample::{MappingTest, SampleEvents, SamplePayload};
use super::sample_folder::SampleFolder;
use super::secrets::{SecretLack, SecretLookup, SecretNote};
use super::silence::SilenceLimit;
use super::{sample, secrets};
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::line_index::LineIndex;
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{self, Diagnostics, SpannedText, TomlTable};
use crate::diagnostics::visible;
use crate::event::{DEFAULT_DESTINATION, Event, SourceName, TypePattern};
use crate::intake::handshake::{self, HandshakeRule};
use crate::intake::payload::{DecodeError, PayloadLimits};
use crate::intake::provider::Provider;
use crate::intake::provider::setup_guide::SetupGuide;
use crate::intake::registry::SourceStatus;
use crate::intake::setup::PendingSetup;
use crate::intake::signature::Signature;
use crate::intake::source::{Source, ValueLookup};
use crate::mapping::{self, AnswerRules, Explanation, Extractor, Mapping, Patterns};
use crate::rate::Rate;
use crate::secret::{Environment, PurposedSecret, Secret, SecretPurpose};

/// Content of one mapping file, with its mistakes.
#[derive(Debug)]
pub struct MappingFile {
    pub document: Document,
    pub origin: Origin,
    pub mistakes: Diagnostics,
    /// `None` if the file's name is not valid for a source.
    pub name: Option<SourceName>,
    pub mapping: Arc<Mapping>,
    pub proof: Proof,
    /// `None` if the file has mistakes.
    pub source: Option<Arc<Source>>,
    /// Destination of its events, if it is not the default one.
    destination: Option<SpannedText>,
    pub tests: Vec<MappingTest>,
    pub import: ImportRules,
    pub silence: SilenceLimit,
    pub setup: SetupGuide,
    /// The tool's name as people write it.
    pub title: Option<String>,
    /// The secrets that it names and no other file claims, in their order.
    pub secrets: Vec<Secret>,
    /// Where the files of its tests are.
    samples: SampleFolder,
    /// Notes on secrets that are missing or cannot be used.
    secret_notes: Vec<SecretNote>,
    /// File for the secret that the provider will send in a handshake.
    awaited_secret: Option<PathBuf>,
}

/// Parsed content of the file.
struct ParsedFile {
    provider_name: Option<String>,
    provider: Provider,
    /// `None` if the file has none.
    secrets: Option<Vec<secrets::SecretRef>>,
    /// `None` for those that its blocks name.
    events: Option<Vec<TypePattern>>,
    rate: Option<Rate>,
    destination: Option<SpannedText>,
    mapping: Mapping,
    tests: Vec<MappingTest>,
    import: ImportRules,
    silence: SilenceLimit,
    /// Remaining budget of its regular expressions.
    patterns: Patterns,
}

impl MappingFile {
    /// Reads a mapping file and reports all of its mistakes.
    pub fn read(document: Document, environment: &Environment) -> MappingFile {
        MappingFile::read_with(document, Some(environment))
    }

    /// Reads the text of a mapping file; no file or variable that it names is read.
    pub fn of_text(document: Document) -> MappingFile {
        // The text may come from the admin API, where it could name devices or probe for files.
        MappingFile::read_with(document, None)
    }

    /// Returns a mapping file that cannot be read: its only mistake is `failure`.
    pub(crate) fn unreadable(document: Document, failure: Diagnostic) -> MappingFile {
        // What an empty file lacks is only a consequence.
        MappingFile { mistakes: vec![failure], source: None, ..MappingFile::of_text(document) }
    }

    fn read_with(document: Document, environment: Option<&Environment>) -> MappingFile {
        let mut mistakes = Diagnostics::new();
        let name = name_of(&document, &mut mistakes);
        let mut root = table::parse(&document, &mut mistakes);
        Provider::inherit(root.get_mut());
        let mut table = TomlTable::root(&document, &root);
        let parsed = ParsedFile::read(&mut table, environment, &mut mistakes);
        if let Some(name) = &name {
            parsed.check_secrets(name, &table, &mut mistakes);
        }
        table.finish(&mut mistakes);

        let named = name.clone().zip(parsed.provider.signature.clone());
        let (source, secret_notes) =
            named.map(|(name, signature)| parsed.source(name, signature, &mut mistakes)).unzip();
        let proof = parsed.proof();
        let awaited_secret = source.as_ref().and_then(|source| parsed.awaited_secret(source));
        diagnostic::limit(&document, &mut mistakes);
        let usable = !mistakes.iter().any(Diagnostic::is_error);
        MappingFile {
            document,
            origin: Origin::Disk,
            mistakes,
            name,
            mapping: Arc::new(parsed.mapping),
            proof,
            source: source.filter(|_| usable).map(Arc::new),
            destination: parsed.destination,
            tests: parsed.tests,
            samples: SampleFolder::BesideFile { or_in: None },
            import: parsed.import,
            silence: parsed.silence,
            setup: parsed.provider.setup,
            title: parsed.provider.title,
            secret_notes: secret_notes.unwrap_or_default(),
            secrets: parsed.secrets.into_iter().flatten().map(|named| named.secret).collect(),
            awaited_secret,
        }
    }

    /// Checks that its destination is one of these.
    #[must_use]
    pub fn with_known_destinations<'n>(
        mut self,
        known: impl IntoIterator<Item = &'n str>,
    ) -> MappingFile {
        let known: Vec<&str> = known.into_iter().collect();
        if let Some(named) = self.destination.as_ref().filter(|it| !known.contains(&&*it.text)) {
            let meant = nearest(&named.text, known.iter().copied());
            let help = match meant {
                Some(name) => format!("did you mean \"{name}\"?"),
                None => format!("relay.toml has: {}", known.join(", ")),
            };
            let message = format!("there is no destination `{}`", named.text);
            let fix = meant.and_then(|meant| named.written(meant));
            let mistake = Diagnostic::error(named.place.clone(), message);
            self.mistakes.push(mistake.help(help).maybe_fix(fix));
            diagnostic::limit(&self.document, &mut self.mistakes);
            self.source = None;
        }
        self
    }

    /// Reads the files of its tests from this folder, if they are not beside the file: for a draft of a mapping
    /// file of that folder.
    #[must_use]
    pub(crate) fn with_samples_also_of(mut self, folder: PathBuf) -> MappingFile {
        self.samples = SampleFolder::BesideFile { or_in: Some(folder) };
        self
    }

    /// Reads the files of its tests from `samples` in this folder and from the program, and from
    /// nowhere else: for texts of callers of the API.
    #[must_use]
    pub fn with_samples_of(mut self, folder: Option<&Path>) -> MappingFile {
        self.samples = SampleFolder::Only(folder.map(Path::to_owned));
        self
    }

    pub fn destination(&self) -> &str {
        self.destination.as_ref().map_or(DEFAULT_DESTINATION, |named| &named.text)
    }

    /// Returns the source's name and its mapping, if the file has no mistakes.
    pub fn mapped(&self) -> Option<(&SourceName, &Arc<Mapping>)> {
        self.source.as_ref().map(|source| (&source.name, &self.mapping))
    }

    /// Extracts the events of a sample; `None` if the file has mistakes.
    pub fn sample_events(
        &self,
        sample: &SamplePayload,
        limits: &PayloadLimits,
        now: Timestamp,
    ) -> Option<Result<SampleEvents, DecodeError>> {
        Some(sample::events(self.source.as_ref()?, sample, limits, now))
    }

    /// Maps one event, and explains how each value was found.
    pub fn explain(&self, event: &Event, payload: &Arc<Value>) -> Explanation {
        self.mapping.explain(event, payload, &LineIndex::of(&self.document.text))
    }

    /// Returns the state of the source. A pending set-up is a new one at each call.
    pub fn status(&self, now: Timestamp) -> SourceStatus {
        let off = |reason: String| SourceStatus::Off { reason };
        let Some(source) = &self.source else {
            return off("its mapping file has mistakes: see `savio-relay check`".to_owned());
        };
        if let Some(path) = &self.awaited_secret {
            return SourceStatus::AwaitingSecret(Arc::new(PendingSetup::new(
                Arc::clone(source),
                path.clone(),
            )));
        }
        match source.off_reason(now) {
            None => SourceStatus::Live(Arc::clone(source)),
            Some(reason) if self.secret_notes.is_empty() => off(reason.to_owned()),
            // More exact than the reason: each names the secret and where it was looked for.
            Some(_) => off(self.secret_texts().join("; ")),
        }
    }

    fn secret_texts(&self) -> Vec<String> {
        self.secret_notes.iter().map(|note| note.text.clone()).collect()
    }

    pub(crate) fn is_bundled(&self) -> bool {
        self.origin == Origin::Bundled
    }

    /// Returns whether it is in a folder, with a text that was bundled once.
    pub(crate) fn is_copy(&self) -> bool {
        self.copy_state() != CopyState::Own
    }

    /// Returns whether it has no mistakes and lacks nothing but secrets which nobody has tried to
    /// set.
    pub(crate) fn lacks_only_secrets(&self) -> bool {
        self.source.as_ref().is_some_and(|source| {
            source.signature.needs_secret()
                && source.keys.is_empty()
                && self.secret_notes.iter().all(|note| note.lack == SecretLack::Unset)
        })
    }

    /// Returns whether it is a bundled file that is off since a file of the folder has its secret.
    pub(crate) fn yields_to_folder(&self) -> bool {
        self.secret_notes.iter().any(|note| note.lack == SecretLack::LeftToFolder)
            && self.source.as_ref().is_some_and(|source| source.keys.is_empty())
    }

    fn secret_names(&self) -> Vec<String> {
        self.secrets.iter().map(|secret| secret.location().reference()).collect()
    }

    /// Returns the secrets that the file names, such as `env:NAME`.
    pub(crate) fn named_secrets(&self) -> Vec<String> {
        if self.source.is_some() {
            return self.secret_names();
        }
        // The file has mistakes, which may keep `secrets` from being read. What its text has in
        // quotes counts too: with this file's secret no other source should go live meanwhile.
        let quoted = self.document.text.split(['"', '\'']);
        let named = quoted.filter(|text| text.starts_with("env:") || text.starts_with("file:"));
        named.map(str::to_owned).collect()
    }

    /// Leaves each secret out that a file of the folder names, given with the files' names.
    pub(super) fn leave_secrets_to(&mut self, owners: &BTreeMap<String, String>) {
        for (position, named) in self.secret_names().iter().enumerate() {
            let Some(owner) = owners.get(named) else { continue };
            if let Some(source) = &mut self.source {
                Arc::make_mut(source).keys.retain(|key| key.position != position);
            }
            self.secret_notes.retain(|note| note.position != position);
            let secret = named.trim_start_matches("env:");
            let text = format!("{owner} uses its secret, {secret}");
            self.secret_notes.push(SecretNote { position, text, lack: SecretLack::LeftToFolder });
        }
        self.secrets.retain(|secret| !owners.contains_key(&secret.location().reference()));
    }

    /// Reads a payload or expectation of a test by its path relative to the mapping file. What is
    /// not in the folder is read from the program.
    pub(crate) fn test_file(&self, path: &str) -> Result<Vec<u8>, String> {
        let samples = if self.is_bundled() { &SampleFolder::Program } else { &self.samples };
        samples.read(path, &self.document.name)
    }

    /// Returns the path of such a file in the folder; none if it may not be written there.
    pub(crate) fn test_path(&self, path: &str) -> Option<PathBuf> {
        self.samples.path(path, &self.document.name)
    }

    /// Returns a note if a file of the folder is an unchanged copy of an earlier bundled file.
    pub(crate) fn outdated_copy(&self) -> Option<String> {
        let is_outdated = self.copy_state() == CopyState::Outdated;
        let note = "it is a copy of an earlier bundled file: delete it to use the present one";
        is_outdated.then(|| note.to_owned())
    }

    /// Compares a file of the folder with the bundled ones.
    fn copy_state(&self) -> CopyState {
        match (&self.name, self.origin) {
            (Some(name), Origin::Disk) => bundle::compare(name.as_str(), &self.document.text),
            (None, _) | (_, Origin::Bundled) => CopyState::Own,
        }
    }

    /// Returns what a person should know although the source works.
    pub fn warnings(&self, now: Timestamp) -> Vec<String> {
        let Some(source) = &self.source else { return Vec::new() };
        let mut warnings = self.secret_texts();
        warnings.extend(self.secret_warnings());
        for key in source.keys.iter().filter(|key| !key.is_valid_at(now)) {
            let day = key.until.map(|day| day.to_string()).unwrap_or_default();
            warnings.push(format!("secret {} ended after {day}", key.position + 1));
        }
        warnings.extend(self.weaknesses());
        warnings
    }

    /// Returns its secrets with what they are for.
    pub fn purposed_secrets(&self) -> impl Iterator<Item = PurposedSecret> {
        let of = |name: &SourceName| SecretPurpose::Source(name.to_string());
        let purpose = self.name.as_ref().map(of);
        let secrets = purpose
            .into_iter()
            .flat_map(|it| self.secrets.iter().map(move |secret| (it.clone(), secret)));
        secrets.map(|(purpose, secret)| PurposedSecret { purpose, secret: secret.clone() })
    }

    /// Returns what is wrong with secrets that are used all the same.
    pub fn secret_warnings(&self) -> impl Iterator<Item = String> {
        self.secrets.iter().filter_map(Secret::warning)
    }

    /// Returns the weaknesses of its signature and its handshakes.
    pub fn weaknesses(&self) -> Vec<String> {
        let Some(source) = &self.source else { return Vec::new() };
        let mut weaknesses = Vec::new();
        if !source.signature.needs_secret() {
            weaknesses.push("anybody can send to it: its scheme is none".to_owned());
        }
        // The texts have names from the file, which may contain control characters of terminals.
        let of_signature = source.signature.weaknesses().into_iter().map(visible);
        weaknesses.extend(of_signature.map(|weak| format!("its proof is weak: {weak}")));
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
        // One budget for the whole file, with the provider's part.
        let patterns = Patterns::of_file();
        let named = file.text("provider", mistakes);
        if let Some(named) = &named {
            check_provider(named, mistakes);
        }
        let is_unknown = lacks_provider(file, named.as_ref());
        let provider = if is_unknown {
            // What the file adds to its provider is half of it, and looks wrong by itself.
            Provider::read(file, &mut Diagnostics::new())
        } else {
            Provider::read(file, mistakes)
        };
        let signature = provider.signature.as_ref();
        let lookup = environment.map(|environment| SecretLookup { environment, signature });
        let secrets = secrets::read(file, lookup, mistakes);
        let answers = file.table("answers", mistakes);
        let answers = answers.map(|answers| AnswerRules::compile(answers, &patterns, mistakes));
        // The provider that is meant may have some: each use of them would be a mistake otherwise.
        let is_form = is_unknown || !has_sender(file) || file.misspells("answers");
        let answers = answers.or_else(|| is_form.then(|| AnswerRules::none(&patterns)));
        let import = file.table("import", mistakes);
        let import = import.map(|import| ImportRules::read(import, &patterns, mistakes));
        ParsedFile {
            provider_name: named.map(|named| named.text),
            provider,
            secrets,
            events: mapping::events(file, mistakes),
            rate: file.rate("rate", mistakes),
            destination: file.text("destination", mistakes),
            mapping: Mapping::compile_within(file, answers, &patterns, mistakes),
            tests: sample::read(file, mistakes),
            import: import.unwrap_or_default(),
            silence: SilenceLimit::read(file, mistakes),
            patterns,
        }
    }

    /// Reports that no secret is named where one is needed.
    fn check_secrets(&self, name: &SourceName, file: &TomlTable<'_>, mistakes: &mut Diagnostics) {
        let needs_secret = self.provider.signature.as_ref().is_some_and(Signature::needs_secret);
        if !needs_secret || self.secrets.is_some() {
            return;
        }
        let example = name.as_str().to_uppercase().replace('-', "_");
        let message = "no secrets are named, so nobody could send";
        let help = format!("write secrets = [\"env:{example}_SECRET\"]");
        let mistake = Diagnostic::error(file.place.clone(), message).help(help);
        mistakes.push(mistake.missing(vec!["secrets"]));
    }

    /// Returns the source and notes on its secrets.
    fn source(
        &self,
        name: SourceName,
        signature: Signature,
        mistakes: &mut Diagnostics,
    ) -> (Source, Vec<SecretNote>) {
        let named = self.secrets.as_deref().unwrap_or_default();
        let (keys, secret_notes) = secrets::keys(named, &signature);
        let provider = &self.provider;
        let (delivery_id, id_members) = field(provider.id.as_ref(), &self.patterns, mistakes);
        let (event_type, type_members) =
            field(provider.event_type.as_ref(), &self.patterns, mistakes);
        let source = Source {
            name,
            provider: self.provider_name.clone(),
            signature,
            keys,
            secret_locations: secrets::locations(named),
            delivery_id,
            event_type,
            // Intake keeps only these members of a payload; `None` keeps all.
            projection: id_members.zip(type_members).map(|(id, of_type)| [id, of_type].concat()),
            body_config: provider.body_config.clone(),
            batch_path: provider.batch_path.clone(),
            pings: provider.pings.clone(),
            events: self.events.clone().or_else(|| self.mapping.events()),
            handshakes: provider.handshakes.clone(),
            rate: self.rate,
            response: provider.response.clone(),
        };
        (source, secret_notes)
    }

    fn proof(&self) -> Proof {
        let destination = self.destination.as_ref().map_or(DEFAULT_DESTINATION, |it| &it.text);
        let provider = (self.provider_name.as_deref(), &self.provider);
        Proof::new(provider, self.secrets.as_deref(), destination)
    }

    /// Returns the file for the secret that the provider will send, if there is no key yet.
    fn awaited_secret(&self, source: &Source) -> Option<PathBuf> {
        let is_sent = source.handshakes.iter().any(HandshakeRule::carries_secret);
        // With a key the source is live, and a handshake cannot change its secret any more.
        if !is_sent || !source.keys.is_empty() {
            return None;
        }
        self.secrets.iter().flatten().find_map(|named| named.absent.clone())
    }
}

/// Returns the source's name: that of the file without its extension.
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

/// Returns a function by which intake finds a text in an event, and the members of the payload that
/// it reads, `None` if it may read any.
// A function, because intake does not know the mapping language.
fn field(
    text: Option<&SpannedText>,
    patterns: &Patterns,
    mistakes: &mut Diagnostics,
) -> (Option<ValueLookup>, Option<Vec<String>>) {
    let Some(text) = text else { return (None, Some(Vec::new())) };
    let extractor = Extractor::compile_within(text, patterns, mistakes);
    if extractor.is_literal() {
        // Of one id, all events but the first would be repeats.
        let message = format!("every event would have the text `{}` here", text.text);
        let help = format!("write \"$.{}\" to look it up in the payload", text.text.trim());
        let fix = text.written(&format!("$.{}", text.text.trim()));
        mistakes.push(Diagnostic::error(text.place.clone(), message).help(help).maybe_fix(fix));
    }
    let members = extractor.members();
    let select = move |payload: &_, headers: &_| extractor.select(payload, headers);
    (Some(Arc::new(select)), members)
}
