//! Requests that the blocks of a mapping file make.

use serde_json::{Value, json};

use super::{
    FeatureRequestLink, FieldSet, FilledBlock, LinkMode, apply, compile, compile_valid, event,
    explain, requests,
};

#[test]
fn requests_are_in_order_company_contact_feedback() {
    let file = r#"
        [[feedback]]
        problem = "$.text"
        person_email = "$.email"
        [[contact]]
        internal_id = "$.user"
        name = "$.name"
        company = "$.company"
        [[company]]
        internal_id = "$.account"
        name = "ACME"
    "#;
    let payload = json!({"text": "t", "email": "a@b.io", "user": 7, "name": "A", "company": 9.0, "account": "x"});

    assert_eq!(
        requests(file, &payload),
        json!([
            {"request": "company", "body": {"internal_id": "x", "name": "ACME"}},
            {"request": "contact", "body": {"internal_id": "7", "name": "A", "company": 9}},
            {"request": "feedback", "body": {"problem": "t", "person_email": "a@b.io"}},
        ])
    );
}

#[test]
fn existing_title_is_a_link_beside_the_request() {
    let file = r#"
        [[company]]
        internal_id = "$.account"
        name = "ACME"
        [[feedback]]
        for_each = "$.wishes[*]"
        problem = "@.text"
        feature_request_title = { from = "@.title", existing = "only" }
    "#;
    let payload =
        json!({"account": 1, "wishes": [{"text": "a"}, {"text": "b", "title": "Dark mode"}]});

    let mapped = apply(file, &payload).unwrap();

    assert_eq!(mapped.requests[2].body["feature_request_title"], "Dark mode");
    let field = "feedback[0].feature_request_title (item 2)".to_owned();
    assert_eq!(mapped.links, [FeatureRequestLink { request: 2, field, existing: LinkMode::Only }]);
}

#[test]
fn explanation_notes_that_a_title_is_looked_up() {
    let file = "[[feedback]]\nproblem = \"a\"\n\
                feature_request_title = { from = \"$.t\", existing = \"prefer\" }";

    let explanation = explain(file, &json!({ "t": "Dark mode" }));

    let note = explanation.fields[1].note.as_deref();
    assert_eq!(note, Some("delivery takes the spelling of a feature request that is there"));
}

#[test]
fn event_type_selects_blocks() {
    let file = r#"
        [[feedback]]
        events = ["issues.*", "note"]
        problem = "a"
        [[feedback]]
        problem = "b"
    "#;
    for (kind, made) in [
        (Some("issues.opened"), 2),
        (Some("note"), 2),
        (Some("issues"), 1),
        (Some("notes"), 1),
        (None, 1),
    ] {
        let mapped = compile_valid(file).apply(&event(kind), &json!({}).into()).unwrap();
        assert_eq!(mapped.requests.len(), made, "{kind:?}");
    }
}

#[test]
fn events_of_a_file_are_those_of_its_blocks() {
    let block = |events: &str| format!("[[feedback]]\nproblem = \"x\"\n{events}\n");
    let both = block("events = [\"a\", \"b.*\"]") + &block("events = \"a\"");
    assert_eq!(
        compile_valid(&both).events(),
        Some(vec!["a".parse().unwrap(), "b.*".parse().unwrap()])
    );
    assert_eq!(compile_valid(&(both + &block(""))).events(), None);
    assert_eq!(compile_valid("").events(), None);
}

#[test]
fn when_decides_about_the_request() {
    for (when, made) in [
        ("@.a == 'x'", true),
        ("@.a != 'x'", false),
        ("@.n", true),
        ("$.a == 'x' && @.list[?@ == 1]", true),
        ("{{ payload.a == 'x' }}", true),
        ("{{ payload.n }}", false),
        ("{{ payload.missing }}", false),
        ("{{ payload.empty }}", false),
        ("{{ payload.list }}", true),
        ("{{ payload.zero }}", true),
    ] {
        let file = format!("[[feedback]]\nproblem = \"x\"\nwhen = \"{when}\"");
        let payload = json!({"a": "x", "n": null, "empty": " ", "list": [1], "zero": 0});
        let requests = requests(&file, &payload);
        assert_eq!(requests.as_array().unwrap().len(), usize::from(made), "{when}");
    }
}

#[test]
fn for_each_makes_one_request_per_node() {
    let file = r#"
        [[feedback]]
        for_each = "$.items[*]"
        when = "@.keep == true && $.on == true"
        problem = "@.text"
        source_url = "https://x.example/{{ item.id }}?{{ payload.q }}"
        person_name = "$.who"
        company_name = "{{ jsonpath('@.id') }}"
    "#;
    let items = json!([{"keep": true, "text": "a", "id": 1}, {"keep": false}, {"keep": true, "text": "b", "id": 2}]);
    let payload = json!({"on": true, "q": "z", "who": "W", "items": items});

    let body = |text, id: u8| {
        json!({"request": "feedback", "body": {
            "problem": text, "source_url": format!("https://x.example/{id}?z"), "person_name": "W", "company_name": id.to_string()
        }})
    };
    assert_eq!(requests(file, &payload), json!([body("a", 1), body("b", 2)]));
}

