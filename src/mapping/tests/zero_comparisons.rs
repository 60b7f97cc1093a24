//! Comparisons with the 0 that `int` and `float` make of an absent value.

use super::compile;
use super::mistakes::{show, warns};

const COMPARED: [&str; 24] = [
    "payload.a | int < 9",
    "payload.a|int >= 9",
    "9 > payload['a'].b | int",
    "payload.a | trim | int | abs <= 9",
    "payload.b | default(1) | int < 9 and 9 > payload.a | int",
    "(payload.a | int) < 9",
    "9 >= (payload.a | int)",
    "payload.b and ((payload.a | int) | abs) < 9",
    "not (payload['a'] | int | abs) | abs > 9",
    "(payload.a | int) + 1 < 9",
    "payload.a | int + 1 < 9",
    "9 > 1 + payload.a | int",
    "payload.b[0] * (payload.a | int) // 2 < 9",
    "((payload.a | int) * 2 + 1) | abs < 9",
    "payload.b < 3 and (payload.a | int) - 1 >= 9",
    "-(payload.a | int) > -9",
    "payload.a | int is lt 9",
    "payload.a | int is lessthan(9)",
    "payload.a | int is not gt 9",
    "(payload.a | int) is ge(9)",
    "((payload.a | int) + 1) is le 9",
    "9 is not greaterthan(1 + payload.a | int)",
    "payload.a | number | int < 9",
    "payload.a | replace(payload.list | length, '') | int < 9",
];

const NOT_COMPARED: [&str; 24] = [
    "payload.a | default(10) | int < 9",
    "payload.a | int(10) < 9",
    "payload.a | int(default=10) < 9",
    "payload.a | number < 9",
    "payload.a | int == 9",
    "payload.a | int and payload.b < 9",
    "(payload.a | default(10) | int) < 9",
    "(payload.a | int(10)) < 9",
    "(payload.a | int) == 9",
    "(payload.a | int) and (payload.b) < 9",
    "payload.int < 9",
    "(payload.list | length | int) < 9",
    "payload.list | count | int < 9",
    "((payload.list | length) | int) + 1 < 9",
    "payload.a | int + 1 == 9",
    "payload.a | int is eq 9",
    "payload.a | int is odd and payload.b < 9",
    "[payload.a | int, 1] | length < 9",
    "payload.list[payload.a | int] < 9",
    "range(payload.a | int) | length < 9",
    "payload.a | int ~ 'x' < 'y'",
    "payload.a | int if payload.b < 9 else 1",
    "payload.b < 9 if payload.a | int else 1",
    "payload.b + payload.a | int == 1 or payload.b < 9",
];

#[test]
fn comparison_of_int_without_default_is_warned_about() {
    for comparison in COMPARED {
        warns(&format!("when = \"{{{{ {comparison} }}}}\""), "int", "`number`");
        let float = comparison.replace("int", "float");
        warns(&format!("when = \"{{{{ {float} }}}}\""), "float", "`number`");
    }
    for comparison in NOT_COMPARED {
        let file = format!("[[feedback]]\nproblem = \"x\"\nwhen = \"{{{{ {comparison} }}}}\"");
        let (_, mistakes) = compile(&file);
        assert_eq!(mistakes, [], "{}", show(&file, &mistakes));
    }
}

#[test]
fn comparison_of_a_variable_that_is_set_to_int_is_warned_about() {
    for template in [
        "{% set n = payload.a | int %}{{ 'low' if n < 9 }}",
        "{% set n = (payload.a | int) + 1 %}{% if 9 >= n * 2 %}low{% endif %}",
        "{% if payload.b %}{% set n = payload.a | int %}{{ 'low' if n is lt 9 }}{% endif %}",
    ] {
        warns(&format!("person_name = \"{template}\""), "int", "`number`");
    }
    for template in [
        "{% set n = payload.a | int %}{{ n }}{{ -payload.b < 9 }}",
        "{% set n = payload.a | int(10) %}{{ 'low' if n < 9 }}",
        "{% set n = payload.a | int == 1 %}{{ 'low' if n < 9 }}",
        "{% set n = payload.a | int %}{% set n = 1 %}{{ 'low' if n < 9 }}",
        "{% set n = payload.a | int %}{% for n in [1] %}{{ n < 9 }}{% endfor %}",
        "{% set n = payload.a | int %}{{ 'low' if payload.n < 9 }}",
        "{% set n = [payload.a | int, 1] %}{{ 'low' if n < 9 }}",
        "{% set n, m = payload.a | int, 1 %}{{ 'low' if n < 9 }}",
    ] {
        let file = format!("[[feedback]]\nproblem = \"x\"\nperson_name = \"{template}\"");
        let (_, mistakes) = compile(&file);
        assert_eq!(mistakes, [], "{}", show(&file, &mistakes));
    }
}
