//! Replaces the characters of foreign text that a terminal would obey.

/// Terminal control characters are shown, not sent there; line ends are kept.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_terminal_control(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns whether a terminal obeys the character: control characters, those that change the direction of what
/// follows (`Bidi_Control` of Unicode), and its own line ends.
pub fn is_terminal_control(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'
        )
}

/// The text of a file with the same done to it. Tabs and CR stay: the renderer shows them as others.
pub(super) fn visible_source(text: &str) -> String {
    let is_shown = |c: char| !is_terminal_control(c) || matches!(c, '\n' | '\t' | '\r');
    text.chars().map(|c| if is_shown(c) { c } else { '\u{fffd}' }).collect()
}
