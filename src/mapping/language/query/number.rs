//! Exact order of JSON numbers, be they integers or floats.

use std::cmp::Ordering;

use serde_json::Number;

/// Compares two numbers exactly.
pub(super) fn order(left: &Number, right: &Number) -> Option<Ordering> {
    // Not as floats, in which different ids above 2^53 are equal.
    match (left.as_i128(), right.as_i128()) {
        (Some(left), Some(right)) => Some(left.cmp(&right)),
        (Some(left), None) => order_with_float(left, right.as_f64()?),
        (None, Some(right)) => order_with_float(right, left.as_f64()?).map(Ordering::reverse),
        (None, None) => left.as_f64()?.partial_cmp(&right.as_f64()?),
    }
}

fn order_with_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    // The cast drops the fraction and saturates at the ends of i128, beyond all integers of JSON
    // that serde_json reads.
    #[expect(clippy::cast_possible_truncation, reason = "the fraction is compared on its own")]
    let whole = float.trunc() as i128;
    Some(integer.cmp(&whole).then(0.0.partial_cmp(&float.fract())?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(left: &str, right: &str, expected: Ordering) {
        let number = |text: &str| serde_json::from_str::<Number>(text).unwrap();
        assert_eq!(order(&number(left), &number(right)), Some(expected), "{left} {right}");
        let back = order(&number(right), &number(left));
        assert_eq!(back, Some(expected.reverse()), "{right} {left}");
    }

    #[test]
    fn numbers_are_compared_exactly() {
        check("1", "1.0", Ordering::Equal);
        check("0", "-0.0", Ordering::Equal);
        check("1", "1.5", Ordering::Less);
        check("-1", "-1.5", Ordering::Greater);
        check("100", "1e2", Ordering::Equal);
        check("9007199254740993", "9007199254740992", Ordering::Greater);
        check("9007199254740993", "9007199254740992.0", Ordering::Greater);
        check("18446744073709551615", "18446744073709551614", Ordering::Greater);
        check("18446744073709551615", "18446744073709551616.0", Ordering::Less);
        check("-9223372036854775808", "-9223372036854775808.0", Ordering::Equal);
        check("18446744073709551615", "1e300", Ordering::Less);
        check("-9223372036854775808", "-1e300", Ordering::Greater);
    }
}
