//! Secrets in variables and files: what is read, what is refused, what is kept.

use std::fs;

use secrecy::ExposeSecret;

use super::*;
use crate::diagnostics::diagnostic::Document;

fn environment() -> Environment {
    let variables = [
        ("TOKEN", "t0k"),
        ("EMPTY", ""),
        ("LINE", "t0k\n"),
        ("WINDOWS", "t0k\r\n"),
        ("RETURN", "t0k\r"),
        ("TWO_LINES", "t0k\n\n"),
        ("INNER", "hunter2\nhunter3"),
        ("CONTROL", "hunter2\u{1}"),
        ("ONLY_LINE", "\n"),
    ];
    variables.into_iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn look_up(reference: &str, environment: &Environment) -> Secret {
    let document = Document { name: "m".into(), text: format!("\"{reference}\"") };
    let named = SpannedText::new(&document, reference, 0..document.text.len());
    find(&named, environment, &mut Vec::new()).unwrap()
}

fn value(secret: &Secret) -> Result<&str, &str> {
    secret.value().map(ExposeSecret::expose_secret)
}

#[track_caller]
fn check(reference: &str, expected: Result<&str, &str>) {
    assert_eq!(value(&look_up(reference, &environment())), expected);
}

#[test]
fn secret_is_read_from_the_environment() {
    check("env:TOKEN", Ok("t0k"));
    check("env:EMPTY", Err("the environment variable EMPTY is empty"));
    check("env:ONLY_LINE", Err("the environment variable ONLY_LINE is empty"));
    check("env:OTHER", Err("the environment variable OTHER is not set"));
}

#[test]
fn secret_loses_one_line_end_wherever_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    for name in ["LINE", "WINDOWS", "RETURN"] {
        check(&format!("env:{name}"), Ok("t0k"));
        fs::write(&path, environment().get(name).unwrap()).unwrap();
        check(&format!("file:{}", path.display()), Ok("t0k"));
    }
    fs::write(&path, "s3cret \n").unwrap();
    check(&format!("file:{}", path.display()), Ok("s3cret "));
}

#[test]
fn control_character_in_a_secret_is_an_error_that_names_the_place() {
    let line = "has a line break inside: a token is one line";
    check("env:INNER", Err(&format!("the environment variable INNER {line}")));
    check("env:TWO_LINES", Err(&format!("the environment variable TWO_LINES {line}")));
    let control = "has a control character inside: set it again";
    check("env:CONTROL", Err(&format!("the environment variable CONTROL {control}")));
    assert!(look_up("env:CONTROL", &environment()).wrong().is_some());
    assert!(look_up("env:OTHER", &environment()).wrong().is_none());
}

#[test]
fn secret_file_is_regular_and_at_most_64_kib() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let shown = path.display();
    check(&format!("file:{shown}"), Err(&format!("the file {shown} does not exist")));
    fs::write(&path, "s".repeat(64 * 1024)).unwrap();
    check(&format!("file:{shown}"), Ok(&"s".repeat(64 * 1024)));

    fs::write(&path, "s".repeat(64 * 1024 + 1)).unwrap();
    let too_large = format!("the file {shown} cannot be read: it is larger than 64 KiB");
    check(&format!("file:{shown}"), Err(&too_large));
    let special = "the file /dev/zero cannot be read: it is not a regular file, but a device, a \
                   pipe or a socket";
    check("file:/dev/zero", Err(special));
    let shown = folder.path().display();
    let is_folder = format!("the file {shown} cannot be read: {}", crate::file::FileError::Folder);
    check(&format!("file:{shown}"), Err(&is_folder));
}

#[test]
fn relative_path_begins_in_the_configurations_folder() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("secrets")).unwrap();
    fs::write(folder.path().join("secrets/token"), "t0k\n").unwrap();
    let environment = environment().in_folder(folder.path());

    assert_eq!(value(&look_up("file:secrets/token", &environment)), Ok("t0k"));
    let missing = look_up("file:secrets/other", &environment);
    let path = folder.path().join("secrets/other");
    assert_eq!(value(&missing).unwrap_err(), format!("the file {} does not exist", path.display()));
    assert_eq!(missing.absent_file(&environment), Some(path));
}

#[test]
fn folder_of_credentials_is_expanded() {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("token"), "t0k").unwrap();
    let mut environment = environment();
    let unset = look_up("file:$CREDENTIALS_DIRECTORY/token", &environment);
    assert!(value(&unset).unwrap_err().contains("CREDENTIALS_DIRECTORY is not set: systemd"));

    environment.insert("CREDENTIALS_DIRECTORY".to_owned(), folder.path().display().to_string());
    for written in ["$CREDENTIALS_DIRECTORY/token", "${CREDENTIALS_DIRECTORY}/token"] {
        assert_eq!(value(&look_up(&format!("file:{written}"), &environment)), Ok("t0k"));
    }
    // Another variable, and another place in the path, are parts of the file's name.
    let other = look_up("file:$CREDENTIALS_DIRECTORY_2/token", &environment);
    assert_eq!(value(&other), Err("the file $CREDENTIALS_DIRECTORY_2/token does not exist"));
}

#[test]
fn file_that_becomes_unusable_keeps_its_last_value() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret");
    let environment = environment().in_folder(folder.path());
    fs::write(&path, "first").unwrap();
    let secret = look_up("file:secret", &environment);
    assert_eq!((value(&secret), secret.kept()), (Ok("first"), None));

    for unusable in ["", "\n", "hunter2\nhunter3"] {
        fs::write(&path, unusable).unwrap();
        let again = secret.read_again(&environment);
        assert_eq!(value(&again), Ok("first"), "{unusable:?}");
        let warning = again.warning().unwrap();
        assert!(warning.contains("the value that was read before still counts"), "{warning}");
        assert!(warning.contains("/secret ") && !warning.contains("hunter"), "{warning}");
    }
    fs::remove_file(&path).unwrap();
    assert!(secret.read_again(&environment).kept().unwrap().ends_with("does not exist"));
    fs::write(&path, "second").unwrap();
    let second = secret.read_again(&environment);
    assert_eq!((value(&second), second.kept()), (Ok("second"), None));
}

#[test]
fn literal_secret_is_a_mistake() {
    let document = Document { name: "m".into(), text: "\"hunter2\"".into() };
    let mut mistakes = Vec::new();

    let found =
        find(&SpannedText::new(&document, "hunter2", 0..9), &Environment::new(), &mut mistakes);

    assert!(found.is_none());
    assert!(mistakes[0].secret);
}
