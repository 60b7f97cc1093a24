//! Checks of the store: its folder, its disk, its users, and its events.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use rustix::fs::Access;
use rustix::process::geteuid;

use super::damage::{MIB, STORE, damage};
use super::finding::Finding;
use crate::clock;
use crate::delivery::source_pauses::{SourcePauses, why_source_waits};
use crate::delivery::why_closed_in;
use crate::diagnostics::counted;
use crate::event::{DEFAULT_DESTINATION, SourceName, State, WaitKind, WaitingFor};
use crate::file;
use crate::mapping_file::file::MappingFile;
use crate::store::sqlite::engine::file_system::FileSystem;
use crate::store::sqlite::{OpenError, Settings, check_former_place, disk_space, is_served};
use crate::store::{Archive, DiskSpace, Sqlite, StateCount, Store, StoreError, WaitingCount};

/// Checks the folder, the disk and the file, without opening it.
pub(crate) fn place(settings: &Settings, findings: &mut Vec<Finding>) {
    let folder = settings.folder();
    if !folder.is_dir() {
        let found = format!("the folder {} is not there", folder.display());
        findings.push(Finding::wrong(STORE, found).advice("create it, or change store.url"));
        return;
    }
    if let Err(error) = check_former_place(settings) {
        findings.push(Finding::wrong(STORE, error.to_string()));
    }
    findings.push(writable(settings));
    findings.push(file_system(folder));
    findings.push(room(settings));
    if settings.path.exists() {
        findings.push(owner(&settings.path));
        findings.push(server(&settings.path));
    } else {
        let found = format!("{} does not exist yet: `serve` creates it", settings.path.display());
        findings.push(Finding::ok(STORE, found));
    }
}

/// Looks for damage and for events that wait, if there is a file; all of it with `deep`.
pub(crate) async fn content(
    settings: &Settings,
    (sources, deep): (&[MappingFile], bool),
    findings: &mut Vec<Finding>,
) {
    if !settings.path.exists() {
        return;
    }
    let damage = damage(settings, deep).await;
    // What keeps the file from being opened is found twice.
    let others = events(settings, sources).await.into_iter().filter(|it| *it != damage);
    let others: Vec<Finding> = others.collect();
    findings.push(damage);
    findings.extend(others);
}

/// Does the same from within the relay that has the store open.
pub(super) async fn content_of_open(
    (settings, store): (&Settings, &Sqlite),
    sources: &[MappingFile],
) -> Vec<Finding> {
    let mut findings = vec![damage(settings, false).await];
    findings.extend(events_of(store, sources).await);
    findings
}

fn writable(settings: &Settings) -> Finding {
    let folder = settings.folder();
    let mut places = vec![(folder, Access::WRITE_OK | Access::EXEC_OK)];
    if settings.path.exists() {
        places.push((&settings.path, Access::READ_OK | Access::WRITE_OK));
    }
    for (path, rights) in places {
        if let Err(error) = file::check_access(path, rights) {
            let reason = file::explain(&error, path);
            let found = format!("{} cannot be written: {reason}", path.display());
            return Finding::wrong(STORE, found);
        }
    }
    Finding::ok(STORE, format!("{} can be written", folder.display()))
}

fn file_system(folder: &Path) -> Finding {
    let path = folder.canonicalize().unwrap_or_else(|_| folder.to_owned());
    let path = path.display();
    match FileSystem::of(folder) {
        None => {
            let found = format!("the file system of {path} cannot be determined here");
            Finding::warning(STORE, found).advice("it must be a local one")
        }
        Some(FileSystem::Remote(kind)) => {
            Finding::wrong(STORE, format!("{path} is on {kind}, a network file system"))
                .advice("use a local disk: SQLite is not durable elsewhere")
        }
        Some(FileSystem::Volatile(kind)) => {
            Finding::warning(STORE, format!("{path} is on {kind}, which is lost at a restart"))
                .advice("use a disk or a volume, or accepted webhooks are lost with it")
        }
        Some(FileSystem::Local(kind)) => {
            Finding::ok(STORE, format!("{path} is on {kind}, a local file system"))
        }
    }
}

