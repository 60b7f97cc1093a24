//! Guesses which values of a payload are the person's text, address and name, the company and a
//! link. Pure.

use serde_json::Value;

use super::leaves::{Leaf, ValuePath, leaves, quoted, words};
use crate::event::{is_email, is_url};

/// Values as a mapping file writes them; `None` if nothing was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldGuesses {
    pub(super) problem: Option<String>,
    /// Template expression of the text, without which no feedback is made.
    pub(super) text: String,
    pub(super) person_email: Option<String>,
    pub(super) person_name: Option<String>,
    pub(super) company_name: Option<String>,
    pub(super) source_url: Option<String>,
}

/// Guesses the fields. `answers` are the questions of a form with their answers.
pub(super) fn find(payload: &Value, answers: &[(String, String)]) -> FieldGuesses {
    let leaves = leaves(payload);
    let email = best(&leaves, email_score);
    let text = best(&leaves, text_score);
    let text_parent = text.map_or_else(ValuePath::default, |leaf| leaf.path.parent());
    let (problem, text, text_parent) = if answers.iter().any(|(_, answer)| !answer.is_empty()) {
        (Some("{{ answers }}".to_owned()), "answers".to_owned(), ValuePath::default())
    } else {
        (
            text.map(|text| problem(text, &leaves)),
            text.map(text_expression).unwrap_or_default(),
            text_parent,
        )
    };
    // Before the keys of the payload, which in a form are often ids: a question is what people
    // read.
    let answer_to = |is_it: fn(&str, &str) -> bool| {
        let (question, _) = answers.iter().find(|(question, answer)| is_it(question, answer))?;
        Some(format!("{{{{ answers['{}'] }}}}", quoted(question)))
    };
    let query = |leaf: &Leaf<'_>| leaf.path.query();
    FieldGuesses {
        problem,
        text,
        person_email: answer_to(|_, answer| is_email(answer)).or_else(|| email.map(query)),
        person_name: answer_to(asks_for_name).or_else(|| name(&leaves, email, &text_parent)),
        company_name: answer_to(asks_for_company)
            .or_else(|| leaves.iter().find(|leaf| is_company(leaf)).map(query)),
        source_url: best(&leaves, url_score).map(query),
    }
}

/// Returns the first leaf with the highest score, which must be above zero.
fn best<'l, 'v>(
    leaves: &'l [Leaf<'v>],
    score: impl Fn(&Leaf<'v>) -> usize,
) -> Option<&'l Leaf<'v>> {
    // Reversed, since `max_by_key` returns the last of equal ones.
    let scored = leaves.iter().map(|leaf| (score(leaf), leaf)).filter(|(score, _)| *score > 0);
    scored.rev().max_by_key(|(score, _)| *score).map(|(_, leaf)| leaf)
}

fn any(words: &[String], known: &str) -> bool {
    words.iter().any(|word| known.split_whitespace().any(|known| known == word))
}

/// Keys of texts that people write.
const WORDS: &str = "answer body comment comments content description details feedback feature idea message messages \
    note opinion plain problem reason review suggestion text wish";
/// Keys of the heading of such a text.
const HEADINGS: &str = "title subject summary headline heading";
/// Keys of objects that describe the event's surroundings, such as its form or board. Their texts
/// were not written by the person.
const AROUND: &str = "account app board category changes definition form label labels links meta metadata old \
    organization plan previous product project repository settings team tags template workspace";
/// Keys of values that may have several words and that no person wrote.
const LABELS: &str = "name type id date at agent status label pseudonym";
/// Keys of people who may have written the text.
const PEOPLE: &str = "actor author client contact contacts creator customer from guest invitee lead person reporter \
    requester respondent sender submitter user visitor";
/// Keys of a company.
const COMPANIES: &str = "company companies organization organisation employer firm";
/// Keys of links to a page.
const LINKS: &str = "html permalink web page link permalinks href";
/// Keys of links that only programs follow, or that do something when opened.
const MACHINES: &str = "api avatar image icon logo photo picture file referrer server upload unsubscribe webhook \
    callback cancel reschedule uri";

