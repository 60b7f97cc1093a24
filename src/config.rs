//! `relay.toml` and the environment: the settings of all other parts.

mod destinations;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::delivery::outcome;
use crate::diagnostics::diagnostic::{self, Diagnostic, Document};
use crate::diagnostics::suggestion::nearest;
use crate::diagnostics::table::{self, Diagnostics, TomlTable};
use crate::event::DEFAULT_DESTINATION;
use crate::intake::client_ip::{InvalidNetwork, Network};
use crate::secret::{self, Environment, Secret};
use crate::store::sqlite;
use crate::telemetry::traces;
use crate::{delivery, intake, listener, telemetry};
pub use destinations::{DestinationConfig, DestinationConfigs};

/// Everything that a person can set, with what holds where nothing was set.
#[derive(Debug)]
pub struct Config {
    /// The folder of the mapping files; none named and no such folder means the shipped ones.
    pub mappings: Option<PathBuf>,
    pub listen: SocketAddr,
    /// Where people and programs look in.
    pub admin_listen: SocketAddr,
    /// Missing: a new one is made at each start.
    pub admin_token: Secret,
    pub listener: listener::Settings,
    pub intake: intake::Settings,
    pub store: sqlite::Settings,
    /// How long an event is kept after it settled.
    pub retention: Duration,
    pub destinations: DestinationConfigs,
    /// What holds for all destinations; `Destination::delivery` adds what is its own.
    pub delivery: delivery::Settings,
    pub log: telemetry::Settings,
    pub traces: traces::Settings,
}

/// The documents that were read, each with its mistakes.
pub type ReadDocuments = Vec<(Document, Diagnostics)>;

const VARIABLE: &str = "SAVIO_RELAY_";

impl Config {
    /// Reads the file, if there is one, and then the variables `SAVIO_RELAY_SECTION__KEY` over it.
    /// The warnings come with the configuration.
    pub fn read(
        file: Option<Document>,
        environment: &Environment,
    ) -> Result<(Config, ReadDocuments), ReadDocuments> {
        let (config, read) = Config::read_in_part(file, environment);
        let refused = read.iter().flat_map(|(_, mistakes)| mistakes).any(Diagnostic::is_error);
        if refused { Err(read) } else { Ok((config, read)) }
    }

    /// The same, where a mistake leaves what it is about as it would be without the key.
    pub fn read_in_part(
        file: Option<Document>,
        environment: &Environment,
    ) -> (Config, ReadDocuments) {
        let mut config = Config::default_in(environment);
        let (standard, mut read) = traces::Settings::standard(environment);
        config.traces = standard;
        for document in file.into_iter().chain(overrides(environment)) {
            let mut mistakes = Diagnostics::new();
            config.take(&document, environment, &mut mistakes);
            diagnostic::limit(&document, &mut mistakes);
            read.push((document, mistakes));
        }
        (config, read)
    }

    fn default_in(environment: &Environment) -> Config {
        Config {
            mappings: None,
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            admin_listen: SocketAddr::from(([127, 0, 0, 1], 8081)),
            admin_token: secret::from_environment("ADMIN_TOKEN", environment),
            listener: listener::Settings::default(),
            intake: intake::Settings::default(),
            store: sqlite::Settings::new("relay.db"),
            retention: Duration::from_hours(30 * 24),
            destinations: destinations::default_in(environment),
            delivery: delivery::Settings::default(),
            log: telemetry::Settings::default(),
            traces: traces::Settings::default(),
        }
    }

    /// Takes over what the document sets.
    fn take(&mut self, document: &Document, environment: &Environment, mistakes: &mut Diagnostics) {
        let root = table::parse(document, mistakes);
        let mut root = TomlTable::root(document, &root);
        if let Some(folder) = root.text("mappings", mistakes) {
            self.mappings = Some(PathBuf::from(folder.text));
        }
        if let Some(section) = root.table("server", mistakes) {
            self.take_server(section, mistakes);
        }
        if let Some(section) = root.table("store", mistakes) {
            self.take_store(section, mistakes);
        }
        let default = self.destinations.get_mut(DEFAULT_DESTINATION);
        if let Some((section, destination)) = root.table("savio", mistakes).zip(default) {
            destination.take(section, environment, mistakes);
        }
        if let Some(named) = root.table("destinations", mistakes) {
            destinations::take(&mut self.destinations, &named, environment, mistakes);
        }
        if let Some(section) = root.table("retry", mistakes) {
            take_retry(&mut self.delivery.retry, section, mistakes);
        }
        if let Some(mut section) = root.table("admin", mistakes) {
            if let Some(named) = section.text("token", mistakes) {
                set(&mut self.admin_token, secret::find(&named, environment, mistakes));
            }
            section.finish(mistakes);
        }
        if let Some(section) = root.table("log", mistakes) {
            self.log.take(section, mistakes);
        }
        if let Some(section) = root.table("traces", mistakes) {
            self.traces.take(section, environment, mistakes);
        }
        root.finish(mistakes);
    }

