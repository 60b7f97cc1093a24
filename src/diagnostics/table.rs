//! Reads a TOML file key by key, and collects every mistake with its place instead of stopping at
//! one.

use std::ops::Range;
use std::time::Duration;

use jiff::{Span, SpanRelativeTo};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::diagnostic::{Diagnostic, Document, MISTAKES_MAX};
pub use super::document::FILE_BYTES_MAX;
use super::fix::{Fix, toml_string};
use super::suggestion::nearest;
use super::syntax::{self, SyntaxError};
use crate::rate::Rate;

/// The mistakes found so far in one file.
pub type Diagnostics = Vec<Diagnostic>;

/// Parses the file and returns what could be read. Text that is not TOML is reported as a mistake.
pub fn parse<'t>(document: &'t Document, mistakes: &mut Diagnostics) -> Spanned<DeTable<'t>> {
    if document.text.len() > FILE_BYTES_MAX {
        let message = format!("the file is larger than {} KiB", FILE_BYTES_MAX / 1024);
        mistakes.push(Diagnostic::error(0..0, message).cause());
        return DeTable::parse_recoverable("").0;
    }
    let (root, errors) = DeTable::parse_recoverable(&document.text);
    if let Some(at) = document.text.find(char::REPLACEMENT_CHARACTER) {
        let place = at..at + char::REPLACEMENT_CHARACTER.len_utf8();
        let mistake = Diagnostic::error(place, "not UTF-8 from here");
        mistakes.push(mistake.help("save the file as UTF-8").cause());
        return root;
    }
    let end = document.text.len();
    let errors = errors.iter().take(MISTAKES_MAX).map(|error| SyntaxError {
        message: error.message().to_owned(),
        place: error.span().unwrap_or(end..end),
    });
    let described = syntax::describe(document, errors.collect());
    mistakes.extend(described.into_iter().map(Diagnostic::cause));
    root
}

/// A text value and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpannedText {
    pub text: String,
    pub place: Range<usize>,
    /// Start of the text in the file, if it is written there without escapes.
    verbatim_at: Option<usize>,
}

impl SpannedText {
    pub fn new(document: &Document, text: &str, place: Range<usize>) -> SpannedText {
        let written = document.text.get(place.clone()).unwrap_or_default();
        let verbatim_at = written.find(text).map(|at| place.start + at);
        SpannedText { text: text.to_owned(), place, verbatim_at }
    }

    /// Returns the place in the file of a part of the text, or of the whole value if it has
    /// escapes.
    pub fn part(&self, part: Range<usize>) -> Range<usize> {
        let Some(at) = self.verbatim_at else { return self.place.clone() };
        // Parsers report single bytes of a character that they do not expect.
        let start = self.text.floor_char_boundary(part.start);
        at + start..at + self.text.ceil_char_boundary(part.end).max(start)
    }

    /// Returns the fix that writes another text in place of a part of this one.
    pub fn replaced(&self, part: Range<usize>, by: &str) -> Option<Fix> {
        if self.verbatim_at.is_some() && !by.contains(['"', '\'', '\\', '\n']) {
            return Some(Fix { place: self.part(part), text: by.to_owned() });
        }
        let (before, after) = (self.text.get(..part.start)?, self.text.get(part.end..)?);
        self.written(&format!("{before}{by}{after}"))
    }

    /// Returns the fix that writes another text in place of the whole.
    pub fn written(&self, text: &str) -> Option<Fix> {
        // A text in several lines would become one with `\n`, and one of the program's own has no
        // place in the file.
        let is_in_file = !self.place.is_empty();
        (is_in_file && !text.contains('\n'))
            .then(|| Fix { place: self.place.clone(), text: toml_string(text) })
    }
}

/// One table of the file. A key counts as known once it was read; `finish` reports the others.
#[derive(Debug)]
pub struct TomlTable<'t> {
    document: &'t Document,
    entries: &'t DeTable<'t>,
    /// Place that a mistake about the whole table underlines.
    pub place: Range<usize>,
    known: Vec<&'t str>,
}

