//! Templates that would overflow the stack, fill the memory or never end.

use super::*;

/// Returns a file with a template in a TOML text without escapes.
fn file(template: &str) -> String {
    format!("[[feedback]]\nproblem = '''{template}'''")
}

/// Returns each construct, nested or repeated `n` times.
fn constructs(n: usize) -> Vec<(&'static str, String)> {
    let mut constructs = expressions(n);
    constructs.extend(statements(n));
    constructs
}

fn expressions(n: usize) -> Vec<(&'static str, String)> {
    let chain = |link: &str| format!("{{{{ a{} }}}}", link.repeat(n));
    let around =
        |open: &str, close: &str| format!("{{{{ {}a{} }}}}", open.repeat(n), close.repeat(n));
    vec![
        ("~", chain("~a")),
        ("+", chain("+a")),
        ("-", chain("-a")),
        ("*", chain("*a")),
        ("/", chain("/a")),
        ("//", chain("//a")),
        ("%", chain("%a")),
        ("**", chain("**a")),
        ("and", chain(" and a")),
        ("or", chain(" or a")),
        ("==", chain("==a")),
        ("<", chain("<a")),
        ("in", chain(" in a")),
        ("not in", chain(" not in a")),
        ("is", chain(" is none")),
        ("is not", chain(" is not none")),
        ("filter", chain("|trim")),
        ("filter with arguments", chain("|default(a)")),
        ("member", chain(".a")),
        ("subscript", chain("[0]")),
        ("slice", chain("[:]")),
        ("call", chain("()")),
        ("method", chain(".a()")),
        ("if else", chain(" if a else a")),
        ("if", chain(" if a")),
        ("not", around("not ", "")),
        ("minus", around("- ", "")),
        ("minus before everything", around("- - not -(", ")")),
        ("parentheses", around("(", ")")),
        ("tuple", around("(", ",)")),
        ("list", around("[", "]")),
        ("object", around("{1:", "}")),
        ("argument", around("f(", ")")),
        ("named argument", around("f(a=", ")")),
        ("unpacked argument", around("f(*", ")")),
        ("argument of a filter", around("a|default(", ")")),
        ("argument of a test", around("a is eq(", ")")),
        ("subscript in a subscript", around("a[", "]")),
        ("all brackets", around("[{1:(f(a[", "]))}]")),
    ]
}

fn statements(n: usize) -> Vec<(&'static str, String)> {
    let times = |text: &str| text.repeat(n);
    let blocks = |open: &str, close: &str| format!("{}{}", times(open), times(close));
    let named: Vec<String> = (0..n).map(|at| format!("{{% block b{at} %}}")).collect();
    let slack = "{% set x|trim(y=1) %}{% endset %}{% elif a %}";
    vec![
        ("elif", format!("{{% if a %}}{}{{% endif %}}", times("{% elif a %}a"))),
        ("elif behind a block", format!("{{% if a %}}{}{{% endif %}}", times(slack))),
        ("if in if", blocks("{% if a %}", "{% endif %}")),
        ("if in else", blocks("{% if a %}{% else %}", "{% endif %}")),
        ("for", blocks("{% for a in a %}", "{% endfor %}")),
        ("for else", blocks("{% for a in a %}{% else %}", "{% endfor %}")),
        ("with", blocks("{% with a=1 %}", "{% endwith %}")),
        ("set", blocks("{% set a %}", "{% endset %}")),
        ("filter block", blocks("{% filter trim %}", "{% endfilter %}")),
        ("filters of a block", format!("{{% filter trim{} %}}{{% endfilter %}}", times("|trim"))),
        ("macro", blocks("{% macro a() %}", "{% endmacro %}")),
        ("call block", blocks("{% call a() %}", "{% endcall %}")),
        ("autoescape", blocks("{% autoescape false %}", "{% endautoescape %}")),
        ("block", named.concat() + &times("{% endblock %}")),
        ("unpacked target", format!("{{% set {}a,b{} = 1 %}}", times("("), times(")"))),
        ("slice by assignment", times("{% set a = a[:] %}") + "{{ a|first }}"),
        ("list by assignment", times("{% set a = [a] %}")),
    ]
}

