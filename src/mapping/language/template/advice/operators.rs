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
            advice("a path begins with a name", &format!("write payload.{path}"))
        }
        "“" | "”" | "„" | "‘" | "’" | "‚" | "«" | "»" => {
            advice("a curly quote is no quote in a template", "write straight quotes: 'text'")
        }
        "`" => advice("a text stands in straight quotes", "write 'text'"),
        ";" => advice("a template has no `;`", "leave it out"),
        _ => None,
    }
}

fn dollar(code: Code<'_>, at: usize) -> TemplateAdvice {
    let path = code.path(at);
    let start = code.place(at).start;
    let rest = path.trim_start_matches(['$', '.']);
    let quote = if path.contains('\'') { "\\\"" } else { "'" };
    let query = format!("jsonpath({quote}{path}{quote})");
    let is_name = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
    let help = if !rest.is_empty() && rest.chars().all(is_name) {
        format!("write payload.{rest} or {query}")
    } else {
        format!("write {query}")
    };
    TemplateAdvice::new(start..start + path.len(), "a template cannot look up `$`", help)
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
            let help = format!("write {left} | default({})", right(at + 2));
            advice(2, "a template has no `??`", help)
        }
        ("?", Some(".")) => {
            let help = "write `.`: a path through what is missing is empty";
            advice(2, "a template has no `?.`", help.to_owned())
        }
        ("&", Some("&")) => {
            advice(2, "`&&` is written `and`", format!("write {left} and {}", code.rest(at + 2)))
        }
        ("|", Some("|")) => {
            advice(2, "`||` is written `or`", format!("write {left} or {}", code.rest(at + 2)))
        }
        ("==" | "!=", Some("=")) => advice(2, "two signs are enough", format!("write `{sign}`")),
        ("<", Some(">")) => advice(2, "`<>` is written `!=`", "write `!=`".to_owned()),
        ("!", _) => advice(1, "`!` is written `not`", format!("write `not {}`", right(at + 1))),
        ("=", Some(">")) => {
            let help = "loop with {% for x in payload.items %} ... {% endfor %}";
            advice(2, "a template has no functions of its own", help.to_owned())
        }
        _ => None,
    }
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
    let help = format!("write {yes} if {condition} else {no}");
    Some(TemplateAdvice::new(code.place(question), "a template has no `? :`", help))
}

/// Finds `value | filter: argument`, as in Liquid.
fn colon(code: Code<'_>) -> Option<TemplateAdvice> {
    let at = code.outermost(":").filter(|at| *at >= 2 && code.sign(at - 2) == Some("|"))?;
    let filter = code.word(at - 1)?;
    let end = (at + 1..code.len()).find(|at| code.sign(*at) == Some("|"));
    let arguments = code.text(at + 1..end.unwrap_or(code.len()));
    let help = elsewhere(filter).unwrap_or_else(|| format!("write {filter}({arguments})"));
    let message = "what a filter needs stands in parentheses";
    Some(TemplateAdvice::new(code.place(at), message, help))
}

/// Finds `=` where `==` is meant.
fn assignment(code: Code<'_>) -> Option<TemplateAdvice> {
    let assigns = matches!(code.word(0), Some("set" | "with" | "macro" | "call"));
    let at = code.outermost("=").filter(|_| !(code.piece.is_statement && assigns))?;
    Some(TemplateAdvice::new(code.place(at), "`=` is not a comparison", "write `==`"))
}