    fn take_server(&mut self, mut section: TomlTable<'_>, mistakes: &mut Diagnostics) {
        set(&mut self.listen, address(&mut section, "listen", mistakes));
        set(&mut self.admin_listen, address(&mut section, "admin_listen", mistakes));
        if let Some(url) = url(&mut section, "public_url", mistakes) {
            self.intake.public_url = Some(url.trim_end_matches('/').to_owned());
        }
        let intake = &mut self.intake;
        set(&mut intake.body_bytes_max, size(&mut section, "body_bytes_max", mistakes));
        self.store.webhook_bytes_max = intake.body_bytes_max;
        set(&mut intake.json_depth_max, depth(&mut section, mistakes));
        set(&mut intake.key_bytes_max, size(&mut section, "key_bytes_max", mistakes));
        set(&mut intake.parsed_bytes_max, size(&mut section, "parsed_bytes_max", mistakes));
        set(&mut intake.trusted_proxies, networks(&mut section, mistakes));
        set(&mut intake.body_timeout, span(&mut section, "body_timeout", mistakes));
        let header_timeout = span(&mut section, "header_timeout", mistakes);
        set(&mut self.listener.header_timeout, header_timeout);
        let shutdown_timeout = span(&mut section, "shutdown_timeout", mistakes);
        set(&mut self.listener.drain_timeout, shutdown_timeout);
        set(&mut self.delivery.shutdown_timeout, shutdown_timeout);
        section.finish(mistakes);
    }

    fn take_store(&mut self, mut section: TomlTable<'_>, mistakes: &mut Diagnostics) {
        if let Some(url) = section.text("url", mistakes) {
            match url.text.strip_prefix("sqlite:").filter(|path| !path.is_empty()) {
                Some(path) => self.store.path = PathBuf::from(path),
                // The address of a server may carry a password.
                None => mistakes.push(
                    Diagnostic::error(url.place, "`url` names no store that this version has")
                        .help("write \"sqlite:\" and a file's path, such as \"sqlite:relay.db\"")
                        .secret(),
                ),
            }
        }
        set(&mut self.retention, span(&mut section, "retention", mistakes));
        set(&mut self.delivery.lease, span(&mut section, "lease", mistakes));
        section.finish(mistakes);
    }
}