// Parsing and rendering recurse with each link; a test has a stack of 2 MiB, here in a debug build.
#[test]
fn deep_template_does_not_overflow_the_stack() {
    for length in [1, 5, 10, 12, 24, 25, 26, 49, 50, 90, 99, 100, 101, 190, 199, 200, 201, 1_000] {
        for (what, template) in constructs(length) {
            let (mapping, mistakes) = compile(&file(&template));
            let is_usable = !mistakes.iter().any(Diagnostic::is_error);
            if is_usable {
                drop(mapping.apply(&event(None), &json!({}).into()));
            }
            assert!(length < 201 || !is_usable || what == "list by assignment", "{what} {length}");
        }
    }
    for (what, template) in constructs(20_000) {
        let (_, mistakes) = compile(&file(&template));
        assert!(mistakes[0].message.starts_with("the template"), "{what}: {}", mistakes[0].message);
    }
}

#[test]
fn too_long_chain_is_shown_at_its_place() {
    let template = format!("{{{{ payload.a{} }}}}", " ~ payload.a".repeat(300));
    let text = file(&template);

    let (_, mistakes) = compile(&text);

    assert_eq!(mistakes.len(), 1, "{mistakes:?}");
    assert!(mistakes[0].message.contains("too long"), "{mistakes:?}");
    assert!(mistakes[0].help.as_ref().unwrap().contains("{% set"), "{mistakes:?}");
    assert!(mistakes[0].place.start > 1_000 && mistakes[0].place.end < 1_500, "{mistakes:?}");
}

#[test]
fn long_list_or_object_is_no_chain() {
    let names: Vec<String> = (0..2_000).map(|at| format!("'n{at}': payload.a")).collect();
    let template = format!("{{% set names = {{{}}} %}}{{{{ names.n7 }}}}", names.join(", "));

    assert_eq!(problem(&format!("'''{template}'''"), &json!({"a": "x"})), "x");
}

/// Returns a template that doubles the size of a variable this often.
fn doubled(times: usize, by: &str, then: &str) -> String {
    format!("{{% set a = [1, 2] %}}{}{then}", format!("{{% set a = {by} %}}").repeat(times))
}

/// Filters that make much of small arguments.
const FILTERS: &[&str] = &[
    "{{ payload | tojson(1000000000) }}",
    "{{ payload | tojson(indent=1000000000) }}",
    "{{ payload | tojson(100000) }}",
    "{{ 'a\nb' | indent(1000000000) }}",
    "{{ 'a\nb' | indent(width=1000000000) }}",
    "{{ ('a\n' * 10000) | indent(100000) }}",
    "{{ 'a' * 1000000000 }}",
    "{{ '%1000000000s' | format('x') }}",
    "{{ '%.1000000000f' | format(1.5) }}",
    "{{ [1] | batch(1000000000, 'x') }}",
    "{{ [1] | slice(1000000000, 'x') }}",
    "{{ range(100000) | join('x' * 60000) }}",
    "{{ ('a' * 1000000) | replace('a', 'b' * 100000) }}",
    "{{ ('a' * 100000) | replace('', 'b' * 100000) }}",
    "{{ ('a' * 100000) | replace('', 'b' * 100000, count=100000) }}",
    "{{ ('a' * 1000000) | trim('b' * 1000000 ~ 'a') }}",
    "{{ ('a,' * 2000000) | split | length }}",
    "{{ ('\n' * 2000000) | lines | length }}",
    "{{ range(1000000000000) }}",
    "{{ 2 ** 100000000 }}",
    "{{ 1.5 | round(2000000000) }}",
    "{{ date(0, '%9999999999Y' * 10000) }}",
    "{{ ('&' * 100000) | e | e | e | e | e | e | e }}",
    "{{ ('ß' * 1000000) | upper | length }}",
    "{{ ([[1, 2, 3]] * 50000) | sum(start=[]) | length }}",
    "{{ range(90000) | map('string') | list | sum(start='') | length }}",
    "{{ range(90000) | zip(range(90000), range(90000), range(90000)) | list | length }}",
    "{{ range(100000) | map('default', payload) | list | string | length }}",
];

