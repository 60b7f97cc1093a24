//! `[server.tls]` and `[admin.tls]`: the files of a certificate and its private key.

use std::fs;
use std::ops::Range;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use jiff::Timestamp;

use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::table::{Diagnostics, SpannedText, TomlTable};
use crate::listener::tls::certificate::{Certificate, Validity};
use crate::listener::tls::pair::{Pair, PairError, PairFile, PairFiles, read_certificate};
use crate::secret::{self, Environment};

/// The certificate of a listener, if it has one.
// The files are not read here: commands that only ask the relay may not be allowed to read the key.
#[derive(Debug, Clone)]
pub struct TlsConfig {
    /// The section, such as `server.tls`.
    pub section: &'static str,
    /// Where the section is, for a mistake of the whole.
    place: Option<Place>,
    certificate: Option<NamedFile>,
    key: Option<NamedFile>,
    /// Whether a mistake was reported, of which an absent file may only be a consequence.
    is_mistaken: bool,
}

#[derive(Debug, Clone)]
struct Place {
    document: String,
    range: Range<usize>,
}

#[derive(Debug, Clone)]
struct NamedFile {
    /// An error says why it cannot be found.
    path: Result<PathBuf, String>,
    place: Place,
}

impl NamedFile {
    fn path(&self, file: PairFile) -> Result<PathBuf, PairError> {
        self.path.clone().map_err(|what| PairError { file, what, advice: None })
    }
}

impl TlsConfig {
    pub(super) fn new(section: &'static str) -> TlsConfig {
        TlsConfig { section, place: None, certificate: None, key: None, is_mistaken: false }
    }

    /// Returns whether the listener speaks TLS.
    pub fn is_on(&self) -> bool {
        self.place.is_some()
    }

    /// Returns the scheme of the listener's URLs.
    pub fn scheme(&self) -> &'static str {
        if self.is_on() { "https" } else { "http" }
    }

    /// Returns the files; none without TLS. An error says which of them cannot be found.
    pub fn files(&self) -> Option<Result<PairFiles, PairError>> {
        let key = self.key.as_ref()?.path(PairFile::Key);
        let certificate = self.certificate()?;
        Some(certificate.and_then(|certificate| Ok(PairFiles { certificate, key: key? })))
    }

    /// Returns the file of the certificate; none without TLS.
    pub fn certificate(&self) -> Option<Result<PathBuf, PairError>> {
        Some(self.certificate.as_ref()?.path(PairFile::Certificate))
    }

    /// Reads the table `[server.tls]` or `[admin.tls]` of the section.
    pub(super) fn take(
        &mut self,
        parent: &mut TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        let Some(mut table) = parent.table_headed("tls", self.section, mistakes) else { return };
        let document = table.document().name.clone();
        let at = |range| Place { document: document.clone(), range };
        let before = mistakes.len();
        self.place = Some(at(table.place.clone()));
        for (key, file) in [("cert", &mut self.certificate), ("key", &mut self.key)] {
            let text = table.text(key, mistakes).and_then(|it| path_of(key, it, mistakes));
            if let Some(text) = text {
                let path = secret::resolve(&text.text, environment);
                *file = Some(NamedFile { path, place: at(text.place) });
            }
        }
        table.finish(mistakes);
        self.is_mistaken |= mistakes.len() > before;
    }

    /// Reports, in the document of this name, that one of the files is not named.
    // Only once everything was read: the other may be in a variable.
    pub(super) fn report_incomplete(&self, document: &str, mistakes: &mut Diagnostics) {
        let place = self.place.as_ref().filter(|it| it.document == document && !self.is_mistaken);
        let Some(place) = place else { return };
        let missing = match (&self.certificate, &self.key) {
            (Some(_), Some(_)) => return,
            (None, None) => "`cert` and `key` are missing here",
            (None, Some(_)) => "`cert` is missing here",
            (Some(_), None) => "`key` is missing here",
        };
        let help = format!(
            "[{}] needs both: the file of the certificate with those of its issuers, and the file of \
             its private key. Without the section, the address speaks plain HTTP",
            self.section
        );
        mistakes.push(Diagnostic::error(place.range.clone(), missing).help(help));
    }

    /// Reads the files, and reports, in the document of this name, why they cannot be used or what
    /// is doubtful about them.
    pub(super) fn check(&self, document: &str, now: Timestamp, mistakes: &mut Diagnostics) {
        let Some(files) = self.files() else { return };
        let mut report = |file, of: &dyn Fn(Range<usize>) -> Diagnostic| {
            let place = self.place_of(file).filter(|it| it.document == document);
            mistakes.extend(place.map(|place| of(place.range.clone())));
        };
        let certificate = match &files {
            Ok(files) => Pair::read(files).map(|pair| pair.certificate().clone()),
            // A credential of systemd exists only for the service: whether it is there shows at
            // the start, which fails without it.
            Err(PairError { file, what, .. }) => {
                report(*file, &|range| Diagnostic::warning(range, what.clone()));
                let Some(Ok(path)) = self.certificate() else { return };
                read_certificate(&path)
            }
        };
        match certificate {
            Err(PairError { file, what, advice }) => report(file, &|range| {
                Diagnostic::error(range, what.clone()).maybe_help(advice.clone())
            }),
            Ok(certificate) => {
                let key = files.as_ref().ok().map(|files| files.key.as_path());
                for Doubt { file, what, advice } in doubts(&certificate, key, now) {
                    report(file, &|range| {
                        Diagnostic::warning(range, what.clone()).help(advice.clone())
                    });
                }
            }
        }
    }

    fn place_of(&self, file: PairFile) -> Option<&Place> {
        let named = match file {
            PairFile::Certificate => self.certificate.as_ref(),
            PairFile::Key => self.key.as_ref(),
        };
        named.map(|named| &named.place)
    }
}

