//! `sandbox`: runs a local stand-in for Savio, with faults on demand.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use secrecy::SecretString;

use super::error::CommandError;
use super::output::{print, print_error, stderr_style};
use super::runtime::{self, stopped};
use crate::diagnostics::document::Document;
use crate::diagnostics::report::show;
use crate::diagnostics::table::parse_duration;
use crate::listener;
use crate::rate::Rate;
use crate::sandbox::{self, FailureRate, Faults, Seed, Settings, Share};

const LATENCY_MAX: Duration = Duration::from_hours(1);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Address to listen on
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9090")]
    listen: SocketAddr,
    /// Required token (default: any token is accepted)
    #[arg(long)]
    token: Option<String>,
    /// JSON file with initial data: companies, contacts, feature requests, feedback
    #[arg(long, value_name = "FILE")]
    seed: Option<PathBuf>,
    /// Answer a share of the requests with this status, such as 500:0.1; repeatable
    #[arg(long, value_name = "STATUS:SHARE")]
    fail: Vec<FailureRate>,
    /// Delay before each answer, such as 200ms
    #[arg(long, value_name = "DURATION", value_parser = latency)]
    latency: Option<Duration>,
    /// Share of the requests that are never answered, such as 0.1
    #[arg(long, value_name = "SHARE")]
    hang: Option<Share>,
    /// Share of the requests whose connection is reset, half of them after they were processed
    #[arg(long, value_name = "SHARE")]
    reset: Option<Share>,
    /// Rate limit, such as 10/s, 300/m or 1000/h; requests above it are answered with 429
    #[arg(long, value_name = "RATE")]
    rate_limit: Option<Rate>,
    /// Seed for reproducible faults, in the order of the requests
    #[arg(long, value_name = "NUMBER")]
    fault_seed: Option<u64>,
}

pub(super) fn run(arguments: Arguments) -> Result<(), CommandError> {
    let listen = arguments.listen;
    let settings = arguments.settings()?;
    runtime::block_on(async {
        let (listener, address) = listener::bind(listen, "--listen").await?;
        let mut text = format!(
            "Savio's sandbox is at http://{address}/app/api/\n\
             contents:            http://{address}/sandbox/feedback (contacts, companies, feature-requests)\n"
        );
        if settings.faults.is_random() {
            text += &format!("to repeat these faults: --fault-seed {}\n", settings.faults.seed);
        }
        print(&text)?;
        let served = sandbox::serve(listener, settings, stopped()).await;
        served.map_err(|error| CommandError::Failed(error.to_string()))
    })
}

impl Arguments {
    fn settings(self) -> Result<Settings, CommandError> {
        let faults = Faults {
            fail: self.fail,
            latency: self.latency.unwrap_or_default(),
            hang: self.hang.unwrap_or_default(),
            reset: self.reset.unwrap_or_default(),
            rate: self.rate_limit,
            seed: self.fault_seed.unwrap_or_else(|| fastrand::u64(..10_000)),
        };
        faults.check().map_err(|error| CommandError::Usage(error.to_string()))?;
        let seed = self.seed.as_deref().map(seed).transpose()?.unwrap_or_default();
        Ok(Settings { token: self.token.map(SecretString::from), faults, seed })
    }
}

fn seed(path: &Path) -> Result<Seed, CommandError> {
    let document = Document::read(path)?;
    Seed::read(&document).map_err(|mistakes| {
        print_error(&show(&document, &mistakes, stderr_style()));
        CommandError::AlreadyReported
    })
}

fn latency(text: &str) -> Result<Duration, String> {
    let latency = parse_duration(text).filter(|latency| *latency <= LATENCY_MAX);
    latency.ok_or_else(|| "write a time up to an hour, such as 200ms or 2s".to_owned())
}
