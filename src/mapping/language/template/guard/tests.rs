//! Places of inserted filters, which do not change what a template prints.

use std::sync::Arc;

use serde_json::json;

use super::*;
use crate::mapping::language::query::Patterns;
use crate::mapping::language::scope::Budget;
use crate::mapping::language::template::lexer::pieces;
use crate::mapping::language::template::{Templates, share};

fn check(template: &str, expected: &str) {
    assert_eq!(Guarded::new(template, &pieces(template)).text, expected);
}

#[test]
fn operands_are_filtered_by_precedence() {
    check("{{ a ~ 'x' ~ b.c(1)[2]|trim }}", "{{ a|_printed ~ 'x' ~ b.c(1)[2]|trim|_printed }}");
    check("{{ a + -b * 2 }}", "{{ a|_added + -b|_multiplied * 2 }}");
    check("{{ a not in b and not c == 'x' }}", {
        "{{ a|_weighed not in b|_weighed and not c == 'x' }}"
    });
    check("{{ a is none ~ b is eq(c ~ d) }}", {
        "{{ a is none|_printed ~ b is eq(c|_printed ~ d|_printed)|_printed }}"
    });
    check("{{ (a or b) ~ c if d else e }}", "{{ (a or b)|_printed ~ c|_printed if d else e }}");
    check("{{ a is divisibleby 3 ~ b }}", "{{ a is divisibleby 3|_printed ~ b|_printed }}");
    check("{{ 1e+5 ~ 1.5 }}", "{{ 1e+5 ~ 1.5 }}");
}

#[test]
fn claimed_lesser_operand_is_ordered_last_if_absent() {
    check("{{ a < 9 and 9 >= b }}", "{{ a|_beyond < 9 and 9 >= b|_beyond }}");
    check("{{ 9 < a and b > 9 }}", "{{ 9 < a and b > 9 }}");
    check("{{ 1 < a < 9 > b > 1 }}", "{{ 1 < a < 9 > b|_beyond > 1 }}");
    check("{{ a ~ b < 'x' }}", "{{ a|_printed ~ b|_printed < 'x' }}");
}

#[test]
fn items_and_arguments_are_filtered() {
    check("{{ [a, 'x', b ~ c] }}", "{{ [a|_weighed, 'x', b|_printed ~ c|_printed] }}");
    check("{{ {'a': a, b: [1, 'x']} }}", "{{ {'a': a|_weighed, b|_key: [1, 'x']} }}");
    check("{{ (a) }}{{ (a, 1) }}", "{{ (a) }}{{ (a|_weighed, 1) }}");
    check("{{ f(a, b=c, *d) }}", "{{ f(a|_weighed, b=c|_weighed, *d|_weighed) }}");
    check("{{ a|default(b) }}{{ a[b:c] }}", "{{ a|default(b) }}{{ a[b:c] }}");
}

#[test]
fn targets_of_statements_are_not_filtered() {
    check("{% for (a, b) in c ~ d if a < b %}", {
        "{% for (a, b) in c|_printed ~ d|_printed if a|_weighed|_beyond < b|_weighed %}"
    });
    check("{% set (a, b) = c %}", "{% set (a, b) = c %}");
    check("{% set a.b = c ~ d %}", "{% set a.b =( c|_printed ~ d|_printed)|_kept %}");
    check("{% set a.b, c = d, 1 %}", "{% set a.b, c =( d|_weighed, 1)|_kept %}");
    check("{% set a.b %}", "{% set a.b %}");
    check("{% set a | replace(b ~ c, '') %}", {
        "{% set a | replace(b|_printed ~ c|_printed, '') %}"
    });
    check("{% macro f(a, b=c ~ d) %}", "{% macro f(a, b=c|_printed ~ d|_printed) %}");
    check("{% call(a, b) f(c) %}", "{% call(a, b) f(c|_weighed) %}");
    check("{% with (a, b) = c, d = e ~ 'x' %}", "{% with (a, b) = c, d = e|_printed ~ 'x' %}");
    check("{% if (a, b) == c %}", "{% if (a|_weighed, b|_weighed)|_weighed == c|_weighed %}");
    check("{% elif (a, b) == c %}", {
        "{% elif (a|_weighed, b|_weighed)|_weighed == c|_weighed %}"
    });
    let no_code = "{% raw %}{{ a ~ b }}{% endraw %}{# a ~ b #} a ~ b";
    check(no_code, no_code);
}

#[test]
fn place_is_that_of_the_original_text() {
    let template = "{{ a ~ [b] ~ c }} d";
    let guarded = Guarded::new(template, &pieces(template));

    for part in ["a", "[", "c", "}} d"] {
        let at = guarded.text.find(part).unwrap();
        let original = guarded.original(at..at + part.len());
        assert_eq!(&template[original], part);
    }
    let filter = guarded.text.find("|_printed").unwrap();
    assert_eq!(guarded.original(filter..filter + 9), 4..4);
}

