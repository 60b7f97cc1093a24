//! `demo`: runs relay and sandbox in one process, and sends a signed sample of each source.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use reqwest::Client;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};
use tokio::sync::oneshot;
use uuid::Uuid;

use super::error::CommandError;
use super::output as shown;
use super::runtime::{self, stopped};
use super::send::{OutgoingWebhook, client};
use crate::config::Config;
use crate::diagnostics::report::OutputStyle;
use crate::event::{SourceName, State};
use crate::intake::signature::{Signature, SigningKey};
use crate::intake::source::Source;
use crate::mapping_file::bundle;
use crate::mapping_file::file::{MappingFile, MappingTest, SamplePayload};
use crate::mapping_file::location::Location;
use crate::relay::Relay;
use crate::secret::Environment;
use crate::store::Archive;
use crate::{clock, listener, sandbox};

/// URL that is signed by providers that sign the URL.
const PUBLIC_URL: &str = "https://relay.example.com";

/// Longest time for all samples to arrive in the sandbox.
const DEMO_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(once: bool) -> Result<(), CommandError> {
    let folder = tempfile::tempdir().map_err(|error| CommandError::Failed(error.to_string()))?;
    runtime::block_on(async {
        // Free ports, so that the demo runs beside a relay or a sandbox.
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let (listener, savio) = listener::bind(any).await?;
        let token = Uuid::new_v4().to_string();
        let required = Some(SecretString::from(token.as_str()));
        let settings = sandbox::Settings { token: required, ..sandbox::Settings::default() };
        let (end, ended) = oneshot::channel::<()>();
        let sandbox = sandbox::serve(listener, settings, async { drop(ended.await) });
        let store = folder.path().join("demo.db");
        let show = async {
            let shown = show(once, savio, token, &store).await;
            drop(end);
            shown
        };
        // The sandbox ends last, with `end`: the relay still delivers while it stops.
        tokio::join!(show, sandbox).0
    })
}

async fn show(
    once: bool,
    savio: SocketAddr,
    token: String,
    store: &Path,
) -> Result<(), CommandError> {
    let (mut environment, signers) = secrets();
    for (name, value) in [
        ("SAVIO_API_TOKEN", token.clone()),
        ("SAVIO_RELAY_SAVIO__BASE_URL", format!("http://{savio}/app/api/")),
        ("ADMIN_TOKEN", token.clone()),
        ("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0".to_owned()),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0".to_owned()),
        ("SAVIO_RELAY_SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
        ("SAVIO_RELAY_STORE__URL", format!("sqlite:{}", store.display())),
    ] {
        environment.insert(name.to_owned(), value);
    }
    let (config, _) =
        Config::read(None, &environment).map_err(|_| CommandError::AlreadyReported)?;
    let read = |document| MappingFile::read(document, &environment);
    let files: Vec<MappingFile> = bundle::mappings().into_iter().map(read).collect();
    let relay = Relay::start(config, &files).await?;
    let demo = Demo { relay: &relay, files: &files, signers, savio, token };
    let mut arrived = demo.run().await;
    if arrived.is_ok() && !once {
        arrived = demo.invite();
        stopped().await;
    }
    let stopped = relay.stop().await;
    arrived.and(stopped.map_err(CommandError::from))
}

/// The signing key of each source.
type Signers = BTreeMap<SourceName, SigningKey>;

/// Invents the secrets that the bundled mapping files name, and returns them with the keys that
/// sign for them.
fn secrets() -> (Environment, Signers) {
    let mut environment = Environment::new();
    let mut signers = Signers::new();
    for document in bundle::mappings() {
        let names: Vec<String> = named_variables(&document.text).map(str::to_owned).collect();
        let file = MappingFile::read(document, &Environment::new());
        let Some(source) = file.source else { continue };
        let Some((secret, signer)) = invent(&source.signature) else { continue };
        for name in names {
            environment.insert(name, secret.expose_secret().to_owned());
        }
        signers.extend(source.signature.signing_key(&signer).map(|key| (source.name.clone(), key)));
    }
    (environment, signers)
}

fn named_variables(mapping: &str) -> impl Iterator<Item = &str> {
    mapping.split("\"env:").skip(1).filter_map(|rest| rest.split('"').next())
}

fn invent(signature: &Signature) -> Option<(SecretString, SecretString)> {
    // Not all 32 bytes are a key: one of ECDSA has to be less than the order of the curve.
    (0..8).find_map(|_| {
        let mut seed = [0; 32];
        seed[..16].copy_from_slice(Uuid::new_v4().as_bytes());
        seed[16..].copy_from_slice(Uuid::new_v4().as_bytes());
        signature.generate_trial(&seed)
    })
}

struct Demo<'d> {
    relay: &'d Relay,
    files: &'d [MappingFile],
    signers: Signers,
    savio: SocketAddr,
    token: String,
}

