//! Syntax of other languages in a mapping file: each is told what to write instead.

use super::compile;
use super::mistakes::show;

/// A value of `person_name`, what is underlined, and what to write.
const VALUES: [(&str, &str, &str); 46] = [
    ("{{ payload.a | default(‘x’) }}", "‘", "straight quotes"),
    ("{{ payload.a | default(“x”) }}", "“", "straight quotes"),
    ("{{ payload.a ? payload.b : 'c' }}", "?", "write payload.b if payload.a else 'c'"),
    ("{{ payload.a ?? 'x' }}", "??", "write payload.a | default('x')"),
    ("{{ payload?.a }}", "?.", "write `.`"),
    ("{{ payload.a || 'x' }}", "||", "write payload.a or 'x'"),
    ("{{ payload.a && payload.b }}", "&&", "write payload.a and payload.b"),
    ("{{ 'x' if !payload.a }}", "!", "write `not payload.a`"),
    ("{{ 'x' if payload.a = 'b' }}", "=", "write `==`"),
    ("{{ 'x' if payload.a === 'b' }}", "===", "write `==`"),
    ("{{ 'x' if payload.a !== 'b' }}", "!==", "write `!=`"),
    ("{{ 'x' if payload.a <> 'b' }}", "<>", "write `!=`"),
    ("{% if payload.a = 'b' %}x{% endif %}", "=", "write `==`"),
    ("{% if payload.a %}x{% elsif payload.b %}y{% endif %}", "elsif", "{% elif payload.b %}"),
    ("{% if payload.a %}x{% elseif payload.b %}y{% endif %}", "elseif", "{% elif payload.b %}"),
    ("{% if payload.a %}x{% else if payload.b %}y{% endif %}", "else if", "{% elif payload.b %}"),
    ("{% unless payload.a %}x{% endunless %}", "unless", "{% if not (payload.a) %}"),
    ("{% assign a = payload.b %}{{ a }}", "assign", "{% set a = payload.b %}"),
    ("{% if payload.a %}x{% end %}", "end", "{% endif %}"),
    ("{% if payload.a %}x", "if", "{% endif %}"),
    ("{% for a in payload.b %}{{ a }}{% endif %}", "endif", "{% endfor %} first"),
    ("{% endif %}", "endif", "leave it out"),
    ("{{ if payload.a }}x{{ end }}", "if", "{% if payload.a %}"),
    ("{{#if payload.a}}x{{/if}}", "#if", "{% if payload.a %} ... {% endif %}"),
    ("{{{ payload.a }}}", "{", "{{ payload.a }}"),
    ("{{ .a.b }}", ".", "write payload.a.b"),
    ("{{ .payload.a }}", ".", "write payload.a"),
    ("{{ payload.a }", "}", "{{ payload.a }}"),
    ("{{ payload.a", "{{", "write }} where it ends"),
    ("{{ 'a }}", "'", "write ' where the text ends"),
    ("{{ }}", "{{", "{{ payload.name }}"),
    ("{{ $.a.b }}", "$.a.b", "payload.a.b"),
    ("{{ $.a[0].b }}", "$.a[0].b", "jsonpath('$.a[0].b')"),
    ("{{ payload.a | default: 'x' }}", ":", "write default('x')"),
    ("{{ payload.a | truncate: 30 }}", ":", "max = 100"),
    ("{{ payload.a | uppercase }}", "uppercase", "`| upper`"),
    ("{{ payload.a | toLowerCase }}", "toLowerCase", "`| lower`"),
    ("{{ payload.a | strip_html }}", "strip_html", "`| html_to_text`"),
    ("{{ payload.a | zzzzzz }}", "zzzzzz", "docs/templates.md"),
    ("{{ payload.a.toUpperCase() }}", "toUpperCase", "`| upper`"),
    ("{{ upper(payload.a) }}", "upper", "`payload.a | upper`"),
    ("{{ len(payload.a) }}", "len", "`| length`"),
    ("{{ 'x' if payload.a is empty }}", "empty", "not payload.a"),
    ("${payload.a}", "\"${payload.a}\"", "{{ payload.a }}"),
    ("$first name", "$first", "{{ '$first name' }}"),
    ("$.a[?@.b = 'x']", "=", "write `==`"),
];

/// A condition, what is underlined, and what to write.
const CONDITIONS: [(&str, &str, &str); 14] = [
    ("@.a = 'x'", "=", "write `==`"),
    ("@.a === 'x'", "===", "write `==`"),
    ("@.a <> 'x'", "<>", "write `!=`"),
    ("@.a =~ 'x'", "=~", "`search(@.a, 'x')`"),
    ("@.a ? @.b : @.c", "?", "by a template"),
    ("@.a == ‘x’", "‘x’", "straight quotes"),
    ("@.a == “x”", "“x”", "straight quotes"),
    ("@.a contains 'x'", "contains", "`search(@.a, 'x')`"),
    ("@.a in ['x', 'y']", "in", "`(@.a == 'a' || @.a == 'b')`"),
    ("@.a.b equals 'x'", "equals", "`@.a.b == 'x'`"),
    ("@.a startsWith 'x'", "startsWith", "`match(@.a, 'text.*')`"),
    ("@.a and @.b", "and", "write `&&`"),
    ("not @.a", "not", "write `!`"),
    ("@.a == x", "x", "`'x'` for the text"),
];