fn room(settings: &Settings) -> Finding {
    match disk_space(settings) {
        Ok(DiskSpace { free_bytes, reserve_bytes }) => {
            let (free, reserve) = (free_bytes / MIB, reserve_bytes / MIB);
            let found = format!("{free} MiB are free; intake stops below {reserve} MiB");
            match free_bytes {
                free if free <= reserve_bytes => Finding::wrong(STORE, found)
                    .advice("make room: webhooks are answered 503 until then"),
                free if free <= reserve_bytes.saturating_mul(4) => {
                    Finding::warning(STORE, found).advice("make room before it is full")
                }
                _ => Finding::ok(STORE, found),
            }
        }
        Err(error) => Finding::unseen(STORE, format!("the free space: {error}")),
    }
}

fn owner(path: &Path) -> Finding {
    let shown = path.display();
    match fs::metadata(path) {
        Ok(file) if file.mode() & 0o077 != 0 => {
            Finding::warning(STORE, format!("{shown} can be read by other users"))
                .advice(format!("chmod 600 {shown}: it contains what your customers wrote"))
                .command(format!("chmod 600 {shown}"))
        }
        Ok(file) if file.uid() != geteuid().as_raw() => {
            let (owner, us) = (file.uid(), geteuid().as_raw());
            Finding::warning(
                STORE,
                format!("{shown} belongs to user {owner}, and this is user {us}"),
            )
            .advice("run this as the user that runs the relay, to see what it sees")
        }
        Ok(_) => Finding::ok(STORE, format!("only this user can read {shown}")),
        Err(error) => Finding::unseen(STORE, format!("{shown}: {error}")),
    }
}

fn server(path: &Path) -> Finding {
    let shown = path.display();
    match is_served(path) {
        Ok(true) => Finding::ok(STORE, format!("a relay runs on {shown} now")),
        Ok(false) => Finding::ok(STORE, format!("no relay runs on {shown} now")),
        Err(error) => Finding::unseen(STORE, format!("whether a relay runs on it: {error}")),
    }
}

async fn events(settings: &Settings, sources: &[MappingFile]) -> Vec<Finding> {
    let store = match Sqlite::open_shared(settings) {
        Ok(store) => store,
        Err(error @ OpenError::Older { .. }) => {
            return vec![Finding::warning(STORE, error.to_string())];
        }
        Err(error) => return vec![Finding::wrong(STORE, error.to_string())],
    };
    let found = events_of(&store, sources).await;
    store.close().await;
    found
}

async fn events_of(store: &Sqlite, sources: &[MappingFile]) -> Vec<Finding> {
    let mut found = match counts(store).await {
        Ok(found) => found,
        Err(error) => return vec![Finding::unseen(STORE, error.to_string())],
    };
    found.extend(store.newer.map(|newer| Finding::warning(STORE, newer.to_string())));
    match waiting(store, sources).await {
        Ok(waiting) => found.extend(waiting),
        Err(error) => found.push(Finding::unseen(STORE, error.to_string())),
    }
    found
}

