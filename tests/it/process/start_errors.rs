//! Errors at a start: each names what failed, who asked, the setting, and what to do.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use savio_relay::store::Sqlite;
use savio_relay::store::sqlite::Settings;
use tempfile::TempDir;

use crate::support::left_out::report_left_out;
use crate::support::relay::program;

/// A user that owns nothing.
const STRANGER: u32 = 65_432;

fn set_mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// Runs a command that has to fail, and checks that its message has these parts.
fn check(mut command: Command, parts: &[&str]) {
    let output = command
        .env("SAVIO_RELAY_SERVER__LISTEN", "127.0.0.1:0")
        .env("SAVIO_RELAY_SERVER__ADMIN_LISTEN", "127.0.0.1:0")
        .output()
        .unwrap();
    let shown = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success(), "{shown}");
    for part in parts {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    let message = shown.lines().find(|line| line.starts_with("savio-relay: ")).unwrap_or_default();
    assert!(!message.contains("os error") && !message.contains("Error code"), "{shown}");
}

fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = program(folder);
    command.args(arguments);
    command
}

/// Returns whether this machine lets a stranger run the program.
fn strangers_can_run(folder: &Path) -> bool {
    let mut version = command(folder, &["--version"]);
    version.uid(STRANGER).gid(STRANGER).output().is_ok_and(|output| output.status.success())
}

/// Returns a folder in which a stranger may look, or none if the test is left out.
fn folder_for_strangers() -> Option<TempDir> {
    let folder = tempfile::tempdir().unwrap();
    set_mode(folder.path(), 0o755);
    if strangers_can_run(folder.path()) {
        return Some(folder);
    }
    report_left_out("tests of permissions: only root can run the program as another user");
    None
}

fn as_stranger(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = command(folder, arguments);
    command.uid(STRANGER).gid(STRANGER);
    command
}

#[test]
fn store_that_belongs_to_another_user_names_both_users() {
    let Some(folder) = folder_for_strangers() else { return };
    let place = folder.path();
    let chown = format!("chown {STRANGER} {}", place.display());
    let users = ["relay.db of the store (`store.url`)", "user 65432", "user 0", "mode 755", &chown];
    check(as_stranger(place, &["serve"]), &users);

    // Its folder may be used, and a file in it may not: another command made it as root.
    set_mode(place, 0o777);
    drop(Sqlite::open(&Settings::new(place.join("relay.db"))).unwrap());
    fs::remove_file(place.join("relay.db.lock")).unwrap();
    fs::write(place.join("export.csv"), "a\n1\n").unwrap();
    let file = ["may not read", "relay.db", "user 65432", "user 0", "mode 600"];
    for arguments in [&["serve"][..], &["events", "list"], &["import", "form", "export.csv"]] {
        let mapping =
            "provider = \"form\"\nsecrets = [\"env:A\"]\n[[feedback]]\nproblem = \"$.text\"\n";
        fs::create_dir_all(place.join("mappings")).unwrap();
        fs::write(place.join("mappings/form.toml"), mapping).unwrap();
        check(as_stranger(place, arguments), &file);
    }
    check(as_stranger(place, &["backup", "b.db"]), &file);
    let output = as_stranger(place, &["doctor"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(file.iter().all(|part| shown.contains(part)), "{shown}");
}

#[test]
fn unreadable_mapping_folder_and_secret_name_both_users() {
    let Some(folder) = folder_for_strangers() else { return };
    let place = folder.path();
    set_mode(place, 0o777);
    fs::create_dir(place.join("mappings")).unwrap();
    set_mode(&place.join("mappings"), 0o700);
    let users = ["mappings: permission denied", "user 65432", "user 0", "mode 700"];
    check(as_stranger(place, &["serve"]), &users);

    set_mode(&place.join("mappings"), 0o755);
    fs::write(place.join("secret"), "s3cret").unwrap();
    set_mode(&place.join("secret"), 0o600);
    let mapping =
        "provider = \"form\"\nsecrets = [\"file:secret\"]\n[[feedback]]\nproblem = \"$.text\"\n";
    fs::write(place.join("mappings/form.toml"), mapping).unwrap();
    let output = as_stranger(place, &["doctor"]).output().unwrap();
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for part in ["secret cannot be read: permission denied", "user 65432", "user 0", "mode 600"] {
        assert!(shown.contains(part), "{shown}");
    }
}

#[test]
fn configuration_that_is_a_folder_is_explained() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("relay.toml")).unwrap();

    for arguments in [&["serve"][..], &["check"], &["events", "list"], &["backup", "b.db"]] {
        let parts = ["relay.toml: it is a folder, not a file", "Docker"];
        check(command(folder.path(), arguments), &parts);
    }
}