/// A value that is sent as it is written, what is underlined, and what to write.
const DOUBTFUL: [(&str, &str, &str); 16] = [
    ("\"payload.user.name\"", "\"payload.user.name\"", "\"{{ payload.user.name }}\""),
    ("\"answers['Name']\"", "\"answers['Name']\"", "{{ answers['Name'] }}"),
    ("\"event.id\"", "\"event.id\"", "{{ event.id }}"),
    ("\"Hello ${name}\"", "${name}", "{{ payload.name }}"),
    ("\"#{payload.name}\"", "#{payload.name}", "{{ payload.name }}"),
    ("\"<%= name %>\"", "<%= name %>", "{{ payload.name }}"),
    ("\"%(name)s\"", "%(name)s", "{{ payload.name }}"),
    ("\"{payload.name}\"", "{payload.name}", "{{ payload.name }}"),
    ("\"{ $.a.b }\"", "{ $.a.b }", "{{ payload.a.b }}"),
    ("\"From $.user.name.\"", "$.user.name", "{{ payload.user.name }}"),
    ("{ from = \"$.a\", default = \"$.b\" }", "\"$.b\"", "from = [\"$.a\", \"$.b\"]"),
    ("{ from = \"$.a\", map = { x = \"{{ payload.b }}\" } }", "\"{{ payload.b }}\"", "from ="),
    ("\"{{ payload.a + ' x' }}\"", "+", "payload.a ~ ' x'"),
    ("\"{{ payload.first-name }}\"", "name", "payload['first-name']"),
    ("\"{{ payload.a == null }}\"", "null", "write `none`"),
    ("\"{{ this.a }}\"", "this", "`payload`"),
];

#[test]
fn syntax_of_other_languages_has_a_remedy_at_its_place() {
    for (value, underlined, remedy) in VALUES {
        check(&format!("person_name = \"{value}\""), underlined, remedy);
    }
    for (condition, underlined, remedy) in CONDITIONS {
        check(&format!("when = \"{condition}\""), underlined, remedy);
    }
}

#[test]
fn text_that_looks_like_an_expression_is_warned_about() {
    for (value, underlined, remedy) in DOUBTFUL {
        check(&format!("person_name = {value}"), underlined, remedy);
    }
}

#[test]
fn usual_text_is_not_warned_about() {
    for text in [
        "form",
        "example.com",
        "{not a path}",
        "$ 5",
        "costs $.50",
        "a/b",
        "item.created",
        "100 %",
        "event.created",
        "{0}",
        "{ }",
        "50% (of s)",
        "payload",
        "answers",
    ] {
        let text = if text.starts_with('$') { format!("x {text}") } else { text.to_owned() };
        let file = format!(
            "[[feedback]]\nproblem = \"x\"\ntags = [\"{text}\"]\nperson_name = \"{text}\"\n"
        );
        let (_, mistakes) = compile(&file);
        assert_eq!(mistakes, [], "{}", show(&file, &mistakes));
    }
}

#[test]
fn every_message_of_a_template_that_cannot_be_parsed_has_advice() {
    for template in [
        "{{ a b }}",
        "{{ a | }}",
        "{{ a[ }}",
        "{% for %}",
        "{% if %}x{% endif %}",
        "{{ a.}}",
        "{% set %}",
        "{% %}",
        "{{ (a }}",
        "{{ a) }}",
        "{{ a, }}",
        "{% zzz %}",
        "{{ 'a' 'b' }}",
        "{{ a ~ }}",
        "{{ ~a }}",
        "{% for a of b %}{% endfor %}",
        "{{ 1.2.3 }}",
        "{{ a => b }}",
        "{{ `a` }}",
        "{{ a; }}",
        "{{ @.a }}",
        "{% macro m %}{% endmacro %}",
        "{% block %}",
        "{{ {a:1} ",
        "{% raw %}",
        "{# ",
    ] {
        let file = format!("[[feedback]]\nproblem = \"\"\"{template}\"\"\"\n");
        let (_, mistakes) = compile(&file);
        for mistake in &mistakes {
            assert!(mistake.help.is_some(), "{}", show(&file, &mistakes));
        }
    }
}

#[track_caller]
fn check(line: &str, underlined: &str, remedy: &str) {
    let file = format!("[[feedback]]\nproblem = \"x\"\n{line}\n");
    let (_, mistakes) = compile(&file);
    let shown = show(&file, &mistakes);
    assert_eq!(mistakes.len(), 1, "{line}\n{shown}");
    assert_eq!(&file[mistakes[0].place.clone()], underlined, "{shown}");
    let help = mistakes[0].help.as_deref().unwrap_or_default();
    assert!(help.contains(remedy), "{line}\n{shown}");
}
