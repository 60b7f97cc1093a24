//! The cause of a dead event: where it stopped, Savio's status, and the reason without what differs
//! between events.

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};

use super::stopped_at::StoppedAt;

/// Longest normalised reason, in characters.
const REASON_CHARS_MAX: usize = 300;

/// Characters that stand for what was taken out.
const TAKEN_OUT: char = '…';

/// Returns the digest by which a cause is told from others.
pub(super) fn kind(stage: Option<StoppedAt>, status: Option<u16>, reason: &str) -> String {
    let stage = stage.map_or("", StoppedAt::as_str);
    let status = status.map(|status| status.to_string()).unwrap_or_default();
    let digest = Sha256::digest(format!("{stage}\n{status}\n{reason}"));
    HEXLOWER.encode(&digest.as_slice()[..8])
}

/// Returns the reason without numbers, ids, addresses, times and quoted text: equal for events that
/// failed in the same way, and without any text of a payload that is quoted as such.
pub(super) fn normalised(reason: &str) -> String {
    let unquoted = without_quoted(reason);
    let words: Vec<String> = unquoted.split_whitespace().map(without_values).collect();
    let text = words.join(" ");
    match text.char_indices().nth(REASON_CHARS_MAX) {
        None => text,
        Some((end, _)) => format!("{}{TAKEN_OUT}", &text[..end]),
    }
}

/// Replaces what stands in double or single quotes. Names in backquotes are the relay's own and stay.
fn without_quoted(reason: &str) -> String {
    let mut kept = String::with_capacity(reason.len());
    let mut chars = reason.char_indices();
    while let Some((at, c)) = chars.next() {
        // An apostrophe within a word opens nothing.
        let before = reason[..at].chars().next_back();
        let opens = match c {
            '"' | '“' | '«' => true,
            '\'' | '‘' => before.is_none_or(|it| !it.is_alphanumeric()),
            _ => false,
        };
        kept.push(c);
        if !opens {
            continue;
        }
        let close = match c {
            '“' => '”',
            '«' => '»',
            '‘' => '’',
            other => other,
        };
        let mut is_escaped = false;
        kept.push(TAKEN_OUT);
        for (_, inner) in chars.by_ref() {
            if inner == close && !is_escaped {
                kept.push(inner);
                break;
            }
            is_escaped = inner == '\\' && !is_escaped;
        }
    }
    kept
}

/// Replaces a word that is an id or an address, and the digits of any other.
fn without_values(word: &str) -> String {
    let core = word.trim_matches(|c: char| !c.is_alphanumeric());
    let is_address = core.contains('@') || core.contains("://");
    let digits = core.chars().filter(char::is_ascii_digit).count();
    let is_hex = core.chars().all(|c| c.is_ascii_hexdigit() || c == '-');
    if is_address || (is_hex && core.len() >= 8 && digits > 0) {
        return word.replacen(core, "…", 1);
    }
    let mut kept = String::with_capacity(word.len());
    for c in word.chars() {
        let is_digit = c.is_ascii_digit();
        if !(is_digit && kept.ends_with('#')) {
            kept.push(if is_digit { '#' } else { c });
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_differs_between_events_is_taken_out() {
        for (reason, expected) in [
            (
                r#"feedback_type: "TRIAL" is not a valid choice."#,
                r#"feedback_type: "…" is not a valid choice."#,
            ),
            ("gave up after 72h: Savio returned 503", "gave up after #h: Savio returned #"),
            ("feedback[0].problem is empty", "feedback[#].problem is empty"),
            ("contact 0198c0de-0000-7000-8000-000000000001 is unknown", "contact … is unknown"),
            ("(ann@example.com) can't be reached", "(…) can't be reached"),
            ("see https://example.com/a?b=1, then", "see …, then"),
            ("at 2026-11-30T18:00:00Z", "at #-#-#T#:#:#Z"),
            (r#"it says 'a \' b' and "open"#, r#"it says '…' and "…"#),
            ("`person_email` is no address", "`person_email` is no address"),
        ] {
            assert_eq!(normalised(reason), expected, "{reason}");
        }
        assert_eq!(normalised(&"x ".repeat(1_000)).chars().count(), 301);
    }

    #[test]
    fn causes_differ_by_stage_status_and_reason() {
        let savio = Some(StoppedAt::Savio);
        let all = [
            kind(savio, Some(400), "a"),
            kind(savio, Some(422), "a"),
            kind(savio, Some(400), "b"),
            kind(Some(StoppedAt::Time), Some(400), "a"),
            kind(savio, None, "a"),
        ];
        assert!(all.iter().all(|it| it.len() == 16));
        let distinct: std::collections::BTreeSet<&String> = all.iter().collect();
        assert_eq!(distinct.len(), all.len());
    }
}
