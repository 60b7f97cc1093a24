//! Finds the text of questions that stand in one line of `question:answer, question:answer`.

use std::ops::Range;

/// What parts two pairs. Questions and answers may hold it too.
const PAIRS: &str = ", ";

/// How many bytes may be gone over, of which a form of ten answers takes about ten times its length.
const SEARCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// The text of each question; none where it is not sure. `answers` are the ways in which each answer may be
/// printed, in the order of the form; a question without an answer may be left out of the text.
///
/// An answer is taken as found where the earliest place that leaves room for those before it is also the
/// latest that leaves room for those behind it: any other place would be a guess.
pub(super) fn questions<'t>(text: &'t str, answers: &[Vec<String>]) -> Vec<Option<&'t str>> {
    let mut search = LabelSearch { text, left: SEARCH_BYTES_MAX };
    let earliest = search.earliest(answers);
    let latest = search.latest(answers);
    let mut questions = vec![None; answers.len()];
    // Where the pair behind the last one that is sure begins, and how many since then are not.
    let mut start = 0;
    let mut unsure = 0;
    for (at, answer) in answers.iter().enumerate() {
        match (&earliest[at], &latest[at]) {
            (Some(found), Some(last)) if found == last => {
                questions[at] = question(&text[start..found.start], unsure);
                start = (found.end + PAIRS.len()).min(text.len());
                unsure = 0;
            }
            _ if answer.is_empty() => {}
            _ => unsure += 1,
        }
    }
    questions
}

/// The question at the end of a piece of the text in which at most so many pairs come before it.
fn question(piece: &str, unsure: usize) -> Option<&str> {
    let parts: Vec<&str> = piece.split(PAIRS).collect();
    let (last, before) = parts.split_last()?;
    let question = if before.is_empty() || unsure == 0 {
        piece
    } else if before.len() == unsure && before.iter().all(|pair| pair.contains(':')) {
        last
    } else {
        return None;
    };
    (!question.trim().is_empty() && !holds_a_pair(question)).then(|| question.trim())
}

/// A pair of which no answer is known. In prose, white space follows a colon.
fn holds_a_pair(question: &str) -> bool {
    let Some((before, _)) = question.rsplit_once(PAIRS) else {
        return false;
    };
    before.split(':').skip(1).any(|after| !after.starts_with(char::is_whitespace))
}

struct LabelSearch<'t> {
    text: &'t str,
    /// How many bytes may still be gone over.
    left: usize,
}

impl LabelSearch<'_> {
    /// Where each answer, with the colon before it, stands first behind those before it.
    fn earliest(&mut self, answers: &[Vec<String>]) -> Vec<Option<Range<usize>>> {
        let mut from = 0;
        let mut places = Vec::with_capacity(answers.len());
        for shown in answers {
            let found = shown.iter().filter_map(|shown| self.first(shown, from));
            let place = found.min_by_key(|place| (place.start, usize::MAX - place.end));
            from = place.as_ref().map_or(from, |place| place.end);
            places.push(place);
        }
        places
    }

    /// Where each stands last before those behind it.
    fn latest(&mut self, answers: &[Vec<String>]) -> Vec<Option<Range<usize>>> {
        let mut until = self.text.len();
        let mut places = vec![None; answers.len()];
        for (shown, place) in answers.iter().zip(&mut places).rev() {
            let found = shown.iter().filter_map(|shown| self.last(shown, until));
            *place = found.max_by_key(|place| (place.start, place.end));
            until = place.as_ref().map_or(until, |place| place.start);
        }
        places
    }

    fn first(&mut self, shown: &str, from: usize) -> Option<Range<usize>> {
        let piece = &self.text[from..];
        self.pay(piece.len() + shown.len())?;
        let pattern = format!(":{shown}");
        let mut places = piece.match_indices(&pattern).map(|(at, _)| from + at);
        let start = places.find(|start| self.ends_a_pair(start + pattern.len()));
        // Only what was gone over counts.
        let over = start.map_or(piece.len(), |start| start - from);
        self.left += piece.len() - over;
        start.map(|start| start..start + pattern.len())
    }

    fn last(&mut self, shown: &str, until: usize) -> Option<Range<usize>> {
        let piece = &self.text[..until];
        self.pay(piece.len() + shown.len())?;
        let pattern = format!(":{shown}");
        let mut places = piece.rmatch_indices(&pattern).map(|(at, _)| at);
        let start = places.find(|start| self.ends_a_pair(start + pattern.len()));
        self.left += start.unwrap_or(0);
        start.map(|start| start..start + pattern.len())
    }

    fn ends_a_pair(&self, at: usize) -> bool {
        let rest = &self.text[at..];
        rest.is_empty() || rest.starts_with(PAIRS)
    }

    fn pay(&mut self, bytes: usize) -> Option<()> {
        self.left = self.left.checked_sub(bytes)?;
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;

    #[track_caller]
    fn check(text: &str, answers: &[&str], expected: &[Option<&str>]) {
        let answers: Vec<Vec<String>> = answers
            .iter()
            .map(|answer| {
                answer.split('|').filter(|it| !it.is_empty()).map(str::to_owned).collect()
            })
            .collect();
        assert_eq!(questions(text, &answers), expected, "{text}");
    }

    #[test]
    fn questions_are_what_stands_before_their_answers() {
        check("A:1, B:2", &["1", "2"], &[Some("A"), Some("B")]);
        check("A, a:1, B:1, C:1", &["1", "1", "1"], &[Some("A, a"), Some("B"), Some("C")]);
        check("A:x, y:z, B:z", &["x, y:z", "z"], &[Some("A"), Some("B")]);
        check("A:2.1., B:x", &["1/2|2.1.", "x"], &[Some("A"), Some("B")]);
        check("A?:1, é:é", &["1", "", "é"], &[Some("A?"), None, Some("é")]);
    }

    #[test]
    fn question_that_is_not_sure_is_none() {
        check("", &["1"], &[None]);
        check("A:1 of 5, B:1", &["1", "1"], &[None, None]);
        check("A 1 or 2:1, 2 is best:1", &["1"], &[None]);
        check("A:?, x, B:1", &["2", "1"], &[None, None]);
        check("A:?, B:1", &["2", "1"], &[None, Some("B")]);
        check("B:1", &["2", "1"], &[None, Some("B")]);
        check("A:https://x/y, B:1", &["1"], &[None]);
        check(":1", &["1"], &[None]);
    }

    #[test]
    fn much_text_and_many_answers_take_bounded_time() {
        let text = ":1, :2 ".repeat(300_000);
        let answers = vec![vec!["3".to_owned(), "1".to_owned(), ":2 :1".to_owned()]; 2_000];
        let begun = Instant::now();

        questions(&text, &answers);

        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