/// Operators on lists, and values that are nested deeper with each round.
const LISTS: &[&str] = &[
    "{% set b = ([1] * 100000000) ~ '' %}",
    "{{ ([1] * 100000000) | string | length }}",
    "{{ [[1] * 100000000] == [[1] * 100000000] }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(30000) %}{% set n.x = [n.x] %}{% endfor %}",
    "{% set n = namespace(x=[1]) %}{% for i in range(9000) %}{% set n.x = n.x[0:] %}{% endfor %}
     {{ n.x | first }}",
    "{% set n = namespace(x=[1]) %}{% for i in range(9000) %}{% set n.x = n.x | zip %}{% endfor %}
     {{ n.x | first }}",
    "{% set n = namespace(x=1) %}{% for i in range(9000) %}{% set n = namespace(x=n) %}{% endfor %}",
    "{% set n = namespace(x=1) %}{% for i in range(9000) %}{% set n.x = {'a': n.x} %}{% endfor %}",
    "{% macro f(x) %}{{ f([x, x]) }}{% endmacro %}{{ f([1]) }}",
    "{% for i in [1] recursive %}{{ loop([i, i]) }}{% endfor %}",
];

/// Cycles, which would never be dropped and never be printed to the end.
const CIRCLES: &[&str] = &[
    "{% set n = namespace(x=1) %}{% set n.x = n %}{{ n | string }}",
    "{% set n = namespace(x=1) %}{% set n.x = [n] %}{{ n | tojson }}",
    "{% set n = namespace(x=1) %}{% set n.x = {'a': n} %}{% set y = n ~ '' %}",
    "{% set n = namespace(x=1) %}{% set (n.x, b) = (n, n) %}{% set y = n ~ '' %}",
    "{% set n = namespace(x=1) %}{% set n.x, b = n, n %}{% set y = n ~ '' %}",
    "{% set n = namespace(x=1) %}{% macro m() %}{{ n.x }}{% endmacro %}{% set n.x = m %}{{ n }}",
    "{% for i in [1] %}{% set x = loop.changed(loop) %}{% endfor %}",
    "{% for i in [1] %}{% set x = loop.changed([loop]) %}{% endfor %}",
];

/// Repeated work, each time for little fuel.
const AGAIN: &[&str] = &[
    "{% if payload.texts == payload.same %}{% endif %}",
    "{% if payload.text < payload.like %}{% endif %}",
    "{% if payload.text is eq(payload.like) %}{% endif %}",
    "{% if payload.text is lower %}{% endif %}",
    "{% if payload.texts in [payload.same] %}{% endif %}",
    "{% set x = jsonpath('$') %}",
    "{% set x = jsonpath('$.texts') %}",
    "{% set x = payload.texts | sort %}",
    "{% set x = payload.texts | max %}",
    "{% set x = payload.texts | unique %}",
    "{% set x = payload.text | html_to_text %}",
    "{% set x = loop.changed(payload.texts) %}",
];

const GROWS: [&str; 12] = [
    "[a, a]",
    "a + a",
    "(a, a)",
    "{1: a, 2: a}",
    "a | chain(a) | list",
    "a | chain(a)",
    "dict(x=a, y=a)",
    "[a, a] | batch(2)",
    "a * 2",
    "[a] * 2",
    "[none, none] | map('default', a, true)",
    "(a | zip(a))",
];

