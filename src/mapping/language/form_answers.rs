//! Answers of one form, as templates see them.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use icu_normalizer::ComposingNormalizerBorrowed;
use memchr::memmem;
use minijinja::Value as Shared;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::taken::{NodePlace, StandIns, TakenNodes};
use super::value::{Scalar, joined};

/// Length of the beginning by which an answer is found in a text.
const SOUGHT_BYTES_MAX: usize = 256;

/// Answers of one form: printed as a paragraph for each question and its answer, looked up by
/// question or key, iterable.
#[derive(Debug, Default)]
pub(crate) struct FormAnswers {
    answers: Vec<QuestionAnswer>,
    positions: OnceLock<Positions>,
    /// Upper bound of its length when printed, for which templates pay.
    printed_bytes: usize,
    /// Answers that could not be read.
    pub(crate) notes: Vec<String>,
    taken: TakenNodes,
}

/// Positions of the answers by what they can be looked up by.
#[derive(Debug, Default)]
struct Positions {
    exact: HashMap<String, usize>,
    normalized: HashMap<String, usize>,
}

/// Texts by which an answer can be looked up.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) text: String,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug)]
struct QuestionAnswer {
    question: Question,
    nodes: Vec<Scalar>,
    /// Values of the payload that it was read from; none if nothing is recorded.
    places: Vec<NodePlace>,
}

impl FormAnswers {
    /// Returns a list without answers, whose lookups are recorded in `taken`.
    pub(crate) fn recorded_in(taken: &TakenNodes) -> FormAnswers {
        FormAnswers { taken: taken.clone(), ..FormAnswers::default() }
    }

    pub(crate) fn add(&mut self, question: Question, nodes: Vec<Scalar>, places: Vec<NodePlace>) {
        // The size of a node also covers the line ends and commas between answers.
        let answer: usize = nodes.iter().map(Scalar::bytes).sum();
        self.printed_bytes += question.text.len() + answer;
        self.answers.push(QuestionAnswer { question, nodes, places });
    }

    pub(crate) fn printed_bytes(&self) -> usize {
        self.printed_bytes
    }

    /// Replaces places in what stands in for the payload by those in the payload.
    pub(crate) fn move_places(&mut self, stand_ins: &StandIns) {
        self.answers.iter_mut().for_each(|answer| stand_ins.replace(&mut answer.places));
    }

    /// Returns each question with its answer in one text, and the places that it was read from.
    pub(crate) fn texts(&self) -> impl Iterator<Item = (&str, String, &[NodePlace])> {
        self.answers
            .iter()
            .map(|answer| (&*answer.question.text, joined(&answer.nodes, ", "), &*answer.places))
    }

    /// Returns the answer that says the most, if the text begins with a question of the form: the
    /// longest one that the text contains, the first of several.
    pub(crate) fn said_in(&self, text: &str) -> Option<String> {
        let first = text.trim_start().lines().next()?;
        if !self.answers.iter().any(|answer| answer.question.text.trim() == first.trim()) {
            return None;
        }
        let answers = self.texts().map(|(_, answer, _)| answer);
        let mut answers: Vec<String> = answers.filter(|answer| !answer.is_empty()).collect();
        // Mostly the text has them all, and the first search is the last. The order of those of one length
        // stays.
        answers.sort_by_key(|answer| Reverse(answer.len()));
        answers.into_iter().find(|answer| {
            // A search costs by the length of what it looks for.
            let beginning = &answer.as_bytes()[..answer.len().min(SOUGHT_BYTES_MAX)];
            memmem::find(text.as_bytes(), beginning).is_some()
        })
    }

    fn record(&self, answer: &QuestionAnswer) {
        self.taken.add_places(answer.places.iter().cloned());
    }

    fn find(&self, name: &str) -> Option<&QuestionAnswer> {
        // At the first lookup: most mappings print all answers and look up none.
        let Positions { exact, normalized: by_normalized } =
            self.positions.get_or_init(|| Positions::of(&self.answers));
        let at = exact.get(name).or_else(|| by_normalized.get(&normalized(name)))?;
        self.answers.get(*at)
    }
}

impl Positions {
    fn of(answers: &[QuestionAnswer]) -> Positions {
        let mut positions = Positions::default();
        // Questions before keys: what people read wins over another question's id.
        let questions = answers.iter().enumerate().map(|(at, answer)| (&answer.question.text, at));
        let keys = answers.iter().enumerate();
        let keys =
            keys.flat_map(|(at, answer)| answer.question.keys.iter().map(move |key| (key, at)));
        for (name, at) in questions.chain(keys) {
            positions.exact.entry(name.clone()).or_insert(at);
            positions.normalized.entry(normalized(name)).or_insert(at);
        }
        positions
    }
}

/// Returns the name in lower case, NFC and with single spaces.
fn normalized(name: &str) -> String {
    // A question in a mapping file differs from the one in the payload in what is not visible:
    // composed accents, U+00A0 before a French question mark, a line end.
    let composed =
        ComposingNormalizerBorrowed::new_nfc().normalize(&name.to_lowercase()).into_owned();
    composed.split_whitespace().collect::<Vec<_>>().join(" ")
}

impl fmt::Display for FormAnswers {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, answer) in self.answers.iter().enumerate() {
            if position > 0 {
                formatter.write_str("\n\n")?;
            }
            if !answer.question.text.is_empty() {
                writeln!(formatter, "{}", answer.question.text)?;
            }
            self.record(answer);
            formatter.write_str(&joined(&answer.nodes, ", "))?;
        }
        Ok(())
    }
}

impl QuestionAnswer {
    /// Returns a single node as itself, several as a list.
    fn shared(&self) -> Shared {
        match self.nodes.as_slice() {
            [node] => share(node),
            nodes => nodes.iter().map(share).collect(),
        }
    }
}

fn share(node: &Scalar) -> Shared {
    match node {
        Scalar::Text(text) => Shared::from(text.as_str()),
        Scalar::Boolean(boolean) => Shared::from(*boolean),
        // Not through f64, in which ids above 2^53 lose digits.
        Scalar::Number(number) => match (number.as_i64(), number.as_u64()) {
            (Some(whole), _) => Shared::from(whole),
            (None, Some(whole)) => Shared::from(whole),
            (None, None) => Shared::from(number.as_f64()),
        },
    }
}

impl Object for FormAnswers {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Shared) -> Option<Shared> {
        if let Some(name) = key.as_str() {
            let answer = self.find(name)?;
            self.record(answer);
            return Some(answer.shared());
        }
        let answer = self.answers.get(key.as_usize()?)?;
        self.record(answer);
        let text = joined(&answer.nodes, ", ");
        Some(Shared::from_pairs([("question", answer.question.text.clone()), ("answer", text)]))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.answers.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}