#[test]
fn empty_problem_makes_the_event_unmappable() {
    let file = "[[company]]\ninternal_id = \"1\"\nname = \"A\"\n[[feedback]]\nproblem = \"$.text\"";

    let unmappable = apply(file, &json!({"text": " "})).unwrap_err();

    assert_eq!(unmappable.to_string(), "feedback[0].problem: it is empty");
}

#[test]
fn contact_without_id_or_name_makes_no_request() {
    let file = "[[contact]]\ninternal_id = \"$.id\"\nname = \"$.name\"";
    for payload in [json!({"id": 1}), json!({"name": "A", "id": ""}), json!({})] {
        let mapped = apply(file, &payload).unwrap();
        assert_eq!(mapped.requests, []);
        assert!(mapped.notes[0].contains("no request"), "{:?}", mapped.notes);
    }
    assert!(apply(file, &json!({"id": {}, "name": "A"})).is_err());
}

#[test]
fn failing_optional_field_is_left_out_and_noted() {
    for (field, value) in [
        ("person_email", "{{ 'nobody' }}"),
        ("person_name", "$.object"),
        ("company_name", "{{ payload.object }}"),
        ("tags", "$.object"),
        ("source_url", "{{ 'x'|date('%Y') }}"),
    ] {
        let file = format!("[[feedback]]\nproblem = \"x\"\n{field} = \"{value}\"");
        let mapped = apply(&file, &json!({"object": {"a": 1}})).unwrap();
        assert_eq!(json!(mapped.requests[0].body), json!({"problem": "x"}), "{field}");
        assert!(mapped.notes[0].starts_with(&format!("feedback[0].{field}")), "{:?}", mapped.notes);
    }
}

#[test]
fn failing_when_or_for_each_makes_the_event_unmappable() {
    let payload = json!({"x": "y"}).into();
    for (key, value) in [("when", "{{ 'x'|date('%Y') }}"), ("for_each", "$[?@ < 'z']..*")] {
        let file = format!("[[feedback]]\nproblem = \"x\"\n{key} = \"{value}\"");
        let applied = compile_valid(&file).apply(&event(None), &payload);
        assert_eq!(applied.is_err(), key == "when", "{key}");
    }
    let many = json!({"x": vec![1; 1_001]});
    let unmappable =
        apply("[[feedback]]\nfor_each = \"$.x[*]\"\nproblem = \"@\"", &many).unwrap_err();
    assert!(unmappable.reason.contains("1000 requests"), "{unmappable}");
}

#[test]
fn copies_of_a_large_payload_are_bounded() {
    let file = "[[feedback]]\nfor_each = \"$.x[*]\"\nproblem = \"$.text\"";
    let payload = json!({"x": vec![1; 900], "text": "y".repeat(1_000_000)});

    let unmappable = apply(file, &payload).unwrap_err();

    assert!(unmappable.reason.contains("too large"), "{unmappable}");
}

#[test]
fn templates_copy_at_most_16_mib_of_a_payload() {
    let payload = json!({"x": vec![json!({"list": vec![0; 100_000]}); 3], "text": "t"});
    let in_templates = |problem: &str, rest: &str| {
        apply(&format!("[[feedback]]\nproblem = {problem:?}\n{rest}"), &payload)
            .map(|mapped| mapped.requests.len())
            .map_err(|unmappable| unmappable.reason)
    };
    let too_much = Err("a template gets no more than 16 MiB of the payload copied".to_owned());

    let looked_into = "{{ payload.x|length }} {{ payload.x[2].list[99999] }} {{ payload.text }}";
    assert_eq!(in_templates(looked_into, ""), Ok(1), "nothing is copied");
    assert_eq!(in_templates("{{ jsonpath('$.x[0]').list|length }}", ""), Ok(1));
    let twice = "{{ jsonpath('$.x[0]').list|length + jsonpath('$.x[*]')|length }}";
    assert_eq!(in_templates(twice, ""), too_much);
    let each = "for_each = \"$.x[*]\"";
    assert_eq!(in_templates("{{ item.list|length }}", each), Ok(3), "one after the other");
    assert_eq!(in_templates("{{ item|length }}", "for_each = \"$\""), too_much);
}

#[test]
fn work_is_bounded_over_all_requests_of_an_event() {
    let file = "[[feedback]]\nfor_each = \"$.x[*]\"\nproblem = \"x\"\ntags = \"$..nothing\"";
    let payload = json!({"x": vec![json!({}); 900], "more": vec![0; 90_000]});

    let mapped = apply(file, &payload).unwrap();

    assert!(mapped.notes.iter().any(|note| note.contains("too many steps")), "{:?}", mapped.notes);
    assert!(mapped.notes.len() <= 100);
}

