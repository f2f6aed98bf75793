//! Lists of VLANs: `5`, `5,7`, `10-20`.

use lxd_types::ValueError;

/// The highest VLAN number.
const LAST: u16 = 4094;

/// The numbers of a list, sorted, each once.
///
/// # Errors
/// An item is neither a number up to 4094 nor a range of such numbers.
pub fn parse(list: &str) -> Result<Vec<u16>, ValueError> {
    let mut all = Vec::new();
    for item in list.split(',').map(str::trim) {
        let wrong = || ValueError(format!("Invalid VLAN range input: {item}"));
        let number = |text: &str| text.parse::<u16>().ok().filter(|vlan| *vlan <= LAST).ok_or_else(wrong);
        match item.split_once('-') {
            None => all.push(number(item)?),
            Some((first, last)) => {
                let (first, last) = (number(first)?, number(last)?);
                if first > last {
                    return Err(ValueError(format!(
                        "Invalid VLAN range boundary. start:{first} is higher than end:{last}"
                    )));
                }
                all.extend(first..=last);
            }
        }
    }
    all.sort_unstable();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_and_ranges() {
        assert_eq!(parse("9, 1-3,2").unwrap(), [1, 2, 3, 9]);
        for (bad, text) in [
            ("x", "Invalid VLAN range input: x"),
            ("5000", "Invalid VLAN range input: 5000"),
            ("", "Invalid VLAN range input: "),
            ("1-2-3", "Invalid VLAN range input: 1-2-3"),
            ("5-4", "Invalid VLAN range boundary. start:5 is higher than end:4"),
        ] {
            assert_eq!(parse(bad).unwrap_err().0, text);
        }
    }
}
