//! Reads `relay.toml` and the environment into the settings of all parts.

mod admin;
mod alerts;
mod destinations;
mod environment;
mod known_keys;
mod issues;
mod logging;
mod proxy_auth;
mod secret_headers;
mod store_url;
pub mod tls;
mod traces;
mod unknown_variable;
mod values;

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use crate::delivery::outcome;
use crate::diagnostics::diagnostic::{self, Diagnostic};
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{self, Diagnostics, TomlTable};
use crate::event::DEFAULT_DESTINATION;
use crate::file::UnreadableFile;
use crate::mapping_file::location::{FoundFile, Location};
use crate::mapping_file::secrets_folder::SecretsFolder;
use crate::mapping_file::settings::{self as mapping_file, BundledSelection};
use crate::secret::{self, Environment, PurposedSecret, Secret, SecretPurpose};
use crate::store::sqlite;
use crate::telemetry::logs;
use crate::{delivery, intake, listener};
pub use admin::{AdminConfig, TokenConfig};
pub use destinations::{DestinationConfig, DestinationConfigs};
use environment::Overrides;
pub use environment::ReadDocuments;
pub use proxy_auth::{ProxyAuthConfig, ProxyAuthSettings};
pub use tls::TlsConfig;
pub use traces::TracesConfig;
use values::{address, depth, duration, networks, set_if_some, size, url};

/// All settings, with their defaults where nothing is set.
#[derive(Debug, Clone)]
pub struct Config {
    /// Folder of the mapping files, and the bundled files that lie under it.
    pub mappings: mapping_file::Settings,
    /// Where the secrets are kept that are set by the admin API.
    pub secrets_folder: SecretsFolder,
    pub listen: SocketAddr,
    /// The certificate of the address for webhooks.
    pub tls: TlsConfig,
    /// Address of the admin API.
    pub admin_listen: SocketAddr,
    pub admin: AdminConfig,
    pub listener: listener::Settings,
    pub intake: intake::Settings,
    pub store: sqlite::Settings,
    /// Time for which an event is kept after it settled.
    pub retention: Duration,
    pub destinations: DestinationConfigs,
    /// Settings for all destinations; [`DestinationConfig::delivery`] adds those of one.
    pub delivery: delivery::Settings,
    pub log: logs::Settings,
    pub issues: crate::issues::Settings,
    pub alerts: crate::alerts::Settings,
    pub traces: TracesConfig,
}

/// The file that is read if none is named.
pub const FILE: &str = "relay.toml";

/// Reads the named file, or `relay.toml` if it exists.
pub fn document(path: Option<&Path>) -> Result<Option<Document>, UnreadableFile> {
    let standard = Path::new(FILE);
    let path = path.or_else(|| (standard.exists() || standard.is_symlink()).then_some(standard));
    path.map(Document::read).transpose()
}

impl Config {
    /// Returns the names of the destinations that a mapping file may name.
    pub fn destination_names(&self) -> Vec<&str> {
        self.destinations.keys().map(String::as_str).collect()
    }

    /// Reads the file, if there is one, and the variables `SAVIO_RELAY_SECTION__KEY`, which
    /// override it. Warnings are returned with the configuration.
    pub fn read(
        file: Option<Document>,
        environment: &Environment,
    ) -> Result<(Config, ReadDocuments), ReadDocuments> {
        let (config, read) = Config::read_in_part(file, environment);
        let refused = read.iter().flat_map(|(_, mistakes)| mistakes).any(Diagnostic::is_error);
        if refused { Err(read) } else { Ok((config, read)) }
    }

