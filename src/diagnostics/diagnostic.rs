//! A mistake in a file that a person wrote: where it is, what is wrong, what to write instead.

mod visible;

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use visible::visible_source;
pub use visible::{is_terminal_control, visible};

/// A file as it was read. Places are byte ranges in its text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Document {
    /// How the file is called in messages: the path as the person gave it.
    pub name: String,
    pub text: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Severity {
    /// The file cannot be used.
    Error,
    /// The file works, but probably not as meant.
    Warning,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    pub message: String,
    /// Bytes of the document's text; what is underlined.
    pub place: Range<usize>,
    /// A few words at the underlined text.
    pub label: Option<String>,
    /// What to write instead.
    pub help: Option<String>,
    /// The place holds a secret: it is shown as stars.
    pub secret: bool,
}

/// So many mistakes of one file are shown; whoever has more corrects these first.
pub const MISTAKES_MAX: usize = 100;

/// Leaves no more than that, errors before warnings, and says how many more there are at least: whoever
/// finds mistakes stops at this number too.
pub fn limit(document: &Document, mistakes: &mut Vec<Diagnostic>) {
    if mistakes.len() <= MISTAKES_MAX {
        return;
    }
    mistakes.sort_by_key(|mistake| (!mistake.is_error(), mistake.place.start));
    let more = mistakes.len() - MISTAKES_MAX;
    mistakes.truncate(MISTAKES_MAX);
    let end = document.text.len();
    let severity = mistakes[0].severity;
    let message = format!("and at least {more} more; correct these first");
    mistakes.push(Diagnostic::new(severity, end..end, message));
}

/// All mistakes of one file as a compiler would show them: file, line, column, the text underlined,
/// what to write instead. In order of their places.
pub fn show(document: &Document, mistakes: &[Diagnostic], look: OutputStyle) -> String {
    let masked = redact(document, mistakes);
    let mut ordered: Vec<&Diagnostic> = mistakes.iter().collect();
    ordered.sort_by_key(|mistake| mistake.place.start);
    let shown: Vec<String> = ordered.iter().map(|mistake| mistake.render(&masked, look)).collect();
    shown.join("\n\n")
}

fn redact(document: &Document, mistakes: &[Diagnostic]) -> Document {
    let text = &document.text;
    let mut masked = text.clone().into_bytes();
    let known = mistakes.iter().filter(|mistake| mistake.secret).map(|it| it.place.clone());
    for place in known.chain(crate::diagnostics::redaction::likely_secrets(text)) {
        let start = text.floor_char_boundary(place.start);
        let end = text.floor_char_boundary(place.end).max(start);
        masked[start..end].fill(b'*');
    }
    let text = String::from_utf8(masked).expect("whole characters became stars");
    Document { name: document.name.clone(), text }
}