/// Returns the text if it can be a path. The mistake of writing the file's content shows none of it.
fn path_of(key: &str, text: SpannedText, mistakes: &mut Diagnostics) -> Option<SpannedText> {
    let wrong = |message: &str, help: &str| {
        Diagnostic::error(text.place.clone(), format!("`{key}` {message}")).help(help)
    };
    let mistake = if text.text.contains("-----BEGIN") {
        wrong("is the content of a file", "write the path of the file").secret()
    } else if text.text.starts_with("env:") {
        wrong("is the path of a file, not a variable", "write the path of a file in PEM form")
    } else if text.text.starts_with("file:") {
        wrong("is the path of a file", "write it without \"file:\"")
    } else if text.text.trim().is_empty() {
        wrong("is empty", "write the path of a file in PEM form")
    } else {
        return Some(text);
    };
    mistakes.push(mistake);
    None
}

/// What is probably not as meant about a certificate and a key that can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Doubt {
    /// The file in which it can be corrected.
    pub file: PairFile,
    pub what: String,
    pub advice: String,
}

/// Returns what is doubtful now about a certificate and the file of its key, where that is known.
pub fn doubts(certificate: &Certificate, key: Option<&Path>, now: Timestamp) -> Vec<Doubt> {
    let mut doubts = Vec::new();
    let Certificate { names, begins_at, ends_at, .. } = certificate;
    let mut add = |what: String, advice: &str| {
        doubts.push(Doubt { file: PairFile::Certificate, what, advice: advice.to_owned() });
    };
    match certificate.validity(now) {
        Validity::Valid => {}
        Validity::NotYet => add(
            format!("the certificate is not valid before {begins_at:.0}: no sender accepts it"),
            "is this machine's clock right?",
        ),
        Validity::EndsSoon => add(
            format!("the certificate ends on {ends_at:.0}"),
            "renew it, and look why that did not happen by itself",
        ),
        Validity::Ended => add(
            format!("the certificate ended on {ends_at:.0}: no sender accepts it"),
            "renew it; the relay reads the new files without a restart",
        ),
    }
    if names.is_empty() {
        add(
            "the certificate has no name (subjectAltName): no sender accepts it".to_owned(),
            "get one for the host name that senders use",
        );
    }
    if certificate.is_alone {
        add(
            "the file has the server's own certificate only, without its issuer's: some senders do \
             not accept that"
                .to_owned(),
            "name the file with the whole chain, which certbot calls fullchain.pem",
        );
    }
    doubts.extend(key.filter(|key| is_open_to_all(key)).map(|key| Doubt {
        file: PairFile::Key,
        what: format!("everyone on this machine may use the private key in {}", key.display()),
        advice: format!("chmod o= {}", key.display()),
    }));
    doubts
}

/// Returns whether every user of this machine may read or replace the content of the file.
fn is_open_to_all(path: &Path) -> bool {
    let Ok(path) = path.canonicalize() else { return false };
    let allows = |path: &Path, bits| fs::metadata(path).is_ok_and(|it| it.mode() & bits != 0);
    // A folder that others may not enter protects what is in it.
    allows(&path, 0o006) && path.ancestors().skip(1).all(|folder| allows(folder, 0o001))
}
