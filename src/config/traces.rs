//! `[traces]` of relay.toml, and the variables by which OpenTelemetry is set up anywhere.

use std::collections::BTreeMap;
use std::ops::Range;
use std::time::Duration;

use percent_encoding::percent_decode_str;
use reqwest::Url;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use secrecy::{ExposeSecret, SecretString};

use super::environment::ReadDocuments;
use crate::diagnostics::diagnostic::Diagnostic;
use crate::diagnostics::document::Document;
use crate::diagnostics::table::{Diagnostics, TomlTable, text_of, wrong_type};
use crate::secret::{self, Environment, Secret};
use crate::telemetry::traces::{SamplingRatio, TARGET_PATH, Target};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const HEADERS: &str = "OTEL_EXPORTER_OTLP_HEADERS";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const TRACES_HEADERS: &str = "OTEL_EXPORTER_OTLP_TRACES_HEADERS";

/// In milliseconds. The SDK reads it too, and would not rest at all at 0.
const SCHEDULE_DELAY: &str = "OTEL_BSP_SCHEDULE_DELAY";
const DELAY: Duration = Duration::from_secs(5);
const DELAY_MIN: Duration = Duration::from_millis(10);

type CollectorHeaders = BTreeMap<String, Secret>;

#[derive(Debug, Clone)]
pub struct TracesConfig {
    endpoint: Option<Url>,
    headers: CollectorHeaders,
    sample: SamplingRatio,
    /// What the standard variables say; it counts where no endpoint is written.
    standard: Option<(Url, CollectorHeaders)>,
    /// A standard variable turns all of it off.
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
    /// By the standard variables. They may be meant for other programs too, so a mistake in one is a
    /// warning.
    pub(super) fn from_environment(environment: &Environment) -> (TracesConfig, ReadDocuments) {
        let is = |name, value: &str| {
            environment.get(name).is_some_and(|it: &String| it.eq_ignore_ascii_case(value))
        };
        let is_disabled = is("OTEL_SDK_DISABLED", "true") || is("OTEL_TRACES_EXPORTER", "none");
        let mut read = Vec::new();
        let url = match set(TRACES_ENDPOINT, environment) {
            Some(text) => endpoint_in((TRACES_ENDPOINT, text), whole, &mut read),
            None => set(ENDPOINT, environment)
                .and_then(|text| endpoint_in((ENDPOINT, text), base, &mut read)),
        };
        let named = [TRACES_HEADERS, HEADERS].into_iter();
        let mut named = named.filter_map(|name| Some((name, set(name, environment)?)));
        let headers = url.as_ref().and_then(|_| named.next());
        let headers = headers.map(|it| headers_in(it, &mut read)).unwrap_or_default();
        let standard = url.map(|url| (url, headers));
        let delay = set(SCHEDULE_DELAY, environment).and_then(|ms| ms.parse().ok());
        let delay = delay.map_or(DELAY, Duration::from_millis).max(DELAY_MIN);
        (TracesConfig { standard, is_disabled, delay, ..TracesConfig::default() }, read)
    }

    /// Takes over what the section `[traces]` sets.
    pub(super) fn take(
        &mut self,
        mut section: TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        if let Some(text) = section.text("endpoint", mistakes) {
            match base(&text.text) {
                Ok(url) => self.endpoint = Some(url),
                Err(error) => mistakes.push(error.at(text.place, &text.text)),
            }
        }
        if let Some(headers) = section.table("headers", mistakes) {
            self.take_headers(&headers, environment, mistakes);
        }
        if let Some(share) = section.share("sample", mistakes) {
            self.sample = SamplingRatio::new(share).unwrap_or(SamplingRatio::ALL);
        }
        section.finish(mistakes);
    }

    fn take_headers(
        &mut self,
        headers: &TomlTable<'_>,
        environment: &Environment,
        mistakes: &mut Diagnostics,
    ) {
        for (name, value) in headers.entries() {
            let Some(named) = text_of(headers.document(), value) else {
                mistakes.push(wrong_type(&name.text, value, "a text in quotes").secret());
                continue;
            };
            if name.text.parse::<HeaderName>().is_err() {
                let message = format!("`{}` is not the name of a header", name.text);
                mistakes.push(Diagnostic::error(name.place, message));
            } else if let Some(secret) = secret::find(&named, environment, mistakes) {
                self.headers.insert(name.text.to_lowercase(), secret);
            }
        }
    }

    /// None: nothing is configured. The error is why nothing can be sent.
    pub fn target(&self) -> Result<Option<Target>, String> {
        let (url, mut headers) = match (&self.endpoint, &self.standard) {
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
        self.told(Diagnostic::error(place, format!("`endpoint`: {self}")), text)
    }

    /// What is more than scheme, host and port may be a key.
    fn told(self, mistake: Diagnostic, text: &str) -> Diagnostic {
        let mistake = mistake.help("write it whole, such as \"http://localhost:4318\"");
        let is_plain = self == InvalidEndpoint::NoUrl && !text.contains(['@', '?', '#']);
        if is_plain { mistake } else { mistake.secret() }
    }
}

fn set<'e>(name: &str, environment: &'e Environment) -> Option<&'e str> {
    environment.get(name).map(|value| value.trim()).filter(|value| !value.is_empty())
}

