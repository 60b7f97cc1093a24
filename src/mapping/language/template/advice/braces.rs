//! Braces of other languages, and braces that are not closed.

use super::code::{Code, TemplateAdvice};
use crate::mapping::language::template::lexer::TemplateToken;

/// Finds `{{{ x }}}`, `{{#if x}}` and `{{ x }`.
pub(super) fn find(code: Code<'_>) -> Option<TemplateAdvice> {
    if code.len() == 0 {
        return None;
    }
    third_brace(code).or_else(|| handlebars(code)).or_else(|| single_brace(code))
}

fn third_brace(code: Code<'_>) -> Option<TemplateAdvice> {
    let opening = code.place(0).start;
    let is_third = code.sign(0) == Some("{") && code.template[..opening].ends_with("{{");
    if code.piece.is_statement || !is_third || code.sign(1) == Some("}") {
        return None;
    }
    let last = code.len() - 1;
    let end = if code.sign(last) == Some("}") { last } else { last + 1 };
    let help = format!("write {{{{ {} }}}}", code.text(1..end));
    Some(TemplateAdvice::new(opening..opening + 1, "two braces are enough", help))
}

fn handlebars(code: Code<'_>) -> Option<TemplateAdvice> {
    let sign = code.sign(0).filter(|sign| ["#", "/", "^", ">", "&"].contains(sign))?;
    let word = code.word(1)?;
    let rest = code.rest(2);
    let help = match (sign, word) {
        ("#", "each") => "write {% for x in payload.items %} ... {% endfor %}".to_owned(),
        ("#", "unless") => format!("write {{% if not {rest} %}} ... {{% endif %}}"),
        ("#", "if") => format!("write {{% if {rest} %}} ... {{% endif %}}"),
        ("/", "each") => "write {% endfor %}".to_owned(),
        ("/", _) => "write {% endif %}".to_owned(),
        _ => format!("write {{{{ payload.{word} }}}}"),
    };
    let place = code.place(0).start..code.place(1).end;
    Some(TemplateAdvice::new(place, format!("`{sign}{word}` is Handlebars"), help))
}

fn single_brace(code: Code<'_>) -> Option<TemplateAdvice> {
    // The lexer would have taken two of them as the end.
    let at = code.outermost("}").filter(|_| !code.piece.is_statement)?;
    let help = format!("write {{{{ {} }}}}", code.text(0..at));
    Some(TemplateAdvice::new(code.place(at), "one `}` does not close `{{`", help))
}

/// Finds code without its end.
pub(super) fn unclosed(code: Code<'_>) -> Option<TemplateAdvice> {
    let (open, close) = if code.piece.is_statement { ("{%", "%}") } else { ("{{", "}}") };
    let (token, last) = code.piece.tokens.last()?;
    let start = code.template[..code.place(0).start].rfind(open)?;
    let rest = code.template[last.end..].trim_start().trim_start_matches(['-', '+']);
    if rest.starts_with(close) {
        return None;
    }
    // A quote that is not closed takes the rest of the template.
    let literal = &code.template[last.clone()];
    let quote = literal.chars().next()?;
    let is_open = literal.len() == 1 || !literal.ends_with(quote);
    if matches!(token, TemplateToken::Literal(_)) && is_open {
        let help = format!("write {quote} where the text ends, and {close} behind the value");
        return Some(TemplateAdvice::new(
            last.start..last.start + 1,
            "this quote is not closed",
            help,
        ));
    }
    let message = format!("this `{open}` is not closed");
    let help = format!("write {close} where it ends");
    Some(TemplateAdvice::new(start..start + open.len(), message, help))
}
