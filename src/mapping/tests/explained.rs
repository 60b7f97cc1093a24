//! Explanations: where each value stands in the file, and which values of the payload it took.

use super::*;

/// Returns each field with the text at its place and its nodes.
fn explained(file: &str, payload: &Value) -> Vec<(String, String, Vec<String>)> {
    let explanation = explain(file, payload);
    let lines: Vec<&str> = file.lines().collect();
    let place = |field: &FieldTrace| -> String {
        assert_eq!(field.line, field.end_line, "{field:?}");
        let line = lines[field.line - 1].chars().skip(field.column - 1);
        line.take(field.end_column - field.column).collect()
    };
    let fields = explanation.fields.iter();
    fields.map(|field| (field.field.clone(), place(field), field.nodes.clone())).collect()
}

/// Checks the place and the nodes of a value of `person_name`.
#[track_caller]
fn check(value: &str, payload: &Value, place: &str, nodes: &[&str]) {
    let file = format!("[[feedback]]\nproblem = 'x'\nperson_name = {value} # é\n");
    let fields = explained(&file, payload);
    let (name, at, found) = &fields[1];
    assert_eq!((name.as_str(), at.as_str()), ("feedback[0].person_name", place), "{value}");
    assert_eq!(found, nodes, "{value}");
}

#[test]
fn query_names_the_nodes_that_it_gave() {
    let payload = json!({"a": {"b's": "x"}, "l": [{"n": "é"}, {"n": ""}, {"n": 2}], "e": " "});

    check("\"$.a[\\\"b's\\\"]\"", &payload, "\"$.a[\\\"b's\\\"]\"", &["$['a']['b\\'s']"]);
    check("'$.l[*].n'", &payload, "'$.l[*].n'", &["$['l'][0]['n']", "$['l'][2]['n']"]);
    // The alternative that gave the value, and not those that were empty.
    check("['$.none', '$.e', '$.l[2].n', '$.a']", &payload, "'$.l[2].n'", &["$['l'][2]['n']"]);
    check("'$.none'", &payload, "'$.none'", &[]);
    check("'Ann'", &payload, "'Ann'", &[]);
}

#[test]
fn table_names_what_its_value_is_made_of() {
    let payload = json!({"plan": "pro", "l": ["a", "b"]});

    check("{ from = '$.plan', max = 2 }", &payload, "'$.plan'", &["$['plan']"]);
    let map = "{ from = '$.plan', map = { pro = 'Pro' } }";
    check(map, &payload, "'$.plan'", &["$['plan']"]);
    let unmapped = "{ from = '$.plan', map = { free = 'Free' }, default = 'None' }";
    check(unmapped, &payload, "'None'", &[]);
    check("{ from = '$.l[*]', join = '-' }", &payload, "'$.l[*]'", &["$['l'][0]", "$['l'][1]"]);
}

#[test]
fn refused_alternative_gave_nothing() {
    let payload = json!({"bad": "no address", "good": "ann@acme.com"});
    let file = "[[feedback]]\nproblem = 'x'\nperson_email = ['$.bad', '$.good']\n";

    let fields = explained(file, &payload);

    assert_eq!(fields[1].1, "'$.good'");
    assert_eq!(fields[1].2, ["$['good']"]);
    assert_eq!(explain(file, &payload).fields[1].query.as_deref(), Some("$.good"));
}

#[test]
fn template_names_the_values_that_it_read() {
    let payload = json!({"a": {"b": "x", "c": ["y", "z"]}, "list": [{"n": 1}, {"n": 2}]});

    check("'{{ payload.a.b }}'", &payload, "'{{ payload.a.b }}'", &["$['a']['b']"]);
    let printed = "'{{ payload.a.c }} {{ payload.none }}'";
    check(printed, &payload, printed, &["$['a']['c'][0]", "$['a']['c'][1]"]);
    let each = "'{% for x in payload.list %}{{ x.n }}{% endfor %}'";
    check(each, &payload, each, &["$['list'][0]['n']", "$['list'][1]['n']"]);
    let query = "\"{{ jsonpath('$.list[?@.n > 1].n') | first }}\"";
    check(query, &payload, query, &["$['list'][1]['n']"]);
    let inside = "\"{{ jsonpath('$.list[1]').n }}\"";
    check(inside, &payload, inside, &["$['list'][1]['n']"]);
}

