//! Format v2 in bytes: how agents hand over macaroons.

use crate::Macaroon;
use crate::sealed::put_length;

const VERSION: u8 = 2;
const END: u8 = 0;
const LOCATION: u8 = 1;
const IDENTIFIER: u8 = 2;
const VERIFICATION: u8 = 4;
const SIGNATURE: u8 = 6;

/// Macaroons, one after the other.
pub fn to_binary(macaroons: &[Macaroon]) -> Vec<u8> {
    let mut out = Vec::new();
    for one in macaroons {
        out.push(VERSION);
        optional(&mut out, LOCATION, one.location.as_bytes());
        field(&mut out, IDENTIFIER, &one.id);
        out.push(END);
        for caveat in &one.caveats {
            optional(&mut out, LOCATION, caveat.location.as_bytes());
            field(&mut out, IDENTIFIER, &caveat.id);
            optional(&mut out, VERIFICATION, &caveat.verification);
            out.push(END);
        }
        out.push(END);
        field(&mut out, SIGNATURE, &one.signature);
    }
    out
}

fn optional(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    if !bytes.is_empty() {
        field(out, kind, bytes);
    }
}

fn field(out: &mut Vec<u8>, kind: u8, bytes: &[u8]) {
    out.push(kind);
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_follow_each_other() {
        let mut one = Macaroon::new(b"k", b"id".to_vec(), "l");
        one.require("a");
        let bytes = to_binary(&[one.clone()]);
        assert_eq!(bytes[..14], *b"\x02\x01\x01l\x02\x02id\x00\x02\x01a\x00\x00");
        assert_eq!(bytes[14..16], [6, 32]);
        assert_eq!(bytes[16..], one.signature);
    }
}