const ENDS: [&str; 31] = [
    "{% set b = a ~ '' %}",
    "{{ a }}",
    "{{ a | string | length }}",
    "{{ a | tojson }}",
    "{{ a | pprint }}",
    "{{ [a] | join }}",
    "{{ '%s' | format(a) }}",
    "{{ a | e }}",
    "{{ a | upper }}",
    "{{ a | safe }}",
    "{{ a | urlencode }}",
    "{{ a | html_to_text }}",
    "{{ a | split }}",
    "{{ a | replace('1', '2') }}",
    "{{ a | trim }}",
    "{{ a | indent }}",
    "{{ a | lines | length }}",
    "{{ 5 in a }}",
    "{{ a | length }}",
    "{{ a | first }}",
    "{{ a | last }}",
    "{{ a | list | length }}",
    "{{ a[200000000:] | first }}",
    "{{ a[100000000] }}",
    "{% if a %}x{% endif %}",
    "{{ a | unique | length }}",
    "{{ a | sort | length }}",
    "{{ a | reverse | first }}",
    "{{ {1: a} | dictsort }}",
    "{{ a | groupby(0) | length }}",
    "{{ {a: 1} }}",
];

fn hostile_templates() -> Vec<String> {
    let mut templates: Vec<String> =
        [FILTERS, LISTS, CIRCLES].concat().into_iter().map(str::to_owned).collect();
    let again = |what: &&str| format!("{{% for i in range(30000) %}}{what}{{% endfor %}}");
    templates.extend(AGAIN.iter().map(again));
    // All ends with the first way to grow; a few suffice to show that the others grow no better.
    templates.extend(ENDS.map(|then| doubled(40, GROWS[0], then)));
    for by in &GROWS[1..] {
        templates.extend(ENDS[..4].iter().map(|then| doubled(40, by, then)));
    }
    let two = doubled(24, "[a, a]", "{% set b = a %}") + &doubled(24, "[a, a]", "");
    for then in ["{{ a == b }}", "{{ {1: a} == {1: b} }}", "{{ a is eq(b) }}", "{{ a in [b] }}"] {
        templates.push(two.clone() + then);
    }
    templates
}

#[test]
fn hostile_template_costs_no_more_than_its_fuel() {
    let texts: Vec<String> = (0..200).map(|at| format!("{at:05}").repeat(100)).collect();
    let text = "a".repeat(300_000);
    let payload = json!({"texts": texts, "same": texts, "text": text, "like": text});
    for template in hostile_templates() {
        let began = std::time::Instant::now();
        let given = match apply(&file(&template), &payload) {
            Ok(mapped) => mapped.requests[0].body["problem"].to_string(),
            Err(unmappable) => unmappable.to_string(),
        };
        assert!(given.len() < 300_000, "{template}: {given:.100}");
        // In a debug build 100,000 units of fuel take about a second; without bounds it is minutes.
        assert!(began.elapsed().as_secs() < 30, "{template}: {:?} {given:.100}", began.elapsed());
    }
}

#[test]
fn exceeded_template_limit_is_named() {
    for (template, expected) in [
        ("{{ payload | tojson(1000000000) }}", "takes too long"),
        ("{% set n = namespace() %}{% set n.x = n %}x", "a namespace keeps no namespace"),
        ("{{ [1, 2] * 3 }}", "cannot be multiplied in a template"),
        ("{{ {payload: 1} }}", "cannot be a key in a template"),
        ("{{ [1] | sum(start=[]) }}", "sum adds numbers"),
    ] {
        let failed = problem(&format!("'''{template}'''"), &json!({"a": 1}));
        assert!(failed["failed"].as_str().unwrap().contains(expected), "{template}: {failed}");
    }
}

#[test]
fn regular_expressions_of_a_file_share_a_bound() {
    let attribute = |at: usize| format!("a{at} = \"$.x[?match(@, '[a-z]{{0,100}}{at}')]\"\n");
    let attributes: Vec<String> = (0..5_000).map(attribute).collect();
    let head = "[[company]]\ninternal_id = '1'\nname = 'A'\n[company.filterable_attributes]\n";
    let text = head.to_owned() + &attributes.concat();

    let (_, mistakes) = compile(&text);

    let first = &mistakes[0];
    assert_eq!(first.message, "the regular expressions up to this one are too large together");
    assert!(first.help.as_ref().unwrap().contains("`==`"));
    let before = text[..first.place.start].matches("match(").count();
    assert!((100..1_000).contains(&before), "{before}");
}