#[test]
fn address_in_use_names_its_setting() {
    let folder = tempfile::tempdir().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let config = |text: String| fs::write(folder.path().join("relay.toml"), text).unwrap();
    let shown = |names: &str| {
        let output = program(folder.path()).arg("serve").output().unwrap();
        let shown = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(
            shown.contains(&format!("cannot listen on {address} ({names}): another program")),
            "{shown}"
        );
        assert!(!folder.path().join("relay.db").exists());
    };
    config(format!("[server]\nlisten = \"{address}\"\nadmin_listen = \"127.0.0.1:0\"\n"));
    shown("`server.listen` or SAVIO_RELAY_SERVER__LISTEN");
    config(format!("[server]\nlisten = \"127.0.0.1:0\"\nadmin_listen = \"{address}\"\n"));
    shown("`server.admin_listen` or SAVIO_RELAY_SERVER__ADMIN_LISTEN");

    config("[server]\nlisten = \"127.0.0.1:1\"\nadmin_listen = \"127.0.0.1:1\"\n".to_owned());
    let output = program(folder.path()).arg("serve").output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(text.contains("`server.admin_listen` are both 127.0.0.1:1: give one"), "{text}");

    let sandbox = command(folder.path(), &["sandbox", "--listen", &address]);
    check(sandbox, &[&format!("cannot listen on {address} (--listen): another program")]);
}

#[test]
fn missing_folder_of_the_store_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let mut serve = command(folder.path(), &["serve"]);
    serve.env("SAVIO_RELAY_STORE__URL", "sqlite:data/relay.db");

    let here = format!(
        "the folder data does not exist in {}",
        folder.path().canonicalize().unwrap().display()
    );
    check(serve, &["cannot open data/relay.db of the store (`store.url`)", &here]);
}

#[test]
fn store_in_use_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let relay = crate::support::relay::Relay::start(folder.path(), &[]);

    let parts = ["another savio-relay runs on", "relay.db.lock", "stop it first"];
    check(command(folder.path(), &["serve"]), &parts);
    drop(relay);
}

/// A file system of its own.
struct Disk(TempDir);

impl Disk {
    fn mount() -> Option<Disk> {
        let folder = tempfile::tempdir().unwrap();
        let disk = Disk(folder);
        if disk.call("mount", &["-t", "tmpfs", "-o", "size=2m", "tmpfs"]) {
            return Some(disk);
        }
        report_left_out("tests of a full and of a read-only disk: mounting is not allowed here");
        None
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn call(&self, program: &str, arguments: &[&str]) -> bool {
        let call = Command::new(program).args(arguments).arg(self.path()).output();
        call.is_ok_and(|output| output.status.success())
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        self.call("umount", &["--lazy"]);
    }
}

#[test]
fn full_disk_at_a_start_names_the_disk_and_its_room() {
    let Some(disk) = Disk::mount() else { return };
    let ballast = disk.path().join("ballast");
    let use_up = || {
        use std::io::Write as _;
        let mut ballast = fs::File::create(&ballast).unwrap();
        for size in [4096, 1] {
            while ballast.write_all(&vec![7; size]).is_ok() {}
        }
    };
    let folder = disk.path().canonicalize().unwrap();
    let full =
        format!("the disk is full: 0 MiB are left on the file system of {}", folder.display());

    use_up();
    check(command(disk.path(), &["serve"]), &["relay.db", &full, "make room"]);
    fs::remove_file(&ballast).unwrap();
    crate::support::relay::Relay::start(disk.path(), &[]).stop();
    // Without the files beside the database, which the next start has to make anew.
    for suffix in ["-wal", "-shm", ".lock"] {
        let _ = fs::remove_file(disk.path().join(format!("relay.db{suffix}")));
    }
    use_up();
    for arguments in [&["serve"][..], &["events", "list"]] {
        check(command(disk.path(), arguments), &["relay.db", &full]);
    }
}

#[test]
fn read_only_disk_is_explained() {
    let Some(disk) = Disk::mount() else { return };
    crate::support::relay::Relay::start(disk.path(), &[]).stop();
    let remount = |option: &str| assert!(disk.call("mount", &["-o", option]));
    remount("remount,ro");

    let folder = disk.path().canonicalize().unwrap();
    let parts = ["relay.db", "is mounted read-only: mount it writable", &*folder.to_string_lossy()];
    for arguments in [&["serve"][..], &["events", "list"]] {
        check(command(disk.path(), arguments), &parts);
    }
    remount("remount,rw");
    fs::remove_file(disk.path().join("relay.db")).unwrap();
    remount("remount,ro");
    check(command(disk.path(), &["serve"]), &parts);
}

#[test]
fn every_url_of_a_store_is_read_or_explained() {
    let folder = tempfile::tempdir().unwrap();
    let serve = |url: &str| {
        let mut serve = command(folder.path(), &["serve"]);
        serve.env("SAVIO_RELAY_STORE__URL", url);
        serve
    };
    check(serve("sqlite:///relay.db"), &["\"sqlite:/relay.db\"", "\"sqlite:relay.db\""]);
    check(serve("sqlite:relay.db?cache=shared"), &["unknown parameter `cache`", "mode=rwc"]);
    check(serve("postgres://u:hunter2@h/db"), &["PostgreSQL", "sqlite:relay.db"]);
    fs::write(folder.path().join("relay.db?mode=rwc"), "").unwrap();
    check(serve("sqlite:relay.db?mode=rwc"), &["relay.db?mode=rwc", "earlier versions kept it"]);
    fs::remove_file(folder.path().join("relay.db?mode=rwc")).unwrap();

    let variables = [("SAVIO_RELAY_STORE__URL", "sqlite://relay.db?mode=rwc")];
    drop(crate::support::relay::Relay::start(folder.path(), &variables));
    assert!(folder.path().join("relay.db").exists());
}
