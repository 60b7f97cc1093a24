//! Optional fields with values for which Savio would refuse the whole request.

use super::*;

const FILE: &str = r#"
    [[contact]]
    internal_id = "$.id"
    name = "$.name"
    email = "$.email"

    [[feedback]]
    problem = "$.text"
    source_url = "{{ payload.url }}"
    source_username = "$.by"
    person_email = "$.email"
    person_name = "$.name"
    tags = "$.tags"
"#;

/// Checks what is left out of the contact and the feedback of a payload with this change.
#[track_caller]
fn check(change: &Value, left_out: &[&str], notes: &[&str]) {
    let mut payload = json!({
        "id": "1", "name": "Ada", "text": "Slow", "by": "bot", "tags": ["a"],
        "email": "ada@example.com", "url": "https://example.com/1",
    });
    let whole = requests(FILE, &payload);
    payload.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    let mapped = apply(FILE, &payload).unwrap();
    let given = json!(mapped.requests);
    for (request, whole) in given.as_array().unwrap().iter().zip(whole.as_array().unwrap()) {
        let names = |it: &Value| -> Vec<String> {
            it["body"].as_object().unwrap().keys().cloned().collect()
        };
        let kept = |name: &String| !left_out.contains(&name.as_str());
        let expected: Vec<String> = names(whole).into_iter().filter(kept).collect();
        assert_eq!(names(request), expected, "{change}");
    }
    assert_eq!(mapped.left_out.iter().collect::<Vec<_>>(), left_out, "{change}");
    assert_eq!(mapped.notes, notes, "{change}");
}

#[test]
fn invalid_optional_value_is_left_out_with_a_note() {
    let url = "feedback[0].source_url was left out: it is no URL";
    let emails = [
        "contact[0].email was left out: it is no e-mail address",
        "feedback[0].person_email was left out: it is no e-mail address",
    ];
    for invalid in
        ["/pricing", "https://a.example/1, https://a.example/2", "example.com", "https://x/"]
    {
        check(&json!({ "url": invalid }), &["source_url"], &[url]);
    }
    for invalid in ["a..b@x.example", "josé@example.com", "\u{200b}ada@example.com", "a@b, c@d.io"]
    {
        check(&json!({ "email": invalid }), &["email", "person_email"], &emails);
    }
    for zero_width in [
        "\u{200b}", "\u{200c}", "\u{200d}", "\u{2060}", "\u{feff}", "\u{ad}", "\u{180e}",
        "\u{61c}", "\u{200e}", "\u{202a}", "\u{2061}", "\u{34f}", "\u{fe0f}", "\u{3164}",
        "\u{115f}", "\u{ffa0}",
    ] {
        for place in [
            "*ada@example.com",
            "a*da@example.com",
            "ada*@example.com",
            "ada@*example.com",
            "ada@exam*ple.com",
            "ada@example*.com",
            "ada@example.c*om",
            "ada@example.com*",
        ] {
            let invalid = place.replace('*', zero_width);
            check(&json!({ "email": invalid }), &["email", "person_email"], &emails);
        }
        let host = format!("https://exam{zero_width}ple.com/");
        check(&json!({ "url": host }), &["source_url"], &[url]);
    }
    for space in ["\u{2009}", "\u{3000}"] {
        let invalid = format!("ada@exam{space}ple.com");
        check(&json!({ "email": invalid }), &["email", "person_email"], &emails);
        check(&json!({ "url": format!("https://exam{space}ple.com/") }), &["source_url"], &[url]);
    }
    let several =
        emails.map(|note| note.replace("it is no", "2 values are no") + ": take one of them");
    let several = several.each_ref().map(String::as_str);
    check(&json!({ "email": ["a@b.io", "c@d.io"] }), &["email", "person_email"], &several);
    let both = [emails[0], url, emails[1]];
    check(&json!({ "url": "x", "email": "x" }), &["email", "person_email", "source_url"], &both);
}

