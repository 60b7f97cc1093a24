//! `doctor`: checks everything that a deployment depends on, and shows what was checked, what was
//! found, and what to do.

mod certificates;
mod host;
mod finding;
mod damage;
mod files;
mod public_address;
mod savio;
mod secrets;
mod store;
mod traces;

use std::env::consts;
use std::path::PathBuf;

use super::error::CommandError;
use super::version::VERSION;
use super::{input, output, runtime};
use crate::secret::Environment;
use finding::{Finding, FindingLevel};

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
    let program = format!("savio-relay {VERSION} on {} {}", consts::OS, consts::ARCH);
    let mut findings = vec![Finding::ok("program", program)];
    let config = files::configuration(arguments.config.as_deref(), environment, &mut findings);
    if let Some(config) = config {
        let sources = input::mapping_files(&config, environment);
        let sources = files::sources(sources, &config, &mut findings);
        runtime::block_on(async {
            store::store(&config, (&sources, arguments.deep), &mut findings).await;
            host::public_url(&config, &sources, &mut findings);
            host::listen(&config, &mut findings).await;
            certificates::certificates(&config, &mut findings);
            public_address::check(&config, &sources, &mut findings).await;
            secrets::in_use(&config, &sources, &mut findings).await;
            savio::destinations(&config, &sources, &mut findings).await;
            traces::collector(&config, &mut findings).await;
            Ok(())
        })?;
        // Only a hint: this is the limit of the shell, and the relay may be started with another.
        host::open_files(&config, &mut findings);
    }
    let text = if arguments.json { finding::json(&findings) } else { finding::text(&findings) };
    output::print(&text)?;
    let has = |level| findings.iter().any(|finding: &Finding| finding.level == level);
    match (has(FindingLevel::Wrong), has(FindingLevel::Unseen)) {
        (true, _) => Err(CommandError::AlreadyReported),
        (false, true) => Err(CommandError::Failed("not everything could be checked".to_owned())),
        (false, false) => Ok(()),
    }
}
