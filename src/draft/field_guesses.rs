//! Chooses the fields of feedback among the values of a payload and the answers of a form. Pure.

use serde_json::Value;

use super::candidates::{Candidate, best, is_words, key_has, ranked};
use super::clue::Known;
use super::evidence::Field;
use super::leaves::{Leaf, ValuePath, leaves, quoted};
use super::vocabulary::{BODIES, COMPANIES, CUSTOMERS, STAFF, TITLES};
use super::words::{has, words};
use crate::event::{is_email, is_url};

/// Candidates of a field that are offered beside the chosen one.
const OFFERS_MAX: usize = 4;

/// Objects in which one person is looked for.
// All values are compared with each of them.
const OBJECTS_MAX: usize = 20;

/// Points above which a value is offered. What speaks more against a text are single words, of
/// which every payload is full.
const OFFERED_MIN: i32 = -150;
const TEXT_OFFERED_MIN: i32 = -20;

/// A value as a mapping file writes it, with what it is in the payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Offer {
    pub(super) written: String,
    pub(super) value: String,
    /// Why it was not taken.
    pub(super) why: String,
}

/// The value of a field, and what else was found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Choice {
    pub(super) taken: Option<String>,
    /// Ends the sentence "taken, since ...".
    pub(super) why: String,
    pub(super) others: Vec<Offer>,
}

/// Values as a mapping file writes them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldGuesses {
    pub(super) problem: Choice,
    /// Template expression of the text, without which no feedback is made.
    pub(super) text: String,
    pub(super) person_email: Choice,
    pub(super) person_name: Choice,
    pub(super) company_name: Choice,
    pub(super) source_url: Choice,
    /// Id of the person in a system of one's own.
    pub(super) internal_id: Option<Offer>,
    /// The object of the text.
    pub(super) text_object: Option<ValuePath>,
}

/// A form whose answers were found.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Form<'f> {
    /// The questions with their answers.
    pub(super) answers: &'f [(String, String)],
    /// What is below it are questions and answers; `None` if only the provider knows.
    pub(super) path: Option<&'f ValuePath>,
}

/// Guesses the fields of one event.
pub(super) fn find(payload: &Value, form: Form<'_>) -> FieldGuesses {
    let all = leaves(payload);
    // The answers are found by their questions.
    let is_outside = |leaf: &&Leaf<'_>| {
        !form.path.is_some_and(|form| leaf.path.starts_with(form) && *form != ValuePath::default())
    };
    let leaves: Vec<Leaf<'_>> = all.iter().filter(is_outside).cloned().collect();
    let texts = ranked(Field::Text, &leaves, Known::default());
    let text = best(Field::Text, &texts);
    let text_object = text.map(|text| text.leaf.path.parent());
    let known = Known { text: text_object.as_ref(), ..Known::default() };
    let emails = ranked(Field::Email, &leaves, known);
    let email = best(Field::Email, &emails);
    let addressed = email.map(|email| objects_with(&leaves, email.leaf)).unwrap_or_default();
    let names = ranked(Field::Name, &leaves, Known { persons: &addressed, ..known });
    // Without an address, the person is whom the name belongs to.
    let owner = best(Field::Name, &names).map(|name| name.leaf.path.parent());
    let persons =
        if addressed.is_empty() { owner.into_iter().collect() } else { addressed.clone() };
    let known = Known { persons: &persons, ..known };
    let companies = ranked(Field::Company, &leaves, known);
    let links = ranked(Field::Link, &leaves, known);
    let (problem, expression) = problem(&texts, &leaves, known, form);
    FieldGuesses {
        problem,
        text: expression,
        person_email: email_choice(&emails, form),
        person_name: name_choice(&names, &leaves, known, form),
        company_name: company_choice(&companies, form),
        source_url: choice(Field::Link, &links),
        internal_id: persons.iter().find_map(|person| internal_id(&leaves, person)),
        text_object,
    }
}

/// Returns the best candidate, with the others to choose from.
fn choice(field: Field, candidates: &[Candidate<'_, '_>]) -> Choice {
    let taken = best(field, candidates);
    let others = offers(field, candidates.get(usize::from(taken.is_some())..).unwrap_or_default());
    match taken {
        Some(taken) => {
            Choice { taken: Some(taken.leaf.path.query()), why: taken.why.to_owned(), others }
        }
        None => Choice { others, ..Choice::default() },
    }
}

fn offers(field: Field, candidates: &[Candidate<'_, '_>]) -> Vec<Offer> {
    let offer = |candidate: &Candidate<'_, '_>| Offer {
        written: candidate.leaf.path.query(),
        value: candidate.leaf.text.to_string(),
        // A reason against it, not one for it that weighed less than another's.
        why: if candidate.points < 0 { candidate.why.to_owned() } else { String::new() },
    };
    let points_min = if field == Field::Text { TEXT_OFFERED_MIN } else { OFFERED_MIN };
    let is_offered = |candidate: &&Candidate<'_, '_>| candidate.points > points_min;
    candidates.iter().filter(is_offered).map(offer).take(OFFERS_MAX).collect()
}

