//! What in a payload is what: the person's words, address and name, the company, a link. Pure.

use serde_json::Value;

use super::leaves::{Leaf, ValuePath, leaves, quoted, words};
use crate::event::is_email;

/// Values as a mapping file writes them, where something was found.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct FieldGuesses {
    pub(super) problem: Option<String>,
    /// The text without which there is no feedback, as what stands between braces.
    pub(super) text: String,
    pub(super) person_email: Option<String>,
    pub(super) person_name: Option<String>,
    pub(super) company_name: Option<String>,
    pub(super) source_url: Option<String>,
}

/// A form's answers are questions with what was answered.
pub(super) fn find(payload: &Value, answers: &[(String, String)]) -> FieldGuesses {
    let leaves = leaves(payload);
    let email = best(&leaves, email_score);
    let (problem, text, place) = if answers.iter().any(|(_, answer)| !answer.is_empty()) {
        (Some("{{ answers }}".to_owned()), "answers".to_owned(), ValuePath::default())
    } else if let Some(words) = best(&leaves, text_score) {
        (Some(problem(words, &leaves)), said(words), words.path.parent())
    } else {
        (None, String::new(), ValuePath::default())
    };
    let asked = |is_it: fn(&str, &str) -> bool| {
        let (question, _) = answers.iter().find(|(question, answer)| is_it(question, answer))?;
        Some(format!("{{{{ answers['{}'] }}}}", quoted(question)))
    };
    FieldGuesses {
        problem,
        text,
        person_email: asked(|_, answer| is_email(answer))
            .or_else(|| email.map(|leaf| leaf.path.value())),
        person_name: asked(asks_for_name).or_else(|| name(&leaves, email, &place)),
        company_name: asked(asks_for_company)
            .or_else(|| best(&leaves, company_score).map(|leaf| leaf.path.value())),
        source_url: best(&leaves, |leaf| url_score(leaf, &place)).map(|leaf| leaf.path.value()),
    }
}

/// The first with the highest score above zero.
fn best<'l, 'v>(leaves: &'l [Leaf<'v>], score: impl Fn(&Leaf<'v>) -> i64) -> Option<&'l Leaf<'v>> {
    let scored = leaves.iter().map(|leaf| (score(leaf), leaf)).filter(|(score, _)| *score > 0);
    scored.rev().max_by_key(|(score, _)| *score).map(|(_, leaf)| leaf)
}

fn any(words: &[String], known: &[&str]) -> bool {
    words.iter().any(|word| known.contains(&word.as_str()))
}

/// What people's words are called.
const WORDS: &[&str] = &[
    "answer",
    "body",
    "comment",
    "comments",
    "content",
    "description",
    "details",
    "feedback",
    "feature",
    "idea",
    "message",
    "messages",
    "note",
    "opinion",
    "plain",
    "problem",
    "reason",
    "review",
    "suggestion",
    "text",
    "wish",
];
const HEADINGS: &[&str] = &["title", "subject", "summary", "headline", "heading"];
/// What stands around the event and was not said in it.
const AROUND: &[&str] = &[
    "account",
    "app",
    "board",
    "category",
    "changes",
    "definition",
    "form",
    "label",
    "labels",
    "links",
    "meta",
    "metadata",
    "old",
    "organization",
    "plan",
    "previous",
    "product",
    "project",
    "repository",
    "settings",
    "team",
    "tags",
    "template",
    "workspace",
];

fn text_score(leaf: &Leaf<'_>) -> i64 {
    let (before, last) = leaf.path.words();
    let count = i64::try_from(leaf.text.split_whitespace().count().min(60)).unwrap_or(60);
    let is_named = any(&last, WORDS);
    if is_url(leaf.text) || is_email(leaf.text) || count < if is_named { 1 } else { 3 } {
        return 0;
    }
    let mut score = count + 10;
    if is_named {
        score *= 4;
    } else if any(&last, HEADINGS) {
        score = score * 3 / 2;
    } else if any(
        &last,
        &["name", "type", "id", "date", "at", "agent", "status", "label", "pseudonym"],
    ) {
        return 0;
    }
    if any(&before, AROUND) {
        score /= 4;
    }
    if any(&last, &["html", "raw", "preview"]) {
        score -= 1;
    }
    score
}

/// The words alone, as what stands between braces.
fn said(words: &Leaf<'_>) -> String {
    let is_html =
        words.text.contains("</") || words.text.contains("<br") || words.text.contains("<img");
    let filter = if is_html { " | html_to_text" } else { "" };
    format!("{}{filter}", words.path.expression())
}

