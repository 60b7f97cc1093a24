//! Variables and members that a template may look up, and queries that it prints, by its tokens.

use super::lexer::{Piece, TemplateToken, pieces};

/// Returns whether the name occurs as a variable.
// By the tokens: minijinja's list of undeclared variables leaves out slices, the arguments of a
// block's filter, and `x` in `{% set x = x.y %}`. A name that the template sets itself is provided
// in vain, which does no harm.
pub(super) fn uses(pieces: &[Piece<'_>], name: &str) -> bool {
    pieces.iter().any(|piece| places(piece, name).next().is_some())
}

/// Returns the template with `a[[b,c]]` in place of each slice `a[b:c]`; `None` if it has none.
// In lists minijinja finds the undeclared variables.
pub(super) fn without_slices(template: &str) -> Option<String> {
    let mut written = String::with_capacity(template.len() + 8);
    let mut from = 0;
    for piece in pieces(template) {
        for (at, sign) in slice_signs(&piece) {
            written.push_str(&template[from..at]);
            written.push_str(sign);
            from = at + 1;
        }
    }
    (from > 0).then(|| written + &template[from..])
}

/// Returns the places of the brackets and colons of slices, each with its replacement.
fn slice_signs(piece: &Piece<'_>) -> Vec<(usize, &'static str)> {
    let mut signs = Vec::new();
    // For each open bracket: its signs, and whether an operand follows the last of them.
    let mut open: Vec<(Vec<(usize, &'static str)>, bool)> = Vec::new();
    for (token, at) in &piece.tokens {
        let is_slice_colon = *token == TemplateToken::Sign(":")
            && open.last().is_some_and(|(its, _)| !its.is_empty());
        if let Some((its, has_operand)) = open.last_mut() {
            if is_slice_colon {
                its.push((at.start, if *has_operand { "," } else { " " }));
            }
            *has_operand = !is_slice_colon;
        }
        match token {
            TemplateToken::Sign("[") => open.push((vec![(at.start, "[[")], false)),
            TemplateToken::Sign("(" | "{") => open.push((Vec::new(), false)),
            TemplateToken::Sign(")" | "]" | "}") => {
                let (its, _) = open.pop().unwrap_or_default();
                if its.len() > 1 {
                    signs.extend(its.into_iter().chain([(at.start, "]]")]));
                }
            }
            _ => {}
        }
    }
    signs.sort_unstable();
    signs
}

/// Filters that keep several nodes several.
const LIST_FILTERS: [&str; 13] = [
    "d",
    "default",
    "list",
    "map",
    "reject",
    "rejectattr",
    "reverse",
    "select",
    "selectattr",
    "slice",
    "sort",
    "string",
    "unique",
];

/// Filters that take one value of a joined text.
const PICKING_FILTERS: [&str; 2] = ["first_email", "split"];

/// Returns the query of each `{{ jsonpath('…') }}` that prints all nodes of the query.
pub(super) fn bare_queries<'t>(pieces: &[Piece<'t>]) -> impl Iterator<Item = &'t str> {
    pieces.iter().filter(|piece| !piece.is_statement).filter_map(|piece| {
        let tokens: Vec<TemplateToken<'t>> = piece.tokens.iter().map(|(token, _)| *token).collect();
        match without_parentheses(tokens).as_slice() {
            [
                TemplateToken::Word("jsonpath"),
                TemplateToken::Sign("("),
                TemplateToken::Literal(query),
                TemplateToken::Sign(")"),
                filters @ ..,
            ] if keeps_all(filters) => Some(*query),
            _ => None,
        }
    })
}

/// Returns the tokens without the parentheses that they begin with: `(a | b) | c` as `a | b | c`.
fn without_parentheses(mut tokens: Vec<TemplateToken<'_>>) -> Vec<TemplateToken<'_>> {
    while tokens.first() == Some(&TemplateToken::Sign("(")) {
        let behind = without_arguments(&tokens).len();
        if behind == tokens.len() {
            // Not closed: the parser reports it.
            break;
        }
        tokens.remove(tokens.len() - behind - 1);
        tokens.remove(0);
    }
    tokens
}

/// Returns whether filters, each `| name` or `| name(…)`, print all of several nodes.
fn keeps_all(mut filters: &[TemplateToken<'_>]) -> bool {
    loop {
        filters = match filters {
            [] => return true,
            // Joined, they are one text, of which only some filters take a single value again.
            [TemplateToken::Sign("|"), TemplateToken::Word("join"), rest @ ..] => {
                return !rest.iter().any(|token| {
                    matches!(token, TemplateToken::Word(name) if PICKING_FILTERS.contains(name))
                });
            }
            [TemplateToken::Sign("|"), TemplateToken::Word(name), rest @ ..]
                if LIST_FILTERS.contains(name) =>
            {
                without_arguments(rest)
            }
            _ => return false,
        };
    }
}

/// Returns the tokens after the parentheses at the start, if there are any.
fn without_arguments<'a, 't>(tokens: &'a [TemplateToken<'t>]) -> &'a [TemplateToken<'t>] {
    let mut open = 0_usize;
    let end = tokens.iter().position(|token| {
        match token {
            TemplateToken::Sign("(") => open += 1,
            TemplateToken::Sign(")") => open = open.saturating_sub(1),
            _ => {}
        }
        open == 0
    });
    match (tokens.first(), end) {
        (Some(TemplateToken::Sign("(")), Some(end)) => &tokens[end + 1..],
        _ => tokens,
    }
}

/// Returns the members of the variable that are looked up; `None` if any may be.
pub(super) fn members(pieces: &[Piece<'_>], variable: &str) -> Option<Vec<String>> {
    let places = pieces.iter().flat_map(|piece| places(piece, variable).map(move |at| (piece, at)));
    let members = places.filter_map(|(piece, at)| match member(piece, at) {
        // The target of a `set` is written, not read.
        None if piece.assignment() == Some(at + 1) => None,
        member => Some(member.map(str::to_owned)),
    });
    members.collect()
}

/// Returns the positions of a name that is not a member.
fn places(piece: &Piece<'_>, name: &str) -> impl Iterator<Item = usize> {
    let is_it = move |at: &usize| {
        let is_member = at
            .checked_sub(1)
            .is_some_and(|before| token(piece, before) == TemplateToken::Sign("."));
        token(piece, *at) == TemplateToken::Word(name) && !is_member
    };
    (0..piece.tokens.len()).filter(is_it)
}

/// Returns the member that is looked up of the variable at this place, if it is only one.
fn member<'t>(piece: &Piece<'t>, at: usize) -> Option<&'t str> {
    let behind = |steps: usize| piece.tokens.get(at + steps).map(|(token, _)| *token);
    let (name, length) = match (behind(1)?, behind(2)?) {
        (TemplateToken::Sign("."), TemplateToken::Word(name)) => (name, 3),
        (TemplateToken::Sign("["), TemplateToken::Literal(name))
            if behind(3) == Some(TemplateToken::Sign("]")) =>
        {
            (name, 4)
        }
        _ => return None,
    };
    // A method may read the whole variable, and an escape stands for another character.
    let is_plain = behind(length) != Some(TemplateToken::Sign("(")) && !name.contains('\\');
    is_plain.then_some(name)
}

fn token<'t>(piece: &Piece<'t>, at: usize) -> TemplateToken<'t> {
    piece.tokens[at].0
}