fn answer(question: &str) -> String {
    format!("answers['{}']", quoted(question))
}

/// Returns the value of `problem`, and the expression of the text in it.
fn problem(
    texts: &[Candidate<'_, '_>],
    leaves: &[Leaf<'_>],
    known: Known<'_>,
    form: Form<'_>,
) -> (Choice, String) {
    let text = best(Field::Text, texts);
    let is_answered = form.answers.iter().any(|(_, answer)| !answer.is_empty());
    if !is_answered {
        let mut chosen = choice(Field::Text, texts);
        chosen.taken = text.map(|text| with_heading(text.leaf, leaves, known));
        return (chosen, text.map(|text| expression(text.leaf)).unwrap_or_default());
    }
    // Beside a form, only what says that it is a person's own words is more than a description.
    let own = text.filter(|text| form.path.is_some() && text.why.contains("own words"));
    let answers = "{{ answers }}".to_owned();
    let others = offers(Field::Text, texts.get(usize::from(own.is_some())..).unwrap_or_default());
    let taken = |taken: String, why: &str, others| Choice {
        taken: Some(taken),
        why: why.to_owned(),
        others,
    };
    match own {
        None => {
            (taken(answers, "the payload has questions with answers", others), "answers".to_owned())
        }
        Some(text) => {
            let is_answer = form.answers.iter().any(|(_, answer)| *answer == text.leaf.text);
            let written = with_heading(text.leaf, leaves, known);
            if is_answer {
                let whole = Offer {
                    written: answers,
                    value: "all questions with their answers".to_owned(),
                    why: String::new(),
                };
                let others = std::iter::once(whole).chain(others).collect();
                return (taken(written, text.why, others), expression(text.leaf));
            }
            let both = format!("{{{{ {} }}}}\n\n{answers}", expression(text.leaf));
            (taken(both, text.why, others), expression(text.leaf))
        }
    }
}

/// Returns the template expression of the text alone.
fn expression(text: &Leaf<'_>) -> String {
    // The filter would join the lines of plain text.
    let is_html = ["</", "<br", "<img"].iter().any(|tag| text.text.contains(tag));
    text.path.expression() + if is_html { " | html_to_text" } else { "" }
}

/// Returns the text below its heading, if there is one beside it.
fn with_heading(text: &Leaf<'_>, leaves: &[Leaf<'_>], known: Known<'_>) -> String {
    let expression = expression(text);
    // A title is the heading of a body; a note or a comment has been written under something else.
    let has_heading = key_has(text, BODIES) || key_has(text, "message");
    // Beside a person's address, a name is theirs.
    let object = text.path.parent();
    let has_title_only = known.persons.is_empty() || known.persons.contains(&object);
    let is_heading = |leaf: &&Leaf<'_>| {
        leaf.path.parent() == text.path.parent()
            && leaf.path != text.path
            && leaf.text != text.text
            && leaf.path.last_key().is_some_and(|key| is_heading_key(key, has_title_only))
            && is_words(&leaf.text)
    };
    match leaves.iter().find(is_heading).filter(|_| has_heading) {
        Some(heading) => {
            format!("{{{{ {} }}}}\n\n{{{{ {expression} }}}}", heading.path.expression())
        }
        None if expression != text.path.expression() => format!("{{{{ {expression} }}}}"),
        None => text.path.query(),
    }
}

fn is_heading_key(key: &str, has_title_only: bool) -> bool {
    let words = words(key);
    has(&words[words.len().saturating_sub(1)..], TITLES) || words == ["name"] && !has_title_only
}