// Each rule changes a draft of the shipped samples: all others were removed after each had been
// switched off alone over all 138 of them.
fn text_score(leaf: &Leaf<'_>) -> usize {
    let (before, last) = leaf.path.words();
    // Longer than 60 words is no better: the key decides between two long texts.
    let count = leaf.text.split_whitespace().count().min(60);
    let is_named = any(&last, WORDS);
    // One or two words under any other key are rather an id or a state.
    if is_url(leaf.text) || count < if is_named { 1 } else { 3 } {
        return 0;
    }
    let score = if is_named {
        8
    } else if any(&last, HEADINGS) {
        3
    } else if any(&last, LABELS) {
        return 0;
    } else {
        2
    };
    (count + 10) * score * if any(&before, AROUND) { 1 } else { 4 }
}

/// Returns the template expression of the text alone.
fn text_expression(text: &Leaf<'_>) -> String {
    // The filter would join the lines of plain text.
    let is_html = ["</", "<br", "<img"].iter().any(|tag| text.text.contains(tag));
    text.path.expression() + if is_html { " | html_to_text" } else { "" }
}

/// Returns the value of `problem`: the text, below its heading if there is one beside it.
fn problem(text: &Leaf<'_>, leaves: &[Leaf<'_>]) -> String {
    let heading = HEADINGS.split_whitespace().find_map(|key| {
        let path = text.path.parent().below(key);
        leaves.iter().find(|leaf| leaf.path == path && leaf.text != text.text)
    });
    let expression = text_expression(text);
    match heading {
        Some(heading) => {
            format!("{{{{ {} }}}}\n\n{{{{ {expression} }}}}", heading.path.expression())
        }
        None if expression != text.path.expression() => format!("{{{{ {expression} }}}}"),
        None => text.path.query(),
    }
}

fn email_score(leaf: &Leaf<'_>) -> usize {
    let (before, last) = leaf.path.words();
    match is_email(leaf.text) {
        true if any(&before, PEOPLE) || any(&last, PEOPLE) => 2,
        true => 1,
        false => 0,
    }
}

/// Returns the person's name: one beside the address, or else of a person near the text.
fn name(leaves: &[Leaf<'_>], email: Option<&Leaf<'_>>, text_parent: &ValuePath) -> Option<String> {
    let near = email.map(|leaf| leaf.path.parent());
    let beside = |keys: &str| {
        let near = near.as_ref()?;
        let is_it = |leaf: &&Leaf<'_>| keys.split(' ').any(|key| leaf.path == near.below(key));
        leaves.iter().find(is_it).map(|leaf| &leaf.path)
    };
    if let Some(path) = beside("name full_name fullName display_name displayName") {
        return Some(path.query());
    }
    let first = beside("first_name firstName firstname given_name");
    let last = beside("last_name lastName lastname family_name");
    if let (Some(first), Some(last)) = (first, last) {
        return Some(format!("{{{{ {} }}}} {{{{ {} }}}}", first.expression(), last.expression()));
    }
    // Below the object of the text, a name is its author's rather than another person's. Everything
    // is below the root, which tells nothing.
    let score = |leaf: &Leaf<'_>| match is_name(leaf, near.as_ref()) {
        true if text_parent.depth() > 0 && leaf.path.starts_with(text_parent) => 2,
        true => 1,
        false => 0,
    };
    best(leaves, score).map(|leaf| leaf.path.query())
}

fn is_name(leaf: &Leaf<'_>, near: Option<&ValuePath>) -> bool {
    let (before, last) = leaf.path.words();
    let is_persons = any(&before, PEOPLE) || any(&last, PEOPLE);
    let is_beside_email = near.is_some_and(|near| leaf.path.parent() == *near);
    any(&last, "name fullname displayname username login")
        && !any(&last, "company first last file event form type")
        && (is_persons || is_beside_email)
        && !is_email(leaf.text)
}

