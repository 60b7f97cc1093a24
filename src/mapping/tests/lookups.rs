//! Variables and members of a template are found at any place in it.

use super::*;
use crate::diagnostics::table::SpannedText;
use crate::mapping::language::template::{Templates, Variable};

const MEANT: &str = "meant_to_be_found";

/// Evaluates a value as the problem of a block whose payload, item and answers have the same text.
fn evaluate(value: &str) -> Value {
    let file = format!(
        "[answers]\neach = \"$.answers[*]\"\nquestion = \"@.q\"\nanswer = \"@.a\"\n\
         [[feedback]]\nfor_each = \"$.items[*]\"\nproblem = '''{value}'''"
    );
    let payload = json!({
        "key": MEANT,
        "items": [{ "key": MEANT }],
        "answers": [{ "q": "key", "a": MEANT }],
    });
    let mut event = event(Some(MEANT));
    event.headers.insert("key".to_owned(), MEANT.to_owned());
    let mapped = compile_valid(&file).apply(&event, &payload.into());
    match mapped {
        Ok(mapped) => mapped.requests.first().map_or(Value::Null, |it| it.body["problem"].clone()),
        Err(unmappable) => json!({ "failed": unmappable.reason }),
    }
}

#[test]
fn variable_is_found_anywhere_in_a_template() {
    for looked_up in [
        "payload.key",
        "headers.key",
        "headers['key']",
        "event.type",
        "answers['key']",
        "item.key",
        "jsonpath('$.key')",
    ] {
        let name = looked_up.split(['.', '[', '(']).next().unwrap();
        for (template, expected) in [
            ("{{ X }}", MEANT),
            ("{{ (X)[0:] }}", MEANT),
            ("{{ (X | string)[1:] }}", &MEANT[1..]),
            ("{{ (X | string)[:5] }}", &MEANT[..5]),
            ("{{ (X | string)[::1] }}", MEANT),
            ("{{ (X | string | split('_'))[1:3] | join('_') }}", "to_be"),
            ("{{ ((X | string)[1:])[1:] }}", &MEANT[2..]),
            ("{{ 'meant_to_be_found'[0:(X | string | length)] }}", MEANT),
            ("{% for one in [(X | string)[1:]] %}{{ one }}{% endfor %}", &MEANT[1..]),
            ("{% if (X | string)[1:] %}yes{% endif %}", "yes"),
            ("{% filter replace('x', X) %}x{% endfilter %}", MEANT),
            ("{% set a | replace('x', X) %}x{% endset %}{{ a }}", MEANT),
            ("{% set a = X %}{{ a }}", MEANT),
            ("{% with a = X %}{{ a }}{% endwith %}", MEANT),
            ("{% macro m(a=X) %}{{ a }}{% endmacro %}{{ m() }}", MEANT),
            ("{% macro m() %}{{ (X | string)[1:] }}{% endmacro %}{{ m() }}", &MEANT[1..]),
            ("{% set NAME = X %}{{ NAME }}", MEANT),
            ("{% with NAME = X %}{{ NAME }}{% endwith %}", MEANT),
        ] {
            // `jsonpath` is a function, to which a template cannot assign.
            if template.contains("NAME") && name == "jsonpath" {
                continue;
            }
            let template = template.replace("NAME", name).replace('X', looked_up);
            assert_eq!(evaluate(&template), json!(expected), "{template}");
        }
    }
}

fn members(text: &str) -> Option<Vec<String>> {
    let text = SpannedText::new(&document(text), text, 0..text.len());
    let mut mistakes = Diagnostics::new();
    let template = Templates::new(&Patterns::of_file()).add(&text, &Variable::ALL, &mut mistakes);
    template.unwrap_or_else(|| panic!("{mistakes:?}")).members.map(|mut members| {
        members.sort();
        members.dedup();
        members
    })
}

#[test]
fn members_read_by_a_template_are_known() {
    let check = |text: &str, expected: &[&str]| {
        let found = members(text);
        assert_eq!(found, Some(expected.iter().map(|it| (*it).to_owned()).collect()), "{text}");
    };
    check("{{ payload.a }}", &["a"]);
    check("{{ payload.a.b }}-{{ payload.c }}", &["a", "c"]);
    check("{{ payload['a'].b or payload[\"c d\"] }}", &["a", "c d"]);
    check("{{ (payload.a | split('.'))[:1] | first }}", &["a"]);
    check("{{ payload.a[1:] ~ payload.b[payload.c:] }}", &["a", "b", "c"]);
    check("{% set payload = payload.a %}{{ payload.b }}", &["a", "b"]);
    check("{% filter replace(payload.a, 'x') %}y{% endfilter %}", &["a"]);
    check("{{ headers.a }}{{ event.type }}{{ item.payload }}{{ 'payload' }}", &[]);
    for all in [
        "{{ payload }}",
        "{{ (payload)[1:] }}",
        "{{ payload | length }}",
        "{{ payload[headers.a] }}",
        "{{ payload['a\\x62'] }}",
        "{{ payload['a' ~ 'b'] }}",
        "{{ payload[1:] }}",
        "{% for key in payload %}{{ key }}{% endfor %}",
        "{{ payload.items() }}",
        "{{ jsonpath('$.a') }}",
        "{{ (jsonpath('$.a') | string)[1:] }}",
        "{{ payload.a }}{{ payload }}",
    ] {
        assert_eq!(members(all), None, "{all}");
    }
}

/// Returns the mistakes of a template in a block without an item and a file without answers.
fn mistakes_of(template: &str) -> Vec<String> {
    let (_, mistakes) = compile(&format!("[[feedback]]\nproblem = '''{template}'''"));
    mistakes.into_iter().map(|mistake| mistake.message).collect()
}

#[test]
fn unknown_variable_in_a_slice_is_reported() {
    let empty = |name: &str| vec![format!("`{name}` is always empty: nothing has this name")];
    for (sliced, expected) in [
        ("pyload.key", empty("pyload")),
        ("item.key", vec!["`item` is empty here: the block has no for_each".to_owned()]),
        ("answers['key']", vec!["`answers` is not known here: there is no [answers]".to_owned()]),
        ("payload.key", Vec::new()),
    ] {
        for template in [
            "{{ X }}",
            "{{ (X)[1:] }}",
            "{{ X[:1] }}",
            "{{ X[:] }}",
            "{{ X[::2] }}",
            "{{ X[1:2:3] }}",
            "{{ X[{'a': 1}.a:] }}",
            "{{ [X, X[1:]][0:1] }}",
            "{{ (X | string)[1:][1:] }}",
            "{{ payload[(X)[1:]:] }}",
            "{% set a = (X | split('_'))[1:] %}{{ a }}",
            "{% for a in X[:2] %}{{ a }}{% endfor %}",
            "{% if X[1:] %}b{% endif %}",
        ] {
            let template = template.replace('X', sliced);
            assert_eq!(mistakes_of(&template), expected, "{template}");
        }
    }
    let own = "{% set part = payload.key[1:] %}{{ part[1:] }}{% for a in payload.b %}{{ a[:1] }}{% endfor %}";
    assert_eq!(mistakes_of(own), [] as [&str; 0]);
}