fn take_retry(
    retry: &mut outcome::Settings,
    mut section: TomlTable<'_>,
    mistakes: &mut Diagnostics,
) {
    set(&mut retry.wait_min, span(&mut section, "wait_min", mistakes));
    set(&mut retry.wait_max, span(&mut section, "wait_max", mistakes));
    set(&mut retry.give_up_after, span(&mut section, "give_up_after", mistakes));
    if retry.wait_min > retry.wait_max {
        let place = section.key_place("wait_min");
        mistakes.push(Diagnostic::error(place, "`wait_min` is longer than `wait_max`"));
    }
    section.finish(mistakes);
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

/// A number from 1.
fn size(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<usize> {
    let number = section.number(key, mistakes)?;
    let size = usize::try_from(number).ok().filter(|size| *size > 0);
    if size.is_none() {
        mistakes.push(Diagnostic::error(section.key_place(key), format!("`{key}` is 1 or more")));
    }
    size
}

fn address(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<SocketAddr> {
    let text = section.text(key, mistakes)?;
    let address = text.text.parse().ok();
    if address.is_none() {
        let message = format!("`{key}` is no address with a port");
        let help = "write an IP address and a port, such as \"127.0.0.1:8080\"";
        mistakes.push(Diagnostic::error(text.place, message).help(help));
    }
    address
}

fn networks(section: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<Vec<Network>> {
    let mut networks = Vec::new();
    for text in section.texts("trusted_proxies", mistakes)? {
        if let Ok(network) = text.text.parse() {
            networks.push(network);
        } else {
            let message = format!("`{}` is no network", text.text);
            mistakes.push(Diagnostic::error(text.place, message).help(InvalidNetwork.to_string()));
        }
    }
    Some(networks)
}

/// serde_json reads at most 127 levels; the limit may not promise more.
fn depth(section: &mut TomlTable<'_>, mistakes: &mut Diagnostics) -> Option<usize> {
    let depth = size(section, "json_depth_max", mistakes)?;
    if depth > 127 {
        let place = section.key_place("json_depth_max");
        mistakes.push(Diagnostic::error(place, "`json_depth_max` is 127 at most"));
    }
    Some(depth)
}

/// A time span longer than nothing.
fn span(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<Duration> {
    let duration = section.duration(key, mistakes)?;
    if duration.is_zero() {
        let place = section.key_place(key);
        mistakes.push(Diagnostic::error(place, format!("`{key}` is longer than 0")));
    }
    Some(duration)
}

fn url(
    section: &mut TomlTable<'_>,
    key: &'static str,
    mistakes: &mut Diagnostics,
) -> Option<String> {
    let text = section.text(key, mistakes)?;
    let parsed = reqwest::Url::parse(&text.text).ok();
    let fits = parsed.is_some_and(|url| {
        matches!(url.scheme(), "http" | "https") && url.has_host() && url.query().is_none()
    });
    if fits {
        return Some(text.text);
    }
    let message = format!("`{key}` is no http or https URL");
    let help = "write it whole, such as \"https://relay.example.com\"";
    mistakes.push(Diagnostic::error(text.place, message).help(help));
    None
}

/// The variables as a document of its own, so that a mistake in one is shown like any other.
fn overrides(environment: &Environment) -> Option<Document> {
    let lines: Vec<String> = environment
        .iter()
        .filter_map(|(variable, value)| {
            let name = variable.strip_prefix(VARIABLE)?.to_lowercase();
            let key = match name.split_once("__") {
                Some((section @ ("destinations" | "traces"), key)) => {
                    format!("{section}.{}", key.replacen("__", ".", 1))
                }
                Some((section, key)) => format!("{section}.{key}"),
                // An orchestrator sets other variables of this form for a service of this name.
                None => nearest(&name, ["mappings"]).map(|_| name)?,
            };
            Some(format!("{key} = {} # {variable}\n", written(value)))
        })
        .collect();
    (!lines.is_empty())
        .then(|| Document { name: "the environment".to_owned(), text: lines.concat() })
}

/// A variable's value as TOML: a number or truth value as itself, anything else as a text
/// (whose JSON form is one of TOML's).
fn written(value: &str) -> String {
    let is_whole = value.parse::<i64>().is_ok_and(|whole| whole.to_string() == value);
    if is_whole || value.parse::<bool>().is_ok() || is_decimal(value) {
        return value.to_owned();
    }
    serde_json::Value::from(value).to_string()
}

fn is_decimal(value: &str) -> bool {
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
    let is_whole = |part: &str| digits(part) && (part == "0" || !part.starts_with('0'));
    value.split_once('.').is_some_and(|(whole, part)| is_whole(whole) && digits(part))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::report::{OutputStyle, show};

    fn read(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
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
    fn an_empty_file_gives_the_defaults() {
        let config = read("", &[]).unwrap();

        assert_eq!(config.listen.to_string(), "127.0.0.1:8080");
        assert_eq!(config.delivery.retry.give_up_after, Duration::from_hours(72));
        assert!(matches!(config.destinations[DEFAULT_DESTINATION].token, Secret::Missing(_)));
    }

    #[test]
    fn the_environment_comes_before_the_file() {
        let variables = [
            ("SAVIO_RELAY_SERVER__LISTEN", "0.0.0.0:80"),
            ("SAVIO_RELAY_SERVER__KEY_BYTES_MAX", "9"),
        ];

        let config = read("[server]\nlisten = \"127.0.0.1:1\"", &variables).unwrap();

        assert_eq!(config.listen.to_string(), "0.0.0.0:80");
        assert_eq!(config.intake.key_bytes_max, 9);
    }

    #[test]
    fn every_mistake_is_shown_at_once() {
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
    fn a_password_in_an_address_is_not_shown() {
        let text =
            "store.url = \"postgres://u:hunter2@h\"\nsavio.base_url = \"https://u:hunter2@h\"";

        let shown = read(text, &[]).unwrap_err();

        assert!(shown.contains("relay.toml:2") && !shown.contains("hunter2"), "{shown}");
    }

    #[test]
    fn the_destination_has_its_limits() {
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
        assert!(matches!(eu.token, Secret::Found(_)));
        assert_eq!((eu.max_in_flight, eu.timeout), (2, Duration::from_secs(9)));
        assert_eq!(config.destinations[DEFAULT_DESTINATION].max_in_flight, 8);
        assert!(matches!(config.destinations[DEFAULT_DESTINATION].token, Secret::Missing(_)));
    }

    #[test]
    fn a_destination_is_written_out() {
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
    fn variables_of_an_orchestrator_are_no_settings() {
        assert!(read("", &[("SAVIO_RELAY_PORT", "tcp://10.0.0.1:80")]).is_ok());
        assert!(read("", &[("SAVIO_RELAY_SERVICE_HOST", "10.0.0.1")]).is_ok());
    }
}
