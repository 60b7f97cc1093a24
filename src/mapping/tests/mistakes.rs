//! Mistakes of mapping files, each with its place and advice.

use proptest::prelude::*;
use serde_json::json;

use super::{OutputStyle, compile, compile_only, compile_valid, document};
use crate::diagnostics::diagnostic::{Diagnostic, Severity};
use crate::diagnostics::report;

#[test]
fn ten_mistakes_are_shown_at_their_places() {
    let file = r#"[[feedback]]
problm = "$.a"
person_email = "$.a[?@.b = 'x']"
person_name = "{{ $.name }}"
company_name = "{{ payload.a | uper }}"
source_url = "{{ payload.a "
state = { from = "$.a", markup = "htm" }
feedback_type = { form = "$.a" }
tags = ["@.a", "{{ answers }}"]
events = ["*"]
when = "{{ payload.a }} x"
source_username = { from = "$.a", max = "ten" }
"#;
    let (_, mistakes) = compile(file);

    let document = document(file);
    let mut lines: Vec<usize> = mistakes.iter().map(|m| m.line_and_column(&document).0).collect();
    lines.sort_unstable();
    // That there is no `problem` and no `from` only follows from their misspellings.
    assert_eq!(lines, [2, 3, 4, 5, 6, 7, 8, 9, 9, 10, 11, 12], "{}", show(file, &mistakes));
}

#[test]
fn mistake_is_underlined_with_advice() {
    check("person_name = \"{{ $.a.b }}\"", "$.a.b", "payload.a.b");
    check("person_name = \"{{ payload.a|uper }}\"", "uper", "upper");
    check("person_name = \"{{ jsonpth('$.a') }}\"", "jsonpth", "jsonpath");
    for relative in ["@", "@.a", "@['a']", "@..a"] {
        check(&format!("person_name = \"{relative}\""), "@", "for_each");
    }
    check("person_name = \"{{ answers }}\"", "answers", "[answers]");
    check("persn_name = \"x\"", "persn_name", "person_name");
    check("tags = \"{{ jsonpath('@.a') }}\"", "'@.a'", "$");
    check("for_each = \"x\"", "\"x\"", "$.items[*]");
    check("state = { from = \"$.a\", markup = \"htm\" }", "\"htm\"", "html");
    check("person_name = \"$5\"", "", "{{ '$5' }}");
    let title = |existing: &str| format!("feature_request_title = {existing}");
    check(&title("{ from = \"$.a\", existing = \"prefre\" }"), "\"prefre\"", "prefer");
    let inner = title("{ from = { from = \"$.a\", existing = \"only\" } }");
    check(&inner, "existing", "existing = \"prefer\"");
    check(
        "person_name = { from = \"$.a\", existing = \"only\" }",
        "existing",
        "feature_request_title",
    );
}

// Such a mistake leaves the depth of nesting as it was, on which the values after it depend.
#[test]
fn mistaken_literal_is_reported_alone() {
    for literal in ["nan", "inf", "99999999999999999999"] {
        let title = "feature_request_title = { from = \"$.t\", existing = \"prefer\" }";
        let rest = format!("{title}\nsource_username = [[\"$.a\"]]");
        let literals = [literal; 20].join(", ");
        for (wrong, mistakes) in [
            (format!("person_name = {literal}"), 1),
            (format!("company_name = [{literal}, {{ from = {literal} }}]"), 2),
            (format!("person_name = [{literals}]"), 20),
        ] {
            let file = format!("[[feedback]]\nproblem = \"x\"\n{wrong}\n{rest}\n");
            let (_, found) = compile(&file);
            let shown = show(&file, &found);
            assert_eq!(found.len(), mistakes, "{shown}");
            assert!(found.iter().all(|it| &file[it.place.clone()] == literal), "{shown}");
        }
    }
}

#[test]
fn empty_list_of_events_is_a_mistake() {
    check("events = []", "[]", "leave `events` out");
}

#[test]
fn block_without_valid_events_accepts_no_other_event() {
    for events in ["[]", "[\"*\"]"] {
        let (mapping, _) = compile(&format!("[[feedback]]\nproblem = \"x\"\nevents = {events}"));
        assert_eq!(mapping.events(), Some(Vec::new()), "{events}");
    }
}