    /// Reads the same, but a key with a mistake counts as absent instead of failing the whole.
    // For `check`, which reports all that is wrong at once.
    pub fn read_in_part(
        file: Option<Document>,
        environment: &Environment,
    ) -> (Config, ReadDocuments) {
        let mut config = Config::defaults(environment);
        let (standard, mut read) = TracesConfig::from_environment(environment);
        config.traces = standard;
        if let Some(document) = file {
            let mut mistakes = Diagnostics::new();
            config.apply(&document, environment, &mut mistakes);
            read.push((document, mistakes));
        }
        if let Some(overrides) = Overrides::read(environment) {
            let mut mistakes = Diagnostics::new();
            config.apply(&overrides.document, environment, &mut mistakes);
            let named = || config.named_variables(&read, &overrides.document);
            overrides.judge_unknown(named, &mut mistakes);
            read.push((overrides.document, mistakes));
        }
        for (document, mistakes) in &mut read {
            config.admin.report_equal_secrets(&document.name, mistakes);
            config.admin.proxy_auth.report(&document.name, mistakes);
            config.tls.report_incomplete(&document.name, mistakes);
            config.admin.tls.report_incomplete(&document.name, mistakes);
            diagnostic::limit(document, mistakes);
        }
        (config, read)
    }

    /// Returns all secrets, each with what it is for.
    pub fn secrets(&self) -> Vec<PurposedSecret> {
        let of = |purpose, secret: &Secret| PurposedSecret { purpose, secret: secret.clone() };
        let tokens = self.destinations.iter();
        let token = |(name, to): (&String, &DestinationConfig)| {
            of(SecretPurpose::Destination(name.clone()), &to.token)
        };
        let mut secrets: Vec<PurposedSecret> = tokens.map(token).collect();
        secrets.push(of(SecretPurpose::Admin, &self.admin.token));
        let named = self.admin.tokens.iter();
        secrets.extend(named.map(|it| of(SecretPurpose::AdminToken(it.name.clone()), &it.token)));
        let proxy = self.admin.proxy_auth.secret();
        secrets.extend(proxy.map(|it| of(SecretPurpose::AdminProxy, it)));
        secrets.extend(self.alerts.secrets());
        let headers = self.traces.secrets();
        secrets.extend(headers.map(|(name, it)| of(SecretPurpose::Header(name.to_owned()), it)));
        secrets
    }

    /// Replaces each secret of the destinations, the admin API and the traces by the one that counts for
    /// its purpose now.
    pub fn renew_secrets(&mut self, current: impl Fn(&SecretPurpose) -> Option<Secret>) {
        for (name, to) in &mut self.destinations {
            set_if_some(&mut to.token, current(&SecretPurpose::Destination(name.clone())));
        }
        set_if_some(&mut self.admin.token, current(&SecretPurpose::Admin));
        for it in &mut self.admin.tokens {
            set_if_some(&mut it.token, current(&SecretPurpose::AdminToken(it.name.clone())));
        }
        self.traces.renew_secrets(|name| current(&SecretPurpose::Header(name.to_owned())));
    }

    /// Reads the files of the certificates, and adds what is wrong with them to what was read.
    // Apart from `read`, since most commands and a reload of the mapping files need no certificate.
    pub fn check_certificates(&self, read: &mut ReadDocuments, now: Timestamp) {
        for (document, mistakes) in read {
            for tls in [&self.tls, &self.admin.tls] {
                tls.check(&document.name, now, mistakes);
            }
        }
    }

    /// Returns whether `trusted_proxies` is probably missing: a public https URL without a
    /// certificate here means that a proxy is in front of the relay.
    pub fn has_unnamed_proxy(&self) -> bool {
        !self.tls.is_on() && self.has_https_url() && self.intake.trusted_proxies.is_empty()
    }

    fn has_https_url(&self) -> bool {
        self.intake.public_url.as_ref().is_some_and(|url| url.starts_with("https:"))
    }

    /// Returns the variables that `env:` names in what was read and in the mapping files.
    fn named_variables(&self, read: &ReadDocuments, variables: &Document) -> Vec<String> {
        // A folder that cannot be read is reported by whoever needs the files.
        let found = Location::of(&self.mappings).in_folder().unwrap_or_default();
        let texts = read.iter().map(|(document, _)| document.text.as_str());
        let texts = texts.chain([variables.text.as_str()]).chain(found.iter().map(FoundFile::text));
        texts.flat_map(secret::named_variables).map(str::to_owned).collect()
    }

