//! Text that corrects a mistake when it replaces a part of the file.

use std::ops::Range;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fix {
    /// Byte range in the document's text; empty where something is missing.
    pub place: Range<usize>,
    /// Text to write there; empty where something is too much.
    pub text: String,
}

/// Characters of a text that a label shows.
const SHOWN_MAX: usize = 60;

impl Fix {
    /// Returns the text of the file with the mistake corrected.
    pub fn applied(&self, text: &str) -> String {
        let start = text.floor_char_boundary(self.place.start);
        let end = text.ceil_char_boundary(self.place.end).max(start);
        format!("{}{}{}", &text[..start], self.text, &text[end..])
    }

    /// Returns the name of what it does, for a button.
    pub fn label(&self, text: &str) -> String {
        let replaced = text.get(self.place.clone()).unwrap_or_default();
        match (replaced.trim(), self.text.trim()) {
            ("", "") => "Remove this".to_owned(),
            (replaced, "") => format!("Remove `{}`", shortened(replaced)),
            ("", added) => format!("Add `{}`", shortened(added)),
            (_, written) => format!("Write `{}`", shortened(written)),
        }
    }
}

fn shortened(text: &str) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= SHOWN_MAX {
        return text;
    }
    text.chars().take(SHOWN_MAX - 1).chain(['…']).collect()
}

/// Returns a text as a TOML string, with the quotes that need the fewest escapes.
pub(crate) fn toml_string(text: &str) -> String {
    let is_plain = |c: char| !c.is_control();
    if !text.contains(['"', '\\']) && text.chars().all(is_plain) {
        return format!("\"{text}\"");
    }
    if !text.contains('\'') && text.chars().all(is_plain) {
        return format!("'{text}'");
    }
    let mut written = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => written += "\\\"",
            '\\' => written += "\\\\",
            '\n' => written += "\\n",
            '\t' => written += "\\t",
            c if c.is_control() => written += &format!("\\u{:04X}", u32::from(c)),
            c => written.push(c),
        }
    }
    written + "\""
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fix_replaces_its_place() {
        let fix = |place: Range<usize>, text: &str| Fix { place, text: text.to_owned() };
        for (fix, applied, label) in [
            (fix(0..1, "bb"), "bb = é,", "Write `bb`"),
            (fix(6..7, ""), "a = é", "Remove `,`"),
            (fix(7..7, " # x"), "a = é, # x", "Add `# x`"),
        ] {
            assert_eq!(fix.applied("a = é,"), applied);
            assert_eq!(fix.label("a = é,"), label);
        }
    }

    #[test]
    fn text_is_written_as_toml() {
        for (text, written) in [
            ("$.a", "\"$.a\""),
            ("$[\"a\"]", "'$[\"a\"]'"),
            ("a\"'\\", "\"a\\\"'\\\\\""),
            ("a\n\u{1}", "\"a\\n\\u0001\""),
        ] {
            assert_eq!(toml_string(text), written);
            let read: toml::Table = format!("a = {}", toml_string(text)).parse().unwrap();
            assert_eq!(read["a"].as_str(), Some(text));
        }
    }
}