impl Diagnostic {
    pub fn error(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Error, place, message.into())
    }

    pub fn warning(place: Range<usize>, message: impl Into<String>) -> Diagnostic {
        Diagnostic::new(Severity::Warning, place, message.into())
    }

    fn new(severity: Severity, place: Range<usize>, message: String) -> Diagnostic {
        Diagnostic {
            severity,
            message: cut(message),
            place,
            label: None,
            help: None,
            secret: false,
        }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Diagnostic {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Diagnostic {
        self.help = Some(cut(help.into()));
        self
    }

    /// Shows stars in place of the text that is wrong.
    #[must_use]
    pub fn secret(mut self) -> Diagnostic {
        self.secret = true;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line and column, both from 1, the column in characters.
    pub fn line_and_column(&self, document: &Document) -> (usize, usize) {
        let before = &document.text[..document.text.floor_char_boundary(self.place.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    fn render(&self, document: &Document, look: OutputStyle) -> String {
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let (name, message) = (visible(&document.name), visible(&self.message));
        let label = self.label.as_deref().map(visible);
        let title = level.primary_title(&message);
        let (line, column) = self.line_and_column(document);
        let excerpt = Excerpt::of(document, &self.place, line);
        let mut report = vec![if excerpt.is_readable() {
            let place = excerpt.visible_place(&self.place);
            let annotation = AnnotationKind::Primary.span(place).label(label.as_deref());
            let snippet = Snippet::source(visible_source(excerpt.text)).line_start(excerpt.line);
            title.element(snippet.path(&name).annotation(annotation))
        } else {
            let origin = Origin::path(name.as_str()).line(line).char_column(column);
            title.element(origin)
        }];
        let help = self.help.as_deref().map(visible);
        report.extend(help.iter().map(|help| Group::with_title(Level::HELP.secondary_title(help))));
        look.renderer().render(&report)
    }
}

/// The lines around a mistake: whoever renders them goes through all that it gets.
struct Excerpt<'d> {
    text: &'d str,
    /// Where it begins in the document.
    start: usize,
    /// The number of its first line.
    line: usize,
}

impl<'d> Excerpt<'d> {
    const LINES_AROUND: usize = 2;
    /// A longer excerpt, such as that of a file in one line, shows nobody where something is.
    const BYTES_MAX: usize = 16 * 1024;

    fn of(document: &'d Document, place: &Range<usize>, line: usize) -> Excerpt<'d> {
        let text = &document.text;
        let first = text.floor_char_boundary(place.start);
        let last = text.floor_char_boundary(place.end).max(first);
        let before = text[..first].rmatch_indices('\n').nth(Excerpt::LINES_AROUND);
        let start = before.map_or(0, |(at, _)| at + 1);
        let after = text[last..].match_indices('\n').nth(Excerpt::LINES_AROUND);
        let end = after.map_or(text.len(), |(at, _)| last + at + 1);
        let above = text[start..first].matches('\n').count();
        Excerpt { text: &text[start..end], start, line: line - above }
    }

    fn is_readable(&self) -> bool {
        self.text.len() <= Excerpt::BYTES_MAX
    }

    /// A place of the document in this text as it is shown: other characters may take more bytes.
    fn visible_place(&self, place: &Range<usize>) -> Range<usize> {
        let Range { start, end } = self.place(place);
        let before = visible_source(&self.text[..start]).len();
        before..before + visible_source(&self.text[start..end]).len()
    }

    /// A place of the document in this text.
    fn place(&self, place: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(place.start.saturating_sub(self.start));
        let end = self.text.floor_char_boundary(place.end.saturating_sub(self.start)).max(start);
        start..end
    }
}

/// Whether what is printed goes to a terminal or into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OutputStyle {
    Terminal,
    Plain,
}

impl OutputStyle {
    fn renderer(self) -> Renderer {
        match self {
            OutputStyle::Terminal => Renderer::styled().decor_style(DecorStyle::Unicode),
            OutputStyle::Plain => Renderer::plain(),
        }
    }
}

/// The candidate that a person most probably meant, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let length = word.chars().count();
    let furthest = (length / 3).max(1) + usize::from(word.contains(['-', '_']));
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= furthest)
        .map(|candidate| (edits(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// How many characters have to be put in, taken out, replaced, or swapped with the next.
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = row[j] + usize::from(a != b);
            let mut fewest = replaced.min(next[j] + 1).min(row[j + 1] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                fewest = fewest.min(above[j - 1] + 1);
            }
            next.push(fewest);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

/// What is written in the file may be repeated in a message, however long it is.
fn cut(mut message: String) -> String {
    const BYTES_MAX: usize = 1_000;
    if message.len() > BYTES_MAX {
        message.truncate(message.floor_char_boundary(BYTES_MAX));
        message.push('…');
    }
    message
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_by_few_edits() {
        assert_eq!(nearest("persn_email", ["problem", "person_email"]), Some("person_email"));
        assert_eq!(nearest("Problem", ["problem", "person_email"]), Some("problem"));
        assert_eq!(nearest("colour", ["problem", "person_email"]), None);
        assert_eq!(nearest("form", ["until", "from"]), Some("from"));
    }

    #[test]
    fn a_mistake_is_shown_at_its_line_and_column() {
        let text = "a = 1\nbé = 2 # here\n".to_owned();
        let document = Document { name: "m.toml".into(), text };
        let mistake = Diagnostic::error(12..13, "wrong number").help("write 3");

        let shown = show(&document, std::slice::from_ref(&mistake), OutputStyle::Plain);

        assert_eq!(mistake.line_and_column(&document), (2, 6));
        assert!(shown.contains("m.toml:2:6"), "{shown}");
        assert!(shown.contains("help: write 3"), "{shown}");
    }

    /// How a file is shown with a mistake in each of its lines.
    fn shown_of(line: &str, lines: usize) -> (usize, String) {
        let text = line.repeat(lines);
        let document = Document { name: "m.toml".into(), text };
        let place = |at: usize| at * line.len()..at * line.len() + 1;
        let mut mistakes: Vec<Diagnostic> =
            (0..lines).map(|at| Diagnostic::error(place(at), "wrong").help("right")).collect();
        limit(&document, &mut mistakes);
        (mistakes.len(), show(&document, &mistakes, OutputStyle::Plain))
    }

    #[test]
    fn at_most_a_hundred_mistakes_are_shown_and_the_others_counted() {
        let (few, _) = shown_of("a = 1\n", 100);
        let (many, shown) = shown_of("a = 1\n", 20_000);

        assert_eq!((few, many), (100, 101));
        assert_eq!(shown.matches("error: wrong").count(), 100);
        assert!(shown.contains("m.toml:100:1") && !shown.contains("m.toml:101:1"));
        assert!(
            shown.contains("error: and at least 19900 more"),
            "{}",
            &shown[shown.len() - 300..]
        );
    }

    #[test]
    fn errors_are_shown_before_warnings() {
        let document = Document { name: "m.toml".into(), text: "a = 1\n".repeat(200) };
        let mut mistakes: Vec<Diagnostic> =
            (0..200).map(|at| Diagnostic::warning(at..at + 1, "odd")).collect();
        mistakes.push(Diagnostic::error(700..701, "wrong"));

        limit(&document, &mut mistakes);

        assert_eq!(mistakes[0].message, "wrong");
        assert_eq!(mistakes.len(), 101);
        assert!(mistakes.iter().filter(|mistake| mistake.is_error()).count() == 2);
    }

    #[test]
    fn a_mistake_in_a_huge_line_is_told_by_its_place() {
        let text = format!("a = '{}'\nb = 1\n", "x".repeat(1024 * 1024));
        let place = text.find("b =").unwrap();
        let document = Document { name: "m.toml".into(), text };

        let mistakes =
            [Diagnostic::error(9..10, "wrong"), Diagnostic::error(place..place + 1, "odd")];
        let shown = show(&document, &mistakes, OutputStyle::Plain);

        assert!(shown.len() < 1_000, "{}", shown.len());
        assert!(shown.contains("m.toml:1:10") && shown.contains("m.toml:2:1"), "{shown}");
    }

    fn check_shown(text: &str, is_shown: bool) {
        let document = Document { name: "m.toml".into(), text: text.to_owned() };
        let mistakes: Vec<Diagnostic> =
            (0..text.len()).map(|at| Diagnostic::error(at..at + 1, "wrong")).collect();

        let shown = show(&document, &mistakes, OutputStyle::Plain);

        assert_eq!(shown.contains("hunter2"), is_shown, "{shown}");
    }

    #[test]
    fn a_secret_is_not_shown_wherever_it_is_written_out() {
        check_shown("secrets = [\"hunter2\"]", false);
        check_shown("secret = \"hunter2\"", false);
        check_shown("secrets = [{ form = \"hunter2\" }]", false);
        check_shown("[savio]\napi_token = 'hunter2'\nx", false);
        check_shown("savio.tokn = \"hunter2\"", false);
        check_shown("[savio]\ntoken = \"hunter2\" x", false);
        check_shown("[savio]\napi-key = [\"hunter2\"]", false);
        check_shown("[savio]\n  token: hunter2\nx", false);
    }

    #[test]
    fn what_only_sounds_like_a_secret_is_shown() {
        check_shown("secrets = [\"env:hunter2\"]", true);
        check_shown("signature.secret_prefix = \"hunter2\"", true);
        check_shown("[[contact]]\nfilterable_attributes.token = \"hunter2\"", true);
    }

    #[test]
    fn a_value_that_holds_a_secret_is_not_shown() {
        let text = "url = \"postgres://user:hunter2@host\"".to_owned();
        let end = text.len();
        let document = Document { name: "m.toml".into(), text };

        let shown =
            show(&document, &[Diagnostic::error(6..end, "wrong").secret()], OutputStyle::Plain);

        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
