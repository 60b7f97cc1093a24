//! One mistake in a mapping file is one message: what only follows from it is not shown.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::support::relay::program;

/// One kind of mistake.
struct Kind {
    /// Makes the mistake in the text of a mapping file; `None` where it cannot be made.
    make: fn(&str) -> Option<String>,
    message: &'static str,
    /// What the line of the message holds.
    line: &'static str,
}

const KINDS: [Kind; 37] = [
    Kind {
        make: |text| replaced(text, "\nprovider = \"", "\nprovider = \"x-"),
        message: "unknown provider",
        line: "provider = ",
    },
    Kind {
        make: |text| replaced(text, "\nprovider =", "\nprovder ="),
        message: "unknown key `provder`",
        line: "provder",
    },
    Kind {
        make: |text| without_line(text, "provider ="),
        message: "nothing says how the source proves itself",
        line: "#:schema",
    },
    Kind {
        make: |text| replaced(text, "\nsecrets ", "\nsecrts "),
        message: "unknown key `secrts`",
        line: "secrts",
    },
    Kind {
        make: |text| without_line(text, "secrets "),
        message: "no secrets are named",
        line: "#:schema",
    },
    Kind {
        make: |text| replaced(text, "[\"env:", "[\""),
        message: "a secret is not written into a file",
        line: "secrets",
    },
    Kind {
        make: |text| replaced(text, "\nsecrets ", "\nsecrets = 5 #"),
        message: "`secrets` must be",
        line: "secrets = 5",
    },
    Kind {
        make: |text| replaced(text, "\nsecrets ", "\ndestination = \"other\"\nsecrets "),
        message: "there is no destination `other`",
        line: "other",
    },
    Kind {
        make: |text| replaced(text, "\nproblem ", "\nproblm "),
        message: "unknown key `problm`",
        line: "problm",
    },
    Kind {
        make: |text| Some(text.to_owned() + "\n[[feedback]]\n"),
        message: "this feedback has no `problem`",
        line: "[[feedback]]",
    },
    Kind {
        make: |text| {
            Some(text.to_owned() + "\n[[contact]]\nintrnal_id = \"$.a\"\nname = \"$.b\"\n")
        },
        message: "unknown key `intrnal_id`",
        line: "intrnal_id",
    },
    Kind {
        make: |text| {
            (text.matches("\n[[feedback]]").count() == 1)
                .then(|| text.replace("\n[[feedback]]", "\n[feedback]"))
        },
        message: "`feedback` must be",
        line: "[feedback]",
    },
    Kind {
        make: |text| replaced(text, "\n[[feedback]]\n", "\n[[feedback]\n"),
        message: "brackets open here",
        line: "[[feedback]",
    },
    Kind {
        make: |text| Some(text.to_owned() + ITEMS),
        message: "unknown key `foreach`",
        line: "foreach",
    },
    Kind {
        make: |text| {
            Some(text.to_owned() + &ITEMS.replace("foreach = \"$.x[*]\"", "for_each = \"x[*]\""))
        },
        message: "`for_each` must be a query",
        line: "for_each",
    },
    Kind {
        make: |text| in_block(text, "KEY = open"),
        message: "a text needs quotes",
        line: "open",
    },
    Kind {
        make: |text| in_block(text, "KEY = $.a.b"),
        message: "a text needs quotes",
        line: "$.a.b",
    },
    Kind { make: |text| in_block(text, "KEY: \"x\""), message: "is not TOML", line: ": \"x\"" },
    Kind { make: |text| in_block(text, "KEY \"x\""), message: "a `=` is missing", line: "\"x\"" },
    Kind {
        make: |text| in_block(text, "KEY = “x”"),
        message: "`“` is no quote that TOML knows",
        line: "“x”",
    },
    Kind {
        make: |text| in_block(text, "KEY =\u{a0}\"x\""),
        message: "a non-breaking space (U+00A0)",
        line: "\u{a0}",
    },
    Kind { make: |text| in_block(text, "KEY = \"x"), message: "unclosed string", line: "= \"x" },
    Kind {
        make: |text| in_block(text, "KEY = \"\"\"x").filter(|_| !text.contains("\"\"\"")),
        message: "unclosed string",
        line: "\"\"\"x",
    },
    Kind {
        make: |text| in_block(text, "KEY = [\"x\""),
        message: "this `[` is not closed",
        line: "[\"x\"",
    },
    Kind {
        make: |text| in_block(text, "KEY = \"x\","),
        message: "a line does not end with `,`",
        line: "\"x\",",
    },
    Kind {
        make: |text| in_block(text, "KEY = \"{{ payload.a | default(\"x\") }}\""),
        message: "the text ends at this quote",
        line: "default(\"x\")",
    },
    Kind {
        make: |text| in_block(text, "problem = \"x\""),
        message: "`problem` is here a second time",
        line: "problem",
    },
    Kind {
        make: |text| in_block(text, "zzzzzzzzzzzz = 1"),
        message: "unknown key `zzzzzzzzzzzz`",
        line: "zzzz",
    },
    Kind {
        make: |text| in_block(text, "KEY = { form = \"$.a\" }"),
        message: "unknown key `form`",
        line: "form = ",
    },
    Kind {
        make: |text| in_block(text, "KEY = \"{{ payload.a | uppercase }}\""),
        message: "there is no filter `uppercase`",
        line: "uppercase",
    },
    Kind {
        make: |text| in_block(text, "KEY = \"{{ payload.a ? 'x' : 'y' }}\""),
        message: "a template has no `? :`",
        line: "payload.a ?",
    },
    Kind {
        make: |text| in_block(text, "KEY = \"$.a[?@.b = 'x']\""),
        message: "`=` is not a comparison",
        line: "@.b = 'x'",
    },
    Kind {
        make: |text| {
            Some(text.to_owned() + "\n[[feedback]]\nproblem = \"x\"\nwhen = \"$.a == “x”\"\n")
        },
        message: "a bare word",
        line: "“x”",
    },
    Kind {
        make: |text| replaced(text, "payload = \"samples/", "payload = \"gone/"),
        message: "the payload cannot be read",
        line: "gone/",
    },
    Kind {
        make: |text| replaced(text, "\nexpect ", "\nexpct "),
        message: "unknown key `expct`",
        line: "expct",
    },
    Kind {
        make: |text| replaced(text, "\n[[test]]\n", "\n[[test]]\nheader = { x = 1 }\n"),
        message: "unknown key `header`",
        line: "header = ",
    },
    Kind {
        make: |text| replaced(text, "\n[[test]]\n", "\n// a test\n[[test]]\n"),
        message: "`//` begins no comment",
        line: "// a test",
    },
];

