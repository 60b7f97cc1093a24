//! `[traces]` of relay.toml, and the standard environment variables of OpenTelemetry.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::environment::ReadDocuments;
use super::secret_headers::secret_headers;
use super::values::set_if_some;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{Diagnostics, TomlTable};
use crate::secret::{Environment, Secret};
use crate::telemetry::traces::{SamplingRatio, TARGET_PATH, Target};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";

/// Interval of exports, in milliseconds.
// The SDK reads this variable too, and would export without a pause at 0.
const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
// The default of OpenTelemetry's specification.
const DELAY: Duration = Duration::from_secs(5);
const DELAY_MIN: Duration = Duration::from_millis(10);

type CollectorHeaders = BTreeMap<String, Secret>;

#[derive(Debug, Clone)]
pub struct TracesConfig {
    endpoint: Option<Url>,
    headers: CollectorHeaders,
    sample: SamplingRatio,
    /// Endpoint and headers of the standard variables, used if `endpoint` is not set.
    standard: Option<(Url, CollectorHeaders)>,
    /// Set if a standard variable disables all traces.
    is_disabled: bool,
    delay: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
enum InvalidEndpoint {
    #[error("this is not an http or https URL")]
    NoUrl,
    #[error("the URL must carry no user and password; `headers` are for that")]
    Credentials,
    #[error("the URL must end with its path, without `?` and `#`")]
    Query,
    #[error("the relay adds /v1/traces itself")]
    Path,
}

impl Default for TracesConfig {
    fn default() -> TracesConfig {
        TracesConfig {
            endpoint: None,
            headers: CollectorHeaders::new(),
            sample: SamplingRatio::ALL,
            standard: None,
            is_disabled: false,
            delay: DELAY,
        }
    }
}

impl TracesConfig {
    /// Reads the standard variables. Mistakes in them are warnings.
    // They may be meant for other programs on the machine.
    pub(super) fn from_environment(environment: &Environment) -> (TracesConfig, ReadDocuments) {
        let is = |name, value: &str| {
            environment.get(name).is_some_and(|it| it.eq_ignore_ascii_case(value))
        };
        let is_disabled = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
        let mut read = Vec::new();
        // The specification has the variables for traces replace the general ones, and adds the
        // path only to the general endpoint.
        let url = match variable(TRACES_ENDPOINT, environment) {
            Some(text) => read_endpoint((TRACES_ENDPOINT, text), traces_url, &mut read),
            None => variable(ENDPOINT, environment)
                .and_then(|text| read_endpoint((ENDPOINT, text), base_url, &mut read)),
        };
        let named = [TRACES_HEADERS, HEADERS].into_iter();
        let mut named = named.filter_map(|name| Some((name, variable(name, environment)?)));
        // Only with their endpoint: without one they are not used, and a mistake in them is none of
        // ours.
        let headers = url.as_ref().and_then(|_| named.next());
        let headers = headers.map(|it| read_headers(it, &mut read)).unwrap_or_default();
        let standard = url.map(|url| (url, headers));
        let delay = variable(SCHEDULE_DELAY, environment).and_then(|ms| ms.parse().ok());
        let delay = delay.map_or(DELAY, Duration::from_millis).max(DELAY_MIN);
        (TracesConfig { standard, is_disabled, delay, ..TracesConfig::default() }, read)
    }

    /// Applies the section `[traces]`.
    pub(super) fn take(
        &mut self,
        mut section: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        if let Some(text) = section.text("endpoint", mistakes) {
            match base_url(&text.text) {
                Ok(url) => self.endpoint = Some(url),
                Err(error) => mistakes.push(error.at(text.place, &text.text)),
            }
        }
        if let Some(headers) = section.table("headers", mistakes) {
            // In lower case, one of these replaces one of the same name from the standard variables.
            self.headers.extend(secret_headers(&headers, environment, mistakes));
        }
        if let Some(share) = section.ratio("sample", mistakes) {
            self.sample = SamplingRatio::new(share).unwrap_or(SamplingRatio::ALL);
        }
        section.finish(mistakes);
    }

    /// Returns the secrets of the configured headers, each with the header's name.
    pub(super) fn secrets(&self) -> impl Iterator<Item = (&str, &Secret)> {
        self.headers.iter().map(|(name, secret)| (name.as_str(), secret))
    }

    pub(super) fn renew_secrets(&mut self, current: impl Fn(&str) -> Option<Secret>) {
        for (name, secret) in &mut self.headers {
            set_if_some(secret, current(name));
        }
    }

