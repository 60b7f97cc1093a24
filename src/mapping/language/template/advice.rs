//! Common mistakes in the syntax of templates, many of them the syntax of other languages, with
//! advice what to write instead.

mod braces;
mod code;
mod operators;
mod statements;

use super::lexer::Piece;
use code::Code;
pub(super) use code::TemplateAdvice;

/// Returns advice on a template that cannot be parsed; `None` if no known mistake is in it.
pub(super) fn of(template: &str, pieces: &[Piece<'_>]) -> Option<TemplateAdvice> {
    let of_piece = |piece| {
        let code = Code { template, piece };
        braces::find(code)
            .or_else(|| statements::find(code))
            .or_else(|| operators::find(code))
            .or_else(|| braces::unclosed(code))
    };
    pieces.iter().find_map(of_piece).or_else(|| statements::blocks(template, pieces))
}
