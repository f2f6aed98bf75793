//! The order of map keys in YAML output: numbers inside keys compare as numbers, signs come before letters.

use std::cmp::Ordering;

/// Compares two keys.
pub fn compare(a: &str, b: &str) -> Ordering {
    let (left, right): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = left.iter().zip(&right).position(|(x, y)| x != y) else {
        return left.len().cmp(&right.len());
    };
    let (x, y) = (left[at], right[at]);
    let (x_letter, y_letter) = (x.is_alphabetic(), y.is_alphabetic());
    match (x_letter, y_letter) {
        (true, true) => return x.cmp(&y),
        (false, false) => {}
        _ => {
            // Behind a digit the letter comes first: `a1b` before `a1.`.
            let behind_digit = at > 0 && left[at - 1].is_ascii_digit();
            return if x_letter == behind_digit { Ordering::Less } else { Ordering::Greater };
        }
    }
    let (a, b) = (number(&left[at..]), number(&right[at..]));
    a.1.cmp(&b.1).then(a.0.cmp(&b.0)).then(x.cmp(&y))
}

/// Length and value of the digits at the beginning.
fn number(side: &[char]) -> (usize, u64) {
    let digits = side.iter().map_while(|c| c.to_digit(10));
    digits.fold((0, 0), |(length, value): (usize, u64), digit| {
        (length + 1, value.saturating_mul(10).saturating_add(u64::from(digit)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_compare_as_numbers() {
        let mut keys = vec!["eth10", "eth2", "b", "a.b", "a", "a-b", "eth1"];
        keys.sort_by(|a, b| compare(a, b));
        assert_eq!(keys, ["a", "a-b", "a.b", "b", "eth1", "eth2", "eth10"]);
    }
}