    fn defaults(environment: &Environment) -> Config {
        Config {
            mappings: mapping_file::Settings::default(),
            secrets_folder: SecretsFolder::beside_configuration(environment),
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            tls: TlsConfig::new("server.tls"),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin: AdminConfig::from_environment(environment),
            listener: listener::Settings::default(),
            intake: intake::Settings::default(),
            store: sqlite::Settings::new("relay.db"),
            retention: Duration::from_hours(30 * 24),
            destinations: destinations::defaults(environment),
            delivery: delivery::Settings::default(),
            log: logs::Settings::default(),
            issues: crate::issues::Settings::default(),
            alerts: crate::alerts::Settings::default(),
            traces: TracesConfig::default(),
        }
    }

    /// Applies the settings of the document.
    fn apply(
        &mut self,
        document: &Document,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        let root = table::parse(document, mistakes);
        let mut root = TomlTable::root(document, &root);
        if let Some(folder) = root.text("mappings", mistakes) {
            self.mappings.folder = Some(PathBuf::from(folder.text));
        }
        if let Some(folder) = root.text("secrets_folder", mistakes) {
            match SecretsFolder::new(&folder.text, environment) {
                Ok(folder) => self.secrets_folder = folder,
                Err(reason) => mistakes.push(Diagnostic::error(folder.place, reason)),
            }
        }
        set_if_some(&mut self.mappings.bundled, BundledSelection::read(&mut root, mistakes));
        if let Some(section) = root.table("server", mistakes) {
            self.apply_server(section, environment, mistakes);
        }
        if let Some(section) = root.table("store", mistakes) {
            self.apply_store(section, mistakes);
        }
        let default = self.destinations.get_mut(DEFAULT_DESTINATION);
        if let Some((section, destination)) = root.table("savio", mistakes).zip(default) {
            destination.take(section, environment, mistakes);
        }
        if let Some(named) = root.table("destinations", mistakes) {
            destinations::apply(&mut self.destinations, &named, environment, mistakes);
        }
        if let Some(section) = root.table("retry", mistakes) {
            apply_retry(&mut self.delivery.retry, section, mistakes);
        }
        if let Some(section) = root.table("admin", mistakes) {
            self.admin.take(section, environment, mistakes);
        }
        if let Some(section) = root.table("log", mistakes) {
            logging::take(&mut self.log, section, mistakes);
        }
        if let Some(section) = root.table("issues", mistakes) {
            issues::take(&mut self.issues, section, mistakes);
        }
        alerts::take(&mut self.alerts, &mut root, environment, mistakes);
        if let Some(section) = root.table("traces", mistakes) {
            self.traces.take(section, environment, mistakes);
        }
        root.finish(mistakes);
    }

    fn apply_server(
        &mut self,
        mut section: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        self.tls.take(&mut section, environment, mistakes);
        set_if_some(&mut self.listen, address(&mut section, "listen", mistakes));
        set_if_some(&mut self.admin_listen, address(&mut section, "admin_listen", mistakes));
        if let Some(url) = url(&mut section, "public_url", mistakes) {
            self.intake.public_url = Some(url.trim_end_matches('/').to_owned());
        }
        self.judge_plain_url(&section, mistakes);
        let intake = &mut self.intake;
        set_if_some(&mut intake.body_bytes_max, size(&mut section, "body_bytes_max", mistakes));
        // The store is ready only while the largest webhook would fit.
        self.store.webhook_bytes_max = intake.body_bytes_max;
        set_if_some(&mut intake.json_depth_max, depth(&mut section, mistakes));
        set_if_some(&mut intake.key_bytes_max, size(&mut section, "key_bytes_max", mistakes));
        set_if_some(&mut intake.parsed_bytes_max, size(&mut section, "parsed_bytes_max", mistakes));
        set_if_some(
            &mut intake.trusted_proxies,
            networks(&mut section, "trusted_proxies", mistakes),
        );
        set_if_some(&mut intake.body_timeout, duration(&mut section, "body_timeout", mistakes));
        let header_timeout = duration(&mut section, "header_timeout", mistakes);
        set_if_some(&mut self.listener.header_timeout, header_timeout);
        let shutdown_timeout = duration(&mut section, "shutdown_timeout", mistakes);
        set_if_some(&mut self.listener.drain_timeout, shutdown_timeout);
        set_if_some(&mut self.delivery.shutdown_timeout, shutdown_timeout);
        section.finish(mistakes);
    }

