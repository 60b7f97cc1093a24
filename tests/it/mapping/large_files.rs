//! Files of the largest size, each full of one construct: reading one and showing its mistakes takes
//! time and memory in proportion to its length, not to its square.

use std::time::{Duration, Instant};

use savio_relay::diagnostics::diagnostic::Document;
use savio_relay::diagnostics::report::{OutputStyle, show};
use savio_relay::diagnostics::table::FILE_BYTES_MAX;
use savio_relay::mapping_file::file::MappingFile;

// In an optimized build each takes at most about a second; an unoptimized one beside other tests
// has time to spare. Quadratic work takes many minutes.
const TIME_MAX: Duration = Duration::from_mins(2);

/// Repeats a line after the head until the file is full; `#` becomes a number.
fn full_of(head: &str, line: &str) -> String {
    let mut text = head.to_owned();
    for number in 0.. {
        let next = line.replace('#', &number.to_string());
        if text.len() + next.len() > FILE_BYTES_MAX {
            break;
        }
        text.push_str(&next);
    }
    text
}

fn around(open: &str, close: &str) -> String {
    let times = FILE_BYTES_MAX / (open.len() + close.len()) - 1;
    format!("a={}1{}", open.repeat(times), close.repeat(times))
}

fn files() -> Vec<(&'static str, String)> {
    let company = "[[company]]\ninternal_id = '1'\nname = 'A'\n[company.filterable_attributes]\n";
    let feedback = "[[feedback]]\nproblem = 'x'\ntags = [\n";
    vec![
        ("unknown keys", full_of("", "k#=1\n")),
        ("keys that sound like a secret", full_of("", "tokn_#='x'\n")),
        ("duplicate keys", full_of("", "a=1\n")),
        ("what is no TOML", "=".repeat(FILE_BYTES_MAX)),
        ("lines that are no TOML", full_of("", "token: x\n")),
        ("quotes", "'".repeat(FILE_BYTES_MAX)),
        ("one long line", format!("a = '{}'", "x".repeat(FILE_BYTES_MAX - 6))),
        ("one long key", format!("{} = 1", "x".repeat(FILE_BYTES_MAX - 4))),
        ("one long secret", format!("secrets = ['{}']", "x".repeat(FILE_BYTES_MAX - 14))),
        ("lists in lists", around("[", "]")),
        ("lists that are not closed", "a=".to_owned() + &"[".repeat(FILE_BYTES_MAX - 2)),
        ("tables in tables", around("{a=", "}")),
        ("a long dotted key", format!("a{}=1", ".a".repeat(FILE_BYTES_MAX / 2 - 2))),
        ("tables", full_of("", "[t#]\n")),
        ("empty blocks", full_of("", "[[feedback]]\n")),
        ("blocks", full_of("", "[[feedback]]\nproblem='$.a'\n")),
        ("queries", full_of(company, "a#='$.a'\n")),
        ("wrong queries", full_of(company, "a#='$.a['\n")),
        ("patterns", full_of(company, "a#=\"$.x[?match(@, 'a#')]\"\n")),
        ("templates", full_of(company, "a#='{{ payload.a }}'\n")),
        ("wrong templates", full_of(company, "a#='{{ payload.a | no }}'\n")),
        ("templates with unknown names", full_of(company, "a#='{{ a#b }}'\n")),
        ("a long template", full_of(&format!("{company}a='''"), "{{ a# }}") + "'''"),
        ("tags", full_of(feedback, "'$.a',") + "]"),
        ("lists of wrong things", full_of("events = [\n", "1,") + "]"),
        ("secrets", full_of("secrets = [\n", "'x#',") + "]"),
        ("tests", full_of("", "[[test]]\n")),
        ("handshakes", full_of("", "[[handshake]]\n")),
        ("a file that is too large", "#".repeat(FILE_BYTES_MAX + 1)),
    ]
}

#[test]
fn largest_file_is_checked_in_time_and_shown_in_part() {
    for (what, text) in files() {
        let began = Instant::now();
        let file = MappingFile::of_text(Document { name: "large.toml".to_owned(), text });

        let shown = show(&file.document, &file.mistakes, OutputStyle::Plain);

        assert!(file.mistakes.len() <= 101, "{what}: {}", file.mistakes.len());
        assert!(shown.len() < 1024 * 1024, "{what}: {}", shown.len());
        assert!(began.elapsed() < TIME_MAX, "{what}: {:?}", began.elapsed());
    }
}
