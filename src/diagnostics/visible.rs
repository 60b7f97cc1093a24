//! Replaces characters in foreign text that would control a terminal.

/// Replaces terminal control characters by U+FFFD; line ends are kept.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_terminal_control(c) && c != '\n' { '\u{fffd}' } else { c }).collect()
}

/// Returns the text in one line, with each white space reduced to one space.
pub(crate) fn one_line(text: &str) -> String {
    visible(text).split_whitespace().collect::<Vec<_>>().join(" ")
}

/// Replaces terminal control characters in JSON text by escapes; line ends are kept.
pub(crate) fn visible_json(text: &str) -> String {
    // serde_json escapes only what JSON requires: DEL, C1 controls and those that change the
    // direction of text stay.
    let mut shown = String::with_capacity(text.len());
    for c in text.chars() {
        if is_terminal_control(c) && c != '\n' {
            shown += &format!("\\u{:04x}", u32::from(c));
        } else {
            shown.push(c);
        }
    }
    shown
}

/// Returns the text in one line, so that a text of a stranger cannot add lines that look like the
/// program's own.
pub(crate) fn in_one_line(text: &str) -> String {
    visible(text.trim_end()).replace('\n', " ")
}

/// Returns the text, with an ellipsis at the end if it is longer.
pub(crate) fn shorten(text: &str, chars: usize) -> String {
    if text.chars().count() <= chars {
        return text.to_owned();
    }
    text.chars().take(chars.saturating_sub(1)).chain(['…']).collect()
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