#[test]
fn invalid_alternative_gives_way_to_the_next() {
    let nested = r#"["$.e", ["$.list", { from = "$.f", max = 40 }], "{{ payload.g }}"]"#;
    let inside = r#"{ from = ["$.e", "$.list", "$.f", "$.g"] }"#;
    for alternatives in [r#"["$.e", "$.list", "$.f", "$.g"]"#, nested, inside] {
        for (field, good, other, what) in [
            ("person_email", "ada@ok.example", "bob@ok.example", "e-mail address"),
            ("source_url", "https://ok.example/1", "https://ok.example/2", "URL"),
        ] {
            let file = format!("[[feedback]]\nproblem = \"x\"\n{field} = {alternatives}");
            for (payload, expected) in [
                (json!({ "e": good, "f": other }), json!(good)),
                (json!({ "e": "n/a", "f": good }), json!(good)),
                (json!({ "e": "n/a", "g": good }), json!(good)),
                (json!({ "e": "", "list": [other, other], "f": good }), json!(good)),
                (json!({ "e": { "a": 1 }, "f": good }), json!(good)),
                (json!({ "e": { "a": 1 } }), Value::Null),
                (json!({ "e": "n/a", "f": "none" }), Value::Null),
                (json!({}), Value::Null),
            ] {
                let mapped = apply(&file, &payload).unwrap();
                let found = mapped.requests[0].body.get(field).unwrap_or(&Value::Null);
                assert_eq!(*found, expected, "{field} = {alternatives} of {payload}");
                let is_noted = expected.is_null() && payload != json!({});
                assert_eq!(mapped.notes.len(), usize::from(is_noted), "{payload}");
            }
            let none = apply(&file, &json!({ "e": "n/a", "f": "none" })).unwrap();
            assert_eq!(none.notes, [format!("feedback[0].{field} was left out: it is no {what}")]);
        }
    }
}

/// A line with a default, an invalid value (as JSON), the default, and the note.
const DEFAULTS: [(&str, &str, &str, &str); 7] = [
    (
        "source_url = { from = \"$.v\", default = \"https://ok.example/\" }",
        "\"/a\"",
        "\"https://ok.example/\"",
        "it is no URL",
    ),
    (
        "source_url = { from = [\"$.v\", \"$.w\"], default = \"https://ok.example/\" }",
        "\"/a\"",
        "\"https://ok.example/\"",
        "it is no URL",
    ),
    (
        "source_url = [\"$.w\", { from = \"$.v\", default = \"https://ok.example/\" }]",
        "\"/a\"",
        "\"https://ok.example/\"",
        "it is no URL",
    ),
    (
        "source_url = { from = \"$.v\", default = \"https://ok.example/\" }",
        "[\"a\", \"b\"]",
        "\"https://ok.example/\"",
        "2 values are no URL: take one of them",
    ),
    (
        "person_email = { from = \"{{ payload.v }}\", default = \"a@b.io\" }",
        "\"n/a\"",
        "\"a@b.io\"",
        "it is no e-mail address",
    ),
    (
        "email = { from = \"$.v\", default = \"a@b.io\" }",
        "\"n/a\"",
        "\"a@b.io\"",
        "it is no e-mail address",
    ),
    ("company = { from = \"$.v\", default = 7 }", "\"n/a\"", "7", "it is not a whole number"),
];

#[test]
fn default_replaces_an_invalid_value() {
    for (line, refused, expected, reason) in DEFAULTS {
        let [refused, expected]: [Value; 2] =
            [refused, expected].map(|text| serde_json::from_str(text).unwrap());
        let field = line.split(' ').next().unwrap();
        let (block, required) = match field {
            "email" | "company" => ("contact", "internal_id = \"1\"\nname = \"Ada\""),
            _ => ("feedback", "problem = \"x\""),
        };
        let file = format!("[[{block}]]\n{required}\n{line}");
        let mapped = apply(&file, &json!({ "v": refused })).unwrap();
        assert_eq!(mapped.requests[0].body[field], expected, "{file}");
        let note = format!("{block}[0].{field}: {reason}: `default` is sent instead");
        assert_eq!(mapped.notes, [note], "{file}");
        assert!(mapped.left_out.is_empty(), "{file}");
        // Without a value there is nothing to refuse, and no note.
        let empty = apply(&file, &json!({ "v": "" })).unwrap();
        assert_eq!((&empty.requests[0].body[field], empty.notes.len()), (&expected, 0), "{file}");
    }
}

