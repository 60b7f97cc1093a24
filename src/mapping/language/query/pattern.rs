//! Patterns of `match` and `search`: I-Regexp (RFC 9485), compiled once, within a budget.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use regex::{Regex, RegexBuilder};

/// Size limits of a compiled pattern; the first that it fits is its price.
// The regex crate tells whether a pattern fits a limit, and not how large it is.
const COMPILED_KIB: [usize; 5] = [4, 16, 64, 256, 1024];
/// Bytes of text times KiB of pattern that are matched in about the time of one step.
// A hostile text drives a pattern through all of its states at each byte.
const BYTES_TIMES_KIB_PER_STEP: usize = 16;

/// Cache of a pattern's lazy DFA, in each thread that matches with it.
const CACHE_KIB: usize = 64;

/// Memory of all patterns of one file, with their caches.
const FILE_KIB_MAX: u64 = 32 * 1024;
/// Time for compiling all patterns of one file.
// Without these limits, 5,000 patterns took 5 s and 2.4 GiB.
const FILE_MICROSECONDS_MAX: u64 = 500_000;

/// Budget of the patterns of one file, or of one query of a template. Clones share it.
#[derive(Debug, Clone)]
pub struct Patterns(Arc<Costs>);

#[derive(Debug)]
struct Costs {
    kib: AtomicU64,
    microseconds: AtomicU64,
}

impl Patterns {
    pub fn of_file() -> Patterns {
        Patterns::new(FILE_KIB_MAX, FILE_MICROSECONDS_MAX)
    }

    /// Returns the budget of a query that is used once.
    pub(in crate::mapping) fn within(microseconds: u64) -> Patterns {
        Patterns::new(FILE_KIB_MAX, microseconds)
    }

    fn new(kib: u64, microseconds: u64) -> Patterns {
        let (kib, microseconds) = (AtomicU64::new(kib), AtomicU64::new(microseconds));
        Patterns(Arc::new(Costs { kib, microseconds }))
    }

    /// Returns about how many microseconds of compiling are left.
    pub(in crate::mapping) fn left(&self) -> u64 {
        self.0.microseconds.load(Ordering::Relaxed)
    }

    /// Charges the time of an attempt to compile within a size.
    fn charge_attempt(&self, pattern: &str, compiled_kib: usize) -> Result<(), InvalidPattern> {
        // Measured with regex 1 in an optimized build: `\P{L}` 800 times, 4 KiB of text, takes
        // 10 ms at any size; a size of 1 MiB takes 8 ms.
        let cost = 100 + 8 * compiled_kib + 3 * pattern.len();
        deduct(&self.0.microseconds, cost as u64)
    }

    fn charge_memory(&self, compiled_kib: usize) -> Result<(), InvalidPattern> {
        deduct(&self.0.kib, (compiled_kib + CACHE_KIB) as u64)
    }
}

fn deduct(left: &AtomicU64, cost: u64) -> Result<(), InvalidPattern> {
    let taken =
        left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(cost));
    taken.map(drop).map_err(|_| {
        // Nothing is left for smaller patterns: the file has too many, wherever the last one is.
        left.store(0, Ordering::Relaxed);
        InvalidPattern {
            message: "the regular expressions up to this one are too large together".to_owned(),
            help: Some("write fewer, such as 'a|b' for two, or compare texts with `==`"),
        }
    })
}

#[derive(Debug, Clone)]
pub(super) struct Pattern {
    regex: Regex,
    compiled_kib: usize,
}

/// Part of the text that a pattern has to cover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cover {
    /// `match`
    Whole,
    /// `search`
    Part,
}

/// Error of a pattern, and advice what to write instead.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct InvalidPattern {
    pub(super) message: String,
    pub(super) help: Option<&'static str>,
}

impl Pattern {
    pub(super) fn compile(
        pattern: &str,
        cover: Cover,
        patterns: &Patterns,
    ) -> Result<Pattern, InvalidPattern> {
        let translated = translate(pattern)?;
        let translated = match cover {
            // In a group, so that all alternatives of `a|b` are anchored.
            Cover::Whole => format!(r"\A(?:{translated})\z"),
            Cover::Part => translated,
        };
        let mut builder = RegexBuilder::new(&translated);
        builder.dfa_size_limit(CACHE_KIB * 1024);
        for compiled_kib in COMPILED_KIB {
            patterns.charge_attempt(pattern, compiled_kib)?;
            match builder.size_limit(compiled_kib * 1024).build() {
                Ok(regex) => {
                    patterns.charge_memory(compiled_kib)?;
                    return Ok(Pattern { regex, compiled_kib });
                }
                Err(regex::Error::CompiledTooBig(_)) => {}
                Err(error) => return Err(syntax_error(&error)),
            }
        }
        Err(InvalidPattern {
            message: "this regular expression is too large".to_owned(),
            help: None,
        })
    }

