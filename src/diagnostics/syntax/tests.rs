//! Tests of the remedies for text that is not TOML.

use crate::diagnostics::diagnostic::{Diagnostic, Document};
use crate::diagnostics::fix_check::check_fixes;
use crate::diagnostics::report::{OutputStyle, show};
use crate::diagnostics::table;

/// Two lines of a file, what is underlined, and what to write.
const LINES: [(&str, &str, &str); 33] = [
    ("name = “$.a”", "“", "write name = \"$.a\""),
    ("name = ‘$.a’", "‘", "write name = '$.a'"),
    ("name = «a»", "«", "write name = \"a\""),
    ("name: \"x\"", ":", "write name = \"x\""),
    ("name: x", ":", "write name = \"x\""),
    ("name : 5", ":", "write name = 5"),
    ("\"name\": \"x\",", ":", "write name = \"x\""),
    ("  name: [\"a\", \"b\"]", ":", "write name = [\"a\", \"b\"]"),
    ("name \"x\"", "name", "write name = \"x\""),
    ("name = x", "x", "write name = \"x\""),
    ("name = $.a[?@.b == 'x']", "$.a[?@.b == 'x']", "write name = \"$.a[?@.b == 'x']\""),
    ("name = $.a[?@.b == \"x\"]", "$.a[?@.b == \"x\"]", "write name = '$.a[?@.b == \"x\"]'"),
    ("name = {{ payload.a }}", "{{ payload.a }}", "write name = \"{{ payload.a }}\""),
    ("name = True", "True", "write name = true"),
    ("name = yes", "yes", "write name = true"),
    ("name = null", "null", "leave `name` out"),
    ("name =", "=", "write name = \"…\""),
    ("name", "name", "write name = \"…\""),
    ("name = \"x", "\"", "write name = \"x\""),
    ("name = 'x", "'", "write name = 'x'"),
    ("name = \"x\",", ",", "remove the `,`"),
    ("name = \"x\";", ";", "remove the `;`"),
    ("name = \"a \"b\" c\"", "\"", "write name = \"a 'b' c\""),
    ("name = \"a \"b\" 'c'\"", "\"", "write \\\" for a quote"),
    ("name = \"a\\d\"", "\\d", "write `\\\\d`"),
    ("name =\u{a0}\"x\"", "\u{a0}", "a plain space"),
    ("name = \u{200b}\"x\"", "\u{200b}", "remove it"),
    ("// name", "//", "begins with `#`"),
    ("; name", ";", "begins with `#`"),
    ("[[feedback]", "[[feedback]", "write [[feedback]]"),
    ("[event]]", "[event]]", "write [event]"),
    ("a = 1\na = 2", "a", "keep one"),
    ("name = [\"a\", \"b\"\nwhen = \"x\"", "[", "write `]`"),
];

#[test]
fn text_that_is_not_toml_has_a_remedy_at_its_place() {
    for (line, underlined, remedy) in LINES {
        let (text, found) = mistakes(line);
        let [mistake] = found.as_slice() else { panic!("{line}: {found:?}") };
        assert_eq!(&text[mistake.place.clone()], underlined, "{line}: {mistake:?}");
        assert!(mistake.help.as_deref().unwrap().contains(remedy), "{line}: {mistake:?}");
    }
}

#[test]
fn each_line_that_is_wrong_by_itself_is_reported() {
    let (_, found) = mistakes("name = “y”\ntags = [\"a\"]\nstate = open\nwhen: \"x\"");

    assert_eq!(found.len(), 3, "{found:?}");
}

#[test]
fn text_without_end_is_reported_where_it_begins() {
    let (text, found) = mistakes("name = \"\"\"x\n\nwhen = \"y\"\n[event]\nid = \"$.a\"");

    assert_eq!(found.len(), 1, "{found:?}");
    assert_eq!(&text[found[0].place.clone()], "\"\"\"");
}

#[test]
fn every_message_has_a_remedy() {
    for line in [
        "a = 01",
        "a = 1_",
        "a = +",
        "= 1",
        ".a = 1",
        "a. = 1",
        "a = {b = 1",
        "a = [1 2]",
        "a = [1,,2]",
        "a = 0X1",
        "[a",
        "[[a",
        "[]",
        "a b = 1",
        "é = 1",
        "a = 1979-13-01",
        "a = \"\\u12\"",
        "a = 1 = 2",
        "a.b = 1\na = 2",
        "a = \u{1}",
        "a = {b = 1,, c = 2}",
        "a = 1 2",
        "?",
        "}",
        "]",
        "\"\"\"a\"\"\" = 1",
        "a = \"\\\u{e9}\"",
        "a = {{",
        "a = [[",
        "a = '''x",
        "a: {",
        "{",
        "{\"a\": 1}",
        "a=b=c",
        "\u{feff}a = 1",
        "a\u{3000}= 1",
    ] {
        let (text, found) = mistakes(line);
        for mistake in &found {
            assert!(mistake.help.is_some(), "{line}: {found:?}");
            assert!(text.get(mistake.place.clone()).is_some(), "{line}: {found:?}");
        }
    }
}

#[test]
fn remedy_never_repeats_a_secret() {
    for line in [
        "token: hunter2",
        "secrets = [“hunter2”]",
        "secret = hunter2",
        "api_key \"hunter2\"",
        "token = \"hunter2",
        "password: \"hunter2\"",
        "token = “hunter2”",
        "tokn: hunter2",
        "savio.token = hunter2",
    ] {
        let (text, found) = mistakes(line);
        let document = Document { name: "m.toml".into(), text };
        let help: Vec<_> = found.iter().filter_map(|mistake| mistake.help.as_ref()).collect();
        assert!(!found.is_empty(), "{line}");
        assert!(help.iter().all(|help| !help.contains("hunter2")), "{line}: {help:?}");
        show(&document, &found, OutputStyle::Plain);
    }
}

fn mistakes(line: &str) -> (String, Vec<Diagnostic>) {
    let text = format!("# a file\n{line}\n# its end\n");
    let document = Document { name: "m.toml".into(), text: text.clone() };
    let mut found = Vec::new();
    table::parse(&document, &mut found);
    check_fixes(&text, &found, |fixed| {
        let document = Document { name: "m.toml".into(), text: fixed.to_owned() };
        let mut found = Vec::new();
        table::parse(&document, &mut found);
        found
    });
    (text, found)
}