#[test]
fn default_replaces_an_attribute_that_is_no_number() {
    let file = r#"
        [[contact]]
        internal_id = "1"
        name = "Ada"
        filterable_attributes = { mrr = { from = "$.v", number = true, default = 0 } }
    "#;
    let mapped = apply(file, &json!({ "v": "n/a" })).unwrap();
    assert_eq!(mapped.requests[0].body["filterable_attributes"], json!({ "mrr": 0 }));
    let note = "contact[0].filterable_attributes: `mrr`: the text is not a number: `default` is sent \
        instead";
    assert_eq!(mapped.notes, [note]);
}

#[test]
fn valid_or_empty_value_has_no_note() {
    check(&json!({ "url": "HTTP://example.com:80/ä?q=a b".replace(' ', "+") }), &[], &[]);
    check(&json!({ "email": "Ada.Rossi+x@bücher.example" }), &[], &[]);
    let payload = json!({ "id": "1", "name": "Ada", "text": "Slow", "url": "", "email": null });
    let mapped = apply(FILE, &payload).unwrap();
    assert_eq!((mapped.left_out.len(), mapped.notes.len()), (0, 0));
}

#[test]
fn nul_is_removed_from_every_text_of_a_request() {
    let file = r#"
        [[company]]
        internal_id = "$.id"
        name = "Ac\u0000me"
        filterable_attributes = "$.traits"

        [[feedback]]
        problem = "$.text"
        source_url = "$.url"
        person_email = "$.email"
        person_name = "{{ payload.name }} {{ payload.none }}"
        feature_request_title = { from = "$.title", markup = "html", max = 10 }
        tags = "$.tags"
    "#;
    let payload = json!({
        "id": "\0 7\0", "traits": { "pl\0an": "p\0ro", "n": 1 }, "text": "Sl\0ow\0 ",
        "url": "https://example.com/\u{0}1", "email": "\0ada@example.com", "name": "A\0da",
        "title": "<b>Dark\0</b> mode", "tags": ["a\0", "\0", "a"],
    });
    let expected = json!([
        { "request": "company", "body": {
            "internal_id": "7", "name": "Acme", "filterable_attributes": { "plan": "pro", "n": 1 },
        } },
        { "request": "feedback", "body": {
            "problem": "Slow", "source_url": "https://example.com/1",
            "person_email": "ada@example.com", "person_name": "Ada",
            "feature_request_title": "Dark mode", "tags": ["a"],
        } },
    ]);
    assert_eq!(requests(file, &payload), expected);
    let unmappable = apply("[[feedback]]\nproblem = \"$.text\"", &json!({ "text": " \0 " }));
    assert_eq!(unmappable.unwrap_err().reason, "it is empty");
}

#[test]
fn query_for_several_urls_or_addresses_is_warned_about() {
    for (field, query, may) in [
        ("source_url", "$.links[*].url", true),
        ("source_url", "$..url", true),
        ("source_url", "$.links[0:2]", true),
        ("source_url", "$['a', 'b']", true),
        ("person_email", "$.answers[?@.type == 'email'].email", true),
        ("person_email", "$.answers[0].email", false),
        ("person_name", "$.people[*].name", false),
        ("tags", "$.tags[*]", false),
    ] {
        for written in [
            format!("\"{query}\""),
            format!("[\"$.first\", \"{query}\"]"),
            format!("{{ from = \"{query}\", join = \" \" }}"),
        ] {
            let (_, mistakes) =
                compile(&format!("[[feedback]]\nproblem = \"x\"\n{field} = {written}"));
            let messages: Vec<&str> = mistakes.iter().map(|it| it.message.as_str()).collect();
            let one = if field == "source_url" { "URL" } else { "address" };
            let message = format!("`{query}` may give several values, and Savio takes one {one}");
            let expected: &[&str] = if may { &[&message] } else { &[] };
            assert_eq!(messages, expected, "{field} = {written}");
            // The advice is valid itself.
            for mistake in &mistakes {
                let advised = mistake.help.as_deref().unwrap().split_once("write ").unwrap().1;
                compile_valid(&format!("[[feedback]]\nproblem = \"x\"\n{field} = {advised}"));
            }
        }
    }
}