/// The words, below their heading where there is one beside them.
fn problem(words: &Leaf<'_>, leaves: &[Leaf<'_>]) -> String {
    let heading = HEADINGS.iter().find_map(|key| {
        let path = words.path.sibling(key);
        leaves.iter().find(|leaf| leaf.path == path && leaf.text != words.text)
    });
    let said = said(words);
    match heading {
        Some(heading) => format!("{{{{ {} }}}}\n\n{{{{ {said} }}}}", heading.path.expression()),
        None if said != words.path.expression() => format!("{{{{ {said} }}}}"),
        None => words.path.value(),
    }
}

/// Who may have said something.
const PEOPLE: &[&str] = &[
    "actor",
    "author",
    "client",
    "contact",
    "contacts",
    "creator",
    "customer",
    "from",
    "guest",
    "invitee",
    "lead",
    "person",
    "reporter",
    "requester",
    "respondent",
    "sender",
    "submitter",
    "user",
    "visitor",
];
/// Who works where it was said.
const STAFF: &[&str] = &[
    "admin",
    "admins",
    "agent",
    "assignee",
    "assigned",
    "host",
    "member",
    "memberships",
    "owner",
    "responder",
    "teammate",
    "to",
];

fn email_score(leaf: &Leaf<'_>) -> i64 {
    if !is_email(leaf.text) {
        return 0;
    }
    let (before, last) = leaf.path.words();
    let mut score = 60 - depth(leaf);
    if any(&before, PEOPLE) || any(&last, PEOPLE) {
        score += 40;
    }
    if any(&before, STAFF) || any(&last, STAFF) {
        score -= 30;
    }
    score
}

/// Beside the address, else of somebody who may have said it.
fn name(leaves: &[Leaf<'_>], email: Option<&Leaf<'_>>, place: &ValuePath) -> Option<String> {
    let near = email.map(|leaf| leaf.path.parent());
    let beside = |keys: &[&str]| {
        let near = near.as_ref()?;
        let is_it = |leaf: &&Leaf<'_>| keys.iter().any(|key| leaf.path == near.below(key));
        leaves.iter().find(is_it).map(|leaf| leaf.path.clone())
    };
    if let Some(path) = beside(&["name", "full_name", "fullName", "display_name", "displayName"]) {
        return Some(path.value());
    }
    let first = beside(&["first_name", "firstName", "firstname", "given_name"]);
    let last = beside(&["last_name", "lastName", "lastname", "family_name"]);
    if let (Some(first), Some(last)) = (first, last) {
        return Some(format!("{{{{ {} }}}} {{{{ {} }}}}", first.expression(), last.expression()));
    }
    let score = |leaf: &Leaf<'_>| {
        let bonus = if place.depth() > 0 && leaf.path.starts_with(place) { 20 } else { 0 };
        let score = name_score(leaf, near.as_ref());
        if score > 0 { score + bonus } else { 0 }
    };
    best(leaves, score).map(|leaf| leaf.path.value())
}

fn name_score(leaf: &Leaf<'_>, near: Option<&ValuePath>) -> i64 {
    let (before, last) = leaf.path.words();
    let is_name = any(&last, &["name", "fullname", "displayname", "username", "login"]);
    let is_persons = any(&before, PEOPLE) || any(&last, PEOPLE);
    let is_other = any(&last, &["company", "first", "last", "file", "event", "form", "type"])
        || any(&before, &["company", "companies", "organization", "account", "tags", "labels"]);
    let is_alone = near.is_some_and(|near| leaf.path.parent() == *near);
    if !is_name || is_other || !(is_persons || is_alone) || is_email(leaf.text) {
        return 0;
    }
    let staff = if any(&before, STAFF) { 30 } else { 0 };
    60 - depth(leaf) - staff
}

const COMPANIES: &[&str] =
    &["company", "companies", "organization", "organisation", "employer", "firm"];

fn company_score(leaf: &Leaf<'_>) -> i64 {
    let (before, last) = leaf.path.words();
    let is_named = any(&last, COMPANIES) && !any(&last, &["id", "url", "size", "type", "domain"]);
    let is_its_name = any(&before, COMPANIES) && last == ["name"];
    if !(is_named || is_its_name) || is_url(leaf.text) || is_email(leaf.text) {
        return 0;
    }
    60 - depth(leaf)
}

