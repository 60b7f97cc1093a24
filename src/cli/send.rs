//! `send`: signs a payload like its provider, and posts it.

use std::path::{Path, PathBuf};

use reqwest::{Client, Url};
use secrecy::SecretString;

use super::error::CommandError;
use super::input::header;
use super::local_listener::{LocalListener, client, explain_named, https_expected};
use super::{input, output, runtime};
use crate::clock;
use crate::config::Config;
use crate::diagnostics::document::Document;
use crate::event::SourceName;
use crate::http_client::{CallFailure, error_chain};
use crate::intake::registry::SourceStatus;
use crate::intake::signature::SigningKey;
use crate::intake::source::Source;
use crate::listener::PLAIN_HTTP_REFUSAL;
use crate::mapping_file::file::{MappingFile, MappingTest, SamplePayload};
use crate::outgoing_webhook::{self, OutgoingWebhook, PreparedWebhook, PrivateKeyMissing};
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Source name, or path of a mapping file
    source: String,
    /// File with the payload; - for standard input (default: the first sample of the mapping's tests)
    payload: Option<PathBuf>,
    /// Sample of the mapping's tests to send, by a part of its file's name
    #[arg(long, value_name = "NAME", conflicts_with = "payload")]
    sample: Option<String>,
    /// URL to post to; /hooks/NAME is appended if it is missing (default: the relay in the
    /// configuration)
    #[arg(long, value_name = "URL")]
    to: Option<String>,
    /// Header of the webhook, if the event's type or id is in one; repeatable
    #[arg(long = "header", value_name = "NAME:VALUE", value_parser = header)]
    headers: Vec<(String, String)>,
    /// Private key for providers that sign asymmetrically: PKCS#8, or its bytes in hex
    #[arg(long, value_name = "FILE")]
    private_key: Option<PathBuf>,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// The relay's response to a webhook.
pub(super) struct RelayResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    let source = signing_source(&file)?;
    let receiver = match &arguments.to {
        Some(to) => Receiver::at(hook_url(to, &source.name)?)?,
        None => Receiver::local(&config, &source.name)?,
    };
    let key = signing_key(source, arguments.private_key.as_deref())?;
    let sample = sample(arguments, &file)?;
    let public_url = config.intake.public_url.as_deref();
    let signed_url = public_url.map(|it| format!("{it}/hooks/{}", source.name));
    let webhook = OutgoingWebhook {
        source,
        sample: &sample,
        signed_url: signed_url.as_deref(),
        key: key.as_ref(),
    };

    let webhook = webhook.prepare(receiver.url.as_str(), clock::now())?;
    let explain = |failure: &CallFailure| receiver.explain(failure);
    let response = runtime::block_on(post(&webhook, &receiver.client, &explain))?;
    output::print(&format!("{} {}\n", response.status, output::line(&response.body)))?;
    judge(&response, source, receiver.url.as_str())
}

/// Returns the payload: that of the command line, or a sample of the mapping's tests.
fn sample(arguments: &Arguments, file: &MappingFile) -> Result<SamplePayload, CommandError> {
    let own = arguments.headers.iter().cloned();
    if let Some(payload) = &arguments.payload {
        return Ok(SamplePayload { headers: own.collect(), body: input::bytes(payload)? });
    }
    let test = chosen_test(file, arguments.sample.as_deref())?;
    let body = file.test_file(&test.payload.text).map_err(CommandError::InvalidInput)?;
    output::print_error(&announcement((file, test), arguments.sample.is_none()));
    let headers = test.headers.clone().into_iter().chain(own);
    Ok(SamplePayload { headers: headers.collect(), body })
}