// Each template is rendered as it is written and with the filters.
#[test]
fn guarded_template_prints_the_same() {
    let payload = Arc::new(json!({
        "n": 7, "f": 1.5, "t": "text", "e": "", "z": null, "b": true,
        "l": [3, 1, 2], "ll": [[1, 2], [3]], "o": {"k": "v", "in": 1, "not": {"is": 2}},
        "items": [{"name": "b", "n": 1}, {"name": "a", "n": 2}]
    }));
    let payload = share(&payload, &Budget::new(), None);
    for template in TEMPLATES {
        let mut environment = Templates::new(&Patterns::of_file()).environment;
        let mut printed = |source: String| {
            environment.add_template_owned("t", source).unwrap();
            let compiled = environment.get_template("t").unwrap();
            compiled.render(minijinja::context! { p => payload.clone() }).map_err(|e| e.to_string())
        };
        let plain = printed((*template).to_owned());
        let with_filters = printed(Guarded::new(template, &pieces(template)).text);
        assert_eq!(plain, with_filters, "{template}");
        assert!(plain.is_ok(), "{template}: {plain:?}");
    }
}

const TEMPLATES: &[&str] = &[
    "{{ p.n + p.f * 2 - -p.n ** 2 // 3 % 5 / 2 }}",
    "{{ p.t ~ p.n ~ p.l ~ p.o ~ p.z ~ p.b }}",
    "{{ p.n == 7 and not p.f > 2 or p.t in ['text', p.e] }}",
    "{{ p.t not in p.l and 3 in p.l and 'ex' in p.t and 'k' in p.o }}",
    "{{ p.l + [p.n] + p.ll }}{{ (p.l + [4])[1:] | length }}",
    "{{ p.l == [3, 1, 2] and p.l != p.ll and p.o == p.o and 1 < p.n <= 7 }}",
    "{{ p.o.in ~ p.o.not.is ~ p['o']['k'] ~ p.l[0] ~ p.l[-1] ~ p.l[::-1] }}",
    "{{ 'yes' if p.n > 5 else 'no' ~ 'x' }}{{ p.e or p.z or 'none' ~ p.n }}",
    "{{ p.n is odd ~ p.n is divisibleby 7 }}{{ p.t is string and p.z is not defined }}",
    "{{ p.t | upper | replace('T', 'x' ~ p.n, count=1) ~ p.t | default('a' ~ 'b') }}",
    "{{ p.items | map(attribute='name') | sort | join(', ') }}",
    "{{ p.items | selectattr('n', 'gt', 1) | list | length + p.n }}",
    "{{ p.items | groupby('name') | map('first') | join('-') }}",
    "{{ {'a': p.n + 1, 'b': [p.t ~ '!', (p.n, p.f)]} | dictsort }}",
    "{{ p.l | batch(2) | list }}{{ p.l | slice(2) | list }}{{ p.l | zip(p.ll) | list }}",
    "{{ p.o | items | list | string }}{{ dict(p.o, x=p.n) | length }}{{ p.l | chain([p.n]) | list }}",
    "{{ 'a\nb' | indent(2, true) }}{{ ' x ' | trim }}{{ 'xay' | trim('xy') }}{{ p.l | sum }}",
    "{{ p.items | sum(attribute='n') }}{{ p.l | min }}{{ p.l | max }}{{ p.ll | tojson }}",
    "{{ p.ll | tojson(2) }}{{ p.t | tojson }}{{ [1, 1, 2] | unique | list }}{{ p.f | round }}",
    "{% for k, v in p.o | items %}{{ loop.index ~ k ~ v }}{% else %}x{% endfor %}",
    "{% for i in p.l if i > 1 %}{{ i ~ (',' if not loop.last else '') }}{% endfor %}",
    "{% for i in range(2, p.n * 2, 3) %}{{ i }}{% endfor %}",
    "{% set n = namespace(s=0, l=[]) %}{% for i in p.l %}{% set n.s = n.s + i * 2 %}
     {% set n.l = n.l + [i, p.o] %}{% endfor %}{{ n.s ~ n.l }}",
    "{% set n = namespace() %}{% for i in p.items %}{% set n.b = i %}{% endfor %}{{ n.b.n }}",
    "{% macro f(a, b=p.n ~ 'd') %}{{ a ~ b }}{% endmacro %}{{ f(p.l) ~ f(1, p.t) }}",
    "{% macro f(y) %}{{ caller(y + 1) }}{% endmacro %}{% call(x) f(p.n) %}{{ x }}{% endcall %}",
    "{% with a = p.n + 1, (b, c) = p.l[:2] %}{{ a ~ b ~ c }}{% endwith %}",
    "{% set a, b = p.t, p.n * 2 %}{{ a ~ b }}{% set c %}x{{ a }}{% endset %}{{ c ~ c }}",
    "{% filter replace('x' ~ 'y', p.t ~ p.n) %}axyb{% endfilter %}",
    "{% if p.n + 1 == 8 and (p.t ~ 'x') == 'textx' %}a{% elif p.e %}b{% else %}c{% endif %}",
    "{%- for i in [1] recursive -%}{{ i ~ '' }}{%- endfor -%}{{- ' x' -}}",
    "{{ 1e+5 ~ 1.5 ~ 0x1e ~ 'a' 'b' ~ \"c\\\"d\" }}{{ p.l.0 ~ -p.n ~ - 3 }}",
    "{{ [p.n if p.b else p.t, p.l or [], not p.b, -p.n, p.n | string] }}",
    "{{ (p.l, p.t) ~ (p.n,) ~ () ~ [] ~ {} }}{{ [1, [2, [3]]][1][1][0] }}",
    "{{ p.t * 3 }}{{ 3 * 'ab' }}{{ p.l is sameas(p.l) }}{{ p.t is startingwith('te') }}",
];