    /// Returns where spans are sent; `None` if no traces are configured. Fails with the reason if a
    /// header cannot be sent.
    pub fn target(&self) -> Result<Option<Target>, String> {
        let (url, mut headers) = match (&self.endpoint, &self.standard) {
            // The headers of the standard variables may hold the key of the collector there:
            // another one must not get it.
            (Some(url), _) => (url, CollectorHeaders::new()),
            (None, Some((url, headers))) => (url, headers.clone()),
            (None, None) => return Ok(None),
        };
        if self.is_disabled {
            return Ok(None);
        }
        headers.extend(self.headers.clone());
        let headers = headers.iter().map(|(name, secret)| header(name, secret));
        let headers = headers.collect::<Result<HeaderMap, String>>()?;
        Ok(Some(Target { url: url.clone(), headers, sample: self.sample, delay: self.delay }))
    }
}

impl InvalidEndpoint {
    fn at(self, place: Range<usize>, text: &str) -> Diagnostic {
        self.explain(Diagnostic::error(place, format!("`endpoint`: {self}")), text)
    }

    /// Adds help to the mistake, and hides the URL if it may contain a secret.
    fn explain(self, mistake: Diagnostic, text: &str) -> Diagnostic {
        let mistake = mistake.help("write it whole, such as \"http://localhost:4318\"");
        // Anything beyond scheme, host and port may be a key.
        let is_plain = self == InvalidEndpoint::NoUrl && !text.contains(['@', '?', '#']);
        if is_plain { mistake } else { mistake.secret() }
    }
}

/// Returns a variable that is set. An empty one counts as not set, as in the specification.
fn variable<'e>(name: &str, environment: &'e Environment) -> Option<&'e str> {
    environment.get(name).map(str::trim).filter(|value| !value.is_empty())
}

/// Parses the URL of a collector, and adds the path of traces to it.
fn base_url(text: &str) -> Result<Url, InvalidEndpoint> {
    let mut url = traces_url(text)?;
    if url.query().is_some() {
        return Err(InvalidEndpoint::Query);
    }
    let path = url.path().trim_end_matches('/');
    if path.ends_with(TARGET_PATH) {
        return Err(InvalidEndpoint::Path);
    }
    let path = format!("{path}{TARGET_PATH}");
    url.set_path(&path);
    Ok(url)
}

/// Parses the URL to which spans are posted.
fn traces_url(text: &str) -> Result<Url, InvalidEndpoint> {
    let url = Url::parse(text.trim()).map_err(|_| InvalidEndpoint::NoUrl)?;
    if !matches!(url.scheme(), "http" | "https") {
        return Err(InvalidEndpoint::NoUrl);
    }
    if !url.username().is_empty() || url.password().is_some() {
        return Err(InvalidEndpoint::Credentials);
    }
    if url.fragment().is_some() {
        return Err(InvalidEndpoint::Query);
    }
    Ok(url)
}

/// Reads the endpoint in a standard variable; `None` if it is invalid.
fn read_endpoint(
    (name, text): (&str, &str),
    parse: fn(&str) -> Result<Url, InvalidEndpoint>,
    read: &mut ReadDocuments,
) -> Option<Url> {
    let (document, place) = document_of(name, text);
    match parse(text) {
        Ok(url) => Some(url),
        Err(error) => {
            let message = format!("no traces are sent: {error}");
            read.push((document, vec![error.explain(Diagnostic::warning(place, message), text)]));
            None
        }
    }
}

/// Reads headers written as `name=value,name=value`, with percent-encoded values.
// The format of W3C Baggage without its properties, as the specification defines it.
fn read_headers((name, text): (&str, &str), read: &mut ReadDocuments) -> CollectorHeaders {
    let mut headers = CollectorHeaders::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        if let Some((header, value)) = parse_header(pair) {
            headers.insert(header.to_string(), Secret::part_of_variable(name, value));
        } else {
            let (document, place) = document_of(name, text);
            let mistake = Diagnostic::warning(place, "a header is left out that cannot be read")
                .help("write name=value,name=value with the values percent-encoded");
            read.push((document, vec![mistake.secret()]));
        }
    }
    headers
}

fn parse_header(pair: &str) -> Option<(HeaderName, SecretString)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    Some((name.trim().parse().ok()?, SecretString::from(value.as_ref())))
}

/// Returns a variable as a document, and the place of its value.
// A mistake in it is then shown like one in a file.
fn document_of(name: &str, text: &str) -> (Document, Range<usize>) {
    let beginning = format!("{name} = ");
    let place = beginning.len()..beginning.len() + text.len();
    (Document { name: "the environment".to_owned(), text: beginning + text }, place)
}

