//! build.rs itself: what it says of the commit and the date, in and outside of a repository.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use jiff::Timestamp;
use tempfile::TempDir;

use crate::support::left_out::report_left_out;

/// The compiled build script, and a folder in which it runs.
struct BuildScript {
    script: PathBuf,
    sources: PathBuf,
    folder: TempDir,
}

impl BuildScript {
    /// Returns none if the test is left out.
    fn new() -> Option<BuildScript> {
        let folder = tempfile::tempdir().unwrap();
        let (script, sources) = (folder.path().join("script"), folder.path().join("sources"));
        let text = concat!(env!("CARGO_MANIFEST_DIR"), "/build.rs");
        let mut rustc = Command::new("rustc");
        rustc.args(["--edition", "2024", "-o"]).arg(&script).arg(text);
        for program in [&mut rustc, Command::new("git").arg("--version")] {
            match program.output() {
                Ok(output) => assert!(output.status.success(), "{output:?}"),
                Err(error) => {
                    report_left_out(&format!("what build.rs prints: {program:?}: {error}"));
                    return None;
                }
            }
        }
        for folder in ["mappings", "src/intake/providers"] {
            fs::create_dir_all(sources.join(folder)).unwrap();
        }
        fs::write(sources.join("src/lib.rs"), "").unwrap();
        fs::write(sources.join("README.md"), "").unwrap();
        Some(BuildScript { script, sources, folder })
    }

    /// Commits all files of a folder at 2026-03-10, 23:30 in UTC, and returns the commit.
    fn commit(&self, folder: &Path) -> String {
        for arguments in [&["init", "-q"][..], &["add", "."], &["commit", "-qm", "All"]] {
            assert!(git(folder, arguments).1);
        }
        let commit = git(folder, &["rev-parse", "--short=12", "HEAD"]).0;
        assert_eq!(commit.len(), 12);
        assert!(self.folder.path().exists());
        commit
    }

    /// Returns all that a build with these variables is told.
    fn output(&self, profile: &str, variables: &[(&str, &str)]) -> String {
        let mut script = Command::new(&self.script);
        script.current_dir(&self.sources).env("CARGO_MANIFEST_DIR", &self.sources);
        script.env("OUT_DIR", self.folder.path()).env("CARGO_PKG_VERSION", "0.1.0");
        for variable in ["BUILD_COMMIT", "BUILD_DATE", "SOURCE_DATE_EPOCH"] {
            script.env_remove(variable);
        }
        let output = script.env("PROFILE", profile).envs(variables.iter().copied()).output();
        let output = output.unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn version(&self, variables: &[(&str, &str)]) -> String {
        version(&self.output("release", variables))
    }
}

fn version(output: &str) -> String {
    let mut lines = output.lines();
    let version = lines.find_map(|line| line.strip_prefix("cargo::rustc-env=BUILD_VERSION="));
    version.expect("the version is set").to_owned()
}

fn git(folder: &Path, arguments: &[&str]) -> (String, bool) {
    let mut git = Command::new("git");
    git.current_dir(folder).args(["-c", "user.name=Ada", "-c", "user.email=ada@example.com"]);
    let date = "2026-03-11T01:30:00 +0200";
    git.env("GIT_AUTHOR_DATE", date).env("GIT_COMMITTER_DATE", date).args(arguments);
    let output = git.output().unwrap();
    (String::from_utf8(output.stdout).unwrap().trim().to_owned(), output.status.success())
}

#[test]
fn release_build_names_its_commit_and_the_day_of_it() {
    let Some(script) = BuildScript::new() else { return };
    let commit = script.commit(&script.sources);
    let clean = format!("0.1.0 ({commit}, 2026-03-10)");

    let output = script.output("release", &[]);
    assert_eq!(version(&output), clean);
    assert!(output.contains(&format!("cargo::rustc-env=BUILD_COMMIT={commit}\n")), "{output}");
    for watched in ["src", "mappings", ".git/logs/HEAD"] {
        assert!(output.contains(&format!("cargo::rerun-if-changed={watched}\n")), "{output}");
    }
    fs::write(script.sources.join("README.md"), "not compiled").unwrap();
    assert_eq!(script.version(&[]), clean);
    for changed in ["src/lib.rs", "src/new.rs"] {
        fs::write(script.sources.join(changed), "// changed").unwrap();
        assert_eq!(script.version(&[]), format!("0.1.0 ({commit}-dirty, 2026-03-10)"), "{changed}");
        fs::remove_file(script.sources.join(changed)).unwrap();
        git(&script.sources, &["checkout", "-q", "src"]);
    }
    assert_eq!(script.version(&[]), clean);
}

#[test]
fn build_without_its_repository_takes_what_the_variables_say() {
    let Some(script) = BuildScript::new() else { return };
    // The sources lie in the repository of something else.
    script.commit(script.folder.path());

    assert_eq!(script.version(&[]), "0.1.0 (commit unknown)");
    let commit = ("BUILD_COMMIT", "2522d36a1b2c");
    assert_eq!(script.version(&[commit]), "0.1.0 (2522d36a1b2c)");
    let date = ("BUILD_DATE", "2026-11-30");
    assert_eq!(script.version(&[commit, date]), "0.1.0 (2522d36a1b2c, 2026-11-30)");
    let epoch = ("SOURCE_DATE_EPOCH", "1000000000");
    assert_eq!(script.version(&[epoch]), "0.1.0 (commit unknown, 2001-09-09)");
    assert_eq!(script.version(&[commit, date, epoch]), "0.1.0 (2522d36a1b2c, 2026-11-30)");
    let empty = [("BUILD_COMMIT", " "), ("BUILD_DATE", ""), ("SOURCE_DATE_EPOCH", "")];
    assert_eq!(script.version(&empty), "0.1.0 (commit unknown)");
    assert_eq!(version(&script.output("debug", &[])), "0.1.0 (development build)");

    let soon = script.output("release", &[("SOURCE_DATE_EPOCH", "soon")]);
    assert_eq!(version(&soon), "0.1.0 (commit unknown)");
    assert!(soon.contains("cargo::warning=SOURCE_DATE_EPOCH is no number"), "{soon}");
    for wrong in ["yesterday", "2026-1-30", "2026-11-30T00", "30-11-2026"] {
        let output = script.output("release", &[("BUILD_DATE", wrong)]);
        assert!(output.contains("cargo::error=BUILD_DATE is `"), "{wrong}: {output}");
    }
}

#[test]
fn every_day_is_counted_as_the_calendar_does() {
    let Some(script) = BuildScript::new() else { return };
    // The first and the last days of months and years, leap years among them.
    for day in ["1970-01-01", "2000-02-29", "2000-12-31", "2023-02-28", "2024-03-01", "2100-03-01"]
    {
        let midnight: Timestamp = format!("{day}T00:00:00Z").parse().unwrap();
        for seconds in [midnight.as_second(), midnight.as_second() + 86_399] {
            let version = script.version(&[("SOURCE_DATE_EPOCH", &seconds.to_string())]);
            assert_eq!(version, format!("0.1.0 (commit unknown, {day})"));
        }
    }
}
