//! Comparisons outside of filters, and comparisons of operands that are not one value.

use std::ops::Range;

use crate::mapping::language::query::error::QueryError;
use crate::mapping::language::query::lexer::{ComparisonSpans, QueryTokens};

/// Finds a comparison with an operand that may be several values, which the RFC forbids.
pub(super) fn check(scan: &QueryTokens<'_>) -> Result<(), QueryError> {
    for sides in &scan.comparisons {
        for side in [&sides.left, &sides.right] {
            let text = &scan.text[side.clone()];
            if text.starts_with("match(") || text.starts_with("search(") {
                return Err(QueryError::new("this is true or false by itself", side.clone())
                    .help(format!("write `{text}` alone, or `!{text}`")));
            }
            if let Some(part) = scan.multi_value_part(side) {
                let message = format!("`{text}` may give several values, a comparison takes one");
                return Err(QueryError::new(message, side.clone())
                    .help(nested_filter(scan, sides, side, &part)));
            }
        }
    }
    Ok(())
}

/// Advises to move the comparison into the path, in place of the part with several values.
fn nested_filter(
    scan: &QueryTokens<'_>,
    sides: &ComparisonSpans,
    path: &Range<usize>,
    part: &Range<usize>,
) -> String {
    let text = scan.text;
    let before = &text[path.start..part.start];
    let item = format!("@{}", &text[part.end..path.end]);
    let operator = &text[sides.operator.clone()];
    let on_the_left = *path == sides.left;
    let other = &text[if on_the_left { sides.right.clone() } else { sides.left.clone() }];
    // The filter replaces a wildcard only, and in it `@` would be another node.
    if !matches!(&text[part.clone()], "[*]" | ".*") || other.starts_with('@') {
        return "a nested filter looks at each: `@.items[?@.name == 'x']`".to_owned();
    }
    if on_the_left {
        format!("a nested filter looks at each: `{before}[?{item} {operator} {other}]`")
    } else {
        format!("a nested filter looks at each: `{before}[?{other} {operator} {item}]`")
    }
}

pub(super) fn outside_of_filter(scan: &QueryTokens<'_>, index: usize) -> Option<QueryError> {
    let at = &scan.tokens[index].at;
    let error = QueryError::new("a comparison stands in a filter, `[?...]`", at.clone());
    let sides = scan.comparisons.iter().find(|sides| sides.operator == *at)?;
    let help = match scan.multi_value_part(&sides.left) {
        Some(part) => nested_filter(scan, sides, &sides.left, &part),
        None => "write a filter, such as `$.items[?@.kind == 'bug']`".to_owned(),
    };
    Some(error.help(help))
}