#[test]
fn length_of_no_character_is_a_mistake_and_cuts_nothing() {
    let state = "state = { from = \"$.a\", max = 0 }";
    check(state, "max", "1 or more");

    let (mapping, _) = compile(&format!("[[feedback]]\nproblem = \"x\"\n{state}"));
    let mapped = mapping.apply(&super::event(None), &json!({"a": "text"}).into()).unwrap();

    assert_eq!(mapped.requests[0].body["state"], "text");
}

#[test]
fn braces_in_a_quoted_text_of_a_condition_are_text() {
    for (when, text) in [
        ("@.text == '{{x}}'", "{{x}}"),
        ("'{{' == @.text", "{{"),
        ("@.text == \"{% raw %}\" && @.text != '{{'", "{% raw %}"),
        (r"@.text == 'it\'s {{x}}'", "it's {{x}}"),
        ("$['{{x}}'] && @.text == '{{x}}'", "{{x}}"),
        (r"@.text == '\u007b{ payload.x }}'", "{{ payload.x }}"),
    ] {
        let file = format!("[[feedback]]\nproblem = \"x\"\nwhen = {}", json!(when));
        let mapping = compile_valid(&file);
        for (payload, requests) in
            [(json!({"text": text, "{{x}}": 1}), 1), (json!({"text": "other", "{{x}}": 1}), 0)]
        {
            let mapped = mapping.apply(&super::event(None), &payload.into()).unwrap();
            assert_eq!(mapped.requests.len(), requests, "{when}");
        }
    }
}

#[test]
fn mistake_beside_quoted_braces_is_that_of_the_condition() {
    check("when = \"@.text = '{{x}}'\"", "=", "==");
    check("when = \"@.text == '{{x}}' and @.b\"", "and", "&&");
}

#[test]
fn template_in_a_quoted_text_of_a_condition_is_a_mistake() {
    for when in [
        "@.text == '{{ payload.word }}'",
        "@.text == '{% if event.id %}a{% endif %}'",
        "'{{ item.a }}' != @.text",
        "'{{ org_id }}' == 'a'",
    ] {
        check(&format!("when = \"{when}\""), &format!("\"{when}\""), "quotes");
    }
    for when in ["{{ payload.a }} == 'x'", "@.a == {{ payload.a }}", "it's {{ payload.a }}"] {
        check(&format!("when = \"{when}\""), &format!("\"{when}\""), "{{ expression }}");
    }
}

// Parsers report a single byte, which may be in the middle of a character.
#[test]
fn place_of_a_mistake_has_whole_characters() {
    for value in [
        "{{ a é }}",
        "{{ é }}",
        "{{ payload.a | é }}",
        "{{ payload.a é",
        "{% é %}",
        "{{ 'é' é }}",
        "{{ last\u{742}\u{fffd} }}",
        "$.é[",
        "$é",
        "é",
        "😀",
        "$.a[?@.é == é]",
        "$.a[?match(@.b, 'é(')]",
    ] {
        for file in [
            format!("[[feedback]]\nproblem = '{value}'").replace("''", "'"),
            format!("[[feedback]]\nproblem = \"\"\"{value}\"\"\""),
            format!("[[feedback]]\nproblem = \"$.a\"\nwhen = \"\"\"{value}\"\"\""),
            format!("[[feedback]]\nproblem = {{ from = \"\"\"{value}\"\"\" }}"),
        ] {
            let (_, mistakes) = compile_only(&file);
            for mistake in mistakes {
                assert!(file.get(mistake.place.clone()).is_some(), "{file}: {mistake:?}");
            }
        }
    }
}

#[test]
fn probable_mistakes_are_warnings() {
    warns("person_name = \"{{ payloads.a }}\"", "payloads", "payload");
    warns("person_name = \"{{ org_id }}\"", "org_id", "payload.org_id");
    warns("person_name = \"{{ item.a }}\"", "item", "for_each");
}

