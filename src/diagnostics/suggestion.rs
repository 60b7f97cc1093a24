//! Suggests the name that a person probably meant, by edit distance.

use strsim::osa_distance;

/// Returns the nearest candidate, if one is near enough.
pub(crate) fn nearest<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let length = word.chars().count();
    // A third of the word: more edits would suggest names that have nothing in common with it. One
    // more for a separator, which people write as another or leave out.
    let distance_max = (length / 3).max(1) + usize::from(word.contains(['-', '_']));
    nearest_within(word, candidates, distance_max)
}

/// Returns the nearest candidate that is at most so many edits away.
pub(crate) fn nearest_within<'a>(
    word: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    distance_max: usize,
) -> Option<&'a str> {
    let length = word.chars().count();
    candidates
        .into_iter()
        // Cheap, and excludes most: the distance of long words takes time by the product of their
        // lengths, and a file may have a key of a megabyte.
        .filter(|candidate| candidate.chars().count().abs_diff(length) <= distance_max)
        .map(|candidate| (osa_distance(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= distance_max)
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