#[test]
fn explanation_has_sources_of_values_and_reasons() {
    let file = r#"
        [[feedback]]
        problem = ["$.none", "{{ payload.text }}"]
        person_name = "$.name"
        [[feedback]]
        when = "@.no == 1"
        problem = "x"
        [[contact]]
        events = ["other"]
        internal_id = "$.id"
        name = "x"
        [[company]]
        internal_id = "$.id"
        name = "x"
    "#;

    let explanation = explain(file, &json!({"text": "t"}));

    let shown = json!(explanation);
    let problem = &shown["fields"][1];
    assert_eq!(problem["field"], "feedback[0].problem");
    assert_eq!(problem["value"], "t");
    assert_eq!(problem["query"], "{{ payload.text }}");
    assert_eq!(problem["tried"][0], json!({"query": "$.none", "gave": "nothing"}));
    assert_eq!(shown["fields"][2]["value"], Value::Null);
    let reasons: Vec<&Value> =
        shown["blocks"].as_array().unwrap().iter().map(|b| &b["reasons"]).collect();
    assert_eq!(
        json!(reasons),
        json!([["`internal_id` is empty"], ["it is for other events"], [], ["`when` is false"]])
    );
    assert_eq!(
        explanation.mapped,
        Some(compile_valid(file).apply(&event(Some("note")), &json!({"text": "t"}).into()))
    );
}

#[test]
fn request_names_its_block() {
    let file = "[[feedback]]\nproblem = \"$.a\"\n[[company]]\ninternal_id = \"1\"\nname = \"A\"";
    let mapping = compile_valid(file);

    let mapped = mapping.apply(&event(None), &json!({"a": "x"}).into()).unwrap();

    let blocks = mapping.blocks();
    let names: Vec<&str> = mapped.made_by.iter().map(|at| &*blocks[*at].name).collect();
    assert_eq!(names, ["company[0]", "feedback[0]"]);
    assert_eq!(&file[blocks[1].place.clone()][..12], "[[feedback]]");
}

#[test]
fn fields_that_a_block_filled_and_those_it_missed_are_noted() {
    let file = "[[contact]]\ninternal_id = \"$.id\"\nname = \"$.name\"\nemail = \"$.mail\"
[[feedback]]\nwhen = \"@.text\"\nproblem = \"$.text\"\ntags = \"$.tags\"
[[company]]\nfor_each = \"$.of[*]\"\ninternal_id = \"@.id\"\nname = \"@.name\"";
    let mapping = compile_valid(file);
    let noted = |payload: Value| -> Vec<(String, String, String)> {
        let mapped = mapping.apply(&event(None), &payload.into()).unwrap();
        let blocks = mapping.blocks();
        let names = |block: &str, set: FieldSet| {
            let block = blocks.iter().find(|it| &*it.id == block).unwrap();
            let fields = block.fields.iter().filter(|(position, _)| set.has(*position));
            fields.map(|(_, name)| *name).collect::<Vec<_>>().join(" ")
        };
        let one = |FilledBlock { block, filled, missing }: &FilledBlock| {
            let name = block.split(' ').next().unwrap().to_owned();
            (name, names(block, *filled), names(block, *missing))
        };
        mapped.filled.iter().map(one).collect()
    };
    let row = |block: &str, filled: &str, missing: &str| {
        (block.to_owned(), filled.to_owned(), missing.to_owned())
    };

    let [company, contact] = ["internal_id name", "internal_id name"];
    assert_eq!(
        noted(json!({"id": "1", "name": "Ada", "mail": "no address", "text": "t",
                     "of": [{"name": "A"}, {"id": 1, "name": "A"}]})),
        [
            row("company[0]", company, ""),
            row("contact[0]", contact, "email"),
            row("feedback[0]", "problem", "tags")
        ]
    );
    // The event makes no request of the contact, of whose other fields that says nothing.
    assert_eq!(noted(json!({"name": "Ada"})), [row("contact[0]", "", "internal_id")]);
}

#[test]
fn block_keeps_its_id_while_it_runs_for_the_same_events() {
    let ids = |file: &str| -> Vec<String> {
        compile_valid(file).blocks().iter().map(|block| block.id.to_string()).collect()
    };
    let block = |rest: &str| format!("[[feedback]]\nproblem = \"$.a\"\n{rest}\n");
    let [plain, moved] = [block(""), block("tags = \"$.b\"")].map(|file| ids(&file));
    assert_eq!(plain, moved);
    assert!(plain[0].starts_with("feedback[0] "), "{plain:?}");
    for other in [
        block("when = \"@.a\""),
        block("events = [\"note\"]"),
        block("for_each = \"$.b[*]\""),
        block("") + &block(""),
    ] {
        assert_ne!(ids(&other)[0], plain[0], "{other}");
    }
    let with_company = format!("{}[[company]]\ninternal_id = \"1\"\nname = \"A\"", block(""));
    assert_eq!(ids(&with_company)[1], plain[0]);
}

#[test]
fn mapping_with_mistakes_keeps_its_valid_parts() {
    let (mapping, mistakes) = compile("[[feedback]]\nproblem = \"$.a\"\ntags = \"$.[\"");

    let mapped = mapping.apply(&event(None), &json!({"a": "x"}).into()).unwrap();

    assert_eq!(mistakes.len(), 1);
    assert_eq!(mapped.requests.len(), 1);
}
