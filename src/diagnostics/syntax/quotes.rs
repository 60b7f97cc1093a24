//! What stands inside and outside of the quotes of a line.

/// Returns the position of the quote that closes the text at the start.
pub(super) fn closing(text: &str, quote: char) -> Option<usize> {
    let mut is_escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if is_escaped => is_escaped = false,
            '\\' if quote == '"' => is_escaped = true,
            c if c == quote => return Some(at),
            _ => {}
        }
    }
    None
}

/// Returns the characters of a line outside of straight quotes and before a comment.
pub(super) fn outside_of_quotes(line: &str) -> Vec<(usize, char)> {
    let mut outside = Vec::new();
    let mut at = 0;
    while let Some(c) = line[at..].chars().next() {
        match c {
            '#' => break,
            '"' | '\'' => match closing(&line[at..], c) {
                Some(end) => at += end,
                None => break,
            },
            c => outside.push((at, c)),
        }
        at += line[at..].chars().next().map_or(1, char::len_utf8);
    }
    outside
}

/// Returns the last bracket of the kind that is not closed, by the lines before a position.
pub(super) fn unclosed(text: &str, open: char) -> Option<usize> {
    let close = if open == '[' { ']' } else { '}' };
    let mut start = 0;
    let mut opened = Vec::new();
    for line in text.split_inclusive('\n') {
        for (at, c) in outside_of_quotes(line) {
            if c == open {
                opened.push(start + at);
            } else if c == close {
                opened.pop();
            }
        }
        start += line.len();
    }
    opened.pop()
}
