//! Percent-decoding of paths and queries, and splitting of queries.

use std::borrow::Cow;

/// Decodes `%XX`; `None` for a broken escape or bytes that are no UTF-8.
pub fn decode(text: &str) -> Option<Cow<'_, str>> {
    if !text.contains('%') {
        return Some(Cow::Borrowed(text));
    }
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'%' => {
                let high = hex_digit(bytes.next()?)?;
                let low = hex_digit(bytes.next()?)?;
                out.push(high << 4 | low);
            }
            other => out.push(other),
        }
    }
    String::from_utf8(out).ok().map(Cow::Owned)
}

/// True when every `%` begins a correct escape.
pub fn well_escaped(text: &str) -> bool {
    let bytes = text.as_bytes();
    bytes.iter().enumerate().filter(|(_, byte)| **byte == b'%').all(|(at, _)| {
        let digit = |offset: usize| bytes.get(at + offset).copied().and_then(hex_digit).is_some();
        digit(1) && digit(2)
    })
}

/// Encodes a name for a place between two slashes of a URL.
pub fn encode(text: &str) -> Cow<'_, str> {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~$&+:=@".contains(&byte);
    if text.bytes().all(plain) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for byte in text.bytes() {
        if plain(byte) {
            out.push(char::from(byte));
        } else {
            out.push('%');
            out.push_str(&hex::encode_upper([byte]));
        }
    }
    Cow::Owned(out)
}

/// The names and values of a query. A pair with a broken escape is left out, as the reference does.
pub fn query(text: &str) -> Vec<(String, String)> {
    text.split('&')
        .filter(|pair| !pair.is_empty() && !pair.contains(';'))
        .filter_map(|pair| {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            Some((form_decode(name)?, form_decode(value)?))
        })
        .collect()
}

fn form_decode(text: &str) -> Option<String> {
    decode(&text.replace('+', " ")).map(Cow::into_owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes() {
        assert_eq!(decode("a%2Fb%2e").as_deref(), Some("a/b."));
        assert_eq!(decode("a+b").as_deref(), Some("a+b"));
        for bad in ["%", "%2", "%zz", "%ff"] {
            assert_eq!(decode(bad), None, "{bad}");
        }
        assert!(well_escaped("/1.0/a%20b") && !well_escaped("/1.0/%zz") && !well_escaped("/%4"));
        assert_eq!(encode("a/b c"), "a%2Fb%20c");
    }

    #[test]
    fn queries() {
        let pairs = query("a=1&b=x+y%26&&c&d=%zz");
        let pairs: Vec<_> = pairs.iter().map(|(k, v)| (k.as_str(), v.as_str())).collect();
        assert_eq!(pairs, [("a", "1"), ("b", "x y&"), ("c", "")]);
    }

    proptest! {
        #[test]
        fn names_go_through_urls_and_back(name: String, any: String) {
            let encoded = encode(&name);
            prop_assert!(well_escaped(&encoded) && !encoded.contains(['/', '?', '#', ' ', '\n']));
            let decoded = decode(&encoded).map(Cow::into_owned);
            prop_assert_eq!(decoded, Some(name));
            prop_assert!(decode(&any).is_none() || well_escaped(&any));
            let _ = query(&any);
        }
    }
}
