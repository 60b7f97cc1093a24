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
    let written = format!("{{{{ {} }}}}", code.text(1..end));
    let help = format!("write {written}");
    let advice = TemplateAdvice::new(opening..opening + 1, "two braces are enough", help);
    let closing = code.template[opening..].find("}}}");
    Some(match closing {
        Some(length) => advice.fix(opening - 2..opening + length + 3, written),
        None => advice,
    })
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
    let place = code.place(at);
    // Two of them are no end if a bracket before them is open.
    let is_single = !code.template[..place.start].ends_with('}')
        && !code.template[place.end..].starts_with('}');
    let advice = TemplateAdvice::new(place, "one `}` does not close `{{`", help);
    Some(if is_single { advice.replace("}}") } else { advice })
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
        let place = last.start..last.start + 1;
        let advice = TemplateAdvice::new(place, "unclosed string", help);
        // The text took the end of the code, which is still there.
        let ends = code.template.trim_end().strip_suffix(close).map(str::trim_end);
        return Some(match ends.filter(|inner| inner.len() > last.start + 1) {
            Some(inner) => advice.fix(inner.len()..inner.len(), quote),
            None => advice,
        });
    }
    let message = if code.piece.is_statement { "unclosed statement" } else { "unclosed template" };
    let help = format!("every `{open}` needs a matching `{close}`: write {close} where it ends");
    let advice = TemplateAdvice::new(start..start + open.len(), message, help);
    let end = code.template.trim_end().len();
    // Only if the code goes on to the end: elsewhere it is not known where it ends.
    Some(if rest.is_empty() { advice.fix(end..end, format!(" {close}")) } else { advice })
}
