//! Names of other template languages and of programming languages, and what each is called here.

use super::functions::{FILTERS, FUNCTIONS};
use super::variable::Variable;
use crate::diagnostics::suggestion::nearest;

/// Names of one meaning, and what to write.
type ForeignNames = (&'static [&'static str], &'static str);

/// Filters and methods of Liquid, Handlebars, Twig, JavaScript and Python. In lower case, without
/// `_`.
const FILTERS_ELSEWHERE: [ForeignNames; 22] = [
    (&["uppercase", "upcase", "toupper", "touppercase", "ucase", "strtoupper"], "`| upper`"),
    (&["lowercase", "downcase", "tolower", "tolowercase", "lcase", "strtolower"], "`| lower`"),
    (&["titlecase", "titleize", "ucwords", "capitalizewords"], "`| title`"),
    (&["capitalise", "ucfirst", "capfirst"], "`| capitalize`"),
    (&["strip", "lstrip", "rstrip", "trimstart", "trimend", "stripwhitespace"], "`| trim`"),
    (&["size", "len", "strlen", "wordcount"], "`| length`"),
    (
        &[
            "striphtml",
            "striptags",
            "htmltotext",
            "plaintext",
            "stripnewlines",
            "htmlstrip",
            "unescape",
        ],
        "`| html_to_text`",
    ),
    (
        &[
            "truncate",
            "truncatechars",
            "truncatewords",
            "shorten",
            "limit",
            "substr",
            "substring",
            "ellipsis",
        ],
        "a step: name = { from = \"$.path\", max = 100 }, or `[:100]` behind the value",
    ),
    (&["append", "prepend", "concat", "plus", "add"], "`~`, which joins texts: `payload.a ~ ' x'`"),
    (&["times", "minus", "dividedby", "modulo"], "an operator: `payload.a * 2`"),
    (
        &["json", "tojsonstring", "jsonencode", "stringify", "jsonify", "dump", "inspect"],
        "`| tojson`",
    ),
    (&["urlescape", "encodeuricomponent", "encodeuri", "quote", "uriencode"], "`| urlencode`"),
    (&["strftime", "formatdate", "dateformat", "todate", "moment"], "`| date('%Y-%m-%d')`"),
    (
        &["ifempty", "defaultifnone", "coalesce", "fallback", "ornull", "ifnull"],
        "`| default('text')`",
    ),
    (&["where", "filterby", "findby"], "`| selectattr('key', 'eq', 'value')`"),
    (&["pluck", "collect", "mapattr"], "`| map(attribute='key')`"),
    (&["uniq", "distinct", "dedupe"], "`| unique`"),
    (&["remove", "replaceall", "gsub", "regexreplace", "sub"], "`| replace('old', 'new')`"),
    (&["toint", "parseint", "tonumber", "tofloat", "parsefloat", "num", "integer"], "`| number`"),
    (&["tostring", "str", "totext"], "`| string`"),
    (
        &["includes", "contains", "has", "indexof", "startswith", "endswith"],
        "`in`: `'text' in payload.a`",
    ),
    (&["explode", "tolist", "toarray"], "`| split(',')`"),
];

pub(super) fn advice_on_filter(name: &str) -> String {
    let known = || format!("docs/templates.md lists them; the most used are {}", USUAL.join(", "));
    elsewhere(name).or_else(|| meant(name, &FILTERS)).unwrap_or_else(known)
}

/// Returns the filter that is meant by an unknown name, if it takes the same place.
pub(super) fn meant_filter(name: &str) -> Option<&'static str> {
    match here(name) {
        Some(here) => {
            let filter = here.strip_prefix("`| ")?.strip_suffix('`')?;
            filter.chars().all(|c| c.is_alphanumeric() || c == '_').then_some(filter)
        }
        None => nearest(name, FILTERS),
    }
}

/// Returns the function that is meant by an unknown name.
pub(super) fn meant_function(name: &str) -> Option<&'static str> {
    let is_filter = FILTERS.contains(&name);
    nearest(name, FUNCTIONS).filter(|_| !is_filter)
}

/// Returns the variable or constant that is meant by an unknown name.
pub(super) fn meant_variable(name: &str, known: &[Variable]) -> Option<&'static str> {
    match name {
        "null" | "nil" | "undefined" | "None" | "NULL" => Some("none"),
        "True" | "TRUE" => Some("true"),
        "False" | "FALSE" => Some("false"),
        "this" | "self" | "data" | "body" | "record" | "input" | "request" | "webhook" | "json" => {
            None
        }
        _ => nearest(name, known.iter().map(|variable| variable.name())),
    }
}

/// Filters that are named where nothing else can be said.
const USUAL: [&str; 9] =
    ["default", "first", "join", "length", "lower", "number", "replace", "trim", "upper"];

pub(super) fn advice_on_function(name: &str) -> String {
    if FILTERS.contains(&name) {
        return format!("it is a filter: write `payload.a | {name}`");
    }
    let known = || {
        format!(
            "there are {}; a filter stands behind its value: `payload.a | upper`",
            FUNCTIONS.join(", ")
        )
    };
    meant(name, &FUNCTIONS).or_else(|| elsewhere(name)).unwrap_or_else(known)
}

pub(super) fn advice_on_method(name: &str) -> String {
    let is_filter = FILTERS.contains(&name) || name == "lower" || name == "items";
    if is_filter {
        return format!("values have no methods: write `| {name}`");
    }
    let known = || "values have no methods: write a filter, such as `payload.a | upper`".to_owned();
    elsewhere(name).map_or_else(known, |help| format!("values have no methods: {help}"))
}

pub(super) fn advice_on_test(name: &str) -> String {
    match name.to_ascii_lowercase().as_str() {
        "null" | "nil" | "undefined" | "missing" => "write `is none`".to_owned(),
        "empty" | "blank" => "write `not payload.a`, which also holds for what is empty".to_owned(),
        "present" | "set" | "given" => "write `is defined`, or the value alone".to_owned(),
        "contains" | "includes" => "write `'text' in payload.a`".to_owned(),
        "array" | "list" => "write `is sequence`".to_owned(),
        "equal" | "equals" => "write `==`".to_owned(),
        _ => "there are `defined`, `none`, `number`, `string`, `sequence`, `mapping`, `true` and \
              `false`; compare with `==`, `<` and `in`"
            .to_owned(),
    }
}

pub(super) fn advice_on_variable(name: &str, known: &[Variable]) -> String {
    match name {
        "null" | "nil" | "undefined" | "None" | "NULL" => return "write `none`".to_owned(),
        "True" | "TRUE" => return "write `true`".to_owned(),
        "False" | "FALSE" => return "write `false`".to_owned(),
        "this" | "self" | "data" | "body" | "record" | "input" | "request" | "webhook" | "json" => {
            return format!(
                "the payload is `payload`: write `payload.key`; its key `{name}` is `payload.{name}`"
            );
        }
        _ => {}
    }
    match nearest(name, known.iter().map(|variable| variable.name())) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => format!("write payload.{name} for what is in the payload"),
    }
}

fn meant(name: &str, known: &[&'static str]) -> Option<String> {
    nearest(name, known.iter().copied()).map(|meant| format!("did you mean `{meant}`?"))
}

pub(super) fn elsewhere(name: &str) -> Option<String> {
    here(name).map(|here| format!("write {here}"))
}

fn here(name: &str) -> Option<&'static str> {
    let plain = name.to_lowercase().replace('_', "");
    let found = FILTERS_ELSEWHERE.iter().find(|(names, _)| names.contains(&plain.as_str()));
    found.map(|(_, here)| *here)
}
