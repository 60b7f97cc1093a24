//! Suggests the name that a person probably meant, by the fewest edits.

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
        .map(|candidate| (edits(&word.to_lowercase(), candidate), candidate))
        .filter(|(distance, _)| *distance <= furthest)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts the characters that have to be put in, taken out, replaced, or swapped with the next.
fn edits(left: &str, right: &str) -> usize {
    let (left, right): (Vec<char>, Vec<char>) = (left.chars().collect(), right.chars().collect());
    let mut above: Vec<usize> = Vec::new();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.iter().enumerate() {
        let mut next = vec![i + 1];
        for (j, b) in right.iter().enumerate() {
            let replaced = row[j] + usize::from(a != b);
            let mut fewest = replaced.min(next[j] + 1).min(row[j + 1] + 1);
            if i > 0 && j > 0 && *a == right[j - 1] && left[i - 1] == *b {
                fewest = fewest.min(above[j - 1] + 1);
            }
            next.push(fewest);
        }
        above = std::mem::replace(&mut row, next);
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_key_is_found_by_few_edits() {
        assert_eq!(nearest("persn_email", ["problem", "person_email"]), Some("person_email"));
        assert_eq!(nearest("Problem", ["problem", "person_email"]), Some("problem"));
        assert_eq!(nearest("colour", ["problem", "person_email"]), None);
        assert_eq!(nearest("form", ["until", "from"]), Some("from"));
    }
}
