//! Renders mistakes as a compiler does: file, line and column, the text underlined, and advice.

use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Origin, Renderer, Snippet};

use super::diagnostic::{Diagnostic, Document, Severity};
use super::redaction::redact;
use super::visible::{visible, visible_source};

/// Destination of the output: a terminal, or a file.
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

/// Renders all mistakes of one file, errors before warnings, each in order of their places.
pub fn show(document: &Document, mistakes: &[Diagnostic], style: OutputStyle) -> String {
    let masked = redact(document, mistakes);
    let mut ordered: Vec<&Diagnostic> = mistakes.iter().collect();
    ordered.sort_by_key(|mistake| (!mistake.is_error(), mistake.place.start));
    let shown: Vec<String> =
        ordered.iter().map(|mistake| render(mistake, &masked, style)).collect();
    shown.join("\n\n")
}

fn render(mistake: &Diagnostic, document: &Document, style: OutputStyle) -> String {
    let level = match mistake.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
    };
    let (name, message) = (visible(&document.name), visible(&mistake.message));
    let label = mistake.label.as_deref().map(visible);
    let title = level.primary_title(&message);
    let (line, column) = mistake.line_and_column(document);
    let excerpt = Excerpt::of(document, &mistake.place, line);
    let mut report = vec![if excerpt.is_readable() {
        let place = excerpt.visible_place(&mistake.place);
        let annotation = AnnotationKind::Primary.span(place).label(label.as_deref());
        let snippet = Snippet::source(visible_source(excerpt.text)).line_start(excerpt.line);
        title.element(snippet.path(&name).annotation(annotation))
    } else {
        let origin = Origin::path(name.as_str()).line(line).char_column(column);
        title.element(origin)
    }];
    let help = mistake.help.as_deref().map(visible);
    report.extend(help.iter().map(|help| Group::with_title(Level::HELP.secondary_title(help))));
    style.renderer().render(&report)
}

/// The lines around a mistake.
// The renderer scans all of the text that it gets: with the whole file, each of many mistakes costs
// as much as the file is long.
struct Excerpt<'d> {
    text: &'d str,
    /// Byte position of its start in the document.
    start: usize,
    /// Number of its first line.
    line: usize,
}

impl<'d> Excerpt<'d> {
    const LINES_AROUND: usize = 2;
    // A longer excerpt, such as one of a file in one line, would show nobody where something is.
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

    /// Converts a place in the document to one in this excerpt as it is shown.
    fn visible_place(&self, place: &Range<usize>) -> Range<usize> {
        // A control character is shown as U+FFFD, which takes more bytes.
        let Range { start, end } = self.place(place);
        let before = visible_source(&self.text[..start]).len();
        before..before + visible_source(&self.text[start..end]).len()
    }

    /// Converts a place in the document to one in this excerpt.
    fn place(&self, place: &Range<usize>) -> Range<usize> {
        let start = self.text.floor_char_boundary(place.start.saturating_sub(self.start));
        let end = self.text.floor_char_boundary(place.end.saturating_sub(self.start)).max(start);
        start..end
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::diagnostics::diagnostic::limit;

    #[test]
    fn diagnostic_is_shown_at_its_line_and_column() {
        let text = "a = 1\nbé = 2 # here\n".to_owned();
        let document = Document { name: "m.toml".into(), text };
        let mistake = Diagnostic::error(12..13, "wrong number").help("write 3");

        let shown = show(&document, std::slice::from_ref(&mistake), OutputStyle::Plain);

        assert_eq!(mistake.line_and_column(&document), (2, 6));
        assert!(shown.contains("m.toml:2:6"), "{shown}");
        assert!(shown.contains("help: write 3"), "{shown}");
    }

    /// Renders a file with a mistake in each of its lines.
    fn render_lines(line: &str, lines: usize) -> (usize, String) {
        let text = line.repeat(lines);
        let document = Document { name: "m.toml".into(), text };
        let place = |at: usize| at * line.len()..at * line.len() + 1;
        let mut mistakes: Vec<Diagnostic> =
            (0..lines).map(|at| Diagnostic::error(place(at), "wrong").help("right")).collect();
        limit(&document, &mut mistakes);
        (mistakes.len(), show(&document, &mistakes, OutputStyle::Plain))
    }

    #[test]
    fn at_most_100_diagnostics_are_shown_and_the_rest_counted() {
        let (few, _) = render_lines("a = 1\n", 100);
        let (many, shown) = render_lines("a = 1\n", 20_000);

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
    fn diagnostic_in_a_huge_line_shows_only_its_position() {
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
    fn literal_secret_is_never_shown() {
        check_shown("secrets = [\"hunter2\"]", false);
        check_shown("secret = \"hunter2\"", false);
        check_shown("secrets = [{ form = \"hunter2\" }]", false);
        check_shown("[savio]\napi_token = 'hunter2'\nx", false);
        check_shown("savio.tokn = \"hunter2\"", false);
        check_shown("[savio]\ntoken = \"hunter2\" x", false);
        check_shown("[savio]\napi-key = [\"hunter2\"]", false);
        check_shown("[savio]\n  token: hunter2\nx", false);
        check_shown("[savio]\ntoken = hunter2", false);
        check_shown("savio.token = “hunter2”", false);
        check_shown("secret = \"hunter2", false);
        check_shown("secrets = [“hunter2”]", false);
    }

    #[test]
    fn value_that_only_resembles_a_secret_is_shown() {
        check_shown("secrets = [\"env:hunter2\"]", true);
        check_shown("signature.secret_prefix = \"hunter2\"", true);
        check_shown("[[contact]]\nfilterable_attributes.token = \"hunter2\"", true);
    }

    #[test]
    fn value_marked_secret_is_not_shown() {
        let text = "url = \"postgres://user:hunter2@host\"".to_owned();
        let end = text.len();
        let document = Document { name: "m.toml".into(), text };

        let shown =
            show(&document, &[Diagnostic::error(6..end, "wrong").secret()], OutputStyle::Plain);

        assert!(!shown.contains("hunter2"), "{shown}");
    }
}