/// A block whose values need an item.
const ITEMS: &str = "\n[[feedback]]\nforeach = \"$.x[*]\"\nproblem = \"@.a\"\nperson_name = \"{{ item.b }}\"\ntags = [\"@.c\"]\n";

fn replaced(text: &str, from: &str, to: &str) -> Option<String> {
    text.contains(from).then(|| text.replacen(from, to, 1))
}

fn without_line(text: &str, start: &str) -> Option<String> {
    // A signature of its own needs no provider, and is checked without one.
    if text.contains("\n[signature]") {
        return None;
    }
    let lines = text.lines().filter(|line| !line.starts_with(start));
    let left = lines.collect::<Vec<_>>().join("\n") + "\n";
    (left.len() < text.len()).then_some(left)
}

/// Adds a line to the first feedback, with a key that the file does not have.
fn in_block(text: &str, line: &str) -> Option<String> {
    let keys = ["state", "feedback_type", "source_username", "feature_request_title"];
    let key = keys.into_iter().find(|key| !text.contains(key))?;
    let line = line.replace("KEY", key);
    replaced(text, "\n[[feedback]]\n", &format!("\n[[feedback]]\n{line}\n"))
}

fn bundled() -> Vec<(String, String)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("mappings");
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut mappings: Vec<(String, String)> = files
        .filter(|path| path.extension().is_some_and(|extension| extension == "toml"))
        .map(|path| {
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            (name, fs::read_to_string(path).unwrap())
        })
        .collect();
    mappings.sort();
    mappings
}

#[test]
fn each_mistake_in_each_bundled_mapping_is_shown_alone_at_its_line() {
    let bundled = bundled();
    for kind in KINDS {
        let folder = tempfile::tempdir().unwrap();
        let mappings = folder.path().join("mappings");
        fs::create_dir(&mappings).unwrap();
        let samples = concat!(env!("CARGO_MANIFEST_DIR"), "/mappings/samples");
        symlink(samples, mappings.join("samples")).unwrap();
        let mut made = Vec::new();
        for (name, text) in &bundled {
            if let Some(text) = (kind.make)(text) {
                fs::write(mappings.join(name), &text).unwrap();
                made.push((name, text));
            }
        }
        assert!(made.len() > 9, "{}: made in {} files", kind.message, made.len());

        let output = program(folder.path()).arg("check").output().unwrap();

        let shown = String::from_utf8(output.stdout).unwrap();
        assert_eq!(output.status.code(), Some(1), "{}: {shown}", kind.message);
        for (name, text) in made {
            check_alone(&kind, name, &text, &shown);
        }
    }
}

#[track_caller]
fn check_alone(kind: &Kind, name: &str, text: &str, shown: &str) {
    let place = format!("--> mappings/{name}:");
    let of_file: Vec<&str> = shown.split("\n\n").filter(|it| it.contains(&place)).collect();
    let [only] = of_file.as_slice() else {
        panic!("{name}, {}: {}", kind.message, of_file.join("\n\n"));
    };
    assert!(only.starts_with("error: "), "{name}, {}: {only}", kind.message);
    assert!(only.lines().next().unwrap().contains(kind.message), "{name}: {only}");
    let (_, position) = only.split_once(&place).unwrap();
    let line: usize = position.split(':').next().unwrap().parse().unwrap();
    let line = text.lines().nth(line - 1).unwrap();
    assert!(line.contains(kind.line), "{name}: {only}");
}

#[test]
fn lists_of_known_names_hold_each_name_once() {
    let kind = |text: &str| in_block(text, "zzzzzzzzzzzz = { zzzzzzzzzzzz = 1 }");
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in bundled() {
        let text =
            kind(&text).unwrap_or(text).replacen("\nsecrets ", "\nyyyyyyyyyyyy = 1\nsecrets ", 1);
        fs::write(folder.path().join(name), text).unwrap();
    }
    let files = bundled().into_iter().map(|(name, _)| name);

    let output = program(folder.path()).arg("check").args(files).output().unwrap();

    let shown = String::from_utf8(output.stdout).unwrap();
    let lists = shown.lines().filter_map(|line| line.split_once("known here: "));
    let mut count = 0;
    for (_, list) in lists {
        let names: Vec<&str> = list.split(", ").collect();
        let once: std::collections::BTreeSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), once.len(), "{list}");
        count += 1;
    }
    assert!(count > 50, "{shown}");
}