async fn counts(store: &dyn Archive) -> Result<Vec<Finding>, StoreError> {
    let counts = store.counts().await?;
    let of =
        |state| -> u64 { counts.iter().filter(|it| it.state == state).map(|it| it.events).sum() };
    let all: Vec<String> = State::ALL
        .into_iter()
        .filter(|state| of(*state) > 0)
        .map(|state| format!("{} {}", of(state), state.as_str()))
        .collect();
    let all = if all.is_empty() { "none yet".to_owned() } else { all.join(", ") };
    let mut found = vec![Finding::ok(STORE, format!("its events: {all}"))];
    let now = clock::now();
    if let Some((source, since)) = store.oldest_queued().await?.into_iter().min_by_key(|it| it.1) {
        let minutes = now.duration_since(since).as_mins();
        let waits = format!("the oldest queued event, of {source}, waits for {minutes} min");
        found.push(match minutes {
            ..60 => Finding::ok(STORE, waits),
            _ => Finding::warning(STORE, waits)
                .advice("`savio-relay events list --state queued` shows what each waits for")
                .command("savio-relay events list --state queued"),
        });
    }
    let dead = of(State::Dead);
    if dead > 0 {
        let advice = "`savio-relay dead list` says why, `dead replay` sends them again";
        let finding = Finding::warning(STORE, format!("dead events: {dead}")).advice(advice);
        found.push(finding.command("savio-relay dead list"));
    }
    let held = of(State::Held);
    if held > 0 {
        let advice = "`savio-relay events release` ends it: --arrived or --again";
        let finding = Finding::warning(STORE, format!("held events: {held}")).advice(advice);
        found.push(finding.command("savio-relay events list --state held"));
    }
    Ok(found)
}

fn wait(events: u64) -> &'static str {
    if events == 1 { "waits" } else { "wait" }
}

/// Reports queued events that wait for something else than their due time.
async fn waiting(store: &dyn Store, files: &[MappingFile]) -> Result<Vec<Finding>, StoreError> {
    let mut found = Vec::new();
    let paused = SourcePauses::default().paused_sources(store).await?;
    for StateCount { source, events, .. } in
        store.counts().await?.into_iter().filter(|it| it.state == State::Queued)
    {
        let is_paused = paused.contains_key(&source);
        if let Some(why) = why_waits(store, files, (&source, is_paused)).await? {
            let (events, wait) = (counted(events, "queued event"), wait(events));
            let waits = format!("{events} of {source} {wait}: {}", why.reason);
            let finding = Finding::warning(STORE, waits).advice(why.advice);
            found.push(Finding { command: why.command, ..finding });
        }
    }
    for WaitingCount { source, claimed, unclaimed } in store.waiting().await? {
        let events = claimed + unclaimed;
        let (events, wait) = (counted(events, "queued event"), wait(events));
        let waits = format!("{events} of {source} {wait} for another event");
        let advice = "`savio-relay events list --state queued` shows for which";
        let finding = Finding::ok(STORE, waits).advice(advice);
        found.push(finding.command("savio-relay events list --state queued"));
    }
    Ok(found)
}

/// Why no queued event of a source is sent, and what ends that.
struct SourceWait {
    reason: String,
    advice: &'static str,
    command: Option<String>,
}

/// Returns why no queued event of the source is sent; none if they are sent.
async fn why_waits(
    store: &dyn Store,
    files: &[MappingFile],
    (source, is_paused): (&SourceName, bool),
) -> Result<Option<SourceWait>, StoreError> {
    let file = files.iter().find(|it| it.name.as_ref() == Some(source));
    // An empty list may mean that the files could not be read.
    let has_mapping = files.is_empty() || file.is_some();
    if let Some(WaitingFor { reason, .. }) = why_source_waits(source, (has_mapping, is_paused)) {
        let (advice, command) = if has_mapping {
            let command = format!("savio-relay sources resume {source}");
            ("`savio-relay sources resume NAME` ends the pause", Some(command))
        } else {
            ("put its mapping file back: they wait until then", None)
        };
        return Ok(Some(SourceWait { reason, advice, command }));
    }
    let destination = file.map_or(DEFAULT_DESTINATION, MappingFile::destination);
    let closed = why_closed_in(store, destination, clock::now()).await?;
    Ok(closed.map(|WaitingFor { kind, reason, until }| {
        let next = until.map(|at| format!(", next try at {} UTC", at.strftime("%H:%M:%S")));
        let (advice, action) = match kind {
            WaitKind::PausedByPerson => {
                ("`savio-relay destinations resume` ends the pause", "resume")
            }
            _ => ("`savio-relay destinations probe` asks Savio at once", "probe"),
        };
        let command = Some(format!("savio-relay destinations {action} {destination}"));
        SourceWait { reason: reason + &next.unwrap_or_default(), advice, command }
    }))
}
