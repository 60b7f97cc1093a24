//! Lines and columns of a text, found by the byte positions in it.

use std::ops::Range;

use serde::Serialize;
use utoipa::ToSchema;

/// Bytes between two positions whose number of characters is known.
// A column is counted from the nearest of them: a file may be one line of a mebibyte.
const BLOCK_BYTES: usize = 256;

/// A text whose lines have been counted once, for many places.
#[derive(Debug)]
pub struct LineIndex<'t> {
    text: &'t str,
    /// Byte position of the start of each line.
    starts: Vec<usize>,
    /// Number of characters that begin before each block.
    chars: Vec<usize>,
}

/// Place in a text. Lines and columns count from 1, columns in characters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, ToSchema)]
pub struct TextSpan {
    pub line: usize,
    pub column: usize,
    /// Line of the end.
    pub end_line: usize,
    /// Column behind the last character.
    pub end_column: usize,
}

impl<'t> LineIndex<'t> {
    pub fn of(text: &'t str) -> LineIndex<'t> {
        let ends = text.match_indices('\n').map(|(at, _)| at + 1);
        let starts = std::iter::once(0).chain(ends).collect();
        let mut chars = vec![0];
        for block in text.as_bytes().chunks(BLOCK_BYTES) {
            chars.push(chars.last().copied().unwrap_or(0) + first_bytes(block));
        }
        LineIndex { text, starts, chars }
    }

    /// Returns the lines and columns of a byte range.
    pub fn span(&self, place: &Range<usize>) -> TextSpan {
        let (line, column) = self.position(place.start);
        let (end_line, end_column) = self.position(place.end.max(place.start));
        TextSpan { line, column, end_line, end_column }
    }

    fn position(&self, at: usize) -> (usize, usize) {
        let at = self.text.floor_char_boundary(at);
        let line = self.starts.partition_point(|start| *start <= at);
        let start = line.checked_sub(1).and_then(|line| self.starts.get(line)).copied();
        (line, self.chars_before(at) - self.chars_before(start.unwrap_or(0)) + 1)
    }

    fn chars_before(&self, at: usize) -> usize {
        let block = at / BLOCK_BYTES;
        let rest = self.text.as_bytes().get(block * BLOCK_BYTES..at).unwrap_or_default();
        self.chars.get(block).copied().unwrap_or(0) + first_bytes(rest)
    }
}

/// Counts the bytes with which a character begins.
fn first_bytes(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| (**byte & 0xC0) != 0x80).count()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn span_counts_characters_of_each_line() {
        let text = format!("a = 1\né😀 = 2\n{}x", "é".repeat(1000));
        let lines = LineIndex::of(&text);

        for at in 0..=text.len() {
            let before = &text[..text.floor_char_boundary(at)];
            let line = before.matches('\n').count() + 1;
            let start = before.rfind('\n').map_or(0, |end| end + 1);
            let column = before[start..].chars().count() + 1;
            let span = lines.span(&(at..at));
            assert_eq!((span.line, span.column), (line, column), "{at}");
        }
        let span = lines.span(&(6..12));
        assert_eq!(span, TextSpan { line: 2, column: 1, end_line: 2, end_column: 3 });
    }

    #[test]
    fn span_past_the_end_is_that_of_the_end() {
        let span = LineIndex::of("a").span(&(5..6));

        assert_eq!(span, TextSpan { line: 1, column: 2, end_line: 1, end_column: 2 });
        assert_eq!(LineIndex::of("").span(&(0..0)).column, 1);
    }
}