    pub(super) fn is_match(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    /// Returns the steps that matching the text costs.
    pub(super) fn steps(&self, text: &str) -> usize {
        1 + text.len().saturating_mul(self.compiled_kib) / BYTES_TIMES_KIB_PER_STEP
    }
}

/// Translates I-Regexp to the syntax of the regex crate; refuses what I-Regexp lacks.
fn translate(pattern: &str) -> Result<String, InvalidPattern> {
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
                return Err(unsupported("`(?`", Some(help)));
            }
            '[' if in_class => {
                return Err(unsupported("`[` inside of `[...]`", Some("write `\\[`")));
            }
            '[' => {
                in_class = true;
                translated.push('[');
            }
            ']' => {
                in_class = false;
                translated.push(']');
            }
            // In I-Regexp `.` is neither of the two line ends; in the regex crate only not `\n`.
            '.' if !in_class => translated.push_str(r"[^\n\r]"),
            // The regex crate takes `&&` and `~~` in a class for set operators.
            '&' | '~' if in_class => translated.extend(['\\', character]),
            plain => translated.push(plain),
        }
    }
    Ok(translated)
}

fn escaped(character: Option<char>) -> Result<char, InvalidPattern> {
    let help = match character {
        Some(c) if c.is_ascii_punctuation() || matches!(c, 'n' | 'r' | 't' | 'p' | 'P') => {
            return Ok(c);
        }
        Some('d') => Some("write `[0-9]`"),
        Some('w') => Some("write `[A-Za-z0-9_]`, or `\\p{L}` for the letters of all languages"),
        Some('s') => Some("write `[ \\t\\r\\n]`"),
        _ => None,
    };
    Err(unsupported(&format!("`\\{}`", character.map(String::from).unwrap_or_default()), help))
}

fn unsupported(what: &str, help: Option<&'static str>) -> InvalidPattern {
    let message = format!("{what} is not part of JSONPath's regular expressions (RFC 9485)");
    InvalidPattern { message, help }
}

fn syntax_error(error: &regex::Error) -> InvalidPattern {
    let text = error.to_string();
    // The lines before show the translated pattern, which is not the text of the file.
    let cause = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
    InvalidPattern { message: format!("not a regular expression: {cause}"), help: None }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(pattern: &str, cover: Cover, text: &str, expected: bool) {
        let regex = Pattern::compile(pattern, cover, &Patterns::of_file()).unwrap();
        assert_eq!(regex.is_match(text), expected, "{pattern} {text}");
    }

    fn invalid_pattern(pattern: &str) -> InvalidPattern {
        Pattern::compile(pattern, Cover::Part, &Patterns::of_file()).unwrap_err()
    }

    #[test]
    fn patterns_of_a_file_are_bounded_in_memory_and_time() {
        let large = r"[a-z]{0,1000}";
        let (all, few) = (Patterns::of_file(), Patterns::within(5_000));
        let compiled = |patterns: &Patterns| {
            let all = std::iter::repeat_with(|| Pattern::compile(large, Cover::Part, patterns));
            all.take(1_000).take_while(Result::is_ok).count()
        };

        assert_eq!(compiled(&all), 32 * 1024 / (256 + 64));
        assert_eq!(compiled(&few), 1);
        assert_eq!((compiled(&all), compiled(&few), few.left()), (0, 0, 0));
    }

    #[test]
    fn match_covers_the_whole_text_and_search_a_part() {
        check("a|b", Cover::Whole, "a", true);
        check("a|b", Cover::Whole, "ab", false);
        check("a|b", Cover::Part, "cab", true);
        check("a", Cover::Whole, "a\n", false);
    }

    #[test]
    fn dot_matches_no_line_end() {
        check("a.b", Cover::Whole, "a\nb", false);
        check("a.b", Cover::Whole, "a\u{2028}b", true);
        check("a[.]b", Cover::Whole, "axb", false);
        check(r"a\.b", Cover::Whole, "axb", false);
    }

    #[test]
    fn class_has_no_set_operators() {
        check("[a&&b]", Cover::Whole, "&", true);
        check("[a~~b]", Cover::Whole, "a", true);
    }

    #[test]
    fn syntax_outside_i_regexp_is_refused_with_advice() {
        for unsupported in [r"\d+", r"\w", r"\bword\b", "(?i)a", "[[:alpha:]]", "a\\"] {
            let error = invalid_pattern(unsupported);
            assert!(error.message.contains("RFC 9485"), "{unsupported}: {error:?}");
        }
        let error = invalid_pattern("(a");
        assert_eq!(error.message, "not a regular expression: unclosed group");
        let error = invalid_pattern(r"(\p{L}{0,500}){500}");
        assert_eq!(error.message, "this regular expression is too large");
    }
}
