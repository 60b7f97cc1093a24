//! `doctor`: checks everything that a deployment depends on, and shows what was checked, what was
//! found, and what to do.

mod addresses;
mod compared_secrets;
mod printed;
mod test_key;

use std::path::PathBuf;
use std::time::Duration;

use super::error::CommandError;
use super::version::VERSION;
use super::{output, runtime};
use crate::config::Config;
use crate::doctor::finding::{Finding, FindingLevel};
use crate::doctor::{
    certificates, damage, files, host, program, public_address, savio, store, traces,
};
use crate::mapping_file::file::MappingFile;
use crate::secret::Environment;

/// Longest time for the public address, since a person waits.
const PUBLIC_TIME_MAX: Duration = Duration::from_secs(90);

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Read and check the whole database (slow)
    #[arg(long)]
    deep: bool,
    /// Print JSON
    #[arg(long)]
    json: bool,
    /// Configuration file (default: relay.toml if it exists)
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, environment: &Environment) -> Result<(), CommandError> {
    let mut findings = vec![program(VERSION)];
    let config = files::configuration(arguments.config.as_deref(), environment, &mut findings);
    if let Some(config) = config {
        let sources = files::mapping_files(&config, environment, &mut findings);
        files::statuses(&sources, &mut findings);
        runtime::block_on(async {
            check(&config, (&sources, arguments.deep), &mut findings).await;
            Ok(())
        })?;
        // Only a hint: this is the limit of the shell, and the relay may be started with another.
        host::open_files(&config, "this shell", &mut findings);
    }
    let text = if arguments.json { printed::json(&findings) } else { printed::text(&findings) };
    output::print(&text)?;
    let has = |level| findings.iter().any(|finding: &Finding| finding.level == level);
    match (has(FindingLevel::Wrong), has(FindingLevel::Unseen)) {
        (true, _) => Err(CommandError::AlreadyReported),
        (false, true) => Err(CommandError::Failed("not everything could be checked".to_owned())),
        (false, false) => Ok(()),
    }
}

async fn check(
    config: &Config,
    (sources, deep): (&[MappingFile], bool),
    findings: &mut Vec<Finding>,
) {
    store::place(&config.store, findings);
    if let Some(announcement) = damage::announcement(&config.store).filter(|_| deep) {
        // On standard error and before the check, since minutes may pass without any other output.
        output::print_error(&announcement);
    }
    store::content(&config.store, (sources, deep), findings).await;
    host::public_url(config, sources, findings);
    addresses::listen(config, findings).await;
    host::admin_access(config, findings);
    certificates::certificates(config, findings);
    let key = test_key::issue(config).await;
    public_address::check((config, sources), key, PUBLIC_TIME_MAX, findings).await;
    compared_secrets::in_use(config, sources, findings).await;
    savio::destinations(&config.destinations, sources, findings).await;
    traces::collector(&config.traces, findings).await;
}