/// Returns the test whose payload is sent: the first, or the one with this text in its name.
fn chosen_test<'f>(
    file: &'f MappingFile,
    name: Option<&str>,
) -> Result<&'f MappingTest, CommandError> {
    let of_file = output::line(&file.document.name);
    let Some(first) = file.tests.first() else {
        let message =
            format!("{of_file} has no [[test]] with a sample: name a file with a payload");
        return Err(CommandError::InvalidInput(message));
    };
    let Some(name) = name else { return Ok(first) };
    let found = file.tests.iter().find(|test| sample_name(test).contains(name));
    found.ok_or_else(|| {
        let names: Vec<&str> = file.tests.iter().map(sample_name).collect();
        let message =
            format!("no sample of {of_file} is called {name}; there are: {}", names.join(", "));
        CommandError::InvalidInput(message)
    })
}

fn sample_name(test: &MappingTest) -> &str {
    test.payload.text.rsplit('/').next().unwrap_or_default()
}

/// Says which sample is sent, and to whoever chose none, which others there are.
fn announcement((file, sent): (&MappingFile, &MappingTest), with_others: bool) -> String {
    let name = sample_name(sent);
    let others = file.tests.iter().map(sample_name).filter(|other| with_others && *other != name);
    let mut others: Vec<&str> = others.collect();
    others.dedup();
    let others = match others.as_slice() {
        [] => String::new(),
        others => format!("; others, by --sample: {}", others.join(", ")),
    };
    format!("sends the sample {}{}", output::line(name), output::line(&others))
}

/// The relay to which a webhook is posted.
struct Receiver {
    url: Url,
    client: Client,
    /// None if the command line names the URL.
    listener: Option<LocalListener>,
}

impl Receiver {
    fn at(url: Url) -> Result<Receiver, CommandError> {
        Ok(Receiver { client: client(url.as_str())?, url, listener: None })
    }

    /// Returns the relay of the configuration, as this machine reaches it.
    fn local(config: &Config, source: &SourceName) -> Result<Receiver, CommandError> {
        let Some(listener) = LocalListener::of(config.listen, &config.tls) else {
            let unknown =
                "`server.listen` leaves the port open: name the relay's address with --to";
            return Err(CommandError::InvalidInput(unknown.to_owned()));
        };
        let unknown = |reason: &str| {
            CommandError::InvalidInput(format!("{} cannot be called: {reason}", listener.url))
        };
        let client = listener.client().map_err(unknown)?.clone();
        let mut url = listener.url.clone();
        url.set_path(&format!("hooks/{source}"));
        Ok(Receiver { url, client, listener: Some(listener) })
    }

    /// Explains why a call got no answer.
    fn explain(&self, failure: &CallFailure) -> String {
        match &self.listener {
            Some(listener) => listener.explain(failure),
            None => explain_named(failure, &self.url, "--to"),
        }
    }
}

/// Appends `/hooks/NAME` to a URL that does not name a source, and says so.
fn hook_url(to: &str, source: &SourceName) -> Result<Url, CommandError> {
    let parsed = Url::parse(to).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    let Some(mut url) = parsed.filter(Url::has_host) else {
        let message = format!(
            "--to {to} is not a URL: write it whole, such as https://relay.example.com/hooks/{source}"
        );
        return Err(CommandError::InvalidInput(message));
    };
    let segments: Vec<&str> = url.path().split('/').filter(|it| !it.is_empty()).collect();
    let base = match segments.as_slice() {
        // Any path below `hooks` names a source.
        [.., "hooks", _] => return Ok(url),
        [base @ .., "hooks"] | base => base,
    };
    let path = [base, &["hooks", source.as_str()]].concat().join("/");
    url.set_path(&path);
    output::print_error(&format!("posts to {url}"));
    Ok(url)
}

