//! Startup messages of `serve`: the sources with their addresses, and what is left to do.

use std::io::IsTerminal as _;
use std::path::Path;

use secrecy::ExposeSecret;
use tracing::{info, warn};

use crate::admin::Role;
use crate::cli::output::{self, print_error, stderr_style};
use crate::cli::version::VERSION;
use crate::config::Config;
use crate::diagnostics::counted;
use crate::diagnostics::report::show;
use crate::event::SourceName;
use crate::intake::registry::{SourceStatus, Sources};
use crate::mapping_file::file::MappingFile;
use crate::mapping_file::readiness::{more_ready, ready_for_setup};
use crate::relay::Relay;
use crate::relay::admin_token::TokenOrigin;
use crate::relay::reload::log_mistakes;
use crate::relay::source_addresses::SourceAddresses;
use crate::relay::source_log::{log_changes, warn_of_live_sources};
use crate::store::Maintenance;
use crate::store::sqlite::engine::file_system::FileSystem;
use crate::store::sqlite::{Restored, RestoredEvents};
use crate::telemetry::logs::LogFormat;

/// Logs which program starts, before anything can fail. On a terminal it is the heading of the
/// table.
pub(super) fn log_version(format: LogFormat) {
    match format {
        LogFormat::Text if std::io::stderr().is_terminal() => {}
        LogFormat::Text | LogFormat::Json => {
            info!("savio-relay {VERSION} starts");
        }
    }
}

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

/// Warns of a store on a network file system.
pub(super) fn warn_of_file_system(folder: &Path) {
    if let Some(FileSystem::Remote(kind)) = FileSystem::of(folder) {
        warn!(
            "the folder of the store (`store.url`), {}, is on {kind}, a network file system: SQLite may lose \
             accepted webhooks there. Move it to a local disk",
            folder.display()
        );
    }
}

/// Logs what became of the undelivered events of a restored backup.
pub(super) fn log_restored(restored: Option<Restored>, hold: bool) {
    let Some(Restored { made_at, queued, held, replays, events }) = restored else {
        if hold {
            warn!("--hold: the store is no backup that was just restored, so nothing was held");
        }
        return;
    };
    let fate = match events {
        RestoredEvents::Send => "sent now, marked as possible duplicates",
        RestoredEvents::Hold => {
            "held until a person decides (`savio-relay events list --state held`)"
        }
    };
    let (events, are) =
        (counted(queued as u64, "queued event"), if queued == 1 { "is" } else { "are" });
    warn!(
        queued,
        held,
        "the store is a backup of {made_at:.0}: {events} in it may have been sent since, and {are} \
         {fate}; held already: {held}"
    );
    if replays > 0 {
        let canceled = counted(replays as u64, "replay");
        warn!(replays, "{canceled} of the backup canceled, which had not ended");
    }
}

