//! `init`: what it writes, keeps and prints.

use std::fs;
use std::path::Path;
use std::process::Output;

use crate::support::relay::program;

fn init(folder: &Path, arguments: &[&str]) -> Output {
    program(folder).arg("init").args(arguments).output().expect("the program runs")
}

fn stdout(output: &Output) -> String {
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

#[test]
fn init_writes_a_source_that_passes_check_and_is_live_with_its_secret() {
    let folder = tempfile::tempdir().unwrap();

    let shown = stdout(&init(folder.path(), &["typeform", "intercom", "typeform"]));

    for path in [
        "relay.toml",
        "relay.schema.json",
        "mappings/mapping.schema.json",
        "mappings/typeform.toml",
        "mappings/samples/typeform.form_response.json",
        "mappings/samples/typeform.form_response.expected.json",
        "mappings/intercom.toml",
    ] {
        assert!(folder.path().join(path).exists(), "{path}");
        assert_eq!(shown.matches(&format!("{path}: written\n")).count(), 1, "{path} in {shown}");
    }
    for part in [
        "https://YOUR-RELAY/hooks/typeform",
        "the environment variable TYPEFORM_SECRET (it is not set yet)",
        "3. In Typeform, open the form, then Connect, Webhooks, Add a webhook.",
        "2. Copy Client secret from Basic information",
    ] {
        assert!(shown.contains(part), "{part} in {shown}");
    }
    let mut check = program(folder.path());
    check.arg("check").env("TYPEFORM_SECRET", "a secret of the test");
    let checked = String::from_utf8(check.output().unwrap().stdout).unwrap();
    assert!(checked.starts_with("mappings/typeform.toml: ok, 4 tests\n"), "{checked}");
    assert!(checked.contains("mappings/intercom.toml: ok"), "{checked}");
    assert!(checked.ends_with("33 more are ready: `savio-relay providers`\n"), "{checked}");
}

#[test]
fn init_of_each_bundled_source_passes_check() {
    let folder = tempfile::tempdir().unwrap();
    let names = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings")).unwrap();
    let names: Vec<String> = names
        .filter_map(|entry| {
            let name = entry.unwrap().file_name().into_string().unwrap();
            name.strip_suffix(".toml").map(str::to_owned)
        })
        .collect();

    stdout(&init(folder.path(), &names.iter().map(String::as_str).collect::<Vec<_>>()));

    let checked = program(folder.path()).args(["check"]).output().unwrap();
    assert_eq!(checked.status.code(), Some(0), "{checked:?}");
}

#[test]
fn init_overwrites_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    fs::create_dir_all(path("mappings/samples")).unwrap();
    let sample = "mappings/samples/typeform.form_response.json";
    for name in ["relay.toml", "mappings/typeform.toml", sample] {
        fs::write(path(name), "# mine\n").unwrap();
    }

    let shown = stdout(&init(folder.path(), &["typeform"]));

    for name in ["relay.toml", "mappings/typeform.toml", sample] {
        assert_eq!(fs::read_to_string(path(name)).unwrap(), "# mine\n");
        assert!(shown.contains(&format!("{name}: kept, it exists\n")), "{name} in {shown}");
    }
    let again = stdout(&init(folder.path(), &["typeform"]));
    assert!(!again.contains("written"), "{again}");
}

#[test]
fn init_follows_the_configuration() {
    let folder = tempfile::tempdir().unwrap();
    let config = "mappings = \"conf/own\"\nserver.public_url = \"https://hooks.example.com\"\n";
    fs::write(folder.path().join("relay.toml"), config).unwrap();

    let shown = stdout(&init(folder.path(), &["form"]));

    assert!(folder.path().join("conf/own/form.toml").exists(), "{shown}");
    assert!(shown.contains("https://hooks.example.com/hooks/form"), "{shown}");
    assert!(!shown.contains("YOUR-RELAY"), "{shown}");
}

#[test]
fn init_of_an_unknown_source_writes_nothing_and_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let check = |name: &str, advice: &str| {
        let output = init(folder.path(), &["form", name]);
        let errors = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(advice), "{errors}");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
    };

    check("typefrom", "there is no bundled source 'typefrom': did you mean 'typeform'?");
    check("notion", "`savio-relay draft PAYLOAD --provider notion` makes a first one");
    check("acme", "`savio-relay providers` lists them");
}

#[test]
fn init_without_a_name_says_how_to_go_on() {
    let folder = tempfile::tempdir().unwrap();

    let shown = stdout(&init(folder.path(), &[]));

    assert!(shown.contains("relay.toml: written\n"), "{shown}");
    assert!(shown.contains("savio-relay providers "), "{shown}");
    assert!(shown.contains("savio-relay init NAME "), "{shown}");
}

#[test]
fn init_where_no_folder_can_be_made_names_what_is_in_the_way() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("mappings"), "").unwrap();

    let output = init(folder.path(), &["form"]);

    let errors = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(3), "{errors}");
    assert!(errors.contains("mappings is a file and not a folder: move it away"), "{errors}");
}
