//! Operators, quotes and paths of other languages.

use super::code::{Code, TemplateAdvice};
use crate::mapping::language::template::foreign_names::elsewhere;

/// Finds an operator, a quote or a path of another language.
pub(super) fn find(code: Code<'_>) -> Option<TemplateAdvice> {
    (0..code.len())
        .find_map(|at| foreign_path(code, at).or_else(|| foreign_operator(code, at)))
        .or_else(|| ternary(code))
        .or_else(|| colon(code))
        .or_else(|| assignment(code))
}

fn foreign_path(code: Code<'_>, at: usize) -> Option<TemplateAdvice> {
    let advice =
        |message: &str, help: &str| Some(TemplateAdvice::new(code.place(at), message, help));
    match code.sign(at)? {
        "$" => Some(dollar(code, at)),
        "@" => {
            let path = code.path(at);
            let rest = path.trim_start_matches(['@', '.']);
            let help = format!("write item.{rest} or jsonpath('{path}')");
            advice("a template cannot look up `@`", &help)
        }
        "." if at == 0 => {
            let path = code.rest(1).trim_start_matches("payload.");
            let is_named = code.rest(1).starts_with("payload.");
            let fixed = if is_named { "" } else { "payload." };
            advice("a path begins with a name", &format!("write payload.{path}"))
                .map(|advice| advice.replace(fixed))
        }
        "“" | "”" | "„" | "‘" | "’" | "‚" | "«" | "»" => {
            advice("a curly quote is no quote in a template", "write straight quotes: 'text'")
                .map(|advice| straight_quotes(code, advice))
        }
        "`" => advice("a text stands in straight quotes", "write 'text'")
            .map(|advice| straight_quotes(code, advice)),
        ";" => advice("a template has no `;`", "leave it out").map(|advice| advice.replace("")),
        _ => None,
    }
}

/// Adds the correction of a text in foreign quotes that begins at the mistake.
fn straight_quotes(code: Code<'_>, advice: TemplateAdvice) -> TemplateAdvice {
    let start = advice.at.start;
    let inner = &code.template[advice.at.end..];
    let Some(end) = inner.find(['”', '’', '“', '‘', '»', '`']) else { return advice };
    let length = inner[end..].chars().next().map_or(0, char::len_utf8);
    let (text, end) = (&inner[..end], advice.at.end + end + length);
    let is_plain = !text.contains(['\'', '\\', '{', '}', '|']);
    if is_plain { advice.fix(start..end, format!("'{text}'")) } else { advice }
}

fn dollar(code: Code<'_>, at: usize) -> TemplateAdvice {
    let path = code.path(at);
    let start = code.place(at).start;
    let rest = path.trim_start_matches(['$', '.']);
    let quote = if path.contains('\'') { "\\\"" } else { "'" };
    let query = format!("jsonpath({quote}{path}{quote})");
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let place = start..start + path.len();
    let advice = |help| TemplateAdvice::new(place, "a template cannot look up `$`", help);
    if !rest.is_empty() && !rest.contains("..") && rest.chars().all(is_name) {
        let member = format!("payload.{rest}");
        return advice(format!("write {member} or {query}")).replace(member);
    }
    let advice = advice(format!("write {query}"));
    if path.contains(['\'', '"', '\\']) { advice } else { advice.replace(query) }
}

