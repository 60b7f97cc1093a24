//! Answers of one form, as templates see them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, OnceLock};

use icu_normalizer::ComposingNormalizerBorrowed;
use minijinja::Value as Shared;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::value::{Scalar, joined};

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
}

impl FormAnswers {
    pub(crate) fn add(&mut self, question: Question, nodes: Vec<Scalar>) {
        // The size of a node also covers the line ends and commas between answers.
        let answer: usize = nodes.iter().map(Scalar::bytes).sum();
        self.printed_bytes += question.text.len() + answer;
        self.answers.push(QuestionAnswer { question, nodes });
    }

    pub(crate) fn printed_bytes(&self) -> usize {
        self.printed_bytes
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
            return self.find(name).map(QuestionAnswer::shared);
        }
        let answer = self.answers.get(key.as_usize()?)?;
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
