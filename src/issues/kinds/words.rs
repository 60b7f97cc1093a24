//! Words of the sentences about issues.

use jiff::SignedDuration;

/// Writes a time roughly, such as `27 h` or `3 days`.
pub(super) fn rough(time: SignedDuration) -> String {
    let minutes = time.as_mins();
    match minutes {
        ..120 => format!("{minutes} min"),
        120..2880 => format!("{} h", minutes / 60),
        _ => format!("{} days", minutes / (24 * 60)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_in_plain_words() {
        for (minutes, expected) in
            [(5, "5 min"), (119, "119 min"), (27 * 60, "27 h"), (4320, "3 days")]
        {
            assert_eq!(rough(SignedDuration::from_mins(minutes)), expected);
        }
    }
}