/// Says what the status means, where the reason stands, and what to do.
fn judge(response: &RelayResponse, source: &Source, url: &str) -> Result<(), CommandError> {
    let name = &source.name;
    if response.body == PLAIN_HTTP_REFUSAL {
        return Err(https_expected(url, "--to"));
    }
    let refused = |what: &str| {
        let message = format!(
            "the relay at {url} answered {}: {what}. Its log says why, and so do \
             `savio-relay rejected --source {name}` where it runs and /api/v1/rejected?source={name} \
             of its admin API, with a hint",
            response.status
        );
        CommandError::InvalidInput(message)
    };
    match response.status {
        200..=299 => Ok(()),
        401 | 403 => Err(refused(&format!(
            "the signature does not fit, so its secret for {name} is another than this shell's"
        ))),
        404 => Err(CommandError::InvalidInput(format!(
            "the relay at {url} answered 404: it has no source {name}, or the path is another"
        ))),
        503 => Err(CommandError::Failed(format!(
            "the relay at {url} answered 503: {name} is off there, or it cannot store now; its table \
             at startup and `savio-relay doctor` there say why"
        ))),
        500.. => Err(CommandError::Failed(format!(
            "the relay at {url} answered {}: it could not accept the webhook",
            response.status
        ))),
        _ => Err(refused("it does not accept the webhook")),
    }
}

/// Returns the source if this shell has what signing needs. Whether the relay has it is not known.
fn signing_source(file: &MappingFile) -> Result<&Source, CommandError> {
    let Some(source) = file.source.as_deref() else {
        let message = format!(
            "{} has mistakes: `savio-relay check` shows them",
            output::line(&file.document.name)
        );
        return Err(CommandError::InvalidInput(message));
    };
    let name = &source.name;
    match file.status(clock::now()) {
        SourceStatus::Live(_) => Ok(source),
        SourceStatus::Off { reason } => Err(CommandError::InvalidInput(format!(
            "this shell lacks the secret with which to sign for {name}: {reason}. Set it here to the \
             value that the relay has, and send again"
        ))),
        SourceStatus::AwaitingSecret(_) => Err(CommandError::InvalidInput(format!(
            "{name} waits for the first request of its provider, which brings the secret: there is \
             none to sign with yet"
        ))),
    }
}

/// Returns the key that signs like the provider; none if the source needs no secret.
fn signing_key(
    source: &Source,
    private: Option<&Path>,
) -> Result<Option<SigningKey>, CommandError> {
    if let Some(path) = private.filter(|_| source.signature.needs_secret()) {
        let text = SecretString::from(Document::read(path)?.text.trim());
        let key = source.signature.signing_key(&text);
        return key.map(Some).map_err(|error| {
            CommandError::InvalidInput(format!("{}: the key {error}", path.display()))
        });
    }
    outgoing_webhook::signing_key(source, clock::now()).map_err(|PrivateKeyMissing| {
        let message = "its provider signs with a private key: name one with --private-key FILE";
        CommandError::InvalidInput(message.to_owned())
    })
}

fn failure(
    error: reqwest::Error,
    url: &str,
    explain: &dyn Fn(&CallFailure) -> String,
) -> CommandError {
    // A request that cannot be built has an invalid URL or header, which come from the command
    // line.
    let parsed = Url::parse(url).ok().filter(|_| !error.is_builder());
    let Some(url) = parsed else {
        let message = format!(
            "no request can be made of this: {}; look at --to and --header",
            error_chain(&error.without_url())
        );
        return CommandError::InvalidInput(message);
    };
    let address = url.origin().ascii_serialization();
    let failure = CallFailure::of(error, &url);
    if failure.is_refused {
        return CommandError::Failed(format!(
            "nothing listens at {address}: start the relay with `savio-relay serve`, or name its \
             address with --to"
        ));
    }
    let reason = explain(&failure);
    CommandError::Failed(format!("the relay at {address} cannot be reached: {reason}"))
}

/// Posts the webhook. `explain` says why there was no answer.
pub(super) async fn post(
    webhook: &PreparedWebhook,
    http: &Client,
    explain: &dyn Fn(&CallFailure) -> String,
) -> Result<RelayResponse, CommandError> {
    let mut request = http.post(&webhook.url).body(webhook.body.clone());
    for (name, value) in &webhook.headers {
        request = request.header(name, value);
    }
    let failed = |error: reqwest::Error| failure(error, &webhook.url, explain);
    let answer = request.send().await.map_err(failed)?;
    let status = answer.status().as_u16();
    Ok(RelayResponse { status, body: answer.text().await.map_err(failed)? })
}
