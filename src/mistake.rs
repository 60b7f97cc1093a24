//! A mistake in a file that a person wrote: where it is, what is wrong, what to write instead.

mod suspects;

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};

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
pub struct Mistake {
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

/// All mistakes of one file as a compiler would show them: file, line, column, the text underlined,
/// what to write instead. In order of their places.
pub fn show(document: &Document, mistakes: &[Mistake], look: Look) -> String {
    let masked = mask(document, mistakes);
    let mut ordered: Vec<&Mistake> = mistakes.iter().collect();
    ordered.sort_by_key(|mistake| mistake.place.start);
    let shown: Vec<String> = ordered.iter().map(|mistake| mistake.render(&masked, look)).collect();
    shown.join("\n\n")
}

fn mask(document: &Document, mistakes: &[Mistake]) -> Document {
    let mut text = document.text.clone();
    let known = mistakes.iter().filter(|mistake| mistake.secret).map(|it| it.place.clone());
    for place in known.chain(suspects::suspects(&document.text)) {
        let start = floor(&text, place.start);
        let end = floor(&text, place.end).max(start);
        text.replace_range(start..end, &"*".repeat(end - start));
    }
    Document { name: document.name.clone(), text }
}

impl Mistake {
    pub fn error(place: Range<usize>, message: impl Into<String>) -> Mistake {
        Mistake::new(Severity::Error, place, message.into())
    }

    pub fn warning(place: Range<usize>, message: impl Into<String>) -> Mistake {
        Mistake::new(Severity::Warning, place, message.into())
    }

    fn new(severity: Severity, place: Range<usize>, message: String) -> Mistake {
        Mistake { severity, message, place, label: None, help: None, secret: false }
    }

    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Mistake {
        self.label = Some(label.into());
        self
    }

    #[must_use]
    pub fn help(mut self, help: impl Into<String>) -> Mistake {
        self.help = Some(help.into());
        self
    }

    /// Shows stars in place of the text that is wrong.
    #[must_use]
    pub fn secret(mut self) -> Mistake {
        self.secret = true;
        self
    }

    pub fn is_error(&self) -> bool {
        self.severity == Severity::Error
    }

    /// Line and column, both from 1, the column in characters.
    pub fn line_and_column(&self, document: &Document) -> (usize, usize) {
        let before = &document.text[..floor(&document.text, self.place.start)];
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.matches('\n').count() + 1;
        (line, before[line_start..].chars().count() + 1)
    }

    fn render(&self, document: &Document, look: Look) -> String {
        let start = floor(&document.text, self.place.start);
        let end = floor(&document.text, self.place.end).max(start);
        let annotation = AnnotationKind::Primary.span(start..end).label(self.label.as_deref());
        let snippet = Snippet::source(&document.text).path(&document.name).annotation(annotation);
        let level = match self.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let mut report = vec![level.primary_title(&self.message).element(snippet)];
        report.extend(
            self.help.iter().map(|help| Group::with_title(Level::HELP.secondary_title(help))),
        );
        look.renderer().render(&report)
    }
}

/// Whether what is printed goes to a terminal or into a file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    Terminal,
    Plain,
}

impl Look {
    fn renderer(self) -> Renderer {
        match self {
            Look::Terminal => Renderer::styled().decor_style(DecorStyle::Unicode),
            Look::Plain => Renderer::plain(),
        }
    }
}

/// The candidate that a person most probably meant, if one is near enough.
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let furthest = (word.chars().count() / 3).max(1) + usize::from(word.contains(['-', '_']));
    candidates
        .into_iter()
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

fn floor(text: &str, at: usize) -> usize {
    let mut at = at.min(text.len());
    while !text.is_char_boundary(at) {
        at -= 1;
    }
    at
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
        let mistake = Mistake::error(12..13, "wrong number").help("write 3");

        let shown = show(&document, std::slice::from_ref(&mistake), Look::Plain);

        assert_eq!(mistake.line_and_column(&document), (2, 6));
        assert!(shown.contains("m.toml:2:6"), "{shown}");
        assert!(shown.contains("help: write 3"), "{shown}");
    }

    fn check_shown(text: &str, is_shown: bool) {
        let document = Document { name: "m.toml".into(), text: text.to_owned() };
        let mistakes: Vec<Mistake> =
            (0..text.len()).map(|at| Mistake::error(at..at + 1, "wrong")).collect();

        let shown = show(&document, &mistakes, Look::Plain);

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

        let shown = show(&document, &[Mistake::error(6..end, "wrong").secret()], Look::Plain);

        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