    /// Warns of a public URL without TLS for an address that has a certificate.
    fn judge_plain_url(&self, section: &TomlTable<'_>, mistakes: &mut Diagnostics) {
        let sets_either = section.has("public_url") || section.has("tls");
        let Some(url) = self.intake.public_url.as_ref().filter(|_| sets_either) else { return };
        if self.tls.is_on() && !self.has_https_url() {
            let message = format!("`public_url` is {url}, and [server.tls] serves https");
            let mistake = Diagnostic::warning(section.value_place("public_url"), message);
            mistakes.push(mistake.help("write https:// before its host"));
        }
    }

    fn apply_store(&mut self, mut section: TomlTable<'_>, mistakes: &mut Diagnostics) {
        if let Some(url) = section.text("url", mistakes) {
            match store_url::parse(&url.text) {
                Ok(place) => {
                    self.store.path = place.path;
                    self.store.former_path = place.former;
                }
                Err(invalid) => mistakes.push(invalid.at(url.place)),
            }
        }
        set_if_some(&mut self.retention, duration(&mut section, "retention", mistakes));
        set_if_some(&mut self.delivery.lease, duration(&mut section, "lease", mistakes));
        section.finish(mistakes);
    }
}

fn apply_retry(
    retry: &mut outcome::Settings,
    mut section: TomlTable<'_>,
    mistakes: &mut Diagnostics,
) {
    set_if_some(&mut retry.wait_min, duration(&mut section, "wait_min", mistakes));
    set_if_some(&mut retry.wait_max, duration(&mut section, "wait_max", mistakes));
    set_if_some(&mut retry.give_up_after, duration(&mut section, "give_up_after", mistakes));
    if retry.wait_min > retry.wait_max {
        let place = section.key_place("wait_min");
        mistakes.push(Diagnostic::error(place, "`wait_min` is longer than `wait_max`"));
    }
    section.finish(mistakes);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::report::{OutputStyle, show};

    pub(super) fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
        let document = Document { name: "relay.toml".to_owned(), text: text.to_owned() };
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        match Config::read(Some(document), &pairs.collect()) {
            Ok((config, _)) => Ok(config),
            Err(refused) => Err(refused
                .iter()
                .map(|(document, mistakes)| show(document, mistakes, OutputStyle::Plain))
                .collect()),
        }
    }

    #[test]
    fn empty_file_gives_the_defaults() {
        let config = read("", &[]).unwrap();

        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.delivery.retry.give_up_after, Duration::from_hours(72));
        assert!(config.destinations[DEFAULT_DESTINATION].token.value().is_err());
    }

    #[test]
    fn environment_overrides_the_file() {
        let variables = [
            ("SAVIO_RELAY_SERVER__LISTEN", "0.0.0.0:80"),
            ("SAVIO_RELAY_SERVER__KEY_BYTES_MAX", "9"),
        ];

        let config = read("[server]\nlisten = \"127.0.0.1:1\"", &variables).unwrap();

        assert_eq!(config.listen.to_string(), "0.0.0.0:80");
        assert_eq!(config.intake.key_bytes_max, 9);
    }

    #[test]
    fn all_mistakes_are_shown_at_once() {
        let text = "[server]\nlisten = \"here\"\nbody_timeot = \"3s\"\n[savio]\ntoken = \"abc\"\n";

        let shown = read(text, &[("SAVIO_RELAY_RETRY__WAIT_MIN", "soon")]).unwrap_err();

        for part in
            ["relay.toml:2:10", "did you mean `body_timeout`?", "env:NAME", "the environment:1"]
        {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("abc"), "{shown}");
    }

    #[test]
    fn password_in_a_url_is_not_shown() {
        let text =
            "store.url = \"postgres://u:hunter2@h\"\nsavio.base_url = \"https://u:hunter2@h\"";

        let shown = read(text, &[]).unwrap_err();

        assert!(shown.contains("relay.toml:2") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn savio_section_sets_the_limits_of_the_default() {
        let text = "[savio]\nrate = \"10/s\"\nunanswered = \"hold\"\nbreaker_failures = 3\n";
        let config = read(text, &[("SAVIO_RELAY_SAVIO__PROBE_EVERY", "5s")]).unwrap();

        let settings = config.destinations[DEFAULT_DESTINATION].delivery(&config.delivery);
        assert_eq!(settings.retry.unanswered, outcome::UnansweredPolicy::Hold);
        let gate = settings.gate;
        assert_eq!((gate.rate, gate.breaker_failures), ("10/s".parse().ok(), 3));
        assert_eq!(gate.probe_every, Duration::from_secs(5));
        assert!(
            read("[savio]\ninsecure = true", &[]).unwrap().destinations[DEFAULT_DESTINATION]
                .insecure
        );
        for wrong in
            ["insecure = 1", "rate = \"fast\"", "unanswered = \"drop\"", "breaker_failures = 0"]
        {
            assert!(read(&format!("[savio]\n{wrong}"), &[]).is_err(), "{wrong}");
        }
    }

    #[test]
    fn destinations_have_their_own_token_and_limits() {
        let text = "[destinations.eu]\nmax_in_flight = 2\n";
        let variables =
            [("SAVIO_API_TOKEN_EU", "t"), ("SAVIO_RELAY_DESTINATIONS__EU__TIMEOUT", "9s")];

        let config = read(text, &variables).unwrap();

        let eu = &config.destinations["eu"];
        assert!(eu.token.value().is_ok());
        assert_eq!((eu.max_in_flight, eu.timeout), (2, Duration::from_secs(9)));
        assert_eq!(config.destinations[DEFAULT_DESTINATION].max_in_flight, 8);
        assert!(config.destinations[DEFAULT_DESTINATION].token.value().is_err());
    }

    #[test]
    fn invalid_destination_sections_are_explained() {
        let check = |text: &str, advice: &str| {
            let shown = read(text, &[]).unwrap_err();
            assert!(shown.contains(advice), "{shown}");
        };
        check("[destinations.default]\ntoken = \"env:T\"", "[savio]");
        check("[destinations.\"E U\"]\ntoken = \"env:T\"", "destinations.\"E U\"");
        check("[destinations.eu]\ntokn = \"env:T\"", "did you mean `token`?");
        check("destinations = 3", "a table");
    }

    #[test]
    fn orchestrator_variables_are_no_settings() {
        assert!(read("", &[("SAVIO_RELAY_PORT", "tcp://10.0.0.1:80")]).is_ok());
        assert!(read("", &[("SAVIO_RELAY_SERVICE_HOST", "10.0.0.1")]).is_ok());
    }

    #[test]
    fn misspelled_variable_is_an_error_without_its_value() {
        let shown = read("", &[("SAVIO_RELAY_SERVER_LISTEN", "hunter2")]).unwrap_err();

        for part in ["the environment:1:3", "SAVIO_RELAY_SERVER__LISTEN"] {
            assert!(shown.contains(part), "{part} in {shown}");
        }
        assert!(!shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn variable_that_a_file_names_is_no_setting() {
        let variables = [("SAVIO_RELAY_SAVIO_TOKEN", "t0k"), ("SAVIO_RELAY_ADMIN__TOKN", "t0k")];
        let text = "[savio]\ntoken = \"env:SAVIO_RELAY_SAVIO_TOKEN\"\n";
        assert!(read(text, &variables[..1]).is_ok());
        assert!(read("", &variables[..1]).is_err());

        let set = ("SAVIO_RELAY_ADMIN__TOKEN", "env:SAVIO_RELAY_ADMIN__TOKN");
        assert!(read(text, &[variables[0], variables[1], set]).is_ok());
        assert!(read(text, &variables).is_err());
    }
}
