//! Suggests the name that a person probably meant, by the fewest edits.

use strsim::osa_distance;

/// Returns the candidate that a person most probably meant, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    let furthest = (length / 3).max(1) + usize::from(word.contains(['-', '_']));
    candidates
        .into_iter()
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= furthest)
        .map(|candidate| (osa_distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nearest_key_is_found_within_few_edits() {
        assert_eq!(nearest("persn_email", ["problem", "person_email"]), Some("person_email"));
        assert_eq!(nearest("Problem", ["problem", "person_email"]), Some("problem"));
        assert_eq!(nearest("colour", ["problem", "person_email"]), None);
        assert_eq!(nearest("form", ["until", "from"]), Some("from"));
    }
}
