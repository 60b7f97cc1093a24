//! `send`: signs a payload like its provider, and posts it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use http::header::CONTENT_TYPE;
use jiff::Timestamp;
use reqwest::{Client, Url};
use secrecy::SecretString;
use uuid::Uuid;

use super::error::CommandError;
use super::input::header;
use super::{input, output, runtime};
use crate::clock;
use crate::diagnostics::document::Document;
use crate::event::Headers;
use crate::http_client::error_chain;
use crate::intake::registry::SourceStatus;
use crate::intake::signature::{
    Key, SignError, SignedParts, SignedRequest, SigningKey, with_parameters,
};
use crate::intake::source::Source;
use crate::mapping_file::file::{MappingFile, SamplePayload};
use crate::secret::Environment;

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Source name, or path of a mapping file
    source: String,
    /// File with the payload; - for standard input
    payload: PathBuf,
    /// URL to post to (default: the relay in the configuration)
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

const TIMEOUT: Duration = Duration::from_mins(1);

/// Largest decompressed payload, for providers that sign the body as it was before compression.
const COVERED_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The relay's response to a webhook.
pub(super) struct RelayResponse {
    pub(super) status: u16,
    pub(super) body: String,
}

pub(super) fn run(arguments: Arguments, environment: &Environment) -> Result<(), CommandError> {
    let config = input::config(arguments.config.as_deref(), environment)?;
    let file = input::mapping_file(&arguments.source, &config, environment)?;
    let source = live_source(&file)?;
    let body = input::bytes(&arguments.payload)?;
    let sample = SamplePayload { headers: arguments.headers.into_iter().collect(), body };
    let own = || format!("http://{}/hooks/{}", config.listen, source.name);
    let url = arguments.to.unwrap_or_else(own);
    let public_url = config.intake.public_url.as_deref();
    let signed_url = public_url.map(|it| format!("{it}/hooks/{}", source.name));
    let key = signing_key(source, arguments.private_key.as_deref())?;
    let webhook = OutgoingWebhook {
        source,
        sample: &sample,
        signed_url: signed_url.as_deref(),
        key: key.as_ref(),
    };

    let response =
        runtime::block_on(async { webhook.post(&client(&url)?, &url, clock::now()).await })?;
    output::print(&format!("{} {}\n", response.status, output::line(&response.body)))?;
    match response.status {
        200..=299 => Ok(()),
        500.. => Err(CommandError::Failed("the relay could not accept it".to_owned())),
        _ => Err(CommandError::InvalidInput("the relay refused it".to_owned())),
    }
}

fn live_source(file: &MappingFile) -> Result<&Source, CommandError> {
    if let SourceStatus::Off { reason } = file.status(clock::now()) {
        return Err(CommandError::InvalidInput(format!("the source is off: {reason}")));
    }
    file.source.as_deref().ok_or(CommandError::AlreadyReported)
}

/// Returns the key that signs like the provider; none if the source needs no secret.
fn signing_key(
    source: &Source,
    private: Option<&Path>,
) -> Result<Option<SigningKey>, CommandError> {
    if !source.signature.needs_secret() {
        return Ok(None);
    }
    if let Some(path) = private {
        let text = SecretString::from(Document::read(path)?.text.trim());
        let key = source.signature.signing_key(&text);
        return key.map(Some).map_err(|error| {
            CommandError::InvalidInput(format!("{}: the key {error}", path.display()))
        });
    }
    let key = source.keys.iter().find(|key| key.is_valid_at(clock::now()));
    let key = key.and_then(Key::signing_key);
    key.map(Some).ok_or_else(|| {
        let message = "its provider signs with a private key: name one with --private-key FILE";
        CommandError::InvalidInput(message.to_owned())
    })
}

fn failure(error: &reqwest::Error) -> CommandError {
    let message = error_chain(error);
    // A request that cannot be built has an invalid URL or header, which come from the command
    // line.
    if error.is_builder() {
        CommandError::InvalidInput(message)
    } else {
        CommandError::Failed(message)
    }
}