/// Shows each source with its status and URL, as a table or as lines of the JSON log, and warnings.
pub(super) async fn print(relay: &Relay, files: &[MappingFile], format: LogFormat) {
    let sources = relay.sources();
    match format {
        LogFormat::Text => print_error(&table(&sources, files, &relay.addresses)),
        LogFormat::Json => log_changes(&Sources::new(), &sources, files, &relay.addresses),
    }
    if let Some(added) = added_by_upgrade(relay, files).await {
        match format {
            LogFormat::Text => print_error(&added_lines(&added)),
            LogFormat::Json => info!("new bundled sources since the upgrade: {}", added.join(", ")),
        }
    }
    if sources.is_empty() {
        warn!(
            "there is no source: the folder of the mapping files is empty, and shipped_mappings \
             leaves out the bundled ones"
        );
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
    for certificate in &relay.listeners.certificates {
        print(certificate);
    }
    print_admin_address(relay, print);
    for doubt in &relay.admin_tokens.doubts {
        warn!("{doubt}");
    }
    print(&format!("listening on {}", relay.listeners.url));
}

/// Returns what is doubtful about the secrets of the configuration.
pub(super) fn secret_warnings(config: &Config) -> Vec<String> {
    config.secrets().into_iter().filter_map(|it| it.secret.warning()).collect()
}

pub(super) fn warn_of_secrets(warnings: &[String]) {
    for warning in warnings {
        warn!("{warning}");
    }
}

/// Prints a link by which whoever looks at the terminal logs in. Nobody else is shown it: a log is kept,
/// and others may read it.
pub(super) fn print_login_link(relay: &Relay) {
    if !std::io::stdout().is_terminal() {
        return;
    }
    if let Some(link) = relay.logins.make_link(Role::Everything) {
        // Without standard output there is nobody to read it.
        let _ = output::print(&format!("log in once within 10 minutes: {}\n", link.url));
    }
}

fn print_admin_address(relay: &Relay, print: impl Fn(&str)) {
    let admin = format!("the API is at {}/api/v1/", relay.listeners.admin_url);
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

/// Formats the sources: first those that accept webhooks, then those that are off for a reason that
/// somebody has to know, and in one line the bundled ones that only wait to be set up.
fn table(sources: &Sources, files: &[MappingFile], addresses: &SourceAddresses) -> String {
    let ready = ready_for_setup(files);
    let shown = || sources.iter().filter(|(name, _)| !ready.contains(name));
    let width = shown().map(|(name, _)| name.as_str().len()).max().unwrap_or(0);
    let mut lines = vec![format!("savio-relay {VERSION}")];
    let (mut accepting, mut off) = (Vec::new(), Vec::new());
    for (name, status) in shown() {
        let padded = format!("{:width$}", name.as_str());
        let address = addresses.of(name);
        match status {
            SourceStatus::Live(_) => {
                accepting.push(format!("  {padded}  live  {address}{}", origin(name, files)));
            }
            SourceStatus::AwaitingSecret(setup) => {
                accepting.push(format!("  {padded}  setup {}", addresses.of_pending_setup(setup)));
            }
            SourceStatus::Off { reason } => off.push(format!("  {padded}  off   {reason}")),
        }
    }
    lines.extend(accepting);
    lines.extend(off);
    if !ready.is_empty() {
        lines.push(format!("  {}", more_ready(ready.len())));
    }
    lines.join("\n")
}

/// Marks a bundled source beside those of a folder.
// A relay that was upgraded has sources that are not in its folder, and its owner should see which.
fn origin(name: &SourceName, files: &[MappingFile]) -> &'static str {
    let has_folder = files.iter().any(|file| !file.is_bundled());
    let is_it = |file: &MappingFile| file.name.as_ref() == Some(name) && file.is_bundled();
    if has_folder && files.iter().any(is_it) { " (bundled)" } else { "" }
}

/// Returns the bundled sources that came by an upgrade to a relay with mapping files of its own.
// Without such files, the bundled ones have been its sources all along.
async fn added_by_upgrade(relay: &Relay, files: &[MappingFile]) -> Option<Vec<String>> {
    let bundled = files.iter().filter(|file| file.is_bundled());
    let names = bundled.filter_map(|file| Some(file.name.as_ref()?.to_string())).collect();
    // A store that is unavailable is reported by intake and delivery.
    let added = relay.store.remember_bundled(names).await.unwrap_or_default();
    let has_own = files.iter().any(|file| !file.is_bundled());
    (has_own && !added.is_empty()).then_some(added)
}

/// Lists the names within the width of a terminal.
fn added_lines(names: &[String]) -> String {
    let mut lines =
        vec!["  New since the upgrade, beside the mapping files of your folder:".to_owned()];
    let mut line = String::new();
    for name in names {
        if line.len() + name.len() > LINE_CHARS_MAX {
            lines.push(format!("    {}", std::mem::take(&mut line).trim_end()));
        }
        line += &format!("{name}, ");
    }
    lines.push(format!("    {}", line.trim_end_matches(", ")));
    lines.push(
        "  Each is off until its secret is set; shipped_mappings = false removes them.".to_owned(),
    );
    lines.join("\n")
}

const LINE_CHARS_MAX: usize = 72;