fn foreign_operator(code: Code<'_>, at: usize) -> Option<TemplateAdvice> {
    let sign = code.sign(at)?;
    let next = if code.touches(at) { code.sign(at + 1) } else { None };
    let advice = |count: usize, message: &str, help: String| {
        let place = code.place(at).start..code.place(at + count - 1).end;
        Some(TemplateAdvice::new(place, message, help))
    };
    let (left, right) = (code.operand_before(at), |from| code.operand_from(from));
    match (sign, next) {
        ("?", Some("?")) => {
            let other = right(at + 2);
            let help = format!("write {left} | default({other})");
            let end = code.place_of(other).map(|other| other.end);
            let fixed = |advice: TemplateAdvice| match end {
                Some(end) => {
                    let start = advice.at.start;
                    advice.fix(start..end, format!("| default({other})"))
                }
                None => advice,
            };
            advice(2, "a template has no `??`", help).map(fixed)
        }
        ("?", Some(".")) => {
            let help = "write `.`: a path through what is missing is empty";
            advice(2, "a template has no `?.`", help.to_owned()).map(|it| it.replace("."))
        }
        ("&", Some("&")) => {
            let help = format!("write {left} and {}", code.rest(at + 2));
            advice(2, "`&&` is written `and`", help).map(|it| spaced(code, it, "and"))
        }
        ("|", Some("|")) => {
            let help = format!("write {left} or {}", code.rest(at + 2));
            advice(2, "`||` is written `or`", help).map(|it| spaced(code, it, "or"))
        }
        ("==" | "!=", Some("=")) => {
            let help = format!("write `{sign}`");
            advice(2, "two signs are enough", help).map(|it| it.replace(sign))
        }
        ("<", Some(">")) => {
            advice(2, "`<>` is written `!=`", "write `!=`".to_owned()).map(|it| it.replace("!="))
        }
        ("!", _) => {
            let help = format!("write `not {}`", right(at + 1));
            advice(1, "`!` is written `not`", help).map(|it| spaced(code, it, "not"))
        }
        ("=", Some(">")) => {
            let help = "loop with {% for x in payload.items %} ... {% endfor %}";
            advice(2, "a template has no functions of its own", help.to_owned())
        }
        _ => None,
    }
}

/// Adds that a word stands in place of an operator.
fn spaced(code: Code<'_>, advice: TemplateAdvice, word: &str) -> TemplateAdvice {
    let text = code.apart(&advice.at, word);
    advice.replace(text)
}

/// Finds `a ? b : c`.
fn ternary(code: Code<'_>) -> Option<TemplateAdvice> {
    let question = (0..code.len()).find(|at| code.sign(*at) == Some("?"))?;
    let condition = code.operand_before(question);
    let colon = (question..code.len()).find(|at| code.sign(*at) == Some(":"));
    let (yes, no) = match colon {
        Some(colon) => (code.text(question + 1..colon), code.operand_from(colon + 1)),
        None => ("'yes'", "'no'"),
    };
    let written = format!("{yes} if {condition} else {no}");
    let help = format!("write {written}");
    let advice = TemplateAdvice::new(code.place(question), "a template has no `? :`", help);
    let start = code.place_of(condition).map(|place| place.start);
    let end = colon.and_then(|_| code.place_of(no)).map(|place| place.end);
    Some(match start.zip(end) {
        Some((start, end)) => advice.fix(start..end, written),
        None => advice,
    })
}

/// Finds `value | filter: argument`, as in Liquid.
fn colon(code: Code<'_>) -> Option<TemplateAdvice> {
    let at = code.outermost(":").filter(|at| *at >= 2 && code.sign(at - 2) == Some("|"))?;
    let filter = code.word(at - 1)?;
    let end = (at + 1..code.len()).find(|at| code.sign(*at) == Some("|"));
    let arguments = code.text(at + 1..end.unwrap_or(code.len()));
    let message = "what a filter needs stands in parentheses";
    let advice = |help| TemplateAdvice::new(code.place(at), message, help);
    if let Some(help) = elsewhere(filter) {
        return Some(advice(help));
    }
    let written = format!("{filter}({arguments})");
    let advice = advice(format!("write {written}"));
    let end = code.place_of(arguments).map(|place| place.end);
    Some(match end {
        Some(end) => advice.fix(code.place(at - 1).start..end, written),
        None => advice,
    })
}

/// Finds `=` where `==` is meant.
fn assignment(code: Code<'_>) -> Option<TemplateAdvice> {
    let assigns = matches!(code.word(0), Some("set" | "with" | "macro" | "call"));
    let at = code.outermost("=").filter(|_| !(code.piece.is_statement && assigns))?;
    let place = code.place(at);
    Some(TemplateAdvice::new(place, "`=` is not a comparison", "write `==`").replace("=="))
}