impl Demo<'_> {
    async fn run(&self) -> Result<(), CommandError> {
        let Demo { relay, savio, .. } = self;
        let sent = shown::bold("Sent to the relay, each signed as its provider does it", look());
        shown::print(&format!(
            "relay    http://{}\nsandbox  http://{savio}/app/api/ (a Savio on this machine)\n\n{sent}\n",
            relay.address,
        ))?;
        let http = client("http:")?;
        for file in self.files {
            if let Some((source, test)) = file.source.as_ref().zip(sample(file)) {
                self.send(&http, source, (file, test)).await?;
            }
        }
        self.wait_until_delivered().await?;
        shown::print(&format!("\n{}\n", shown::bold("Arrived in Savio", look())))?;
        for kind in ["companies", "contacts", "feedback"] {
            self.show_arrived(&http, kind).await?;
        }
        Ok(())
    }

    async fn send(
        &self,
        http: &Client,
        source: &Source,
        (file, test): (&MappingFile, &MappingTest),
    ) -> Result<(), CommandError> {
        let body = Location::Bundled.sample(&file.document, &test.payload.text);
        let body = body.map_err(CommandError::Failed)?;
        let sample = SamplePayload { headers: test.headers.clone(), body };
        let url = format!("http://{}/hooks/{}", self.relay.address, source.name);
        let key = self.signers.get(&source.name);
        let signed_url = format!("{PUBLIC_URL}/hooks/{}", source.name);
        let webhook =
            OutgoingWebhook { source, sample: &sample, signed_url: Some(&signed_url), key };
        let response = webhook.post(http, &url, clock::now()).await?;
        let name = source.name.as_str();
        shown::print(&format!("  {name:17} {} {}\n", response.status, test.payload.text))?;
        match response.status {
            200..=299 => Ok(()),
            _ => Err(CommandError::Failed(format!("{name}: {}", response.body))),
        }
    }

    /// Waits until all events are delivered.
    async fn wait_until_delivered(&self) -> Result<(), CommandError> {
        let waiting = async {
            loop {
                let counts = self.relay.store.counts().await;
                let counts = counts.map_err(|error| CommandError::Failed(error.to_string()))?;
                let open = counts.iter().filter(|count| count.state != State::Delivered);
                let open: u64 = open.map(|count| count.events).sum();
                if open == 0 {
                    return Ok(());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        let late = CommandError::Failed("the samples did not arrive in time".to_owned());
        tokio::time::timeout(DEMO_TIMEOUT, waiting).await.unwrap_or(Err(late))
    }

    async fn show_arrived(&self, http: &Client, kind: &str) -> Result<(), CommandError> {
        let failed = |error: reqwest::Error| CommandError::Failed(error.to_string());
        let url = format!("http://{}/sandbox/{kind}", self.savio);
        let response = http.get(url).bearer_auth(&self.token).send().await.map_err(failed)?;
        let records: Vec<Map<String, Value>> = response.json().await.map_err(failed)?;
        for (index, record) in records.iter().enumerate() {
            let title = shown::bold(&format!("{kind} {}", index + 1), look());
            shown::print(&format!("\n{title}\n{}", shown::fields(record.iter())))?;
        }
        Ok(())
    }

    fn invite(&self) -> Result<(), CommandError> {
        shown::print(&format!(
            "\nBoth stay up until Ctrl-C. What the sandbox holds, and what the relay knows of each event:\n  \
             TOKEN={}\n  curl -H \"Authorization: Token $TOKEN\" http://{}/sandbox/feedback\n  \
             curl -H \"Authorization: Bearer $TOKEN\" http://{}/api/v1/events\n",
            self.token, self.savio, self.relay.admin_address,
        ))
    }
}

/// Returns the first test of a file that expects requests.
fn sample(file: &MappingFile) -> Option<&MappingTest> {
    file.tests.iter().find(|test| {
        let expected =
            Location::Bundled.sample(&file.document, &test.expect.text).unwrap_or_default();
        serde_json::from_slice::<Vec<Value>>(&expected).is_ok_and(|requests| !requests.is_empty())
    })
}

fn look() -> OutputStyle {
    shown::stdout_style()
}
