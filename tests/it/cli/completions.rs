//! Completions by bash with the script that `completions bash` prints, compared with the help of
//! each command.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;

use crate::support::left_out::report_left_out;
use crate::support::relay::program;

/// Runs bash's completion after each line of words, as the Tab key does.
const ASK: &str = r#"
source script.bash
complete_line() {
    COMP_WORDS=("$@"); COMP_CWORD=$(( $# - 1 )); COMPREPLY=()
    local function=$(complete -p savio-relay | sed 's/.*-F \([^ ]*\).*/\1/')
    "$function" "$1" "${@: -1}" "${@: -2:1}"
    echo "${COMPREPLY[*]}"
}
while IFS= read -r line; do
    eval "complete_line $line"
done < lines
"#;

/// Returns the options and subcommands of a command from its help.
#[derive(Debug, PartialEq, Eq)]
struct Words {
    options: BTreeSet<String>,
    commands: BTreeSet<String>,
}

fn words_of_help(folder: &Path, path: &[String]) -> Words {
    let output = program(folder).args(path).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let mut words = Words { options: BTreeSet::new(), commands: BTreeSet::new() };
    let mut heading = "";
    for line in help.lines() {
        if !line.starts_with(' ') && line.ends_with(':') {
            heading = line;
        }
        let first = line.split_whitespace().next().unwrap_or_default();
        let is_entry = line.starts_with("  ") && !line.starts_with("          ");
        if heading == "Commands:" && line.starts_with("  ") && !line.starts_with("   ") {
            words.commands.insert(first.to_owned());
        } else if heading == "Options:" && is_entry {
            let option = line.split_whitespace().find(|word| word.starts_with("--"));
            words.options.extend(option.map(str::to_owned));
        }
    }
    words
}

/// Returns the words of every command, including subcommands.
fn all(folder: &Path) -> Vec<(Vec<String>, Words)> {
    let mut found = Vec::new();
    let mut paths = vec![Vec::new()];
    while let Some(path) = paths.pop() {
        let words = words_of_help(folder, &path);
        for command in words.commands.iter().filter(|command| *command != "help") {
            paths.push([path.clone(), vec![command.clone()]].concat());
        }
        found.push((path, words));
    }
    found
}

#[test]
fn bash_completes_options_of_every_command() {
    if !Command::new("bash").arg("--version").output().is_ok_and(|bash| bash.status.success()) {
        return report_left_out("the completions of bash: there is no bash");
    }
    let folder = tempfile::tempdir().unwrap();
    let commands = all(folder.path());
    let script = program(folder.path()).args(["completions", "bash"]).output().unwrap().stdout;
    fs::write(folder.path().join("script.bash"), script).unwrap();
    let line = |path: &[String], last: &str| format!("savio-relay {} {last}\n", path.join(" "));
    let lines = commands.iter().map(|(path, _)| line(path, "--") + &line(path, "''"));
    fs::write(folder.path().join("lines"), lines.collect::<String>()).unwrap();

    let output =
        Command::new("bash").arg("-c").arg(ASK).current_dir(folder.path()).output().unwrap();

    let errors = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success() && errors.is_empty(), "{errors}");
    let offered = String::from_utf8(output.stdout).unwrap();
    let mut offered = offered.lines().map(|line| line.split(' ').collect::<BTreeSet<&str>>());
    for (path, words) in &commands {
        let (options, all) = (offered.next().unwrap(), offered.next().unwrap());
        for option in &words.options {
            assert!(options.contains(option.as_str()), "{path:?} {option}: {options:?}");
        }
        for command in &words.commands {
            assert!(all.contains(command.as_str()), "{path:?} {command}: {all:?}");
        }
    }
    let longest = commands.iter().map(|(path, _)| path.join(" ")).max_by_key(String::len).unwrap();
    assert!(commands.len() > 30 && longest.starts_with("savio feature-requests"), "{longest}");
}

/// Types into an interactive bash on a terminal. The function stands in for the program and prints its arguments.
const TYPED: &str = "savio-relay() { printf '<%s> ' ran \"$@\"; echo; }; source script.bash\n";

/// Lines that one bash is given: a terminal keeps at most 4,096 bytes that were not read yet.
const LINES_MAX: usize = 30;

/// Returns the words with each shortened by one character and a tab, where that completes it.
fn typed(path: &[String], commands: &[(Vec<String>, Words)]) -> String {
    let mut line = "savio-relay".to_owned();
    for (depth, word) in path.iter().enumerate() {
        let (_, siblings) = commands.iter().find(|(parent, _)| *parent == path[..depth]).unwrap();
        let short = &word[..word.len() - 1];
        let is_unique = siblings.commands.iter().filter(|it| it.starts_with(short)).count() == 1;
        line += &if is_unique { format!(" {short}\t") } else { format!(" {word}") };
    }
    line.replace("\t ", "\t") + "\n"
}

#[test]
fn tab_key_completes_every_command_in_an_interactive_bash() {
    let exists = |name: &str| Command::new(name).arg("--version").output().is_ok();
    if !exists("bash") || !exists("script") {
        return report_left_out("the tab key in bash: it needs `bash` and `script` (bsdutils)");
    }
    let folder = tempfile::tempdir().unwrap();
    let commands = all(folder.path());
    let script = program(folder.path()).args(["completions", "bash"]).output().unwrap().stdout;
    fs::write(folder.path().join("script.bash"), script).unwrap();
    for commands_of_one in commands.chunks(LINES_MAX) {
        let lines: String =
            commands_of_one.iter().map(|(path, _)| typed(path, &commands)).collect();
        fs::write(folder.path().join("typed"), format!("{TYPED}{lines}exit\n")).unwrap();

        let output = Command::new("script")
            .args(["-qec", "bash --noprofile --norc -i", "/dev/null"])
            .stdin(fs::File::open(folder.path().join("typed")).unwrap())
            .current_dir(folder.path())
            .output()
            .unwrap();

        let shown = String::from_utf8_lossy(&output.stdout);
        for (path, _) in commands_of_one {
            let words =
                path.iter().fold(String::new(), |words, word| words + &format!("<{word}> "));
            assert!(shown.contains(&format!("<ran> {words}\r\n")), "{path:?}: {shown}");
        }
    }
}
