//! Embeds the provider files, the mapping files and their samples, so that the program runs without its folder, and the
//! commit of which it is built.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    println!("cargo::rustc-env=BUILD_COMMIT={}", commit());
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

/// Returns the commit: that of the variable, for a build without the repository, or that of the repository.
fn commit() -> String {
    println!("cargo::rerun-if-env-changed=BUILD_COMMIT");
    #[expect(
        clippy::disallowed_methods,
        reason = "this is how a container build tells a build script"
    )]
    if let Some(commit) = env::var("BUILD_COMMIT").ok().filter(|it| !it.trim().is_empty()) {
        return commit.trim().to_owned();
    }
    // In a build for development, each commit would compile the whole program again.
    let commit = if env_of("PROFILE") == "release" { repository_commit() } else { None };
    commit.unwrap_or_else(|| "unknown".to_owned())
}

/// Returns the commit that is checked out; none outside of a repository or without git.
fn repository_commit() -> Option<String> {
    let git = |arguments: &[&str]| {
        let output = Command::new("git").args(arguments).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        output.status.success().then(|| text.trim().to_owned())
    };
    // It changes with each commit and checkout. A path that does not exist would run this script each time.
    let log = PathBuf::from(git(&["rev-parse", "--git-path", "logs/HEAD"])?);
    if log.exists() {
        println!("cargo::rerun-if-changed={}", log.display());
    }
    git(&["rev-parse", "--short=12", "HEAD"])
}

#[expect(clippy::disallowed_methods, reason = "this is how cargo tells a build script")]
fn env_of(name: &str) -> String {
    env::var(name).expect("cargo sets it")
}
