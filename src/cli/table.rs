//! Tables for people: columns by the width that characters take on a terminal, which a table never
//! exceeds there. In a pipe nothing is cut.

use std::io::stdout;

use rustix::termios::tcgetwinsize;
use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

use super::output::bold;
use crate::diagnostics::report::OutputStyle;

/// Width of a terminal that does not tell its own.
const WIDTH: usize = 80;

/// Width below which a column is not narrowed.
const COLUMN_MIN: usize = 8;

const GAP: &str = "  ";

/// Formats rows in columns below their names. On a terminal, long cells of all columns but the
/// first, by which a row is found, are shortened until the table fits.
pub(super) fn table<const N: usize>(
    names: [&str; N],
    rows: &[[String; N]],
    look: OutputStyle,
) -> String {
    fitted(names, rows, (look, terminal_width(look)))
}

/// Returns the columns of the terminal; none if nothing has to fit.
pub(super) fn terminal_width(look: OutputStyle) -> Option<usize> {
    match look {
        OutputStyle::Plain => None,
        OutputStyle::Terminal => {
            let told = tcgetwinsize(stdout()).ok().map(|size| usize::from(size.ws_col));
            Some(told.filter(|columns| *columns > 0).unwrap_or(WIDTH))
        }
    }
}

fn fitted<const N: usize>(
    names: [&str; N],
    rows: &[[String; N]],
    (look, width_max): (OutputStyle, Option<usize>),
) -> String {
    let natural = |column: usize| {
        let cells = rows.iter().map(|row| row[column].width());
        cells.chain([names[column].width()]).max().unwrap_or(0)
    };
    let mut widths: [usize; N] = std::array::from_fn(natural);
    if let Some(width_max) = width_max {
        narrow(&mut widths, width_max.saturating_sub(GAP.len() * (N - 1)));
    }
    let line = |cells: [&str; N]| {
        let padded = cells.iter().zip(widths).map(|(cell, width)| padded(cell, width));
        padded.collect::<Vec<_>>().join(GAP).trim_end().to_owned()
    };
    let mut shown = bold(&line(names), look) + "\n";
    for row in rows {
        shown += &(line(row.each_ref().map(String::as_str)) + "\n");
    }
    shown
}

/// Takes from the widest column until all fit, or none is wider than the least.
fn narrow(widths: &mut [usize], width_max: usize) {
    while widths.iter().sum::<usize>() > width_max {
        let Some(widest) = widths.iter_mut().skip(1).max() else { return };
        if *widest <= COLUMN_MIN {
            return;
        }
        *widest -= 1;
    }
}

fn padded(cell: &str, width: usize) -> String {
    let shown = shortened(cell, width);
    let missing = width.saturating_sub(shown.width());
    shown + &" ".repeat(missing)
}

/// Cuts a text that is wider than this, and marks the cut.
pub(super) fn shortened(text: &str, width: usize) -> String {
    if text.width() <= width {
        return text.to_owned();
    }
    let mut left = width.saturating_sub(1);
    let fits = |c: &char| {
        let taken = c.width().unwrap_or(0);
        let fits = taken <= left;
        left = left.saturating_sub(taken);
        fits
    };
    text.chars().take_while(fits).chain(['…']).collect()
}

/// Formats a sentence below a table: in lines that fit the terminal, or in one line of a pipe.
pub(super) fn sentence(text: &str, look: OutputStyle) -> String {
    match terminal_width(look) {
        Some(width) => wrapped(text, width).join("\n") + "\n",
        None => format!("{text}\n"),
    }
}

/// Breaks a text into lines of this width, between words where possible.
pub(super) fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("it begins with one line");
        let space = usize::from(!line.is_empty());
        if line.width() + space + word.width() <= width || line.is_empty() {
            *line += &(" ".repeat(space) + word);
        } else {
            lines.push(word.to_owned());
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(reason: &str) -> [[String; 3]; 2] {
        [
            ["01a226e2-4f1c".to_owned(), "typeform".to_owned(), reason.to_owned()],
            ["01a226e2-4f1d".to_owned(), "空のフォーム".to_owned(), "-".to_owned()],
        ]
    }

    #[test]
    fn table_fits_the_terminal_and_is_whole_in_a_pipe() {
        let reason = "Savio cannot be reached, ".repeat(10);
        let names = ["id", "source", "reason"];
        for width in [40, 80, 200] {
            let shown = fitted(names, &rows(&reason), (OutputStyle::Plain, Some(width)));
            assert!(shown.lines().all(|line| line.width() <= width), "{width}:\n{shown}");
            assert!(shown.contains("01a226e2-4f1c  "), "an id is never cut:\n{shown}");
        }
        let piped = fitted(names, &rows(&reason), (OutputStyle::Plain, None));
        assert!(piped.contains(reason.trim_end()), "{piped}");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        let shown = fitted(["id", "source", "reason"], &rows("x"), (OutputStyle::Plain, None));
        let lines: Vec<&str> = shown.lines().collect();
        let column = |line: &str, end: &str| line[..line.rfind(end).unwrap()].width();
        assert_eq!(column(lines[1], "x"), column(lines[2], "-"));
        assert_eq!(shortened("空のフォーム", 7), "空のフ…");
        assert_eq!(shortened("空のフォーム", 12), "空のフォーム");
    }

    #[test]
    fn text_is_wrapped_between_words() {
        assert_eq!(wrapped("one two three", 7), ["one two", "three"]);
        assert_eq!(wrapped("averylongword a", 4), ["averylongword", "a"]);
        assert_eq!(wrapped("", 4), [""]);
    }
}