/// What is looked at by people, best in or above the place of the words.
fn url_score(leaf: &Leaf<'_>, place: &ValuePath) -> i64 {
    let (before, last) = leaf.path.words();
    let is_for_machines =
        any(&last, &["api", "avatar", "image", "icon", "logo", "photo", "picture"])
            || any(&last, &["file", "referrer", "server", "upload"])
            || any(&last, &["unsubscribe", "webhook", "callback", "cancel", "reschedule", "uri"])
            || any(&before, &["avatar", "image", "photos", "user", "author", "sender", "owner"])
            || leaf.text.contains("://api.")
            || leaf.text.contains("/api/")
            || leaf.text.contains('{');
    if !is_url(leaf.text) || is_for_machines || leaf.text.contains(char::is_whitespace) {
        return 0;
    }
    let mut score = 40 - depth(leaf);
    if any(&last, &["html", "permalink", "web", "page", "link", "permalinks", "href"]) {
        score += 20;
    }
    if place.depth() > 0 && leaf.path.parent() == *place {
        score += 15;
    } else if place.starts_with(&leaf.path.parent()) {
        score += 10;
    }
    score
}

fn depth(leaf: &Leaf<'_>) -> i64 {
    i64::try_from(leaf.path.depth()).unwrap_or(i64::MAX)
}

fn asks_for_name(question: &str, answer: &str) -> bool {
    let words = words(question);
    any(&words, &["name"])
        && !any(&words, &["company", "organization", "organisation", "first", "last", "user"])
        && !is_email(answer)
        && !answer.is_empty()
}

fn asks_for_company(question: &str, answer: &str) -> bool {
    let words = words(question);
    any(&words, COMPANIES)
        && !any(&words, &["size"])
        && !answer.is_empty()
        && answer.chars().count() <= 100
}

fn is_url(text: &str) -> bool {
    text.starts_with("https://") || text.starts_with("http://")
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn found(payload: &Value) -> FieldGuesses {
        find(payload, &[])
    }

    #[test]
    fn the_words_are_what_reads_like_words() {
        let payload = json!({"id": "x", "ticket": {"status": "open", "subject": "Export",
            "description": "We need the table as CSV."}, "form": {"text": "Thank you for this form"}});

        let problem = "{{ payload.ticket.subject }}\n\n{{ payload.ticket.description }}";
        assert_eq!(found(&payload).problem.as_deref(), Some(problem));
    }

    #[test]
    fn the_customer_comes_before_the_agent() {
        let payload = json!({"assignee": {"email": "agent@example.com", "name": "Ida"},
            "customer": {"email": "mia@example.com", "name": "Mia"}, "text": "Too slow for us"});

        let found = found(&payload);

        assert_eq!(found.person_email.as_deref(), Some("$.customer.email"));
        assert_eq!(found.person_name.as_deref(), Some("$.customer.name"));
    }

    #[test]
    fn two_parts_of_a_name_are_put_together() {
        let payload = json!({"first_name": "Mia", "last_name": "Aho", "email": "mia@example.com"});

        let name = "{{ payload.first_name }} {{ payload.last_name }}";
        assert_eq!(found(&payload).person_name.as_deref(), Some(name));
    }

    #[test]
    fn a_link_for_people_comes_before_one_for_machines() {
        let payload = json!({"issue": {"url": "https://api.example.com/issues/1",
            "html_url": "https://example.com/issues/1", "body": "Show the tide"}});

        assert_eq!(found(&payload).source_url.as_deref(), Some("$.issue.html_url"));
    }

    #[test]
    fn a_form_is_asked_by_its_questions() {
        let answers = [("What is missing?", "Export"), ("Your name", "Mia"), ("Company", "Acme")];
        let answers = answers.map(|(question, answer)| (question.to_owned(), answer.to_owned()));

        let found = find(&json!({}), &answers);

        assert_eq!(found.problem.as_deref(), Some("{{ answers }}"));
        assert_eq!(found.person_name.as_deref(), Some("{{ answers['Your name'] }}"));
        assert_eq!(found.company_name.as_deref(), Some("{{ answers['Company'] }}"));
    }

    #[test]
    fn numbers_and_ids_are_nobodys_words() {
        let payload =
            json!({"id": "01KDR8Y6", "count": 7, "url": "https://example.com", "ok": true});

        assert_eq!(found(&payload).problem, None);
    }
}
