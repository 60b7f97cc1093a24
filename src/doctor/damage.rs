//! Check of the database file for damage: for a second, or as a whole.

use std::fs;
use std::time::Duration;

use super::finding::Finding;
use crate::store::sqlite::Settings;
use crate::store::sqlite::engine::check::{
    CheckLimits, CheckResult, check, estimated_time, log_bytes_max,
};

/// Heading of all findings about the store.
pub(super) const STORE: &str = "store";

pub(super) const MIB: u64 = 1024 * 1024;

/// Longest time of a check without `--deep`.
const SHORT: Duration = Duration::from_secs(1);

const ADVICE: &str = "stop the relay, copy the file and its -wal, and replace it by a backup; without \
    one, `sqlite3 FILE .recover` of a new version saves what it can: compare the number of events before \
    you use that, since an old version saves nothing";

/// Returns what a person should know before the whole file is checked; none if there is no file.
pub(crate) fn announcement(settings: &Settings) -> Option<String> {
    let bytes = fs::metadata(&settings.path).ok()?.len();
    let (shown, seconds) = (settings.path.display(), estimated_time(bytes).as_secs());
    Some(format!(
        "checking {shown}, {} MiB: this takes about {seconds} s, less if the file is cached",
        bytes.div_ceil(MIB)
    ))
}

pub(super) async fn damage(settings: &Settings, deep: bool) -> Finding {
    let shown = settings.path.display();
    let checked = match log_bytes_max(settings) {
        Ok(log_bytes) => {
            check(&settings.path, CheckLimits { time: (!deep).then_some(SHORT), log_bytes }).await
        }
        Err(error) => Err(error),
    };
    match checked {
        Ok(CheckResult::Intact) => Finding::ok(STORE, format!("{shown} is intact")),
        Ok(CheckResult::Damaged(faults)) => {
            let faults = faults.join("; ");
            Finding::wrong(STORE, format!("{shown} is damaged: {faults}")).advice(ADVICE)
        }
        Ok(CheckResult::TimedOut) => {
            let found = format!("a quick check of {shown} found no damage; --deep reads all of it");
            Finding::ok(STORE, found)
        }
        Ok(CheckResult::LogFull { log_bytes }) => {
            let log = log_bytes.div_ceil(MIB);
            let found = format!(
                "the check of {shown} stopped: {shown}-wal has {log} MiB, half of what it may reach \
                 during a read"
            );
            Finding::unseen(STORE, found)
                .advice("check a copy, or try again when there is less traffic")
        }
        Err(error) => Finding::wrong(STORE, error.to_string()),
    }
}