/// Returns the first objects that have the same address: it stands for one person in all of them.
fn objects_with(leaves: &[Leaf<'_>], email: &Leaf<'_>) -> Vec<ValuePath> {
    let first = std::iter::once(email.path.parent());
    let others = leaves.iter().filter(|leaf| leaf.text == email.text && leaf.path != email.path);
    first.chain(others.map(|leaf| leaf.path.parent())).take(OBJECTS_MAX).collect()
}

/// Returns the address: that of a customer, else the one that was asked for, else another one.
fn email_choice(emails: &[Candidate<'_, '_>], form: Form<'_>) -> Choice {
    let outside = choice(Field::Email, emails);
    let is_customers = best(Field::Email, emails).is_some_and(|it| it.leaf.mentions(CUSTOMERS));
    let is_own = |question: &str| {
        !has(&words(question), "colleague friend guest invite refer second")
            && !has(&words(question), STAFF)
    };
    let asked = form.answers.iter().find(|(question, answer)| is_email(answer) && is_own(question));
    prefer(outside, asked, is_customers && form.path.is_some())
}

/// Returns the answer instead of the value outside of the form, unless that is the surer one.
fn prefer(outside: Choice, asked: Option<&(String, String)>, is_outside_surer: bool) -> Choice {
    let Some((question, value)) = asked else { return outside };
    let written = format!("{{{{ {} }}}}", answer(question));
    let mut others = outside.others;
    match outside.taken {
        Some(taken) if is_outside_surer => {
            others.insert(0, Offer { written, value: value.clone(), why: String::new() });
            Choice { taken: Some(taken), why: outside.why, others }
        }
        Some(_) | None => Choice {
            taken: Some(written),
            why: "it is the answer to a question".to_owned(),
            others,
        },
    }
}

/// Returns the name: beside the address, or the answer to a question for it; also first and last
/// name together.
fn name_choice(
    names: &[Candidate<'_, '_>],
    leaves: &[Leaf<'_>],
    known: Known<'_>,
    form: Form<'_>,
) -> Choice {
    let mut outside = choice(Field::Name, names);
    let parts = known.persons.iter().find_map(|person| name_parts(leaves, person));
    let is_sure = best(Field::Name, names).is_some_and(|it| {
        known.persons.contains(&it.leaf.path.parent()) && !key_has(it.leaf, "login username")
    });
    if let Some(parts) = parts.filter(|_| !is_sure) {
        let why = "first and last name are beside the address".to_owned();
        outside = Choice { taken: Some(parts), why, others: outside.others };
    }
    let asked = form.answers.iter().find(|(question, answer)| asks_for_name(question, answer));
    if asked.is_none() && outside.taken.is_none() {
        let part = |part: &str| {
            form.answers.iter().find(|(question, _)| words(question) == [part, "name"])
        };
        if let (Some((first, _)), Some((last, _))) = (part("first"), part("last")) {
            let written = format!("{{{{ {} }}}} {{{{ {} }}}}", answer(first), answer(last));
            return Choice {
                taken: Some(written),
                why: "they are answers to questions".to_owned(),
                ..outside
            };
        }
    }
    let is_outside_surer = form.path.is_some() && outside.taken.is_some();
    prefer(outside, asked, is_outside_surer)
}

/// Returns first and last name, in the person's object or in an object `name` within it.
fn name_parts(leaves: &[Leaf<'_>], person: &ValuePath) -> Option<String> {
    let part = |known: &'static str| {
        leaves.iter().find(|leaf| {
            let parent = leaf.path.parent();
            let in_name = parent.parent() == *person
                && parent.last_key().is_some_and(|key| has(&words(key), "name"));
            let is_part = leaf.path.last_key().is_some_and(|key| {
                let words = words(key);
                has(&words, known)
                    && (in_name && words.len() == 1
                        || words.len() == 2 && has(&words, "name")
                        || words.len() == 1 && words[0].contains("name"))
            });
            is_part && (parent == *person || in_name)
        })
    };
    let first = part("first given firstname")?;
    let last = part("last family surname lastname")?;
    Some(format!("{{{{ {} }}}} {{{{ {} }}}}", first.path.expression(), last.path.expression()))
}

fn asks_for_name(question: &str, answer: &str) -> bool {
    // A first or last name alone is only half of one.
    const OTHERS: &str = "account boat brand colleague company device domain file first friend last name-of organisation \
        organization pet product project school team user";
    let words = words(question);
    has(&words, "name fullname")
        && !has(&words, OTHERS)
        && !is_email(answer)
        && !is_url(answer)
        && (1..=6).contains(&answer.split_whitespace().count())
}

fn company_choice(companies: &[Candidate<'_, '_>], form: Form<'_>) -> Choice {
    let asked = form.answers.iter().find(|(question, answer)| {
        let words = words(question);
        let is_other = has(&words, "big large long many size people role website industry address");
        has(&words, COMPANIES) && !is_other && is_words(answer) && answer.chars().count() <= 120
    });
    prefer(choice(Field::Company, companies), asked, best(Field::Company, companies).is_some())
}

/// Returns the id by which the person is known outside of the tool.
fn internal_id(leaves: &[Leaf<'_>], person: &ValuePath) -> Option<Offer> {
    let rank = |leaf: &&Leaf<'_>| {
        let ranks = [
            "external-id remote-id custom-id internal-id",
            "customer-id user-id userid",
            "guid",
            "id uuid uid",
        ];
        ranks.iter().position(|known| key_has(leaf, known))
    };
    let of_person =
        leaves.iter().filter(|leaf| leaf.path.parent() == *person && person.depth() > 0);
    let found = of_person.filter(|leaf| rank(leaf).is_some()).min_by_key(rank)?;
    Some(Offer { written: found.path.query(), value: found.text.to_string(), why: String::new() })
}

#[cfg(test)]
mod tests;