#[test]
fn item_of_for_each_is_named_by_its_place_in_the_payload() {
    let file = "[[feedback]]\nfor_each = '$.l[*]'\nproblem = '@.t'\n\
                person_name = '{{ item.by.name }}'\n\
                company_name = \"{{ jsonpath('@.by').org }}\"\n\
                source_username = \"{{ jsonpath('@.by.id') }}\"\n";
    let item = |name: &str| json!({"t": name, "by": {"name": name, "org": "Acme", "id": 7}});

    let fields = explained(file, &json!({"l": [item("Ann"), item("Bob")]}));

    let nodes: Vec<&[String]> = fields.iter().map(|(_, _, nodes)| nodes.as_slice()).collect();
    assert_eq!(nodes.len(), 8, "{fields:?}");
    for (at, nodes) in nodes.chunks(4).enumerate() {
        let mut found = nodes.concat();
        found.sort();
        let path = |rest: &str| format!("$['l'][{at}]{rest}");
        let by = |key: &str| path(&format!("['by']['{key}']"));
        assert_eq!(found, [by("id"), by("name"), by("org"), path("['t']")]);
    }
}

#[test]
fn answer_names_the_values_that_it_was_read_from() {
    let each = "[answers]\neach = '$.fields[*]'\nquestion = '@.title'\nanswer = '@.value'\n";
    let of = "[answers]\nof = '$.answers'\n";
    let block = "[[feedback]]\nproblem = '{{ answers }}'\n\
                 person_name = \"{{ answers['Name'] }}\"\n";
    let fields = json!({"fields": [
        {"title": "What is wrong?", "value": "Slow"}, {"title": "Name", "value": ["Ann", "B"]},
    ]});
    let answers = json!({"answers": {"What?": "Slow", "Name": {"first": "Ann", "last": "B"}}});

    for (file, payload, problem, name) in [
        (each, &fields, "$['fields'][0]['value']", ["$['fields'][1]['value']"].as_slice()),
        (
            of,
            &answers,
            "$['answers']['What?']",
            &["$['answers']['Name']['first']", "$['answers']['Name']['last']"],
        ),
    ] {
        let explanation = explain(&format!("{file}{block}"), payload);

        let [of_problem, of_name] = explanation.fields.as_slice() else { panic!() };
        assert_eq!(of_name.nodes, name);
        let all: Vec<&str> = [&[problem], name].concat();
        assert_eq!(of_problem.nodes, all);
        let answer = &explanation.answers[1];
        assert_eq!((answer.question.as_str(), &*answer.answer), ("Name", "Ann, B"));
        assert_eq!(answer.nodes, name);
    }
}

#[test]
fn attributes_name_their_whole_table() {
    let file = "[[contact]]\ninternal_id = '$.id'\nname = 'x'\n\
                filterable_attributes = { plan = '$.plan', size = '$.size' }\n";
    let payload = json!({"id": 1, "plan": "pro", "size": 3});

    let fields = explained(file, &payload);

    assert_eq!(fields[2].1, "{ plan = '$.plan', size = '$.size' }");
    assert_eq!(fields[2].2, ["$['plan']", "$['size']"]);
    let entries = file.replace("{ plan = '$.plan', size = '$.size' }", "'$'");
    let fields = explained(&entries, &payload);
    assert_eq!((fields[2].1.as_str(), fields[2].2.as_slice()), ("'$'", &["$".to_owned()][..]));
}

#[test]
fn explanation_of_many_items_is_bounded() {
    let file = "[[contact]]\nfor_each = '$.l[*]'\ninternal_id = \"{{ jsonpath('@.id') }}\"\n\
                name = '@.name'\n";
    let items = json!({"l": vec![json!({"id": 1, "name": ""}); 20_000]});

    let started = std::time::Instant::now();
    let explanation = explain(file, &items);

    assert_eq!(explanation.fields.len(), 10_000);
    assert_eq!(explanation.mapped.unwrap().unwrap().requests.len(), 0);
    assert!(started.elapsed().as_secs() < 20, "{:?}", started.elapsed());
}
