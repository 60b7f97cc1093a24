//! The answers of one form, as templates see them.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use icu_normalizer::ComposingNormalizerBorrowed;
use minijinja::Value as Shared;
use minijinja::value::{Enumerator, Object, ObjectRepr};

use super::value::{Scalar, joined};

/// Printed, it is one paragraph for each question with its answer; it can be looked up by question
/// and key, and iterated over.
#[derive(Debug, Default)]
pub(crate) struct FormAnswers {
    answers: Vec<QuestionAnswer>,
    /// Positions by question and key: first as they are, then however they are spelled.
    exact: HashMap<String, usize>,
    alike: HashMap<String, usize>,
    /// Its length when printed, or a little more.
    printed_bytes: usize,
    /// Answers that could not be read.
    pub(crate) notes: Vec<String>,
}

/// Texts by which an answer can be looked up.
#[derive(Debug, Default)]
pub(crate) struct Question {
    pub(crate) question: String,
    pub(crate) keys: Vec<String>,
}

#[derive(Debug)]
struct QuestionAnswer {
    asked: Question,
    nodes: Vec<Scalar>,
}

impl FormAnswers {
    pub(crate) fn add(&mut self, asked: Question, nodes: Vec<Scalar>) {
        let answer: usize = nodes.iter().map(Scalar::bytes).sum();
        self.printed_bytes += asked.question.len() + answer;
        self.answers.push(QuestionAnswer { asked, nodes });
    }

    /// To be called behind the last `add`. A question goes before another question's key.
    pub(crate) fn index(&mut self) {
        let questions =
            self.answers.iter().enumerate().map(|(at, answer)| (&answer.asked.question, at));
        let keys = self.answers.iter().enumerate();
        let keys = keys.flat_map(|(at, answer)| answer.asked.keys.iter().map(move |key| (key, at)));
        for (name, at) in questions.chain(keys) {
            self.exact.entry(name.clone()).or_insert(at);
            self.alike.entry(alike(name)).or_insert(at);
        }
    }

    pub(crate) fn printed_bytes(&self) -> usize {
        self.printed_bytes
    }

    fn find(&self, name: &str) -> Option<&QuestionAnswer> {
        let at = self.exact.get(name).or_else(|| self.alike.get(&alike(name)))?;
        self.answers.get(*at)
    }
}

/// Without what a reader cannot see: capital letters, the form of characters, the kind of white space.
fn alike(name: &str) -> String {
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
            if !answer.asked.question.is_empty() {
                writeln!(formatter, "{}", answer.asked.question)?;
            }
            formatter.write_str(&joined(&answer.nodes, ", "))?;
        }
        Ok(())
    }
}

impl QuestionAnswer {
    /// One node is itself, several are a list.
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
        Some(Shared::from_pairs([("question", answer.asked.question.clone()), ("answer", text)]))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.answers.len())
    }

    fn render(self: &Arc<Self>, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{self}")
    }
}
