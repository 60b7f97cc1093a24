//! Finds the questions of a form in one text of `question:answer, question:answer`.

use std::ops::Range;

/// Separator of two pairs. Questions and answers may contain it too.
const PAIRS: &str = ", ";

/// Bytes that may be searched. A form of ten answers takes about ten times the length of its text.
const SEARCH_BYTES_MAX: usize = 64 * 1024 * 1024;

/// Returns the text of each question that is certain. `answers` are the forms in which each answer
/// may be printed, in the order of the form; a question without an answer may be missing.
pub(super) fn questions<'t>(text: &'t str, answers: &[Vec<String>]) -> Vec<Option<&'t str>> {
    // Jotform sends the texts of its questions nowhere else.
    let mut search = LabelSearch { text, left: SEARCH_BYTES_MAX };
    let earliest = search.earliest(answers);
    let latest = search.latest(answers);
    let mut questions = vec![None; answers.len()];
    // Start of the pair after the last certain one, and the number of uncertain ones since then.
    let mut start = 0;
    let mut unsure = 0;
    for (at, answer) in answers.iter().enumerate() {
        // An answer is found where the earliest place that leaves room for those before it is also
        // the latest that leaves room for those after it: any other place would be a guess.
        match (&earliest[at], &latest[at]) {
            (Some(found), Some(last)) if found == last => {
                questions[at] = question(&text[start..found.start], unsure);
                start = (found.end + PAIRS.len()).min(text.len());
                unsure = 0;
            }
            // Not printed, so it cannot hide in the text before the next question.
            _ if answer.is_empty() => {}
            _ => unsure += 1,
        }
    }
    questions
}

/// Returns the question at the end of a piece of text, after at most `unsure` other pairs.
fn question(piece: &str, unsure: usize) -> Option<&str> {
    let parts: Vec<&str> = piece.split(PAIRS).collect();
    let (last, before) = parts.split_last()?;
    let question = if before.is_empty() || unsure == 0 {
        piece
    } else if before.len() == unsure && before.iter().all(|pair| pair.contains(':')) {
        // Exactly the uncertain pairs come before: no comma belongs to the question.
        last
    } else {
        return None;
    };
    (!question.trim().is_empty() && !holds_a_pair(question)).then(|| question.trim())
}

/// Returns whether the text contains a pair whose answer is not known.
fn holds_a_pair(question: &str) -> bool {
    // In prose white space follows a colon; in a pair the answer does.
    let Some((before, _)) = question.rsplit_once(PAIRS) else {
        return false;
    };
    before.split(':').skip(1).any(|after| !after.starts_with(char::is_whitespace))
}

struct LabelSearch<'t> {
    text: &'t str,
    /// Bytes that may still be searched.
    left: usize,
}

impl LabelSearch<'_> {
    /// Returns the first place of each answer, with its colon, after the answers before it.
    fn earliest(&mut self, answers: &[Vec<String>]) -> Vec<Option<Range<usize>>> {
        let mut from = 0;
        let mut places = Vec::with_capacity(answers.len());
        for forms in answers {
            let found = forms.iter().filter_map(|form| self.first(form, from));
            // Of two forms at one place the longer: the shorter may be only its beginning.
            let place = found.min_by_key(|place| (place.start, usize::MAX - place.end));
            from = place.as_ref().map_or(from, |place| place.end);
            places.push(place);
        }
        places
    }

    /// Returns the last place of each answer before the answers after it.
    fn latest(&mut self, answers: &[Vec<String>]) -> Vec<Option<Range<usize>>> {
        let mut until = self.text.len();
        let mut places = vec![None; answers.len()];
        for (forms, place) in answers.iter().zip(&mut places).rev() {
            let found = forms.iter().filter_map(|form| self.last(form, until));
            *place = found.max_by_key(|place| (place.start, place.end));
            until = place.as_ref().map_or(until, |place| place.start);
        }
        places
    }

    fn first(&mut self, form: &str, from: usize) -> Option<Range<usize>> {
        let piece = &self.text[from..];
        // The whole piece is charged first, so that no search begins that the budget cannot end.
        self.charge(piece.len() + form.len())?;
        let pattern = format!(":{form}");
        let mut places = piece.match_indices(&pattern).map(|(at, _)| from + at);
        let start = places.find(|start| self.ends_a_pair(start + pattern.len()));
        let searched = start.map_or(piece.len(), |start| start - from);
        self.left += piece.len() - searched;
        start.map(|start| start..start + pattern.len())
    }

    fn last(&mut self, form: &str, until: usize) -> Option<Range<usize>> {
        let piece = &self.text[..until];
        self.charge(piece.len() + form.len())?;
        let pattern = format!(":{form}");
        let mut places = piece.rmatch_indices(&pattern).map(|(at, _)| at);
        let start = places.find(|start| self.ends_a_pair(start + pattern.len()));
        self.left += start.unwrap_or(0);
        start.map(|start| start..start + pattern.len())
    }

    fn ends_a_pair(&self, at: usize) -> bool {
        let rest = &self.text[at..];
        rest.is_empty() || rest.starts_with(PAIRS)
    }

    fn charge(&mut self, bytes: usize) -> Option<()> {
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
    fn question_is_the_text_before_its_answer() {
        check("A:1, B:2", &["1", "2"], &[Some("A"), Some("B")]);
        check("A, a:1, B:1, C:1", &["1", "1", "1"], &[Some("A, a"), Some("B"), Some("C")]);
        check("A:x, y:z, B:z", &["x, y:z", "z"], &[Some("A"), Some("B")]);
        check("A:2.1., B:x", &["1/2|2.1.", "x"], &[Some("A"), Some("B")]);
        check("A?:1, é:é", &["1", "", "é"], &[Some("A?"), None, Some("é")]);
    }

    #[test]
    fn uncertain_question_is_none() {
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
    fn long_text_with_many_answers_takes_bounded_time() {
        let text = ":1, :2 ".repeat(300_000);
        let answers = vec![vec!["3".to_owned(), "1".to_owned(), ":2 :1".to_owned()]; 2_000];
        let begun = Instant::now();

        questions(&text, &answers);

        assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    }
}
