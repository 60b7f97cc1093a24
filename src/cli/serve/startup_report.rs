//! Startup messages of `serve`: the sources with their addresses, and what is left to do.

use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::cli::output::{print_error, stderr_style};
use crate::diagnostics::report::show;
use crate::intake::registry::{SourceStatus, Sources};
use crate::mapping_file::file::MappingFile;
use crate::relay::Relay;
use crate::relay::admin_token::TokenOrigin;
use crate::relay::reload::log_mistakes;
use crate::relay::source_addresses::SourceAddresses;
use crate::relay::source_log::{log_changes, warn_of_live_sources};
use crate::telemetry::logs::LogFormat;

/// Shows the mistakes of mapping files: as text for people, or as lines of the JSON log.
pub(super) fn show_mistakes(files: &[MappingFile], format: LogFormat) {
    for file in files.iter().filter(|file| !file.mistakes.is_empty()) {
        match format {
            LogFormat::Text => {
                print_error(&format!("{}\n", show(&file.document, &file.mistakes, stderr_style())));
            }
            LogFormat::Json => log_mistakes(&file.document, &file.mistakes),
        }
    }
}

/// Shows each source with its status and URL, as a table or as lines of the JSON log, and warnings.
pub(super) fn print(relay: &Relay, files: &[MappingFile], format: LogFormat) {
    let sources = relay.sources();
    match format {
        LogFormat::Text => print_error(&table(&sources, &relay.addresses)),
        LogFormat::Json => log_changes(&Sources::new(), &sources, &relay.addresses),
    }
    if sources.is_empty() {
        warn!("there are no mapping files, so there is no source");
    }
    if relay.has_unnamed_proxy {
        warn!(
            "server.public_url is https, and server.trusted_proxies names no proxy: set it to the \
             proxy's address, so that limits tell its clients apart"
        );
    }
    warn_of_live_sources(files);
    for (destination, reason) in relay.without_token(files) {
        warn!(
            destination,
            "delivery to {destination} is paused: {reason}; webhooks are stored until then"
        );
    }
    let print = |text: &str| match format {
        LogFormat::Text => print_error(text),
        LogFormat::Json => info!("{text}"),
    };
    print_admin_address(relay, print);
    for doubt in &relay.admin_tokens.doubts {
        warn!("{doubt}");
    }
    print(&format!("listening on http://{}", relay.address));
}

fn print_admin_address(relay: &Relay, print: impl Fn(&str)) {
    let admin = format!("the API is at http://{}/api/v1/", relay.admin_address);
    match &relay.admin_tokens.origin {
        TokenOrigin::Known => print(&admin),
        TokenOrigin::Short => {
            print(&admin);
            warn!("the admin token is short: others may guess it");
        }
        TokenOrigin::Written(path) => print(&format!("{admin}, its token in {}", path.display())),
        TokenOrigin::Shown(token) => {
            // To the terminal only: a log is kept, and others may read it.
            print_error(&format!("{admin}, its token is {}", token.expose_secret()));
        }
    }
}

fn table(sources: &Sources, addresses: &SourceAddresses) -> String {
    let width = sources.keys().map(|name| name.as_str().len()).max().unwrap_or(0);
    let mut lines = vec![concat!("savio-relay ", env!("CARGO_PKG_VERSION")).to_owned()];
    for (name, status) in sources {
        let padded = format!("{:width$}", name.as_str());
        let address = addresses.of(name);
        lines.push(match status {
            SourceStatus::Live(_) => format!("  {padded}  live  {address}"),
            SourceStatus::AwaitingSecret(setup) => {
                format!("  {padded}  setup {}", addresses.of_pending_setup(setup))
            }
            SourceStatus::Off { reason } => format!("  {padded}  off   {address} ({reason})"),
        });
    }
    lines.join("\n")
}