/// The URL of a collector, to which its path is added.
fn base(text: &str) -> Result<Url, InvalidEndpoint> {
    let mut url = whole(text)?;
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

/// The URL to which spans are posted as it is.
fn whole(text: &str) -> Result<Url, InvalidEndpoint> {
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

/// What the endpoint in a standard variable is; none if it is wrong.
fn endpoint_in(
    (name, text): (&str, &str),
    parse: fn(&str) -> Result<Url, InvalidEndpoint>,
    read: &mut ReadDocuments,
) -> Option<Url> {
    let (document, place) = written(name, text);
    match parse(text) {
        Ok(url) => Some(url),
        Err(error) => {
            let message = format!("no traces are sent: {error}");
            read.push((document, vec![error.told(Diagnostic::warning(place, message), text)]));
            None
        }
    }
}

/// Headers as `name=value,name=value`, their values percent-encoded.
fn headers_in((name, text): (&str, &str), read: &mut ReadDocuments) -> CollectorHeaders {
    let mut headers = CollectorHeaders::new();
    for pair in text.split(',').map(str::trim).filter(|pair| !pair.is_empty()) {
        if let Some((name, value)) = header_in(pair) {
            headers.insert(name.to_string(), Secret::Found(value));
        } else {
            let (document, place) = written(name, text);
            let mistake = Diagnostic::warning(place, "a header is left out that cannot be read")
                .help("write name=value,name=value with the values percent-encoded");
            read.push((document, vec![mistake.secret()]));
        }
    }
    headers
}

fn header_in(pair: &str) -> Option<(HeaderName, SecretString)> {
    let (name, value) = pair.split_once('=')?;
    let value = percent_decode_str(value.trim()).decode_utf8().ok()?;
    Some((name.trim().parse().ok()?, SecretString::from(value.as_ref())))
}

/// A variable as a document of its own, so that a mistake in it is shown like any other.
fn written(name: &str, text: &str) -> (Document, Range<usize>) {
    let beginning = format!("{name} = ");
    let place = beginning.len()..beginning.len() + text.len();
    (Document { name: "the environment".to_owned(), text: beginning + text }, place)
}

fn header(name: &str, secret: &Secret) -> Result<(HeaderName, HeaderValue), String> {
    let value = match secret {
        Secret::Found(value) => value,
        Secret::Missing(reason) => return Err(reason.clone()),
    };
    let unfit = |_| format!("no HTTP header can carry what is set for {name}");
    let name = name.parse().map_err(|_| format!("`{name}` is not the name of a header"))?;
    let mut value = HeaderValue::try_from(value.expose_secret()).map_err(unfit)?;
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

    /// Where spans go, and with which headers.
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
    fn the_path_is_added_to_the_endpoint() {
        check("", &[], None);
        check("endpoint = \"http://c:4318\"", &[], Some("http://c:4318/v1/traces"));
        check("endpoint = \"https://c/otlp/\"", &[], Some("https://c/otlp/v1/traces"));
    }

    #[test]
    fn the_standard_variables_serve_where_nothing_is_written() {
        let base = (ENDPOINT, "http://c:4318/");
        check("", &[base], Some("http://c:4318/v1/traces"));
        check("", &[base, (TRACES_ENDPOINT, "http://t/in?a=b")], Some("http://t/in?a=b"));
        check("endpoint = \"http://own\"", &[base], Some("http://own/v1/traces"));
        check("", &[base, ("OTEL_SDK_DISABLED", "TRUE")], None);
        check("", &[base, ("OTEL_TRACES_EXPORTER", "none")], None);
        check("", &[(ENDPOINT, " ")], None);
    }

    #[test]
    fn headers_go_where_they_were_meant_to() {
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
    fn what_is_no_endpoint_is_a_mistake() {
        check_mistake("endpoint = \"c:4318\"", &[], "not an http or https URL");
        check_mistake("endpoint = \"http://c/v1/traces\"", &[], "adds /v1/traces itself");
        check_mistake("endpoint = \"http://u:p@c\"", &[], "no user and password");
        check_mistake("endpoint = \"http://c?key=1\"", &[], "without `?`");
        check_mistake("", &[(ENDPOINT, "c:4318")], "no traces are sent: this is not an http");
        check_mistake("sample = 1.5", &[], "from 0 to 1");
        check_mistake("headers.x = \"hunter2\"", &[], "a secret is not written into a file");
        check_mistake("headers.\"x y\" = \"env:A\"", &[], "no name of a header");
    }

    #[test]
    fn a_mistake_in_a_standard_variable_stops_nothing() {
        let (settings, mistakes) = read("", &[(ENDPOINT, "http://c"), (HEADERS, "a=1,oops")]);

        assert!(!mistakes[0].is_error() && mistakes[0].secret);
        assert_eq!(settings.target().unwrap().unwrap().headers.len(), 1);
    }

    #[test]
    fn a_header_that_is_missing_is_told() {
        let (settings, _) = read("endpoint = \"http://c\"\nheaders.a = \"env:A\"", &[]);

        let reason = settings.target().unwrap_err();

        assert_eq!(reason, "the environment variable A is not set");
    }
}