// A literal query is compiled once, when the file is read; a computed one each time.
#[test]
fn computed_query_pays_for_its_patterns() {
    let again = |pattern: &str| {
        let query = format!("\"$[?match(@.a, '{pattern}\" ~ i ~ \"')]\"");
        format!("{{% for i in range(300) %}}{{% set x = jsonpath({query}) %}}{{% endfor %}}x")
    };
    let payload = json!([{"a": "x"}]);
    for pattern in [r"[a-zäöü]{0,50}", r"[a-z]{0,1000}", r"([a-zäöü]{0,500}){500}"] {
        let began = std::time::Instant::now();
        let failed = problem(&format!("'''{}'''", again(pattern)), &payload);
        let reason = failed["failed"].as_str().unwrap_or_default();
        assert!(reason.contains("too long") || reason.contains("too large"), "{failed:.200}");
        assert!(began.elapsed().as_secs() < 60, "{:?}", began.elapsed());
    }
    let once = "{{ jsonpath(\"$[?match(@.a, '\" ~ 'x' ~ \"')].a\") | first }}";
    assert_eq!(problem(&format!("'''{once}'''"), &payload), "x");
}

#[test]
fn text_is_counted_at_each_read() {
    let text = "a".repeat(1024 * 1024);
    let template = "{% for i in range(30000) %}{% if payload.text %}{% endif %}{% endfor %}x";

    let failed = problem(&format!("'''{template}'''"), &json!({"text": text}));

    assert_eq!(failed, json!({"failed": "the templates of this event read too much text"}));
}

const COPIED_ITEM_BYTES: usize = 200 * 1024;

/// Returns how many of so many requests have a template of the item, which copies it.
fn copied_items(for_each: &str, payload: &Value) -> usize {
    let file = format!(
        "[[feedback]]\nfor_each = \"{for_each}\"\nproblem = \"x\"\n\
         person_name = \"{{{{ item.name }}}}\"\ntags = \"{{{{ jsonpath('@.name') }}}}\""
    );
    let requests = apply(&file, payload).unwrap().requests;
    requests.iter().filter(|request| request.body.contains_key("person_name")).count()
}

#[test]
fn copies_of_items_are_charged_to_the_event() {
    let again = format!("$.x[{}]", ["0"; 800].join(","));
    let text = "a".repeat(COPIED_ITEM_BYTES);
    let payload = json!({"x": [{"name": "Ada", "text": text}]});

    let copied = copied_items(&again, &payload);

    // 16 MiB and some copies of the payload; without a budget it is 156 MiB.
    assert!((80..100).contains(&copied), "{copied}");
    let required =
        format!("[[feedback]]\nfor_each = \"{again}\"\nproblem = \"{{{{ item.name }}}}\"");
    let failed = apply(&required, &payload).unwrap_err();
    assert_eq!(failed.reason, "the items of this event are copied too often for templates");
}

// In memory the items take more than 16 MiB, a budget that they would exceed together.
#[test]
fn each_item_of_a_large_event_is_copied() {
    let item: Value = (0..40).map(|at| (format!("k{at}"), json!(at))).collect();
    let mut items = vec![item; 6_000];
    items[5_999]["name"] = json!("Ada");
    let payload = json!({ "x": items });
    let file = "[[feedback]]\nfor_each = \"$.x[*]\"\nwhen = \"{{ item.name }}\"\nproblem = \"x\"";

    assert_eq!(apply(file, &payload).unwrap().requests.len(), 1);

    // Each reply is also copied with those that it is a reply to.
    let nested = (0..3).fold(
        json!({"name": "Ada", "items": payload["x"].as_array().unwrap()[..1_000]}),
        |inner, _| json!({"name": "Ada", "replies": [inner]}),
    );
    assert_eq!(copied_items("$..replies[*]", &nested), 3);
}
