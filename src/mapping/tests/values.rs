//! Results of each form of a value.

use serde_json::{Value, json};

use super::{apply, problem, tags};

#[test]
fn query_prints_its_nodes() {
    check(r#""$.a""#, json!({"a": " x\r\ny "}), json!("x\ny"));
    check(r#""$.a""#, json!({"a": 9.0}), json!("9"));
    check(r#""$.a""#, json!({"a": false}), json!("false"));
    check(r#""$.a""#, json!({"a": null}), Value::Null);
    check(r#""$.a""#, json!({}), Value::Null);
    check(r#""$.a""#, json!({"a": "  "}), Value::Null);
    check(r#""$.a""#, json!({"a": ["x", "", null, 2]}), json!("x, 2"));
    check(r#""$..n""#, json!({"a": {"n": 1}, "b": {"n": 2}}), json!("1, 2"));
}

#[test]
fn object_fails_with_a_reason() {
    let reason = problem(r#""$.a""#, &json!({"a": {"first": 1}}));

    assert!(reason["failed"].as_str().unwrap().contains("object"), "{reason}");
    assert!(problem(r#""{{ payload.a }}""#, &json!({"a": {}}))["failed"].is_string());
    assert!(problem(r#""x {{ payload.a }}""#, &json!({"a": {}}))["failed"].is_string());
}

#[test]
fn other_text_is_a_template() {
    let payload = json!({"a": {"b": "x"}, "n": null, "list": ["p", "q"], "f": 9.0, "t": true});
    check_with(&payload, "plain text", json!("plain text"));
    check_with(&payload, "{{ payload.a.b }}-{{ payload.f }}", json!("x-9"));
    check_with(&payload, "<{{ payload.list }}>", json!("<p, q>"));
    check_with(&payload, "{{ payload.t }} & {{ '<b>' }}", json!("true & <b>"));
    check_with(&payload, "{{ headers['x-kind'] }}/{{ event.type }}/{{ event.source }}", {
        json!("note/note/form")
    });
    check_with(&payload, "{{ event.received_at }}", json!("2026-01-31T12:00:00Z"));
    check_with(&payload, "{{ '$5' }}", json!("$5"));
}

#[test]
fn text_with_at_sign_is_no_query_outside_for_each() {
    for text in ["@home", "@ada: see this", "@@", "@5", "@home.a", "@ home"] {
        check_with(&json!({"home": 1}), text, json!(text));
    }
}

#[test]
fn absent_value_is_empty_and_has_members() {
    let payload = json!({"n": null, "o": {"n": null}});
    for text in [
        "{{ payload.n }}",
        "{{ payload.n.x.y }}",
        "{{ payload.o.n.x|upper }}",
        "{{ payload.missing[0].x|trim|upper }}",
        "{{ payload.n|html_to_text }}",
        "{{ payload.n|date('%Y') }}",
        "{{ payload.n|split(',')|first }}",
        "{% for x in payload.n %}{{ x }}{% endfor %}",
        "{{ headers.missing }}",
    ] {
        check_with(&payload, text, Value::Null);
    }
    check_with(&payload, "{{ payload.n|default('d') }}", json!("d"));
    check_with(&payload, "{{ 'yes' if payload.n is none else 'no' }}", json!("yes"));
}

#[test]
fn template_that_prints_nothing_is_empty() {
    check_with(&json!({}), "pipedrive-{{ payload.org_id }}", Value::Null);
    check_with(&json!({"org_id": 7}), "pipedrive-{{ payload.org_id }}", json!("pipedrive-7"));
    check_with(&json!({"a": "x"}), "{{ payload.a }} / {{ payload.b }}", json!("x /"));
    check_with(&json!({}), "{% if payload.a %}yes{% else %}no{% endif %}", json!("no"));
    check_with(&json!({}), "{% if payload.a %}{{ payload.a }}{% else %}no{% endif %}", json!("no"));
}

#[test]
fn template_is_trimmed_and_its_gaps_are_closed() {
    let payload = json!({"a": "x", "b": "p\r\n\r\n\r\n\r\nq"});
    check(
        r#""""  {{ payload.a }}



y  """"#,
        payload.clone(),
        json!("x\n\ny"),
    );
    check_with(&payload, "- {{ payload.b }}", json!("- p\n\nq"));
    check_with(&payload, "{{ payload.b }}", json!("p\n\nq"));
}

#[test]
fn single_expression_gives_its_value() {
    let payload = json!({"list": ["a", ["b", ""], null], "text": "a, b,,c", "n": 7});
    assert_eq!(tags(r#""{{ payload.list }}""#, &payload), json!(["a", "b"]));
    assert_eq!(tags(r#""{{ payload.text|split(',') }}""#, &payload), json!(["a", "b", "c"]));
    assert_eq!(tags(r#""{{ payload.list }} ""#, &payload), json!(["a", "b"]));
    assert_eq!(tags(r#""x {{ payload.list }}""#, &payload), json!(["x a, b"]));
    assert_eq!(tags(r#""{{ {'a': payload.n}.a }}""#, &payload), json!(["7"]));
}

#[test]
fn alternatives_end_with_the_first_that_is_not_empty() {
    check(r#"["$.a", "{{ payload.b }}", "$.c"]"#, json!({"b": "x", "c": "y"}), json!("x"));
    check(r#"["$.a", "none"]"#, json!({}), json!("none"));
    check(r#"["$.a", ["$.b", "$.c"]]"#, json!({"c": "y"}), json!("y"));
}

#[test]
fn tags_have_all_nodes_once() {
    let payload = json!({"a": ["x", "y"], "b": "y", "n": 3});
    assert_eq!(
        tags(r#"["$.a", "{{ payload.b }}", "z", "$.n"]"#, &payload),
        json!(["x", "y", "z", "3"])
    );
    assert_eq!(tags(r#""$.a[*]""#, &payload), json!(["x", "y"]));
    assert_eq!(tags(r#"["$.none"]"#, &payload), Value::Null);
    let mapped = r#"{ from = ["$.a", "$.n"], map = { x = "first", 3 = "three" } }"#;
    assert_eq!(tags(mapped, &payload), json!(["first", "three"]));
}

#[test]
fn steps_of_a_table_apply_in_order() {
    let payload = json!({"h": ["<p>a</p>", "<b>b</b> c"], "s": "<@U1|ann>", "p": "pro", "t": true});
    check(r#"{ from = "$.h", markup = "html" }"#, payload.clone(), json!("a, b c"));
    check(r#"{ from = "$.s", markup = "slack" }"#, payload.clone(), json!("@ann"));
    check(r#"{ from = "$.h", markup = "html", map = { a = "A" } }"#, payload.clone(), json!("A"));
    check(r#"{ from = "$.h", markup = "html", join = " | " }"#, payload.clone(), json!("a | b c"));
    check(r#"{ from = "$.p", map = { free = 1 }, default = "{{ x }}" }"#, payload.clone(), {
        json!("{{ x }}")
    });
    check(r#"{ from = "$.t", map = { true = "$yes" } }"#, payload.clone(), json!("$yes"));
    check(r#"{ from = "$.h", markup = "html", max = 4 }"#, payload.clone(), json!("a, …"));
    check(r#"{ from = { from = "$.h", markup = "html" }, join = "\n" }"#, payload, json!("a\nb c"));
}

#[test]
fn max_counts_characters_with_the_ellipsis() {
    check(r#"{ from = "$.a", max = 3 }"#, json!({"a": "äöü"}), json!("äöü"));
    check(r#"{ from = "$.a", max = 3 }"#, json!({"a": "äöüß"}), json!("äö…"));
    check(r#"{ from = "$.a", max = 1 }"#, json!({"a": "ab"}), json!("…"));
    check(
        r#"{ from = "$.a", join = ", ", max = 6 }"#,
        json!({"a": ["abc", "def"]}),
        json!("abc, …"),
    );
}

#[test]
fn numbers_and_booleans_are_literals() {
    check("5", json!({}), json!("5"));
    check("2.0", json!({}), json!("2"));
    check("true", json!({}), json!("true"));
}

#[test]
fn own_functions_give_their_results() {
    let payload = json!({
        "s": 1_516_299_422, "ms": 1_516_299_422_000_i64, "t": "2018-01-18T19:17:02+01:00",
        "h": "<p>a<br>b", "m": "<#C1|general>", "u": "a b/ü&", "x": [{"n": 1}, {"n": 2}]
    });
    for time in ["s", "ms", "t"] {
        let text = format!("{{{{ payload.{time}|date('%Y-%m-%d %H:%M') }}}}");
        check_with(&payload, &text, json!("2018-01-18 18:17"));
    }
    check_with(&payload, "{{ date(payload.s, '%d.%m.') }}", json!("18.01."));
    check_with(&payload, "{{ '2018-01-18'|date('%Y') }}", json!("2018"));
    check_with(&payload, "{{ payload.h|html_to_text }}", json!("a\nb"));
    check_with(&payload, "{{ payload.m|slack_to_text }}", json!("#general"));
    check_with(
        &payload,
        "https://x/?q={{ payload.u|urlencode }}",
        json!("https://x/?q=a%20b%2F%C3%BC%26"),
    );
    check_with(&payload, "{{ jsonpath('$.x[?@.n > 1].n') }}", json!("2"));
    check_with(&payload, "{{ jsonpath('$.s') }}!", json!("1516299422!"));
    check_with(&payload, "{{ jsonpath('$.x[*].n')|join('+') }}", json!("1+2"));
    check_with(&payload, "{{ jsonpath('$.' ~ 's') }}", json!("1516299422"));
}

#[test]
fn failing_function_fails_the_value() {
    for text in ["{{ 'x'|date('%Y') }}", "{{ jsonpath('$.' ~ '[') }}", "{{ 1 / 0 }}"] {
        let failed = problem(&format!("\"{text}\""), &json!({}));
        assert!(failed["failed"].is_string(), "{text}: {failed}");
    }
}

#[test]
fn work_and_output_are_bounded() {
    let payload = json!({"x": vec!["y"; 2_000]});
    for text in [
        "{% for a in range(10000) %}{% for b in range(10000) %}x{% endfor %}{% endfor %}",
        "{{ 'x' * 300000 }}!",
        "{{ 'x' * 100000000 }}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for a in payload.x %}{{ jsonpath('$..*')|length }}{% endfor %}",
        "{% set ns = namespace(x='x') %}{% for a in payload.x %}{% set ns.x = ns.x ~ ns.x %}{% endfor %}",
        "{% include '0' %}",
    ] {
        let failed = problem(&format!("\"{text}\""), &payload);
        assert!(failed["failed"].is_string(), "{text}: {failed}");
    }
}

#[test]
fn attributes_keep_their_types() {
    let payload = json!({
        "plan": "pro", "seats": "12", "rate": 1.5, "paid": true, "gone": null, "list": ["a", "b"],
        "traits": {"plan": " pro ", "n": 3, "b": false, "nil": null, "e": "", "o": {}, "l": []}
    });
    attributes(
        r#"{ plan = "$.plan", rate = "$.rate", paid = "$.paid", gone = "$.gone" }"#,
        &payload,
        json!({"plan": "pro", "rate": 1.5, "paid": true}),
    );
    let seats = r#"{ seats = { from = "$.seats", number = true }, two = 2, list = "$.list" }"#;
    attributes(seats, &payload, json!({"seats": 12, "two": 2, "list": "a, b"}));
    attributes(r#"{ rate = "{{ payload.rate * 2 }}" }"#, &payload, json!({"rate": 3.0}));
    attributes(r#""$.traits""#, &payload, json!({"plan": "pro", "n": 3, "b": false}));
    attributes(r#"{ plan = { from = "$.plan", number = true } }"#, &payload, Value::Null);
    attributes(r#""$.plan""#, &payload, Value::Null);
    attributes(r#""$.none""#, &payload, Value::Null);
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the calls")]
fn attributes(value: &str, payload: &Value, expected: Value) {
    let file =
        format!("[[company]]\ninternal_id = \"1\"\nname = \"A\"\nfilterable_attributes = {value}");
    let mapped = apply(&file, payload).unwrap();
    let found = mapped.requests[0].body.get("filterable_attributes").unwrap_or(&Value::Null);
    assert_eq!(*found, expected, "{value}");
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the calls")]
fn check(value: &str, payload: Value, expected: Value) {
    assert_eq!(problem(value, &payload), expected, "{value} of {payload}");
}

#[expect(clippy::needless_pass_by_value, reason = "reads better in the calls")]
fn check_with(payload: &Value, template: &str, expected: Value) {
    assert_eq!(problem(&format!("\"{template}\""), payload), expected, "{template}");
}

#[test]
fn number_of_other_values_is_empty() {
    for (value, expected) in [
        (json!(7), json!("7")),
        (json!(-0.5), json!("-0.5")),
        (json!("7"), json!("7")),
        (json!(" 7.5\n"), json!("7.5")),
        (json!("-3"), json!("-3")),
        (json!("1e3"), json!("1000")),
        (json!("18446744073709551615"), json!("18446744073709551615")),
        (json!(0), json!("0")),
        (json!("0"), json!("0")),
        (json!(""), Value::Null),
        (json!(" "), Value::Null),
        (json!("nine"), Value::Null),
        (json!("9 of 10"), Value::Null),
        (json!("1,5"), Value::Null),
        (json!("NaN"), Value::Null),
        (json!("-inf"), Value::Null),
        (json!("1e999"), Value::Null),
        (json!("0x10"), Value::Null),
        (json!(true), Value::Null),
        (json!(null), Value::Null),
        (json!([7]), Value::Null),
        (json!({"a": 7}), Value::Null),
        (json!("7".repeat(100_000)), Value::Null),
    ] {
        let found = problem("\"{{ payload.a | number }}\"", &json!({"a": value}));
        assert_eq!(found, expected, "{value}");
    }
    assert_eq!(problem("\"{{ payload.none | number }}\"", &json!({})), Value::Null);
}

/// Comparison, and whether it holds for a `payload.v`.
type ComparisonCase = (&'static str, fn(f64) -> bool);

const COMPARISONS: [ComparisonCase; 17] = [
    ("payload.v | number < 9", |v| v < 9.0),
    ("payload.v | number <= 9", |v| v <= 9.0),
    ("payload.v | number > 9", |v| v > 9.0),
    ("payload.v | number >= 9", |v| v >= 9.0),
    ("9 < payload.v | number", |v| v > 9.0),
    ("9 <= payload.v | number", |v| v >= 9.0),
    ("9 > payload.v | number", |v| v < 9.0),
    ("9 >= payload.v | number", |v| v <= 9.0),
    ("0 < payload.v | number < 9", |v| 0.0 < v && v < 9.0),
    ("9 > payload.v | number > 0", |v| 0.0 < v && v < 9.0),
    ("(payload.v | number) < 9", |v| v < 9.0),
    ("payload.v | number < payload.nine | number", |v| v < 9.0),
    ("payload.nine | number >= payload.v | number", |v| v <= 9.0),
    ("payload.v | number is lt 9", |v| v < 9.0),
    ("payload.v | number is ge(9)", |v| v >= 9.0),
    ("[payload.v | number] | select('<=', 9) | list", |v| v <= 9.0),
    ("payload.v | number <= payload.v | number", |_| true),
];

#[test]
fn comparison_without_a_number_is_false() {
    for (comparison, holds) in COMPARISONS {
        for number in [-3.0, 0.0, 8.5, 9.0, 10.0] {
            let payload = json!({ "v": number, "nine": 9 });
            check_with(&payload, &format!("{{{{ 'yes' if {comparison} else 'no' }}}}"), {
                json!(if holds(number) { "yes" } else { "no" })
            });
        }
        for value in [json!(null), json!(""), json!("n/a"), json!(true), json!([1]), json!({})] {
            let payload = json!({ "v": value, "nine": 9 });
            check_with(&payload, &format!("{{{{ 'yes' if {comparison} else 'no' }}}}"), {
                json!("no")
            });
            let file = format!("[[feedback]]\nproblem = \"x\"\nwhen = \"{{{{ {comparison} }}}}\"");
            assert_eq!(apply(&file, &payload).unwrap().requests.len(), 0, "{comparison}: {value}");
        }
    }
    check_with(&json!({}), "{{ payload.none < 9 }}", json!("false"));
    check_with(&json!({ "v": 1 }), "{{ payload.v < 2 < payload.none }}", json!("false"));
}

#[test]
fn documented_zap_ignores_an_answer_without_score() {
    let page = include_str!("../../../docs/from-zapier.md");
    let (_, zap) =
        page.split_once("provider = \"typeform\"\nsecrets  = [\"env:SURVEY_SECRET\"]").unwrap();
    let when = zap.lines().find_map(|line| line.strip_prefix("when ")).unwrap();
    let file = format!("[answers]\nof = \"$\"\n[[feedback]]\nproblem = \"x\"\nwhen {when}");
    let question = "How likely are you to recommend us?";
    for (answer, taken) in [
        (json!(0), true),
        (json!("8"), true),
        (json!(8.5), true),
        (json!(9), false),
        (json!("10"), false),
        (json!(null), false),
        (json!(""), false),
        (json!("very"), false),
        (json!(["3", "4"]), false),
    ] {
        let mapped = apply(&file, &json!({question: answer})).unwrap();
        assert_eq!(mapped.requests.len(), usize::from(taken), "{answer}");
    }
}