#[test]
fn unknown_key_lists_each_known_key_once() {
    for file in [
        "[[feedback]]\nproblem = \"x\"\nzzzzzzzzzzzz = 1",
        "[[contact]]\ninternal_id = \"1\"\nname = \"x\"\nzzzzzzzzzzzz = 1",
        "[[feedback]]\nproblem = { from = \"$.a\", zzzzzzzzzzzz = 1 }",
    ] {
        let (_, mistakes) = compile(file);
        let help = mistakes[0].help.as_deref().unwrap();
        let known: Vec<&str> = help.strip_prefix("known here: ").unwrap().split(", ").collect();
        let once: std::collections::BTreeSet<&str> = known.iter().copied().collect();
        assert_eq!(known.len(), once.len(), "{help}");
        assert!(known.len() > 3, "{help}");
    }
}

#[test]
fn names_defined_by_a_template_are_known() {
    compile_valid("[[feedback]]\nproblem = \"{% macro m(x) %}{{ x }}{% endmacro %}{{ m('a') }}\"");
    compile_valid(
        "[[feedback]]\nproblem = \"{% for a in payload.x %}{{ loop.index }}{{ a }}{% endfor %}\"",
    );
    compile_valid(
        "[[feedback]]\nproblem = \"{% set a = 1 %}{{ a is defined and a is not none }}\"",
    );
    compile_valid(
        "[[feedback]]\nproblem = \"{{ range(3)|list|join }}{{ 'x' if payload.a else 'y' }}\"",
    );
}

#[test]
fn missing_required_key_is_a_mistake() {
    for (file, missing) in [
        ("[[feedback]]\n", 1),
        ("[[contact]]\n", 2),
        ("[[company]]\nname = \"x\"\n", 1),
        ("[[feedback]]\nproblem = \"$.[\"\n", 1),
    ] {
        let (_, mistakes) = compile(file);
        assert_eq!(mistakes.len(), missing, "{}", show(file, &mistakes));
    }
}

#[test]
fn doubtful_condition_is_warned_about_with_a_sample() {
    let file = "[[feedback]]\nproblem = \"x\"\nfor_each = \"$.l[*]\"\nwhen = \"@.b && @.a\"";
    let payload = json!({"l": [{"a": 1, "b": 1}, {"a": null, "b": 1}, {"a": null, "b": 1}]});

    let doubts = compile_valid(file).lints(&super::event(None), &payload.into());

    assert_eq!(doubts.len(), 1, "{doubts:?}");
    assert_eq!(doubts[0].severity, Severity::Warning);
    assert_eq!(&file[doubts[0].place.clone()], "@.a");
}

proptest! {
    #[test]
    fn any_value_is_read_without_panic(
        value in "(\\{\\{|\\}\\}|\\{%|%\\}|\\{#|\\$|@|\\.|\\||\\[|\\]|'|\\\\| |é|payload|jsonpath\\(|\\)|if|is|[0-9]|\n){0,12}",
    ) {
        for key in ["person_name", "when", "for_each", "tags"] {
            let file = format!("[[feedback]]\nproblem = \"x\"\n{key} = {}", json!(value));
            let (mapping, mistakes) = compile_only(&file);
            let _ = mapping.apply(&super::event(None), &json!({"a": [1]}).into());
            show(&file, &mistakes);
        }
    }
}

fn check(line: &str, underlined: &str, advice: &str) {
    expect(line, Severity::Error, (underlined, advice));
}

pub(super) fn warns(line: &str, underlined: &str, advice: &str) {
    expect(line, Severity::Warning, (underlined, advice));
}

fn expect(line: &str, severity: Severity, (underlined, advice): (&str, &str)) {
    let file = format!("[[feedback]]\nproblem = \"x\"\n{line}\n");
    let (_, mistakes) = compile(&file);
    let shown = show(&file, &mistakes);
    assert_eq!(mistakes.len(), 1, "{shown}");
    assert_eq!(mistakes[0].severity, severity, "{shown}");
    assert!(underlined.is_empty() || &file[mistakes[0].place.clone()] == underlined, "{shown}");
    let help = mistakes[0].help.clone().unwrap_or_default();
    assert!(help.contains(advice) || mistakes[0].message.contains(advice), "{shown}");
}

pub(super) fn show(file: &str, mistakes: &[Diagnostic]) -> String {
    report::show(&document(file), mistakes, OutputStyle::Plain)
}
