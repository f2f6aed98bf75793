//! Lists of ports and ranges of ports. Pure.

/// Reads a list; nothing is the empty list. Each item is a first and a last port.
///
/// # Errors
/// The text for the user.
pub fn ports(list: &str) -> Result<Vec<(u16, u16)>, String> {
    list.split(',').filter(|_| !list.is_empty()).map(item).collect()
}

fn item(item: &str) -> Result<(u16, u16), String> {
    let Some((first, last)) = item.split_once('-').filter(|(first, _)| number(first).is_some()) else {
        let port = number(item).ok_or_else(|| format!("Invalid port number {item:?}"))?;
        return Ok((port, port));
    };
    let last = number(last).ok_or_else(|| format!("Invalid end port number {item:?}"))?;
    match number(first) {
        Some(first) if first < last => Ok((first, last)),
        _ => Err(format!("Start port {first} must be lower than end port {last}")),
    }
}

/// Only digits: no sign. The reference takes numbers that are no ports and fails when it hands them to nft.
fn number(text: &str) -> Option<u16> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(ports(""), Ok(Vec::new()));
        assert_eq!(ports("0,080,80-90,65535"), Ok(vec![(0, 0), (80, 80), (80, 90), (65535, 65535)]));
        for (list, why) in [
            ("80,", "Invalid port number \"\""),
            ("+80", "Invalid port number \"+80\""),
            ("-1", "Invalid port number \"-1\""),
            ("80 - 90", "Invalid port number \"80 - 90\""),
            ("80-", "Invalid end port number \"80-\""),
            ("1-2-3", "Invalid end port number \"1-2-3\""),
            ("80-80", "Start port 80 must be lower than end port 80"),
            ("65536", "Invalid port number \"65536\""),
            ("1-65536", "Invalid end port number \"1-65536\""),
        ] {
            assert_eq!(ports(list), Err(why.to_owned()));
        }
    }
}