fn is_company(leaf: &Leaf<'_>) -> bool {
    let (before, last) = leaf.path.words();
    let is_named = any(&last, COMPANIES) && !any(&last, "id url size type domain");
    let is_its_name = any(&before, COMPANIES) && last == ["name"];
    (is_named || is_its_name) && !is_url(leaf.text) && !is_email(leaf.text)
}

/// Scores links by which a person can look at the event; the least deep one wins.
fn url_score(leaf: &Leaf<'_>) -> usize {
    let (before, last) = leaf.path.words();
    let is_for_machines =
        any(&last, MACHINES) || ["://api.", "/api/"].iter().any(|it| leaf.text.contains(it));
    // A link within a person leads to a profile and not to the event.
    if !is_url(leaf.text) || is_for_machines || any(&before, PEOPLE) {
        return 0;
    }
    let score = if any(&last, LINKS) { 60 } else { 40 };
    score - leaf.path.depth()
}

fn asks_for_name(question: &str, answer: &str) -> bool {
    let words = words(question);
    // A first or last name alone is only half of one.
    any(&words, "name")
        && !any(&words, "company organization organisation first last user")
        && !is_email(answer)
        && !answer.is_empty()
}

fn asks_for_company(question: &str, answer: &str) -> bool {
    any(&words(question), COMPANIES) && !answer.is_empty()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(payload: &Value) -> FieldGuesses {
        find(payload, &[])
    }

    #[test]
    fn problem_is_the_longest_text_below_its_heading() {
        let payload = json!({"id": "x", "ticket": {"status": "open", "subject": "Export",
            "description": "We need the table as CSV."}, "form": {"text": "Thank you for this form"}});

        let problem = "{{ payload.ticket.subject }}\n\n{{ payload.ticket.description }}";
        assert_eq!(found(&payload).problem.as_deref(), Some(problem));
    }

    #[test]
    fn customer_precedes_the_agent() {
        let payload = json!({"assignee": {"email": "agent@example.com", "name": "Ida"},
            "customer": {"email": "mia@example.com", "name": "Mia"}, "text": "Too slow for us"});

        let found = found(&payload);

        assert_eq!(found.person_email.as_deref(), Some("$.customer.email"));
        assert_eq!(found.person_name.as_deref(), Some("$.customer.name"));
    }

    #[test]
    fn first_and_last_name_are_joined() {
        let payload = json!({"first_name": "Mia", "last_name": "Aho", "email": "mia@example.com"});

        let name = "{{ payload.first_name }} {{ payload.last_name }}";
        assert_eq!(found(&payload).person_name.as_deref(), Some(name));
    }

    #[test]
    fn link_for_people_precedes_one_for_programs() {
        let payload = json!({"issue": {"url": "https://api.example.com/issues/1",
            "html_url": "https://example.com/issues/1", "body": "Show the tide"}});

        assert_eq!(found(&payload).source_url.as_deref(), Some("$.issue.html_url"));
    }

    #[test]
    fn fields_of_a_form_are_found_by_its_questions() {
        let answers = [("What is missing?", "Export"), ("Your name", "Mia"), ("Company", "Acme")];
        let answers = answers.map(|(question, answer)| (question.to_owned(), answer.to_owned()));

        let found = find(&json!({}), &answers);

        assert_eq!(found.problem.as_deref(), Some("{{ answers }}"));
        assert_eq!(found.person_name.as_deref(), Some("{{ answers['Your name'] }}"));
        assert_eq!(found.company_name.as_deref(), Some("{{ answers['Company'] }}"));
    }

    #[test]
    fn numbers_ids_and_links_are_no_problem() {
        let payload =
            json!({"id": "01KDR8Y6", "count": 7, "url": "https://example.com", "ok": true});

        assert_eq!(found(&payload).problem, None);
    }
}
