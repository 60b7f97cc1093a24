//! Bounds on the length and depth of a template, checked before minijinja reads it: minijinja
//! parses, compiles and drops a tree by recursion, without a check of the stack.

use std::ops::Range;

use super::lexer::{Piece, TemplateToken, pieces};

/// Length of a template, in bytes.
const TEXT_BYTES_MAX: usize = 64 * 1024;

/// Depth of the tree of a template, in links of a chain such as `a ~ a ~ a`.
// Measured with minijinja 3.1 in a debug build on a stack of 2 MiB, that of a tokio thread: a chain
// overflows it between 590 (`is not`) and 1,180 links (filters), `elif` at 800.
const DEPTH_MAX: usize = 200;

/// Links that a bracket, or a block inside of a block, counts for.
// 92 nested calls overflow the same stack.
const NESTED: usize = 8;

/// Slices of a template.
// minijinja evaluates a slice when it is read, by a call inside of that for the list it is taken of.
const SLICES_MAX: usize = 100;

/// Statements with a matching `end...`; `set` only without `=`.
const BLOCKS: [&str; 9] =
    ["for", "if", "with", "block", "autoescape", "filter", "macro", "call", "set"];

/// Words that join two expressions or precede one.
const LINKS: [&str; 7] = ["and", "or", "not", "if", "else", "in", "is"];

/// Bound that a template exceeds, and its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct OutOfBounds {
    pub(super) message: String,
    pub(super) at: Range<usize>,
}

/// Returns the code of a template that is within its bounds.
pub(super) fn pieces_within(template: &str) -> Result<Vec<Piece<'_>>, OutOfBounds> {
    if template.len() > TEXT_BYTES_MAX {
        let message = format!("the template is longer than {} KiB", TEXT_BYTES_MAX / 1024);
        return Err(OutOfBounds { message, at: 0..template.len() });
    }
    let pieces = pieces(template);
    check_depth(&pieces)?;
    check_slices(&pieces)?;
    Ok(pieces)
}

fn check_depth(pieces: &[Piece<'_>]) -> Result<(), OutOfBounds> {
    let mut blocks = Vec::new();
    for piece in pieces {
        check_piece(piece, blocks.iter().sum())?;
        if piece.is_statement {
            follow(piece, &mut blocks);
        }
    }
    Ok(())
}

fn check_slices(pieces: &[Piece<'_>]) -> Result<(), OutOfBounds> {
    let mut slices = 0;
    for piece in pieces {
        let mut open = Vec::new();
        for (token, at) in &piece.tokens {
            match token {
                TemplateToken::Sign(sign @ ("(" | "[" | "{")) => open.push(*sign),
                TemplateToken::Sign(")" | "]" | "}") => drop(open.pop()),
                TemplateToken::Sign(":") => slices += usize::from(open.last() == Some(&"[")),
                _ => {}
            }
            if slices > SLICES_MAX {
                let message = format!("the template has more than {SLICES_MAX} slices");
                return Err(OutOfBounds { message, at: at.clone() });
            }
        }
    }
    Ok(())
}

/// Updates the depth of each open block.
fn follow(piece: &Piece<'_>, blocks: &mut Vec<usize>) {
    let Some((TemplateToken::Word(word), _)) = piece.tokens.first() else {
        return;
    };
    if word.starts_with("end") {
        blocks.pop();
    } else if *word == "elif" {
        // minijinja parses `elif` as an `if` inside of the `else` before it.
        blocks.last_mut().into_iter().for_each(|depth| *depth += 1);
    } else if BLOCKS.contains(word) && !(*word == "set" && piece.assignment().is_some()) {
        blocks.push(NESTED);
    }
}

/// Checks the depth of one piece of code, which is `outside` deep itself.
fn check_piece(piece: &Piece<'_>, outside: usize) -> Result<(), OutOfBounds> {
    let mut levels = vec![outside];
    for (token, at) in &piece.tokens {
        let is_nested = levels.len() > 1;
        let start = if is_nested { NESTED } else { outside };
        match token {
            TemplateToken::Sign("(" | "[" | "{") => levels.push(NESTED),
            TemplateToken::Sign(")" | "]" | "}") if is_nested => {
                levels.pop();
                innermost(&mut levels, |links| links + 1);
            }
            // The parts of a list are beside each other: each begins a chain of its own.
            TemplateToken::Sign("," | ":") => innermost(&mut levels, |_| start),
            TemplateToken::Sign(_) => innermost(&mut levels, |links| links + 1),
            TemplateToken::Word(word) if LINKS.contains(word) => {
                innermost(&mut levels, |links| links + 1);
            }
            TemplateToken::Word(_) | TemplateToken::Number | TemplateToken::Literal(_) => {}
        }
        if levels.iter().sum::<usize>() > DEPTH_MAX {
            let message = "the template goes too deep, or its chain is too long, from here on";
            return Err(OutOfBounds { message: message.to_owned(), at: at.clone() });
        }
    }
    Ok(())
}

fn innermost(levels: &mut [usize], change: impl Fn(usize) -> usize) {
    if let Some(links) = levels.last_mut() {
        *links = change(*links);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(template: &str, is_good: bool) {
        assert_eq!(check_depth(&pieces(template)).is_ok(), is_good, "{template:.60}");
    }

    #[test]
    fn chains_and_nesting_add_up() {
        check(&format!("{{{{ a{} }}}}", "~a".repeat(DEPTH_MAX)), true);
        check(&format!("{{{{ a{} }}}}", "~a".repeat(DEPTH_MAX + 1)), false);
        let nested = DEPTH_MAX / NESTED;
        check(&format!("{{{{ {}a{} }}}}", "(".repeat(nested), ")".repeat(nested)), true);
        check(&format!("{{{{ {}a~a{} }}}}", "(".repeat(nested), ")".repeat(nested)), false);
    }

    #[test]
    fn siblings_do_not_add_up() {
        check(&format!("{{{{ [{}] }}}}", "a~a,".repeat(5_000)), true);
        check(&format!("{{{{ {{{}}} }}}}", "'a':a.b,".repeat(5_000)), true);
        check(&"{{ a~a }}{% if a %}{% elif a %}{% endif %}".repeat(1_000), true);
        check(&"{% set a = a %}".repeat(1_000), true);
        check(&"{% for a, b in a %}{{ a }}{% endfor %}".repeat(1_000), true);
    }
}
