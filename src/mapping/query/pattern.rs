//! The patterns of `match` and `search`: I-Regexp (RFC 9485), compiled once.

use regex::{Regex, RegexBuilder};

/// A compiled pattern takes so much memory at most; the first size that it fits is its price.
const COMPILED_KIB: [usize; 5] = [4, 16, 64, 256, 1024];
/// A hostile text drives a pattern through all that was compiled, byte by byte: so many bytes
/// times KiB take about the time of one step.
const BYTES_TIMES_KIB_PER_STEP: usize = 16;

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    compiled_kib: usize,
}

/// How much of the text a pattern has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// `match`
    Whole,
    /// `search`
    Part,
}

/// What is wrong with a pattern, and what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct BadPattern {
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

impl Pattern {
    pub(super) fn compile(pattern: &str, cover: Cover) -> Result<Pattern, BadPattern> {
        let translated = translate(pattern)?;
        let translated = match cover {
            Cover::Whole => format!(r"\A(?:{translated})\z"),
            Cover::Part => translated,
        };
        let mut builder = RegexBuilder::new(&translated);
        for compiled_kib in COMPILED_KIB {
            match builder.size_limit(compiled_kib * 1024).build() {
                Ok(regex) => return Ok(Pattern { regex, compiled_kib }),
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(bad(&error)),
            }
        }
        Err(BadPattern { message: "this regular expression is too large".to_owned(), help: None })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// What it costs to look at the text.
    pub(super) fn steps(&self, text: &str) -> usize {
        1 + text.len().saturating_mul(self.compiled_kib) / BYTES_TIMES_KIB_PER_STEP
    }
}

/// Refuses what I-Regexp lacks, and gives `.` its meaning: no line end.
fn translate(pattern: &str) -> Result<String, BadPattern> {
    let mut translated = String::with_capacity(pattern.len());
    let mut in_class = false;
    let mut characters = pattern.chars().peekable();
    while let Some(character) = characters.next() {
        match character {
            '\\' => {
                translated.push('\\');
                translated.push(escaped(characters.next())?);
            }
            '(' if !in_class && characters.peek() == Some(&'?') => {
                let help = "write plain groups, such as `(a|b)`";
                return Err(foreign("`(?`", Some(help)));
            }
            '[' if in_class => return Err(foreign("`[` inside of `[...]`", Some("write `\\[`"))),
            '[' => {
                in_class = true;
                translated.push('[');
            }
            ']' => {
                in_class = false;
                translated.push(']');
            }
            '.' if !in_class => translated.push_str(r"[^\n\r]"),
            '&' | '~' if in_class => translated.extend(['\\', character]),
            plain => translated.push(plain),
        }
    }
    Ok(translated)
}

fn escaped(character: Option<char>) -> Result<char, BadPattern> {
    let help = match character {
        Some(c) if c.is_ascii_punctuation() || matches!(c, 'n' | 'r' | 't' | 'p' | 'P') => {
            return Ok(c);
        }
        Some('d') => Some("write `[0-9]`"),
        Some('w') => Some("write `[A-Za-z0-9_]`, or `\\p{L}` for the letters of all languages"),
        Some('s') => Some("write `[ \\t\\r\\n]`"),
        _ => None,
    };
    Err(foreign(&format!("`\\{}`", character.map(String::from).unwrap_or_default()), help))
}

fn foreign(what: &str, help: Option<&'static str>) -> BadPattern {
    let message = format!("{what} is not part of JSONPath's regular expressions (RFC 9485)");
    BadPattern { message, help }
}

fn bad(error: &regex::Error) -> BadPattern {
    let text = error.to_string();
    let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    BadPattern { message: format!("not a regular expression: {cause}"), help: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, cover: Cover, text: &str, expected: bool) {
        let regex = Pattern::compile(pattern, cover).unwrap();
        assert_eq!(regex.is_match(text), expected, "{pattern} {text}");
    }

    #[test]
    fn match_covers_the_whole_text_and_search_a_part() {
        check("a|b", Cover::Whole, "a", true);
        check("a|b", Cover::Whole, "ab", false);
        check("a|b", Cover::Part, "cab", true);
        check("a", Cover::Whole, "a\n", false);
    }

    #[test]
    fn a_dot_is_no_line_end() {
        check("a.b", Cover::Whole, "a\nb", false);
        check("a.b", Cover::Whole, "a\u{2028}b", true);
        check("a[.]b", Cover::Whole, "axb", false);
        check(r"a\.b", Cover::Whole, "axb", false);
    }

    #[test]
    fn a_class_has_no_set_operators() {
        check("[a&&b]", Cover::Whole, "&", true);
        check("[a~~b]", Cover::Whole, "a", true);
    }

    #[test]
    fn what_i_regexp_lacks_is_refused_with_advice() {
        for foreign in [r"\d+", r"\w", r"\bword\b", "(?i)a", "[[:alpha:]]", "a\\"] {
            let bad = Pattern::compile(foreign, Cover::Part).unwrap_err();
            assert!(bad.message.contains("RFC 9485"), "{foreign}: {bad:?}");
        }
        let bad = Pattern::compile("(a", Cover::Part).unwrap_err();
        assert_eq!(bad.message, "not a regular expression: unclosed group");
        let bad = Pattern::compile(r"(\p{L}{0,500}){500}", Cover::Part).unwrap_err();
        assert_eq!(bad.message, "this regular expression is too large");
    }
}