impl<'t> TomlTable<'t> {
    pub fn new(
        document: &'t Document,
        entries: &'t DeTable<'t>,
        place: Range<usize>,
    ) -> TomlTable<'t> {
        TomlTable { document, entries, place, known: Vec::new() }
    }

    pub fn root(document: &'t Document, root: &'t Spanned<DeTable<'t>>) -> TomlTable<'t> {
        let first_line = document.text.find('\n').unwrap_or(document.text.len());
        TomlTable::new(document, root.get_ref(), 0..first_line)
    }

    pub fn document(&self) -> &'t Document {
        self.document
    }

    pub fn value(&mut self, key: &'t str) -> Option<&'t Spanned<DeValue<'t>>> {
        if !self.known.contains(&key) {
            self.known.push(key);
        }
        self.entries.get(key)
    }

    /// Returns whether the key is written.
    pub fn has(&self, key: &str) -> bool {
        self.entries.get(key).is_some()
    }

    /// Returns the place of the key, or the table's if the key is not written.
    pub fn key_place(&self, key: &str) -> Range<usize> {
        let written = self.entries.keys().find(|written| written.get_ref() == key);
        written.map_or_else(|| self.place.clone(), Spanned::span)
    }

    /// Returns where the key's value is written, of a table its key; the place of the whole table if it is missing.
    pub fn value_place(&self, key: &str) -> Range<usize> {
        match self.entries.get(key) {
            Some(value) if !value.get_ref().is_table() => value.span(),
            Some(_) | None => self.key_place(key),
        }
    }

    /// Returns where all of the key's value is written, of a table with a heading its key.
    pub fn whole_value_place(&self, key: &str) -> Range<usize> {
        let written = self.entries.get(key).map(Spanned::span);
        let inline =
            written.filter(|place| self.document.text.get(place.clone()).is_some_and(is_inline));
        inline.unwrap_or_else(|| self.value_place(key))
    }

    /// Returns all entries in the order of the file, for tables with keys of the person's choice.
    /// They do not count as known.
    pub fn entries(
        &self,
    ) -> impl Iterator<Item = (SpannedText, &'t Spanned<DeValue<'t>>)> + use<'t> {
        let document = self.document;
        self.entries
            .iter()
            .map(move |(key, value)| (SpannedText::new(document, key.get_ref(), key.span()), value))
    }

    pub fn text(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<SpannedText> {
        let value = self.value(key)?;
        let text = as_text(self.document, value);
        if text.is_none() {
            mistakes.push(wrong_type(key, value, "a text in quotes"));
        }
        text
    }

    /// Reads a text that may be missing.
    pub fn text_or(
        &mut self,
        key: &'static str,
        default: &str,
        mistakes: &mut Diagnostics,
    ) -> String {
        self.text(key, mistakes).map_or_else(|| default.to_owned(), |text| text.text)
    }

    /// Reads one of a few words, and returns its meaning.
    pub fn keyword<T: Copy>(
        &mut self,
        key: &'static str,
        words: &[(&'static str, T)],
        mistakes: &mut Diagnostics,
    ) -> Option<T> {
        word(&self.text(key, mistakes)?, words, mistakes)
    }

    /// Reads a text, and reports a mistake if it is missing.
    pub fn required_text(
        &mut self,
        key: &'static str,
        mistakes: &mut Diagnostics,
    ) -> Option<SpannedText> {
        if self.entries.get(key).is_none() {
            let mistake = Diagnostic::error(self.place.clone(), format!("`{key}` is missing here"));
            mistakes.push(mistake.missing(vec![key]));
        }
        self.text(key, mistakes)
    }

    /// Reads a list of texts; a single text counts as a list of one.
    pub fn texts(
        &mut self,
        key: &'static str,
        mistakes: &mut Diagnostics,
    ) -> Option<Vec<SpannedText>> {
        let value = self.value(key)?;
        if let Some(text) = as_text(self.document, value) {
            return Some(vec![text]);
        }
        let Some(items) = value.get_ref().as_array() else {
            mistakes.push(wrong_type(key, value, "a list of texts"));
            return None;
        };
        let mut texts = Vec::new();
        for item in items {
            match as_text(self.document, item) {
                Some(text) => texts.push(text),
                None => mistakes.push(wrong_type(key, item, "a text in quotes")),
            }
        }
        Some(texts)
    }

    pub fn boolean(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<bool> {
        let value = self.value(key)?;
        let boolean = value.get_ref().as_bool();
        if boolean.is_none() {
            mistakes.push(wrong_type(key, value, "true or false"));
        }
        boolean
    }

    /// Reads a whole number that is not negative.
    pub fn number(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<u64> {
        let value = self.value(key)?;
        let number = value
            .get_ref()
            .as_integer()
            // The parser gives digits and base unparsed: `0x1f` is a number too.
            .and_then(|integer| u64::from_str_radix(integer.as_str(), integer.radix()).ok());
        if number.is_none() {
            mistakes.push(wrong_type(key, value, "a whole number, 0 or more"));
        }
        number
    }

    /// Reads a number from 0 to 1.
    pub fn ratio(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<f64> {
        let value = self.value(key)?;
        let number = match value.get_ref() {
            DeValue::Float(float) => float.as_str().parse().ok(),
            DeValue::Integer(integer) => integer.as_str().parse().ok(),
            _ => None,
        };
        let share = number.filter(|number| (0.0..=1.0).contains(number));
        if share.is_none() {
            mistakes.push(wrong_type(key, value, "a number from 0 to 1"));
        }
        share
    }

    /// Reads a time span such as "30s", "1h 30m" or "30d"; a day has 24 hours.
    pub fn duration(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<Duration> {
        let text = self.text(key, mistakes)?;
        let duration = parse_duration(&text.text);
        if duration.is_none() {
            let message = format!("`{key}` is not a time span");
            let help = "write a number with its unit, such as \"30s\", \"5m\", \"1h\" or \"30d\"";
            mistakes.push(Diagnostic::error(text.place, message).help(help));
        }
        duration
    }

    /// Reads a rate such as "50/s", "300/m" or "1000/h".
    pub fn rate(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Option<Rate> {
        let text = self.text(key, mistakes)?;
        let rate = text.text.parse().ok();
        if rate.is_none() {
            let message = format!("`{key}` is not a rate");
            let help = "write how many in a second, a minute or an hour: \"50/s\", \"300/m\"";
            mistakes.push(Diagnostic::error(text.place, message).help(help));
        }
        rate
    }

    pub fn table(
        &mut self,
        key: &'static str,
        mistakes: &mut Diagnostics,
    ) -> Option<TomlTable<'t>> {
        self.table_headed(key, key, mistakes)
    }

    /// Reads a table whose heading is another than its key, such as `[section.key]`.
    pub fn table_headed(
        &mut self,
        key: &'static str,
        heading: &str,
        mistakes: &mut Diagnostics,
    ) -> Option<TomlTable<'t>> {
        let value = self.value(key)?;
        let Some(entries) = value.get_ref().as_table() else {
            mistakes.push(wrong_type(key, value, &format!("a table: [{heading}]")));
            return None;
        };
        Some(TomlTable::new(self.document, entries, self.key_place(key)))
    }

    /// Reads the tables written as `[[key]]`.
    pub fn tables(&mut self, key: &'static str, mistakes: &mut Diagnostics) -> Vec<TomlTable<'t>> {
        self.tables_headed(key, key, mistakes)
    }

    /// Reads the tables of a key whose heading is another, such as `[[section.key]]`.
    pub fn tables_headed(
        &mut self,
        key: &'static str,
        heading: &str,
        mistakes: &mut Diagnostics,
    ) -> Vec<TomlTable<'t>> {
        let Some(value) = self.value(key) else {
            return Vec::new();
        };
        let Some(items) = value.get_ref().as_array() else {
            mistakes.push(
                wrong_type(key, value, "a list of tables")
                    .help(format!("write [[{heading}]] with two brackets")),
            );
            return Vec::new();
        };
        let mut tables = Vec::new();
        for item in items {
            match item.get_ref().as_table() {
                Some(entries) => tables.push(TomlTable::new(self.document, entries, item.span())),
                None => mistakes.push(wrong_type(key, item, &format!("a table: [[{heading}]]"))),
            }
        }
        tables
    }

    /// Reads the tables written as `[key.NAME]` for any names; this is the table `[key]`.
    pub fn named_tables(
        &self,
        key: &str,
        mistakes: &mut Diagnostics,
    ) -> Vec<(SpannedText, TomlTable<'t>)> {
        let mut tables = Vec::new();
        for (name, value) in self.entries() {
            if let Some(entries) = value.get_ref().as_table() {
                let place = name.place.clone();
                tables.push((name, TomlTable::new(self.document, entries, place)));
            } else {
                let wanted = format!("a table: [{key}.{}]", name.text);
                mistakes.push(wrong_type(&name.text, value, &wanted));
            }
        }
        tables
    }

    /// Returns whether the table has a key that is probably this one, misspelt.
    pub fn misspells(&self, key: &str) -> bool {
        let mut keys = self.entries.keys().map(|written| written.get_ref().as_ref());
        keys.any(|written| {
            !self.knows(written) && nearest(written, [key]).is_some_and(|it| it != written)
        })
    }

    /// Returns the table as it was before a key was read.
    #[must_use]
    pub fn unread(&self) -> TomlTable<'t> {
        TomlTable::new(self.document, self.entries, self.place.clone())
    }

    /// Whether the key was read, present or not.
    pub fn knows(&self, key: &str) -> bool {
        self.known.contains(&key)
    }

    /// Returns the keys that were not read, in the order of the file, as many as are reported.
    pub fn unknown(&self) -> Vec<&'t str> {
        let keys = self.entries.keys().map(|key| key.get_ref().as_ref());
        keys.filter(|key| !self.knows(key)).take(MISTAKES_MAX).collect()
    }

    /// Reports every key that was not read, with the nearest known one as advice.
    pub fn finish(self, mistakes: &mut Diagnostics) {
        for key in self.unknown() {
            let place = self.key_place(key);
            let mistake = Diagnostic::error(place.clone(), format!("unknown key `{key}`"));
            let mistake = match nearest(key, self.known.iter().copied()) {
                Some(known) => {
                    // It is there, under another name.
                    mistakes.retain(|mistake| !mistake.is_missing(known, &self.place));
                    let fix = Fix { place, text: known.to_owned() };
                    let is_free = !self.has(known);
                    mistake
                        .help(format!("did you mean `{known}`?"))
                        .maybe_fix(is_free.then_some(fix))
                }
                None => mistake.help(format!("known here: {}", self.known.join(", "))),
            };
            mistakes.push(mistake);
        }
    }
}

fn is_inline(written: &str) -> bool {
    written.starts_with('{')
}

pub fn parse_duration(text: &str) -> Option<Duration> {
    let span: Span = text.trim().parse().ok()?;
    let duration = span.to_duration(SpanRelativeTo::days_are_24_hours()).ok()?;
    Duration::try_from(duration).ok()
}

/// Looks up the meaning of one of a few words, and reports any other word.
pub fn word<T: Copy>(
    text: &SpannedText,
    words: &[(&'static str, T)],
    mistakes: &mut Diagnostics,
) -> Option<T> {
    if let Some((_, meaning)) = words.iter().find(|(word, _)| *word == text.text) {
        return Some(*meaning);
    }
    let known: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
    let meant = nearest(&text.text, known.iter().copied());
    let help = match meant {
        Some(known) => format!("did you mean \"{known}\"?"),
        None => format!("write one of: {}", known.join(", ")),
    };
    let message = format!("unknown word \"{}\"", text.text);
    let fix = meant.and_then(|meant| text.written(meant));
    mistakes.push(Diagnostic::error(text.place.clone(), message).help(help).maybe_fix(fix));
    None
}

pub fn as_text(document: &Document, value: &Spanned<DeValue<'_>>) -> Option<SpannedText> {
    value.get_ref().as_str().map(|text| SpannedText::new(document, text, value.span()))
}

/// Returns the mistake of a value that is not of the type that its key expects.
pub fn wrong_type(key: &str, value: &Spanned<DeValue<'_>>, wanted: &str) -> Diagnostic {
    Diagnostic::error(value.span(), format!("`{key}` must be {wanted}")).label(type_of(value))
}

fn type_of(value: &Spanned<DeValue<'_>>) -> &'static str {
    match value.get_ref() {
        DeValue::String(_) => "this is a text",
        DeValue::Integer(_) => "this is a whole number",
        DeValue::Float(_) => "this is a number",
        DeValue::Boolean(_) => "this is true or false",
        DeValue::Datetime(_) => "this is a date",
        DeValue::Array(_) => "this is a list",
        DeValue::Table(_) => "this is a table",
    }
}
