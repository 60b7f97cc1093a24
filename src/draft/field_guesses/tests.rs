//! Choices of fields among the values of payloads and the answers of forms.

use serde_json::json;

use super::*;

fn found(payload: &Value) -> FieldGuesses {
    find(payload, Form::default())
}

fn asked(questions: &[(&str, &str)]) -> Vec<(String, String)> {
    questions
        .iter()
        .map(|(question, answer)| ((*question).to_owned(), (*answer).to_owned()))
        .collect()
}

#[test]
fn problem_is_the_longest_text_below_its_heading() {
    let payload = json!({"id": "x", "ticket": {"status": "open", "subject": "Export",
        "description": "We need the table as CSV."}, "form": {"text": "Thank you for this form"}});

    let problem = "{{ payload.ticket.subject }}\n\n{{ payload.ticket.description }}";
    assert_eq!(found(&payload).problem.taken.as_deref(), Some(problem));
}

#[test]
fn note_has_no_title_above_it() {
    let payload = json!({"booking": {"title": "Intro call", "additionalNotes": "Show the tide"}});

    assert_eq!(found(&payload).problem.taken.as_deref(), Some("$.booking.additionalNotes"));
}

#[test]
fn customer_precedes_the_agent() {
    let payload = json!({"assignee": {"email": "agent@example.com", "name": "Ida"},
        "customer": {"email": "mia@example.com", "name": "Mia"}, "text": "Too slow for us"});

    let found = found(&payload);

    assert_eq!(found.person_email.taken.as_deref(), Some("$.customer.email"));
    assert_eq!(found.person_name.taken.as_deref(), Some("$.customer.name"));
    let others = &found.person_email.others;
    assert_eq!(
        (&*others[0].written, &*others[0].why),
        ("$.assignee.email", "it belongs to your own side")
    );
}

#[test]
fn first_and_last_name_are_joined() {
    let flat = json!({"first_name": "Mia", "last_name": "Aho", "email": "mia@example.com"});
    let nested = json!({"Email": "mia@example.com", "Name": {"First": "Mia", "Last": "Aho"}});

    let name = |payload| found(payload).person_name.taken;
    assert_eq!(name(&flat).as_deref(), Some("{{ payload.first_name }} {{ payload.last_name }}"));
    assert_eq!(name(&nested).as_deref(), Some("{{ payload.Name.First }} {{ payload.Name.Last }}"));
}

#[test]
fn link_for_people_precedes_one_for_programs() {
    let payload = json!({"issue": {"url": "https://api.example.com/issues/1",
        "html_url": "https://example.com/issues/1", "body": "Show the tide"}});

    assert_eq!(found(&payload).source_url.taken.as_deref(), Some("$.issue.html_url"));
}

#[test]
fn fields_of_a_form_are_found_by_its_questions() {
    let answers = asked(&[
        ("What is missing?", "Export"),
        ("Name of your boat", "Ahti"),
        ("Your name", "Mia"),
        ("E-mail of your manager", "ida@example.org"),
        ("E-mail", "mia@example.com"),
        ("How large is your company?", "12 people"),
        ("Company", "Acme"),
    ]);

    let found = find(&json!({}), Form { answers: &answers, path: None });

    assert_eq!(found.problem.taken.as_deref(), Some("{{ answers }}"));
    assert_eq!(found.person_name.taken.as_deref(), Some("{{ answers['Your name'] }}"));
    assert_eq!(found.person_email.taken.as_deref(), Some("{{ answers['E-mail'] }}"));
    assert_eq!(found.company_name.taken.as_deref(), Some("{{ answers['Company'] }}"));
}

#[test]
fn comment_beside_a_form_comes_before_its_answers_unless_it_is_one() {
    let payload = json!({"comment": "Too slow for us", "answers": []});
    let path = ValuePath::default().below("answers");
    let problem = |answers: &[(String, String)]| {
        find(&payload, Form { answers, path: Some(&path) }).problem.taken
    };

    let both = "{{ payload.comment }}\n\n{{ answers }}";
    assert_eq!(problem(&asked(&[("Why?", "Waits")])).as_deref(), Some(both));
    assert_eq!(problem(&asked(&[("Why?", "Too slow for us")])).as_deref(), Some("$.comment"));
}

#[test]
fn numbers_ids_and_links_are_no_problem() {
    let payload = json!({"id": "01KDR8Y6", "count": 7, "url": "https://example.com", "ok": true});

    assert_eq!(found(&payload).problem.taken, None);
}
