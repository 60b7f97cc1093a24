//! Text that is not TOML: what each kind of mistake is, and what to write instead.

mod key;
mod quotes;

use std::ops::Range;

use toml::de::DeTable;

use super::diagnostic::{Diagnostic, Document};
use super::fix::Fix;
use key::EntryKey;
use quotes::{closing, outside_of_quotes, unclosed};

/// Quotes of word processors and chat tools.
const CURLY_QUOTES: &str = "“”„‟«»‘’‚‛";

/// A mistake that the parser found.
pub(super) struct SyntaxError {
    pub(super) message: String,
    pub(super) place: Range<usize>,
}

/// Describes the parser's errors, without those that only follow from another one.
pub(super) fn describe(document: &Document, mut errors: Vec<SyntaxError>) -> Vec<Diagnostic> {
    errors.sort_by_key(|error| error.place.start);
    let mut described: Vec<Diagnostic> = Vec::new();
    let mut last_line = None;
    for error in errors {
        let line = Line::at(&document.text, error.place.start);
        // The parser goes on in the same line.
        if last_line == Some(line.start) {
            continue;
        }
        last_line = Some(line.start);
        let Some(mistake) = line.mistake(&error) else {
            // In a line that is right by itself, it follows from the mistake before.
            if described.is_empty() {
                described.push(unknown(error));
            }
            continue;
        };
        // What is open, or has no right header, makes all lines after it look wrong.
        let opens = line.is_header() || !line.place().contains(&mistake.place.start);
        described.push(mistake);
        if opens {
            break;
        }
    }
    described
}

fn unknown(error: SyntaxError) -> Diagnostic {
    let help =
        "a line is `key = \"text\"`, `[table]`, `[[feedback]]`, or a comment that begins with `#`";
    Diagnostic::error(error.place, format!("not TOML: {}", error.message)).help(help)
}

/// One line of the file.
struct Line<'d> {
    document: &'d str,
    text: &'d str,
    start: usize,
}