fn header(name: &str, secret: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let value = secret.value().map_err(str::to_owned)?;
    let unfit = |_| {
        format!(
            "{}: no HTTP header can carry it, as `{name}` of [traces] should",
            secret.location()
        )
    };
    let name = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    let mut value = HeaderValue::try_from(value.expose_secret()).map_err(unfit)?;
    // Keeps it out of debug output of the HTTP client.
    value.set_sensitive(true);
    Ok((name, value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::table;

    fn read(text: &str, variables: &[(&str, &str)]) -> (TracesConfig, Diagnostics) {
        let pairs = variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        let environment: Environment = pairs.collect();
        let (mut settings, read) = TracesConfig::from_environment(&environment);
        let mut mistakes: Diagnostics =
            read.into_iter().flat_map(|(_, mistakes)| mistakes).collect();
        let document = Document { name: "relay.toml".to_owned(), text: text.to_owned() };
        let root = table::parse(&document, &mut mistakes);
        settings.take(TomlTable::root(&document, &root), &environment, &mut mistakes);
        (settings, mistakes)
    }

    /// Checks where spans are sent, and with which headers.
    #[track_caller]
    fn check(text: &str, variables: &[(&str, &str)], expected: Option<&str>) {
        let (settings, mistakes) = read(text, variables);
        assert_eq!(mistakes, []);
        let target = settings.target().unwrap().map(|target| {
            let headers = target.headers.iter();
            let headers = headers.map(|(name, it)| format!(" {name}={}", it.to_str().unwrap()));
            target.url.to_string() + &headers.collect::<String>()
        });
        assert_eq!(target.as_deref(), expected);
    }

    #[track_caller]
    fn check_mistake(text: &str, variables: &[(&str, &str)], expected: &str) {
        let (settings, mistakes) = read(text, variables);
        assert!(mistakes[0].message.contains(expected), "{mistakes:?}");
        assert!(settings.target().unwrap().is_none());
    }

    #[test]
    fn traces_path_is_added_to_the_endpoint() {
        check("", &[], None);
        check("endpoint = \"http://c:4318\"", &[], Some("http://c:4318/v1/traces"));
        check("endpoint = \"https://c/otlp/\"", &[], Some("https://c/otlp/v1/traces"));
    }

    #[test]
    fn standard_variables_apply_without_an_endpoint() {
        let base = (ENDPOINT, "http://c:4318/");
        check("", &[base], Some("http://c:4318/v1/traces"));
        check("", &[base, (TRACES_ENDPOINT, "http://t/in?a=b")], Some("http://t/in?a=b"));
        check("endpoint = \"http://own\"", &[base], Some("http://own/v1/traces"));
        check("", &[base, ("OTEL_SDK_DISABLED", "TRUE")], None);
        check("", &[base, ("OTEL_TRACES_EXPORTER", "none")], None);
        check("", &[(ENDPOINT, " ")], None);
    }

    #[test]
    fn standard_headers_go_only_to_the_standard_endpoint() {
        let base = (ENDPOINT, "http://c");
        let headers = (HEADERS, "a=1%202, B=x=y");
        let own = "headers.B = \"env:OWN\"";
        let variables = [base, headers, ("OWN", "s")];
        check("", &variables, Some("http://c/v1/traces a=1 2 b=x=y"));
        check("", &[base, headers, (TRACES_HEADERS, "t=1")], Some("http://c/v1/traces t=1"));
        check(own, &variables, Some("http://c/v1/traces a=1 2 b=s"));
        let own = format!("endpoint = \"http://own\"\n{own}");
        check(&own, &variables, Some("http://own/v1/traces b=s"));
    }

    #[test]
    fn invalid_setting_of_traces_is_a_mistake() {
        check_mistake("endpoint = \"c:4318\"", &[], "not an http or https URL");
        check_mistake("endpoint = \"http://c/v1/traces\"", &[], "adds /v1/traces itself");
        check_mistake("endpoint = \"http://u:p@c\"", &[], "no user and password");
        check_mistake("endpoint = \"http://c?key=1\"", &[], "without `?`");
        check_mistake("", &[(ENDPOINT, "c:4318")], "no traces are sent: this is not an http");
        check_mistake("sample = 1.5", &[], "from 0 to 1");
        check_mistake("headers.x = \"hunter2\"", &[], "a secret is not written into a file");
        check_mistake("headers.\"x y\" = \"env:A\"", &[], "not the name of a header");
    }

    #[test]
    fn mistake_in_a_standard_variable_is_a_warning() {
        let (settings, mistakes) = read("", &[(ENDPOINT, "http://c"), (HEADERS, "a=1,oops")]);

        assert!(!mistakes[0].is_error() && mistakes[0].secret);
        assert_eq!(settings.target().unwrap().unwrap().headers.len(), 1);
    }

    #[test]
    fn missing_secret_of_a_header_is_an_error() {
        let (settings, _) = read("endpoint = \"http://c\"\nheaders.a = \"env:A\"", &[]);

        let reason = settings.target().unwrap_err();

        assert_eq!(reason, "the environment variable A is not set");
    }
}
