//! `demo`: runs relay and sandbox in one process, sends a signed sample of each source, and shows
//! what arrived.

mod arrivals;
mod secrets;

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use reqwest::Client;
use secrecy::SecretString;
use serde_json::Value;
use tokio::sync::oneshot;
use uuid::Uuid;

use super::bundled_name::BundledName;
use super::error::CommandError;
use super::local_listener::client;
use super::output as shown;
use super::runtime::{self, stopped};
use super::send::{RelayResponse, post};
use crate::admin::MappingChanges;
use crate::config::Config;
use crate::diagnostics::report::OutputStyle;
use crate::event::State;
use crate::http_client::CallFailure;
use crate::intake::source::Source;
use crate::mapping_file::file::{MappingFile, MappingTest, SamplePayload};
use crate::mapping_file::location::Location;
use crate::mapping_file::served::ServedFiles;
use crate::outgoing_webhook::{OutgoingWebhook, PreparedWebhook};
use crate::relay::Relay;
use crate::store::Archive;
use crate::{clock, file, listener, sandbox};
use arrivals::Arrivals;
use secrets::{DemoSecrets, OWN_SOURCE};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Bundled source to show in full (default: one line for each)
    #[arg(value_name = "SOURCE", value_parser = BundledName, hide_possible_values = true)]
    source: Option<String>,
    /// Exit when all samples have been delivered
    #[arg(long)]
    once: bool,
    /// Address of the relay (default: 127.0.0.1:8080, or a free port if that one is in use)
    #[arg(long, value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
}

/// URL that is signed by providers that sign the URL.
const PUBLIC_URL: &str = "https://relay.example.com";

/// Longest time for all samples to arrive in the sandbox.
const DEMO_TIMEOUT: Duration = Duration::from_secs(30);

pub(super) fn run(arguments: &Arguments) -> Result<(), CommandError> {
    let folder = tempfile::tempdir().map_err(|error| {
        let reason = file::explain(&error, &std::env::temp_dir());
        let advice = "or set TMPDIR to another folder";
        CommandError::Failed(format!("no temporary folder for the store: {reason}; {advice}"))
    })?;
    runtime::block_on(async {
        let listen = listen(arguments)?;
        // A free port: nobody has to type this address.
        let (listener, savio) = listener::bind(any_port(), "any free port").await?;
        let token = Uuid::new_v4().to_string();
        let required = Some(SecretString::from(token.as_str()));
        let settings = sandbox::Settings { token: required, ..sandbox::Settings::default() };
        let (end, ended) = oneshot::channel::<()>();
        let sandbox = sandbox::serve(listener, settings, async { drop(ended.await) });
        let addresses = Addresses { listen, savio, token };
        let show = async {
            let shown = show(arguments, addresses, &folder.path().join("demo.db")).await;
            drop(end);
            shown
        };
        // The sandbox ends last, with `end`: the relay still delivers while it stops.
        tokio::join!(show, sandbox).0
    })
}

fn any_port() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

/// Returns the address for the relay.
fn listen(arguments: &Arguments) -> Result<SocketAddr, CommandError> {
    match (arguments.listen, arguments.once) {
        (Some(named), _) => match std::net::TcpListener::bind(named) {
            Ok(_) => Ok(named),
            Err(error) if error.kind() == ErrorKind::AddrInUse => {
                Err(CommandError::Failed(format!(
                    "{named} is in use by another program: give --listen another port, or leave it \
                     out"
                )))
            }
            Err(error) => Err(CommandError::Failed(format!("cannot listen on {named}: {error}"))),
        },
        // It ends before anybody could send something of their own.
        (None, true) => Ok(any_port()),
        (None, false) => {
            let usual = SocketAddr::from(([127, 0, 0, 1], 8080));
            if std::net::TcpListener::bind(usual).is_ok() {
                return Ok(usual);
            }
            shown::print_error(&format!("{usual} is in use, so the demo listens on a free port"));
            Ok(any_port())
        }
    }
}

/// Where relay and sandbox are, and the token of both.
struct Addresses {
    listen: SocketAddr,
    savio: SocketAddr,
    token: String,
}

