//! Replaces characters in foreign text that would control a terminal.

/// Replaces terminal control characters by U+FFFD; line ends are kept.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_terminal_control(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns whether a character controls a terminal: control characters, those that change the
/// direction of the text (Unicode's `Bidi_Control`), and Unicode's line and paragraph separators.
pub fn is_terminal_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// Replaces terminal control characters in the text of a file. Tabs and CR stay, since the renderer
/// replaces them itself.
pub(super) fn visible_source(text: &str) -> String {
    let is_shown = |c: char| !is_terminal_control(c) || matches!(c, '\n' | '\t' | '\r');
    text.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect()
}