impl<'d> Line<'d> {
    fn at(document: &'d str, position: usize) -> Line<'d> {
        let position = document.floor_char_boundary(position.min(document.len()));
        let start = document[..position].rfind('\n').map_or(0, |at| at + 1);
        let end = document[position..].find('\n').map_or(document.len(), |at| position + at);
        Line { document, text: &document[start..end], start }
    }

    fn place(&self) -> Range<usize> {
        self.start..self.start + self.text.len() + 1
    }

    fn is_header(&self) -> bool {
        self.text.trim_start().starts_with('[')
    }

    /// Returns the mistake that this line shows by itself.
    fn mistake(&self, error: &SyntaxError) -> Option<Diagnostic> {
        self.open_text(error)
            .or_else(|| self.repeated_key(error))
            .or_else(|| self.foreign_space())
            .or_else(|| self.comment())
            .or_else(|| self.header())
            .or_else(|| self.colon())
            .or_else(|| self.entry(error))
            .or_else(|| self.escape(error))
            .or_else(|| self.open_bracket(error))
    }

    fn error(
        &self,
        part: Range<usize>,
        message: impl Into<String>,
        help: impl Into<String>,
    ) -> Diagnostic {
        let place = self.start + part.start..self.start + part.end;
        Diagnostic::error(place, message).help(help)
    }

    /// Returns the mistake with the advice to write the key with this value, and its correction.
    fn entry_error(
        &self,
        part: Range<usize>,
        message: impl Into<String>,
        (key, value): (&EntryKey<'_>, &str),
    ) -> Diagnostic {
        let mistake = self.error(part, message, key.help(value));
        // What seems to be a comment may belong to the value.
        let is_whole = !self.text.contains('#');
        let entry = key.entry(value).filter(|entry| is_whole && DeTable::parse(entry).is_ok());
        let place = self.start + key.start..self.start + self.text.trim_end().len();
        mistake.maybe_fix(entry.map(|text| Fix { place, text }))
    }

    /// Finds the quotes of a text that goes on to the end of the file.
    fn open_text(&self, error: &SyntaxError) -> Option<Diagnostic> {
        if error.place.end < self.document.trim_end().len() {
            return None;
        }
        let is_open = |quotes: &&str| self.document.matches(quotes).count() % 2 == 1;
        let quotes = ["\"\"\"", "'''"].into_iter().find(is_open)?;
        let at = self.document.rfind(quotes)?;
        let help = format!("write {quotes} where the text ends");
        let message = "unclosed string";
        Some(Diagnostic::error(at..at + quotes.len(), message).help(help))
    }

    fn repeated_key(&self, error: &SyntaxError) -> Option<Diagnostic> {
        if !error.message.starts_with("duplicate key") {
            return None;
        }
        let name = self.document.get(error.place.clone())?.trim();
        let message = format!("`{name}` is here a second time");
        let help = if self.text.trim_start().starts_with('[') {
            format!(
                "write [[{name}]] above each, if there may be several; else write all keys below one"
            )
        } else {
            format!("keep one; for the first that is not empty write {name} = [\"$.a\", \"$.b\"]")
        };
        Some(Diagnostic::error(error.place.clone(), message).help(help))
    }

    /// Finds white space that looks like a plain space.
    fn foreign_space(&self) -> Option<Diagnostic> {
        let outside = outside_of_quotes(self.text);
        let is_foreign = |c: char| {
            !c.is_ascii()
                && (c.is_whitespace()
                    || matches!(c, '\u{200b}'..='\u{200d}' | '\u{2060}' | '\u{feff}'))
        };
        let (at, c) = outside.into_iter().find(|(_, c)| is_foreign(*c))?;
        let name = match c {
            '\u{a0}' | '\u{202f}' => "a non-breaking space",
            _ => "an invisible character",
        };
        let message = format!("{name} (U+{:04X})", u32::from(c));
        let help =
            "remove it, or write a plain space; it often comes from copying a web page or a chat";
        let mistake = self.error(at..at + c.len_utf8(), message, help);
        let place = mistake.place.clone();
        Some(mistake.fix(place, if c.is_whitespace() { " " } else { "" }))
    }

    fn comment(&self) -> Option<Diagnostic> {
        let text = self.text.trim_start();
        let mark =
            ["//", "/*", "--", ";", "<!--", "%"].into_iter().find(|mark| text.starts_with(mark))?;
        let at = self.text.len() - text.len();
        let message = format!("`{mark}` begins no comment");
        let mistake = self.error(at..at + mark.len(), message, "a comment begins with `#`");
        let place = mistake.place.clone();
        let fix = Fix { place, text: "#".to_owned() };
        // Comments of the other kinds may go on in the next lines.
        Some(mistake.maybe_fix((!matches!(mark, "/*" | "<!--")).then_some(fix)))
    }

    /// Finds a header such as `[[feedback]`.
    fn header(&self) -> Option<Diagnostic> {
        let text = self.text.trim();
        let name = text.trim_start_matches('[');
        let opened = text.len() - name.len();
        let bare = name.split(']').next()?.trim();
        let rest = &name[name.find(']')?..];
        let closed = rest.len() - rest.trim_start_matches(']').len();
        let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        if opened == 0
            || opened == closed && opened <= 2
            || bare.is_empty()
            || !bare.chars().all(is_name)
        {
            return None;
        }
        let blocks = ["feedback", "contact", "company", "test", "handshake"];
        let right =
            if blocks.contains(&bare) { format!("[[{bare}]]") } else { format!("[{bare}]") };
        let at = self.text.len() - self.text.trim_start().len();
        let message = format!("{opened} brackets open here and {closed} close");
        let mistake = self.error(at..at + text.len(), message, format!("write {right}"));
        let place = mistake.place.clone();
        Some(mistake.fix(place, right))
    }

    /// Finds `key: value`, as in YAML and JSON.
    fn colon(&self) -> Option<Diagnostic> {
        let key = EntryKey::of(self.text)?;
        let rest = &self.text[key.end..];
        let at = key.end + rest.len() - rest.trim_start().len();
        if !self.text[at..].starts_with(':') {
            return None;
        }
        let value = self.text[at + 1..].trim().trim_end_matches([',', ';']);
        let message = format!("`{}:` is not TOML", key.name);
        Some(self.entry_error(at..at + 1, message, (&key, value)))
    }

    /// Finds what is wrong with a line that begins with a key.
    fn entry(&self, error: &SyntaxError) -> Option<Diagnostic> {
        let key = EntryKey::of(self.text)?;
        let rest = &self.text[key.end..];
        let equals = key.end + rest.len() - rest.trim_start().len();
        if !self.text[equals..].starts_with('=') {
            return self.without_equals(&key);
        }
        let after = &self.text[equals + 1..];
        let start = equals + 1 + after.len() - after.trim_start().len();
        let value = self.text[start..].trim_end();
        if value.is_empty() || value.starts_with('#') {
            return Some(self.error(
                equals..equals + 1,
                format!("`{}` has no value", key.name),
                key.help(""),
            ));
        }
        self.curly_quote(&key, start)
            .or_else(|| self.unquoted(&key, start, value))
            .or_else(|| self.quotes(&key, start, value))
            .or_else(|| self.behind_value(error, start))
    }

    fn without_equals(&self, key: &EntryKey<'_>) -> Option<Diagnostic> {
        let value = self.text[key.end..].trim();
        let place = key.start..key.end;
        if value.is_empty() {
            return Some(self.error(place, format!("`{}` has no value", key.name), key.help("")));
        }
        if value.starts_with(['"', '\'', '“', '‘'])
            || value.starts_with(|c: char| c.is_ascii_digit())
        {
            let message = format!("a `=` is missing behind `{}`", key.name);
            return Some(self.entry_error(place, message, (key, value)));
        }
        None
    }

    fn curly_quote(&self, key: &EntryKey<'_>, start: usize) -> Option<Diagnostic> {
        let is_curly = |c: char| CURLY_QUOTES.contains(c);
        let (at, c) = outside_of_quotes(self.text)
            .into_iter()
            .find(|(at, c)| *at >= start && is_curly(*c))?;
        let straight: String = self.text[start..]
            .chars()
            .map(|c| match c {
                '‘' | '’' | '‚' | '‛' => '\'',
                c if is_curly(c) => '"',
                c => c,
            })
            .collect();
        let message = format!("`{c}` is no quote that TOML knows");
        Some(self.entry_error(at..at + c.len_utf8(), message, (key, straight.trim())))
    }

    /// Finds a value that needs quotes.
    fn unquoted(&self, key: &EntryKey<'_>, start: usize, value: &str) -> Option<Diagnostic> {
        let place = start..start + value.len();
        let word = value.split([' ', '#', ',']).next().unwrap_or_default();
        let meant = match word.to_ascii_lowercase().as_str() {
            "true" | "yes" | "on" => Some("true"),
            "false" | "no" | "off" => Some("false"),
            _ => None,
        };
        if let Some(meant) = meant.filter(|meant| *meant != word) {
            let message = format!("`{word}` is written `{meant}`");
            return Some(self.entry_error(place, message, (key, meant)));
        }
        if ["null", "nil", "None"].contains(&word) {
            let help = format!("leave `{}` out: what is not written is empty", key.name);
            return Some(self.error(place, format!("TOML has no `{word}`"), help));
        }
        let is_template = value.starts_with("{{") || value.starts_with("{%");
        let is_text = value.starts_with(|c: char| c.is_alphabetic() || "$@/.<*\\`".contains(c));
        if meant.is_some() || !(is_text || is_template) {
            return None;
        }
        let text = value.trim_end_matches([',', ';']).trim_matches('`');
        Some(self.entry_error(place, "a text needs quotes", (key, text)))
    }

    /// Finds a quote that is not closed, or that closes the text too early.
    fn quotes(&self, key: &EntryKey<'_>, start: usize, value: &str) -> Option<Diagnostic> {
        let quote = value.chars().next().filter(|c| matches!(c, '"' | '\''))?;
        let triple = quote.to_string().repeat(3);
        if value.starts_with(&triple) {
            let rest = &self.document[self.start + start + 3..];
            let help = format!("write {triple} where the text ends");
            return (!rest.contains(&triple))
                .then(|| self.error(start..start + 3, "unclosed string", help));
        }
        let Some(end) = closing(value, quote) else {
            let text = value[1..].trim_end_matches([',', ';']);
            let whole = format!("{quote}{text}{quote}");
            let message = "unclosed string";
            return Some(self.entry_error(start..start + 1, message, (key, &whole)));
        };
        let behind = value[end + 1..].trim_start();
        let last = value.rfind(quote)?;
        if behind.is_empty() || behind.starts_with(['#', ',', ';', ']', '}']) || last == end {
            return None;
        }
        let other = if quote == '"' { '\'' } else { '"' };
        let (inner, tail) = (&value[1..last], &value[last + 1..]);
        let message = "the text ends at this quote, and something follows it";
        let place = start + end..start + end + 1;
        if inner.contains(other) {
            let help = "write \\\" for a quote inside of a text in \"double quotes\"";
            return Some(self.error(place, message, help));
        }
        let (inner, tail) =
            (inner.replace(quote, &other.to_string()), tail.trim_end_matches([',', ';']));
        let written = format!("{quote}{inner}{quote}{tail}");
        Some(self.entry_error(place, message, (key, &written)))
    }

    fn behind_value(&self, error: &SyntaxError, start: usize) -> Option<Diagnostic> {
        let at = error.place.start.checked_sub(self.start).filter(|at| *at > start)?;
        let sign = self.text.get(at..)?.trim_end();
        if !matches!(sign, "," | ";") {
            return None;
        }
        let message = format!("a line does not end with `{sign}`");
        let mistake = self.error(at..at + 1, message, format!("remove the `{sign}`"));
        let place = mistake.place.clone();
        Some(mistake.fix(place, ""))
    }

    fn escape(&self, error: &SyntaxError) -> Option<Diagnostic> {
        if !error.message.starts_with("missing escaped value") {
            return None;
        }
        let at = self.text.get(..error.place.start.checked_sub(self.start)? + 1)?.rfind('\\')?;
        let escaped = self.text[at + 1..].chars().next()?;
        let message = format!("TOML knows no escape `\\{escaped}`");
        let help = format!(
            "write `\\\\{escaped}`, or put the text in 'single quotes', which have no escapes"
        );
        let mistake = self.error(at..at + 1 + escaped.len_utf8(), message, help);
        let place = mistake.place.clone();
        Some(mistake.fix(place, format!("\\\\{escaped}")))
    }

    /// Finds the bracket that opens a list or table which does not end.
    fn open_bracket(&self, error: &SyntaxError) -> Option<Diagnostic> {
        let kind =
            ["array", "inline table"].into_iter().find(|kind| error.message.contains(kind))?;
        let (open, close) = if kind == "array" { ('[', ']') } else { ('{', '}') };
        let before = self.document.get(..error.place.start)?;
        let at = unclosed(before, open)?;
        let help = format!("write `{close}` where it ends, and commas between its parts");
        let message = format!("this `{open}` is not closed");
        Some(Diagnostic::error(at..at + 1, message).help(help))
    }
}

#[cfg(test)]
mod tests;
