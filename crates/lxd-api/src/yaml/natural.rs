//! Natural orders: numbers inside texts compare as numbers.

use std::cmp::Ordering;

/// The order of table cells: runs of digits compare as numbers, all else as text.
pub fn compare_cells(a: &str, b: &str) -> Ordering {
    let (left, right) = (chunks(a), chunks(b));
    for (x, y) in left.iter().zip(&right) {
        let order = match (x.parse::<u64>(), y.parse::<u64>()) {
            (Ok(m), Ok(n)) => m.cmp(&n).then(x.len().cmp(&y.len())),
            _ => x.cmp(y),
        };
        if order.is_ne() {
            return order;
        }
    }
    left.len().cmp(&right.len())
}

/// Runs of digits and of other characters.
fn chunks(text: &str) -> Vec<&str> {
    let mut chunks = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let digit = first.is_ascii_digit();
        let end = rest.find(|c: char| c.is_ascii_digit() != digit).unwrap_or(rest.len());
        chunks.push(&rest[..end]);
        rest = &rest[end..];
    }
    chunks
}

/// The order of map keys in YAML output: signs come before letters.
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
        _ => return if y_letter { Ordering::Less } else { Ordering::Greater },
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
