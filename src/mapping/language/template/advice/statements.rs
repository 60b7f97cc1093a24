//! Statements of other languages, and blocks without their end.

use std::ops::Range;

use super::code::{Code, TemplateAdvice};
use crate::mapping::language::template::lexer::{Piece, TemplateToken};

/// Statements with a matching `end...`.
const BLOCKS: [&str; 8] = ["for", "if", "with", "block", "autoescape", "filter", "macro", "call"];

/// Finds a statement of another language, or a statement in the braces of a value.
pub(super) fn find(code: Code<'_>) -> Option<TemplateAdvice> {
    let word = code.word(0)?;
    if !code.piece.is_statement {
        return in_value(code, word);
    }
    let rest = code.rest(1);
    let help = match word {
        "elsif" | "elseif" => format!("write {{% elif {rest} %}}"),
        "else" if code.word(1) == Some("if") => format!("write {{% elif {} %}}", code.rest(2)),
        "unless" => format!("write {{% if not ({rest}) %}} ... {{% endif %}}"),
        "endunless" | "fi" | "end" => "write {% endif %}, or {% endfor %} behind a loop".to_owned(),
        "foreach" | "each" => "write {% for x in payload.items %} ... {% endfor %}".to_owned(),
        "assign" | "let" | "var" | "const" => format!("write {{% set {rest} %}}"),
        "case" | "switch" | "when" => {
            "write {% if ... %}, {% elif ... %}, {% else %}, {% endif %}".to_owned()
        }
        "capture" => format!("write {{% set {rest} %}} ... {{% endset %}}"),
        "comment" | "endcomment" => "a comment is written {# ... #}".to_owned(),
        "echo" | "print" | "return" => format!("write {{{{ {rest} }}}}"),
        _ => return None,
    };
    let is_two_words = word == "else";
    let name = if is_two_words { "else if" } else { word };
    let place = code.place(0).start..code.place(usize::from(is_two_words)).end;
    let advice = TemplateAdvice::new(place, format!("a template has no statement `{name}`"), help);
    Some(match word {
        "elsif" | "elseif" | "else" => advice.replace("elif"),
        "assign" | "let" | "var" | "const" => advice.replace("set"),
        _ => advice,
    })
}

fn in_value(code: Code<'_>, word: &str) -> Option<TemplateAdvice> {
    let is_statement = BLOCKS.contains(&word)
        || word.starts_with("end")
        || ["else", "elif", "set"].contains(&word);
    // `{{ end.at }}` looks up a variable.
    if !is_statement || matches!(code.sign(1), Some("." | "[" | "(")) {
        return None;
    }
    let written =
        if word == "end" { "endif".to_owned() } else { format!("{word} {}", code.rest(1)) };
    let help = format!("write {{% {} %}}", written.trim());
    Some(TemplateAdvice::new(code.place(0), format!("`{word}` is a statement, and no value"), help))
}

/// Finds a block that is not closed, an end that closes nothing, and empty braces.
pub(super) fn blocks(template: &str, pieces: &[Piece<'_>]) -> Option<TemplateAdvice> {
    let mut open: Vec<(&str, Range<usize>)> = Vec::new();
    for piece in pieces.iter().filter(|piece| piece.is_statement) {
        let Some((TemplateToken::Word(word), at)) = piece.tokens.first() else { continue };
        if let Some(ended) = word.strip_prefix("end") {
            match open.pop() {
                Some((opened, _)) if opened == ended => {}
                opened => return Some(wrong_end(word, at.clone(), opened.map(|(word, _)| word))),
            }
        } else if BLOCKS.contains(word) || *word == "set" && piece.assignment().is_none() {
            open.push((word, at.clone()));
        }
    }
    if let Some((word, at)) = open.pop() {
        let help = format!("write {{% end{word} %}} where it ends");
        return Some(TemplateAdvice::new(at, format!("this `{word}` has no end"), help));
    }
    let is_empty = pieces.iter().any(|piece| piece.tokens.is_empty());
    let at = template.find("{{").filter(|_| is_empty)?;
    let help = "write what to print, such as {{ payload.name }}";
    Some(TemplateAdvice::new(at..at + 2, "there is nothing in these braces", help))
}

fn wrong_end(word: &str, at: Range<usize>, opened: Option<&str>) -> TemplateAdvice {
    if let Some(opened) = opened {
        let message = format!("`{word}` cannot close the `{opened}` before it");
        return TemplateAdvice::new(at, message, format!("write {{% end{opened} %}} first"));
    }
    let start = word.trim_start_matches("end");
    let help = format!("write {{% {start} ... %}} before it, or leave it out");
    TemplateAdvice::new(at, format!("`{word}` closes nothing"), help)
}