async fn show(
    arguments: &Arguments,
    addresses: Addresses,
    store: &Path,
) -> Result<(), CommandError> {
    let Addresses { listen, savio, token } = addresses;
    let secrets = DemoSecrets::invent()?;
    let mut environment = secrets.environment.clone();
    for (name, value) in [
        ("SAVIO_API_TOKEN", token.clone()),
        ("SAVIO_RELAY_SAVIO__BASE_URL", format!("http://{savio}/app/api/")),
        ("ADMIN_TOKEN", token.clone()),
        ("SAVIO_RELAY_SERVER__LISTEN", listen.to_string()),
        ("SAVIO_RELAY_SERVER__ADMIN_LISTEN", any_port().to_string()),
        ("SAVIO_RELAY_SERVER__PUBLIC_URL", PUBLIC_URL.to_owned()),
    ] {
        environment.insert(name.to_owned(), value);
    }
    let (mut config, _) =
        Config::read(None, &environment).map_err(|_| CommandError::AlreadyReported)?;
    store.clone_into(&mut config.store.path);
    let files = Location::bundled().files(&config.destination_names(), &environment)?;
    let served = Arc::new(ServedFiles::new(&config.mappings, files));
    // Nobody follows them: there is no folder.
    let (changes, _) = MappingChanges::channel();
    let relay = Relay::start(config, Arc::clone(&served), changes, None).await?;
    let arrivals = Arrivals { store: &relay.store, savio, token: &token };
    let demo = Demo { relay: &relay, files: &served.files, secrets: &secrets, arrivals };
    let mut arrived = match &arguments.source {
        None => demo.show_all().await,
        Some(name) => demo.show_one(name).await,
    };
    if arrived.is_ok() {
        arrived = demo.invite(arguments);
        if !arguments.once {
            stopped().await;
        }
    }
    let stopped = relay.stop().await;
    arrived.and(stopped.map_err(CommandError::from))
}

struct Demo<'d> {
    relay: &'d Relay,
    files: &'d [MappingFile],
    secrets: &'d DemoSecrets,
    arrivals: Arrivals<'d>,
}

