//! Embeds the provider files, the mapping files and their samples, so that the program runs without its folder, and of
//! which commit it is built, with its date.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let origin = Origin::find();
    println!("cargo::rustc-env=BUILD_COMMIT={}", origin.commit.as_deref().unwrap_or("unknown"));
    println!("cargo::rustc-env=BUILD_VERSION={}", origin.version());
    embed("mappings", "shipped.rs", str::to_owned)?;
    embed("src/intake/providers", "providers.rs", |name| name.trim_end_matches(".toml").to_owned())
}

/// Writes a table of the names and texts of a folder's files.
fn embed(folder: &str, table_name: &str, name_of: fn(&str) -> String) -> io::Result<()> {
    let folder = PathBuf::from(env_of("CARGO_MANIFEST_DIR")).join(folder);
    println!("cargo::rerun-if-changed={}", folder.display());
    let mut paths = Vec::new();
    list(&folder, &mut paths)?;
    // The order of `read_dir` differs between file systems, and the build should be reproducible.
    paths.sort();
    let mut table = String::from("&[\n");
    for path in &paths {
        let name = path.strip_prefix(&folder).expect("it was listed below the folder");
        let name = name_of(&name.to_string_lossy().replace('\\', "/"));
        writeln!(table, "    ({name:?}, include_str!({:?})),", path.display().to_string())
            .expect("writing to a String cannot fail");
    }
    table.push(']');
    fs::write(PathBuf::from(env_of("OUT_DIR")).join(table_name), table)
}

fn list(folder: &Path, paths: &mut Vec<PathBuf>) -> io::Result<()> {
    // Each folder, since cargo sees new files only by the time of the folder that they are in.
    println!("cargo::rerun-if-changed={}", folder.display());
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            list(&path, paths)?;
        } else {
            paths.push(path);
        }
    }
    Ok(())
}

/// The commit of which the program is built, and a date: that of the commit, and not of the build, so that a build can
/// be reproduced.
struct Origin {
    commit: Option<String>,
    date: Option<String>,
}

impl Origin {
    /// Finds them in the variables, for a build without the repository, or else in the repository.
    fn find() -> Origin {
        let date = variable("BUILD_DATE").inspect(|it| check_date(it)).or_else(date_of_sources);
        if let Some(commit) = variable("BUILD_COMMIT") {
            return Origin { commit: Some(commit), date };
        }
        // In a build for development, each commit would compile the whole program again.
        let found = if is_release() { repository_commit() } else { None };
        let (commit, seconds) = found.unzip();
        Origin { commit, date: date.or(seconds.map(utc_date)) }
    }

    /// Returns the version as `--version` prints it.
    fn version(&self) -> String {
        let unknown = if is_release() { "commit unknown" } else { "development build" };
        let commit = self.commit.as_deref().unwrap_or(unknown);
        let date = self.date.as_ref().map(|date| format!(", {date}")).unwrap_or_default();
        format!("{} ({commit}{date})", env_of("CARGO_PKG_VERSION"))
    }
}

fn is_release() -> bool {
    env_of("PROFILE") == "release"
}

fn check_date(date: &str) {
    let is_fit = |(index, c): (usize, char)| {
        if [4, 7].contains(&index) { c == '-' } else { c.is_ascii_digit() }
    };
    if date.len() != 10 || !date.chars().enumerate().all(is_fit) {
        println!("cargo::error=BUILD_DATE is `{date}`: write the date of the commit as YYYY-MM-DD");
    }
}

/// Returns the date of the variable by which a distribution sets the time of all its builds.
fn date_of_sources() -> Option<String> {
    let seconds = variable("SOURCE_DATE_EPOCH")?.parse().ok();
    if seconds.is_none() {
        println!(
            "cargo::warning=SOURCE_DATE_EPOCH is no number of seconds since 1970, and is ignored"
        );
    }
    seconds.map(utc_date)
}

/// Returns the day in UTC, as YYYY-MM-DD.
fn utc_date(seconds: u64) -> String {
    let is_leap = |year: u64| {
        year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400))
    };
    let (mut year, mut day) = (1970, seconds / 86_400);
    while day >= 365 + u64::from(is_leap(year)) {
        day -= 365 + u64::from(is_leap(year));
        year += 1;
    }
    let mut month = 1;
    for days in [31, 28 + u64::from(is_leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30] {
        if day < days {
            break;
        }
        day -= days;
        month += 1;
    }
    format!("{year}-{month:02}-{:02}", day + 1)
}

/// All that is compiled.
const SOURCES: [&str; 8] = [
    "Cargo.toml",
    "Cargo.lock",
    "build.rs",
    "src",
    "mappings",
    "migrations",
    "relay.schema.json",
    "relay.example.toml",
];

/// Returns the commit that is checked out, marked if what is compiled differs from it, and its time; none outside of a
/// repository or without git.
fn repository_commit() -> Option<(String, u64)> {
    let git = |arguments: &[&str]| {
        // Without locks, since `status` would write the index beside a command of a person.
        let output =
            Command::new("git").arg("--no-optional-locks").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // A folder of sources without a repository may lie in the repository of something else.
    if !git(&["rev-parse", "--show-prefix"])?.is_empty() {
        return None;
    }
    // It changes with each commit and checkout. A path that does not exist would run this script each time.
    let log = PathBuf::from(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    let sources = SOURCES.iter().map(Path::new);
    for path in sources.chain([log.as_path()]).filter(|path| path.exists()) {
        println!("cargo::rerun-if-changed={}", path.display());
    }
    let commit = git(&["rev-parse", "--short=12", "HEAD"])?;
    let seconds = git(&["show", "--no-patch", "--format=%ct", "HEAD"])?.parse().ok()?;
    let mut status = vec!["status", "--porcelain", "--untracked-files=all", "--"];
    status.extend(SOURCES);
    let mark = if git(&status)?.is_empty() { "" } else { "-dirty" };
    Some((format!("{commit}{mark}"), seconds))
}

/// Returns a variable that tells what a build without the repository does not know.
#[expect(
    clippy::disallowed_methods,
    reason = "this is how a build for a container or a package tells a build script"
)]
fn variable(name: &str) -> Option<String> {
    println!("cargo::rerun-if-env-changed={name}");
    let value = env::var(name).ok()?;
    Some(value.trim().to_owned()).filter(|value| !value.is_empty())
}

#[expect(clippy::disallowed_methods, reason = "this is how cargo tells a build script")]
fn env_of(name: &str) -> String {
    env::var(name).expect("cargo sets it")
}