pub(super) fn client(url: &str) -> Result<Client, CommandError> {
    // It fails only if a provider is installed already, which will do as well.
    drop(rustls::crypto::ring::default_provider().install_default());
    let mut client = Client::builder()
        .user_agent(concat!("savio-relay/", env!("CARGO_PKG_VERSION")))
        .timeout(TIMEOUT);
    if !url.starts_with("https:") {
        // The relay on this machine is not reached through a proxy of the environment. TLS is not
        // used, so a machine without CA certificates will do.
        client = client.no_proxy().tls_certs_only([]);
    }
    client.build().map_err(|error| CommandError::Failed(error_chain(&error)))
}

/// A webhook as its provider would send it.
pub(super) struct OutgoingWebhook<'w> {
    pub(super) source: &'w Source,
    pub(super) sample: &'w SamplePayload,
    /// The URL as the provider knows it.
    pub(super) signed_url: Option<&'w str>,
    pub(super) key: Option<&'w SigningKey>,
}

/// A webhook with its signature.
pub(super) struct PreparedWebhook {
    pub(super) url: String,
    pub(super) headers: Headers,
    pub(super) body: Vec<u8>,
}

impl PreparedWebhook {
    pub(super) async fn post(&self, http: &Client) -> Result<RelayResponse, CommandError> {
        let mut request = http.post(&self.url).body(self.body.clone());
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| failure(&error))?;
        let status = answer.status().as_u16();
        Ok(RelayResponse { status, body: answer.text().await.map_err(|error| failure(&error))? })
    }
}

impl OutgoingWebhook<'_> {
    pub(super) async fn post(
        &self,
        http: &Client,
        url: &str,
        now: Timestamp,
    ) -> Result<RelayResponse, CommandError> {
        self.prepare(url, now)?.post(http).await
    }

    /// Signs the webhook for this URL.
    pub(super) fn prepare(
        &self,
        url: &str,
        now: Timestamp,
    ) -> Result<PreparedWebhook, CommandError> {
        let mut url: Url =
            url.parse().map_err(|error| CommandError::InvalidInput(format!("{url}: {error}")))?;
        // A fragment is never sent, and must not be signed either.
        url.set_fragment(None);
        let signed = self.sign(&url, now)?;
        let mut headers: Headers = self.sample.headers.clone();
        headers.entry(CONTENT_TYPE.to_string()).or_insert("application/json".to_owned());
        headers.extend(signed.headers);
        let body = signed.body.unwrap_or_else(|| self.sample.body.clone());
        Ok(PreparedWebhook { url: with_parameters(url.as_str(), &signed.query), headers, body })
    }

    /// Returns what the signature adds to the request. Signed headers and parameters that are
    /// missing get a random value.
    fn sign(&self, url: &Url, now: Timestamp) -> Result<SignedParts, CommandError> {
        let Some(key) = self.key else { return Ok(SignedParts::default()) };
        let signature = &self.source.signature;
        let sample = self.sample;
        let body = signature.covered(&sample.headers, &sample.body, COVERED_BYTES_MAX);
        let body = body.ok_or_else(|| {
            CommandError::InvalidInput("the payload cannot be decompressed".to_owned())
        })?;
        let mut headers = sample.headers.clone();
        headers.entry(CONTENT_TYPE.to_string()).or_insert("application/json".to_owned());
        let mut generated = SignedParts::default();
        // Each turn adds one that the signature lacks: only the attempt to sign shows which.
        loop {
            let url = with_parameters(&self.provider_url(url), &generated.query);
            let request = SignedRequest {
                method: "POST",
                url: Some(&url),
                query: url.split_once('?').map(|(_, query)| query),
                headers: &headers,
                body: &body,
            };
            match signature.sign(key, &request, now) {
                Ok(signed) => return Ok(generated.and(signed)),
                Err(SignError::NoHeader(name)) if !headers.contains_key(&name) => {
                    let nonce = Uuid::new_v4().to_string();
                    headers.insert(name.clone(), nonce.clone());
                    generated.headers.push((name, nonce));
                }
                Err(SignError::NoParameter(name)) => {
                    generated.query.push((name, Uuid::new_v4().to_string()));
                }
                Err(error) => {
                    return Err(CommandError::InvalidInput(format!(
                        "it cannot be signed: {error}"
                    )));
                }
            }
        }
    }

    /// Returns the URL as the provider knows it, with the query that is sent.
    fn provider_url(&self, url: &Url) -> String {
        match (self.signed_url, url.query()) {
            (None, _) => url.to_string(),
            (Some(known), None) => known.to_owned(),
            (Some(known), Some(query)) => format!("{known}?{query}"),
        }
    }
}