impl Demo<'_> {
    /// Sends a sample of each source, and shows one line for each.
    async fn show_all(&self) -> Result<(), CommandError> {
        let http = client("http:")?;
        let mut sent = Vec::new();
        for file in self.files {
            let Some((source, test)) = file.source.as_ref().zip(sample(file)) else { continue };
            let (_, response) = self.send(&http, source, (file, test)).await?;
            check(source, &response)?;
            sent.push((&source.name, test));
        }
        self.wait_until_delivered().await?;
        let title = "Sent to the relay, signed as the tool does it -> arrived in Savio's sandbox";
        let mut text = shown::bold(title, look()) + "\n";
        for (name, test) in sent {
            let arrived = self.arrivals.summary(name).await?;
            let name = name.as_str();
            let sample = shown::shorten(short_name(name, test), SAMPLE_CHARS_MAX);
            let line = format!("{name:17} {sample:SAMPLE_CHARS_MAX$} -> {arrived}");
            text += &(shown::shorten(&line, LINE_CHARS_MAX) + "\n");
        }
        shown::print(&text)
    }

    /// Sends a sample of one source, and shows all of it.
    async fn show_one(&self, name: &str) -> Result<(), CommandError> {
        let is_it = |file: &&MappingFile| file.name.as_ref().is_some_and(|it| it.as_str() == name);
        let file = self.files.iter().find(is_it);
        let sample = file.and_then(|file| Some((file.source.as_ref()?, file, sample(file)?)));
        let (source, file, test) = sample.ok_or_else(|| {
            CommandError::Failed(format!("the bundled {name} has no sample (bug)"))
        })?;
        let (webhook, response) = self.send(&client("http:")?, source, (file, test)).await?;
        shown::print(&sent_in_full(&webhook, &test.payload.text))?;
        shown::print(&format!(
            "\n{}\n{} {}\n",
            shown::bold("The relay's answer", look()),
            response.status,
            shown::line(&response.body)
        ))?;
        check(source, &response)?;
        self.wait_until_delivered().await?;
        shown::print(&self.arrivals.in_full(&source.name).await?)
    }

    async fn send(
        &self,
        http: &Client,
        source: &Source,
        (file, test): (&MappingFile, &MappingTest),
    ) -> Result<(PreparedWebhook, RelayResponse), CommandError> {
        let body = file.test_file(&test.payload.text);
        let body = body.map_err(CommandError::Failed)?;
        let sample = SamplePayload { headers: test.headers.clone(), body };
        let url = format!("http://{}/hooks/{}", self.relay.listeners.address, source.name);
        let key = self.secrets.signers.get(&source.name);
        let signed_url = format!("{PUBLIC_URL}/hooks/{}", source.name);
        let webhook =
            OutgoingWebhook { source, sample: &sample, signed_url: Some(&signed_url), key };
        let prepared = webhook.prepare(&url, clock::now())?;
        let response = post(&prepared, http, &CallFailure::to_string).await?;
        Ok((prepared, response))
    }

    /// Waits until all events are delivered.
    async fn wait_until_delivered(&self) -> Result<(), CommandError> {
        let waiting = async {
            loop {
                let counts = self.relay.store.counts().await?;
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

    /// Says how to go on.
    fn invite(&self, arguments: &Arguments) -> Result<(), CommandError> {
        let mut text = String::new();
        if !arguments.once {
            text += &self.own_webhook();
        }
        text += &match &arguments.source {
            None => {
                "\nNext: `savio-relay demo typeform` shows one source in full, and\n".to_owned()
            }
            Some(_) => "\nNext: `savio-relay demo` shows a line for each source, and\n".to_owned(),
        };
        let source = arguments.source.as_deref().unwrap_or("typeform");
        text += &format!(
            "`savio-relay init {source}` sets one up: what to paste where.\n{}",
            if arguments.once { "" } else { "Ctrl-C ends the demo.\n" }
        );
        shown::print(&text)
    }

    /// Returns commands that send something to the relay and show what arrived.
    fn own_webhook(&self) -> String {
        let (relay, savio) = (self.relay.listeners.address, self.arrivals.savio);
        let secret = self.secrets.of_form();
        format!(
            "\nSend something of your own, and see what arrives:\n  \
             curl http://{relay}/hooks/{OWN_SOURCE} \\\n    -H 'X-Relay-Token: {secret}' \\\n    \
             -H 'Content-Type: application/json' \\\n    \
             -d '{{\"email\": \"ada@example.com\", \"message\": \"Please add dark mode\"}}'\n  \
             curl -H 'Authorization: Token {}' \\\n    http://{savio}/sandbox/feedback\n",
            self.arrivals.token
        )
    }
}

/// Width of the column of the samples, in which all but a few names are whole.
const SAMPLE_CHARS_MAX: usize = 20;

/// Longest line of the list, for a terminal of the usual width.
const LINE_CHARS_MAX: usize = 79;

/// Returns the first test of a file that expects requests.
fn sample(file: &MappingFile) -> Option<&MappingTest> {
    file.tests.iter().find(|test| {
        let expected = file.test_file(&test.expect.text).unwrap_or_default();
        serde_json::from_slice::<Vec<Value>>(&expected).is_ok_and(|requests| !requests.is_empty())
    })
}

/// Returns the name of the sample's file without what all samples of the source have in common.
fn short_name<'t>(source: &str, test: &'t MappingTest) -> &'t str {
    let file = test.payload.text.rsplit('/').next().unwrap_or_default();
    let name = file.strip_prefix(source).map_or(file, |rest| rest.trim_start_matches('.'));
    name.rsplit_once('.').map_or(name, |(name, _)| name)
}

fn check(source: &Source, response: &RelayResponse) -> Result<(), CommandError> {
    match response.status {
        200..=299 => Ok(()),
        status => Err(CommandError::Failed(format!(
            "the relay refused the sample of {}: {status} {} (bug)",
            source.name, response.body
        ))),
    }
}

fn sent_in_full(webhook: &PreparedWebhook, payload: &str) -> String {
    let title = format!("The webhook, from mappings/{payload}");
    let mut lines = format!("{}\nPOST {}\n", shown::bold(&title, look()), webhook.url);
    for (name, value) in &webhook.headers {
        lines += &format!("{name}: {}\n", shown::line(value));
    }
    let body = String::from_utf8_lossy(&webhook.body);
    lines + "\n" + shown::visible(&body).trim_end() + "\n"
}

fn look() -> OutputStyle {
    shown::stdout_style()
}