#[test]
fn template_for_several_urls_or_addresses_is_warned_about() {
    for (written, query) in [
        ("{{ jsonpath('$..url') }}", Some("$..url")),
        ("https://example.com/{{ jsonpath('$.ids[*]') }}", Some("$.ids[*]")),
        ("{{ jsonpath('$..url') | join(', ') }}", Some("$..url")),
        ("{{ jsonpath('$..url') | join }}", Some("$..url")),
        ("{{ jsonpath('$..url') | unique | join(' ') | trim }}", Some("$..url")),
        ("{{ jsonpath('$..url') | default(['(', ')']) | sort }}", Some("$..url")),
        ("a{{ jsonpath('$.ids[*]') | join }}", Some("$.ids[*]")),
        ("{{ (jsonpath('$..url') | join) }}", Some("$..url")),
        ("{{ ((jsonpath('$..url')) | sort) | join(' ') }}", Some("$..url")),
        ("{{ jsonpath('$..url') | map('lower') | list }}", Some("$..url")),
        ("{{ jsonpath('$..url') | select | join }}", Some("$..url")),
        ("{{ jsonpath('$..url') | string }}", Some("$..url")),
        ("{{ (jsonpath('$..url') | sort) | first }}", None),
        ("{{ (jsonpath('$..url')) }}", Some("$..url")),
        ("{{ jsonpath('$..url') | join(' ') | first_email }}", None),
        ("{{ jsonpath('$..url') | join(',') | split(',') | first }}", None),
        ("{{ jsonpath('$.url') | join }}", None),
        ("{{ jsonpath('$..url') | sort | first }}", None),
        ("{{ jsonpath('$..url') | length }}", None),
        ("{{ jsonpath('$..url') | first }}", None),
        ("{{ jsonpath('$.url') }}", None),
        ("{% if jsonpath('$..url') %}https://example.com/{% endif %}", None),
    ] {
        for (field, one) in
            [("source_url", Some("URL")), ("person_email", Some("address")), ("person_name", None)]
        {
            for value in [format!("\"{written}\""), format!("[\"{written}\"]")] {
                let file = format!("[[feedback]]\nproblem = \"x\"\n{field} = {value}");
                let (_, mistakes) = compile(&file);
                let messages: Vec<&str> = mistakes.iter().map(|it| it.message.as_str()).collect();
                let expected = query.zip(one).map(|(query, one)| {
                    format!("`{query}` may give several values, and Savio takes one {one}")
                });
                let expected: Vec<&str> = expected.as_deref().into_iter().collect();
                assert_eq!(messages, expected, "{file}");
                for mistake in &mistakes {
                    let help = format!("write jsonpath('{}') | first", query.unwrap());
                    assert_eq!(mistake.help.as_deref(), Some(help.as_str()));
                }
            }
        }
    }
}

#[test]
fn invalid_literal_is_warned_about() {
    let url = "`/pricing` is no URL, and Savio takes nothing else here";
    let address = "`nobody` is no e-mail address, and Savio takes nothing else here";
    for (line, expected) in [
        ("source_url = \"/pricing\"", Some(url)),
        ("source_url = [\"$.url\", \"/pricing\"]", Some(url)),
        ("source_url = { from = \"$.url\", default = \"/pricing\" }", Some(url)),
        ("source_url = { from = \"$.url\", map = { a = \"/pricing\" } }", Some(url)),
        ("person_email = \"nobody\"", Some(address)),
        ("person_email = { from = [\"$.e\", \"nobody\"] }", Some(address)),
        ("person_email = 7", Some("`7` is no e-mail address, and Savio takes nothing else here")),
        ("person_email = \"ada@example.com\"", None),
        ("person_email = \"\"", None),
        ("person_email = { from = \"$.e\", default = \"\" }", None),
        ("source_url = { from = \"https://example.com/1\" }", None),
        ("source_url = { from = \"{{ payload.a }}\", default = \"https://example.com\" }", None),
        // `from` is only looked up in `map`.
        ("source_url = { from = \"pro\", map = { pro = \"https://example.com\" } }", None),
        ("person_name = \"nobody\"", None),
        ("source_username = \"nobody\"", None),
    ] {
        let (_, mistakes) = compile(&format!("[[feedback]]\nproblem = \"x\"\n{line}"));
        let messages: Vec<&str> = mistakes.iter().map(|it| it.message.as_str()).collect();
        let expected: Vec<&str> = expected.into_iter().collect();
        assert_eq!(messages, expected, "{line}");
    }
    let contact = "[[contact]]\ninternal_id = \"$.id\"\nname = \"$.n\"\nemail = \"nobody\"";
    assert_eq!(compile(contact).1[0].message, address);
}
